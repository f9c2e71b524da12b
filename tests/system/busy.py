"""Clients that do everything at once to one user's mail until the server is gone."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .clients import Wire, pop3_wire, quoted
from .facts import BOXES, INBOX, OTHER, TRACKED, Facts, Shown, text
from .server import Server
from .users import User

KEPT = 40
"""More messages than this in a mailbox are removed between two kills."""
_NUMBER = re.compile(rb"^Subject: number (\d+)", re.MULTILINE)
_FETCHED = re.compile(rb"\* \d+ FETCH \(UID (\d+) FLAGS \(([^)]*)\) BODY\[\] \{(\d+)\}$")

Owned = list[tuple[int, int]]
"""(UID, number) of messages of INBOX."""


class Refused(Exception):
    """The server answered NO."""


class Session(Wire):
    """An IMAP session, with INBOX selected."""

    def __init__(self, server: Server, user: User) -> None:
        super().__init__(server.imap)
        try:
            self.line()
            self.ask(f"LOGIN {user.name} {quoted(user.password)}".encode())
        except BaseException:
            self.socket.close()
            raise

    def ask(self, text: bytes) -> list[bytes]:
        self.send(b"t " + text + b"\r\n")
        return self._answer()

    def append(self, box: str, message: bytes) -> tuple[int, int]:
        """UIDVALIDITY and UID of the new message."""
        self.send(b"t APPEND %s {%d+}\r\n%s\r\n" % (box.encode(), len(message), message))
        return self._numbers(self._answer(), rb"APPENDUID (\d+) (\d+)")

    def bring(self, command: bytes, uid: int, box: str) -> tuple[int, int]:
        """COPY or MOVE one message; UIDVALIDITY and UID of what came of it."""
        lines = self.ask(b"UID %s %d %s" % (command, uid, box.encode()))
        return self._numbers(lines, rb"COPYUID (\d+) \d+ (\d+)")

    def _answer(self) -> list[bytes]:
        lines = self.until(b"t")
        if not lines[-1].startswith(b"t OK"):
            assert lines[-1].startswith(b"t NO"), lines[-1]
            raise Refused(lines[-1].decode())
        return lines

    @staticmethod
    def _numbers(lines: list[bytes], pattern: bytes) -> tuple[int, int]:
        found = next(match for line in lines if (match := re.search(pattern, line)))
        return int(found[1]), int(found[2])


@dataclass
class Clients:
    """Threads that work on one user's mail at once, each with messages of its own."""

    server: Server
    user: User
    facts: Facts
    deliver: Callable[[bytes], None]
    rng: random.Random
    enough: threading.Event = field(default_factory=threading.Event)
    """No more is to be begun."""
    wrong: list[str] = field(default_factory=list)
    refusals: int = 0

    def begin(self, shown: list[Shown], imap: int = 3) -> list[threading.Thread]:
        """Start them; `shown` is INBOX as it is."""
        owned: list[Owned] = [[] for _ in range(imap + 1)]
        for one in shown:
            owned[one.number % (imap + 1)].append((one.uid, one.number))
        jobs: list[Callable[[random.Random], None]] = [self._deliveries]
        jobs.append(lambda rng: self._pop3({number for _, number in owned[0]}, rng))
        jobs += [
            lambda rng, some=some: self._imap(some, rng)  # type: ignore[misc]
            for some in owned[1:]
        ]
        threads = []
        for job in jobs:
            rng = random.Random(self.rng.random())
            threads.append(threading.Thread(target=self._run, args=(job, rng)))
        for thread in threads:
            thread.start()
        return threads

    def _run(self, job: Callable[[random.Random], None], rng: random.Random) -> None:
        try:
            while not self.enough.is_set():
                try:
                    job(rng)
                except Refused:
                    self.refusals += 1
        except (OSError, EOFError):
            return  # killed
        except BaseException as error:  # noqa: BLE001  a thread's failure is the test's
            self.wrong.append(repr(error))

    # --- deliveries

    def _deliveries(self, rng: random.Random) -> None:
        number = self.facts.new()
        self.facts.adding(number, INBOX)
        # An MDA that gives up may have delivered it all the same: procmail tries twice.
        self.deliver(text(number).replace(b"\r\n", b"\n"))
        self.facts.added(number, INBOX)
        self.enough.wait(0.01 * rng.random())

    # --- POP3

    def _pop3(self, owned: set[int], rng: random.Random) -> None:
        """Delete some of the messages; QUIT and only QUIT removes them."""
        facts = self.facts
        with Wire(self.server.pop3) as wire:
            wire.line()
            for command in (f"USER {self.user.name}", f"PASS {self.user.password}"):
                wire.send(command.encode() + b"\r\n")
                if not (line := wire.line()).startswith(b"+OK"):
                    raise Refused(line.decode())
            doomed = []
            for number in range(1, 200):
                wire.send(b"TOP %d 0\r\n" % number)
                if not wire.line().startswith(b"+OK"):
                    break
                header = b""
                while (line := wire.line()) != b".":
                    header += line + b"\n"
                found = _NUMBER.search(header)
                assert found is not None
                message = int(found[1])
                if message in owned and len(doomed) < 2:
                    wire.send(b"DELE %d\r\n" % number)
                    assert wire.line().startswith(b"+OK")
                    doomed.append(message)
            if rng.random() < 0.2:
                return  # without QUIT nothing is removed
            for message in doomed:
                facts.removing(message, INBOX)
                owned.discard(message)
            wire.send(b"QUIT\r\n")
            if wire.line().startswith(b"+OK"):
                for message in doomed:
                    facts.removed(message, INBOX)
        self.enough.wait(0.02 * rng.random())

    # --- IMAP

    def _imap(self, owned: Owned, rng: random.Random) -> None:
        with Session(self.server, self.user) as session:
            session.ask(b"SELECT INBOX")
            while not self.enough.is_set():
                if not owned or rng.random() < 0.4:
                    owned.append(self._append(session))
                at = rng.randrange(len(owned))
                act = rng.choice((self._flag, self._flag, self._copy, self._move, self._expunge))
                uid, number = owned.pop(at)
                if act(session, uid, number, rng):  # it is still there
                    owned.append((uid, number))

    def _append(self, session: Session) -> tuple[int, int]:
        number = self.facts.new()
        self.facts.adding(number, INBOX)
        try:
            validity, uid = session.append(INBOX, text(number))
        except Refused:
            self.facts.not_added(number, INBOX)
            raise
        self.facts.added(number, INBOX, validity, uid)
        return uid, number

    def _flag(self, session: Session, uid: int, number: int, rng: random.Random) -> bool:
        flag, on = rng.choice(sorted(TRACKED)), rng.random() < 0.7
        self.facts.flagging(INBOX, uid, flag)
        sign = b"+" if on else b"-"
        session.ask(b"UID STORE %d %sFLAGS.SILENT (%s)" % (uid, sign, flag.encode()))
        self.facts.flagged(INBOX, uid, flag, on)
        return True

    def _copy(self, session: Session, uid: int, number: int, rng: random.Random) -> bool:
        self.facts.adding(number, OTHER)
        try:
            validity, target = session.bring(b"COPY", uid, OTHER)
        except Refused:
            self.facts.not_added(number, OTHER)
            raise
        self.facts.added(number, OTHER, validity, target)
        self.facts.copied_flags((INBOX, uid), (OTHER, target))
        return True

    def _move(self, session: Session, uid: int, number: int, rng: random.Random) -> bool:
        self.facts.adding(number, OTHER)
        self.facts.removing(number, INBOX, moving=True)
        # A refusal may come between the copying and the removing: then both are there.
        validity, target = session.bring(b"MOVE", uid, OTHER)
        self.facts.added(number, OTHER, validity, target)
        self.facts.removed(number, INBOX)
        self.facts.copied_flags((INBOX, uid), (OTHER, target))
        return False

    def _expunge(self, session: Session, uid: int, number: int, rng: random.Random) -> bool:
        self.facts.removing(number, INBOX)
        session.ask(b"UID STORE %d +FLAGS.SILENT (\\Deleted)" % uid)
        session.ask(b"UID EXPUNGE %d" % uid)
        self.facts.removed(number, INBOX)
        return False


# --- looking at everything while nobody works


def survey(server: Server, user: User, facts: Facts) -> list[Shown]:
    """Compare all that is there, by both protocols, with the facts; what INBOX shows."""
    shown = {}
    with Session(server, user) as session:
        for box in BOXES:
            shown[box] = _box(session, box, facts)
        facts.counted(shown)
        for box in BOXES:
            shown[box] = _thinned(session, box, facts, shown[box])
    with pop3_wire(server, user) as wire:
        wire.send(b"UIDL\r\n")
        assert wire.line().startswith(b"+OK")
        uidls = []
        while (line := wire.line()) != b".":
            uidls.append(line.split()[1])
        facts.saw_uidls([one.uid for one in shown[INBOX]], uidls)
        wire.send(b"QUIT\r\n")
        assert wire.line().startswith(b"+OK")
    return shown[INBOX]


def _box(session: Session, box: str, facts: Facts) -> list[Shown]:
    lines = session.ask(b"SELECT " + box.encode())
    told = {
        bytes(match[1]): int(match[2])
        for line in lines
        if (match := re.match(rb"\* OK \[(UIDVALIDITY|UIDNEXT) (\d+)\]", line))
    }
    shown = []
    session.send(b"t UID FETCH 1:* (UID FLAGS BODY.PEEK[])\r\n")
    while not (line := session.line()).startswith(b"t "):
        fetched = _FETCHED.match(line)
        assert fetched is not None, line
        octets = session.exactly(int(fetched[3]))
        assert session.line() == b")"
        number = _NUMBER.search(octets.replace(b"\r\n", b"\n"))
        assert number is not None, octets[:500]
        flags = frozenset(fetched[2].decode().split())
        shown.append(Shown(int(fetched[1]), int(number[1]), octets, flags))
    assert line.startswith(b"t OK"), line
    facts.saw(box, told[b"UIDVALIDITY"], told[b"UIDNEXT"], shown)
    return shown


def _thinned(session: Session, box: str, facts: Facts, shown: list[Shown]) -> list[Shown]:
    """Leave no more than is looked at quickly, by an acknowledged EXPUNGE."""
    doomed = shown[:-KEPT]
    if doomed:
        session.ask(b"SELECT " + box.encode())
        uids = b",".join(b"%d" % one.uid for one in doomed)
        session.ask(b"UID STORE %s +FLAGS.SILENT (\\Deleted)" % uids)
        session.ask(b"UID EXPUNGE " + uids)
        for one in doomed:
            facts.removing(one.number, box)
            facts.removed(one.number, box)
    return shown[-KEPT:]
