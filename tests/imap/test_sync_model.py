"""Three sessions and an MDA on one mailbox: whatever they do, each client knows the truth.

One client uses IMAP4rev2 with QRESYNC, one IMAP4rev1 with IDLE, one POP3. Each keeps a copy from
nothing but the lines it receives and complains about every line that makes no sense to it (L-19).
The first remembers what it knew, with the mod-sequence that RFC 7162 §6 has it remember, after each
of its commands: from any of these moments a quick resynchronisation leads to what a full one says.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maa.message.numbers import written
from maa.pop3.states import Pop3Settings
from tests.imap.world import SessionClient, SessionWorld
from tests.pop3.world import PEERS
from tests.pop3.world import Client as Pop3Client

HELD = ("FETCH", "STORE", "SEARCH")
NUMBERED = re.compile(rb"\* ([0-9]+) (EXISTS|EXPUNGE|FETCH)(?: \((.*)\))?")
VANISHED = re.compile(rb"\* VANISHED( \(EARLIER\))? ([0-9:,]+)")
HIGHEST = re.compile(rb"\[HIGHESTMODSEQ ([0-9]+)\]")
MODSEQ = re.compile(rb"MODSEQ \(([0-9]+)\)")
Flags = frozenset[bytes]


def uids_of(text: bytes) -> list[int]:
    found: list[int] = []
    for part in text.split(b","):
        low, _, high = part.partition(b":")
        found += range(int(low), int(high or low) + 1)
    return found


def without_literals(answer: bytes) -> bytes:
    """The answer with each response on one line."""
    while (match := re.search(rb"\{([0-9]+)\}\r\n", answer)) is not None:
        answer = answer[: match.start()] + b"NIL" + answer[match.end() + int(match[1]) :]
    return answer


def flags_of(items: bytes) -> Flags | None:
    flags = re.search(rb"FLAGS \(([^)]*)\)", items)
    return None if flags is None else frozenset(flags[1].split()) - {b"\\Recent"}


@dataclass
class Message:
    """What a client knows of one message."""

    uid: int | None = None
    flags: Flags | None = None


@dataclass
class Moment:
    """What a client could come back with later."""

    modseq: int
    known: dict[int, Flags]
    uids: list[int]
    """By sequence number, as far as they are known."""


@dataclass
class Copy:
    """A client with its copy of the mailbox."""

    client: SessionClient
    qresync: bool
    messages: list[Message] = field(default_factory=list)
    modseq: int = 0
    moments: list[Moment] = field(default_factory=list)

    def begin(self) -> None:
        if self.qresync:
            self.ask("ENABLE QRESYNC IMAP4rev2")
        self.ask("SELECT INBOX")
        self.fetch_unknown()
        # Only who knows everything may remember where that was (RFC 7162 §6).
        del self.moments[:-1]

    def ask(self, command: str) -> bytes:
        """Say a command that fits, and learn from the answer."""
        answer = self.client.ask(b"t " + command.encode())
        self.hear(answer, command)
        assert re.search(rb"^t (OK|NO \[(EXPUNGEISSUED|MODIFIED)) ?", answer, re.MULTILINE), answer
        return answer

    def hear(self, answer: bytes, command: str) -> None:
        assert not answer or answer.endswith(b"\r\n")
        answer = without_literals(answer)
        for line in answer.split(b"\r\n")[:-1]:
            self.learn(line, command)
        if self.qresync:
            self.remember(answer)

    def remember(self, answer: bytes) -> None:
        """The mod-sequence of the last HIGHESTMODSEQ, or the greatest in FETCH (RFC 7162 §6)."""
        told = HIGHEST.findall(answer)
        self.modseq = (
            int(told[-1]) if told else max([self.modseq, *map(int, MODSEQ.findall(answer))])
        )
        known = {m.uid: m.flags for m in self.messages if m.uid and m.flags is not None}
        uids = [m.uid for m in self.messages if m.uid]
        self.moments.append(Moment(self.modseq, known, uids))

    def learn(self, line: bytes, command: str) -> None:
        strange = (b"RECENT", b"* SEARCH") if self.qresync else (b"* ESEARCH", b"* LIST")
        assert not any(word in line.replace(b"\\Recent", b"RECENT") for word in strange), "R041"
        vanished = VANISHED.fullmatch(line)
        if vanished is not None:
            assert self.qresync and not vanished[1]
            assert not command.startswith(HELD), f"R062: VANISHED in {command}"
            uids = uids_of(vanished[2])
            there = [message.uid for message in self.messages]
            # A message that is not known by its UID yet is one of the newest.
            unknown = sum(uid not in there for uid in uids)
            assert unknown <= there.count(None), "VANISHED of what was never announced"
            kept = [message for message in self.messages if message.uid not in uids]
            self.messages = kept[: len(kept) - unknown] if unknown else kept
        match = NUMBERED.fullmatch(line)
        if match is None:
            return
        number, what = int(match[1]), match[2]
        if what == b"EXISTS":
            assert number >= len(self.messages), "R064: EXISTS shrank"
            self.messages += [Message() for _ in range(number - len(self.messages))]
        elif what == b"EXPUNGE":
            assert not self.qresync, "R171"
            assert not command.startswith(HELD), f"R061: EXPUNGE in {command}"
            del self.messages[number - 1]
        else:
            self.fetched(self.messages[number - 1], match[3], command)

    def fetched(self, message: Message, items: bytes, command: str) -> None:
        uid = re.search(rb"UID ([0-9]+)", items)
        if uid is not None:
            assert message.uid in (None, int(uid[1])), "L-19: another message's number"
            message.uid = int(uid[1])
        assert self.qresync or b"MODSEQ" not in items, "R161"
        if self.qresync and b"FLAGS" in items and "(UID FLAGS)" not in command:
            assert uid is not None and b"MODSEQ" in items, "RFC 7162 §3.2.4"
        message.flags = flags_of(items) or (message.flags if b"FLAGS" not in items else frozenset())

    def fetch_unknown(self) -> None:
        """Ask for what was announced and is not known yet."""
        if any(message.uid is None or message.flags is None for message in self.messages):
            last = max((message.uid or 0 for message in self.messages), default=0)
            if any(message.uid and message.flags is None for message in self.messages):
                last = 0
            self.ask(f"UID FETCH {last + 1}:* (UID FLAGS)")

    def pushed(self) -> None:
        """What came while this client idles."""
        self.hear(self.client.take(), "IDLE")

    def check(self, truth: dict[int, Flags]) -> None:
        """The copy is the mailbox; what is not known yet may be anything."""
        assert len(self.messages) == len(truth)
        for message, (uid, flags) in zip(self.messages, sorted(truth.items()), strict=True):
            assert message.uid in (None, uid)
            assert message.flags in (None, flags)


FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "Work")
PICK = st.integers(0, 9)
EVENTS = st.one_of(
    st.tuples(st.sampled_from(["deliver", "pop3", "prune"]), PICK),
    st.tuples(st.sampled_from(["remove", "mark"]), PICK),
    st.tuples(st.just("resync"), st.integers(0, 200)),
    st.tuples(st.sampled_from(["NOOP", "EXPUNGE", "CHECK", "SEARCH ALL", "APPEND"]), PICK),
    st.tuples(st.sampled_from(["FETCH", "STORE", "STORE.SILENT", "COPY", "MOVE", "BODY"]), PICK),
    st.tuples(
        st.sampled_from(["UID FETCH", "UID STORE", "UNCHANGED", "UID MOVE", "UID EXPUNGE"]), PICK
    ),
)
STEPS = st.lists(
    st.tuples(st.booleans(), EVENTS, st.sampled_from(FLAGS), st.booleans()), max_size=25
)


class Scene:
    """The mailbox and everybody who uses it."""

    def __init__(self, directory: Path) -> None:
        self.world = SessionWorld(directory, messages=["one.eml", "two.eml", "three.eml"])
        self.quick = Copy(self.world.client(1), qresync=True)
        self.idle = Copy(self.world.client(2), qresync=False)

    def begin(self) -> None:
        for copy in (self.quick, self.idle):
            copy.begin()
        self.idle.client.ask(b"i IDLE")

    @property
    def mailbox(self):
        return self.world.client(1).session.state.mailbox

    def truth(self) -> dict[int, Flags]:
        """What is in the mailbox, by another program's look at the files too."""
        snapshot = self.mailbox.sync()
        files = [*self.world.inbox.glob("new/*"), *self.world.inbox.glob("cur/*")]
        assert len(files) == len(snapshot)
        return {
            uid: frozenset(flag.encode() for flag in snapshot.flags(position))
            for position, uid in enumerate(snapshot.uids)
        }

    def happen(self, quick: bool, event: tuple[str, int], flag: str) -> None:
        name, pick = event
        if name == "deliver":
            self.world.deliver("three.eml")
        elif name in ("remove", "mark"):
            self.by_another_program(name, pick)
        elif name == "pop3":
            self.pop3(pick)
        elif name == "prune":
            self.mailbox.ledger.index.prune(self.mailbox.row.id, pick % 3, 0)
        elif name == "resync":
            self.resync(pick, quick)
        elif quick:
            command = self.command(self.quick, name, pick, flag)
            if command:
                self.quick.ask(command)
        else:
            self.idle.hear(self.idle.client.ask(b"DONE"), "IDLE")
            self.idle.fetch_unknown()
            command = self.command(self.idle, name, pick, flag)
            if command:
                self.idle.ask(command)
            self.idle.hear(self.idle.client.ask(b"i IDLE"), "IDLE")

    def by_another_program(self, what: str, pick: int) -> None:
        files = sorted([*self.world.inbox.glob("new/*"), *self.world.inbox.glob("cur/*")])
        if not files:
            return
        path = files[pick % len(files)]
        if what == "remove":
            path.unlink()
        else:
            base, _, letters = path.name.partition(":2,")
            letters = "".join(sorted({*letters} ^ {"F"}))
            path.rename(path.parent.parent / "cur" / f"{base}:2,{letters}")
        self.world.settle()

    def pop3(self, pick: int) -> None:
        """A whole session: what it deletes is gone when it quits, for all to see."""
        client = Pop3Client(self.world, PEERS["loopback"], Pop3Settings())
        for line in (b"USER joe", b"PASS secret"):
            client.send(line + b"\r\n")
        client.output.clear()
        count = len(self.truth())
        client.send(b"STAT\r\n")
        assert client.output.startswith(b"+OK %d " % count)
        for number in range(1, count + 1):
            if number % 3 == pick % 3:
                client.send(b"DELE %d\r\n" % number)
        self.world.deliver("one.eml")  # not seen by this session (R202)
        client.output.clear()
        client.send(b"LIST\r\n")
        assert client.output.count(b"\r\n") - 2 == count - sum(
            number % 3 == pick % 3 for number in range(1, count + 1)
        )
        client.send(b"QUIT\r\n")
        client.session.lost()
        self.world.settle()

    def command(self, copy: Copy, name: str, pick: int, flag: str) -> str:
        exists = len(copy.messages)
        number = pick % exists + 1 if exists else 1
        if name == "APPEND":
            return "APPEND INBOX {8+}\r\nA: b\r\n\r\n"
        if not name.startswith("U") and name in (
            "FETCH", "STORE", "STORE.SILENT", "COPY", "MOVE", "BODY"
        ):  # fmt: skip
            rest = {
                "FETCH": "FETCH {} (UID FLAGS)",
                "STORE": "STORE {} FLAGS ({})" if pick % 2 else "STORE {} -FLAGS ({})",
                "STORE.SILENT": "STORE {} +FLAGS.SILENT ({})",
                "COPY": "COPY {} INBOX",
                "MOVE": "MOVE {} Trash",
                "BODY": "FETCH {} BODY[TEXT]<5.1>",
            }[name]
            if name == "STORE.SILENT" and exists:
                self.presume(copy.messages[number - 1], flag)
            return rest.format(number, flag) if exists else ""
        rest = {
            "UID FETCH": "UID FETCH 1:* (UID FLAGS)",
            "UID STORE": f"UID STORE {pick + 1}:{pick + 3} +FLAGS ({flag})",
            "UNCHANGED": f"UID STORE 1:9 (UNCHANGEDSINCE {copy.modseq}) -FLAGS ({flag})",
            "UID MOVE": f"UID MOVE {pick + 1}:{pick + 2} Trash",
            "UID EXPUNGE": f"UID EXPUNGE {pick + 1}:{pick + 5}",
        }
        if name == "UNCHANGED" and not copy.qresync:
            return ""
        return rest.get(name, name)

    @staticmethod
    def presume(message: Message, flag: str) -> None:
        """What a client does to its copy when its STORE is silent (R071)."""
        if message.flags is not None:
            message.flags |= {flag.encode()}

    def resync(self, pick: int, narrow: bool) -> None:
        """Come back with an earlier moment; the result is what a full look says."""
        moment = self.quick.moments[pick % len(self.quick.moments)]
        client = SessionClient(self.world, self.world.peer, self.world.settings)
        for line in (b"a LOGIN joe secret", b"b ENABLE QRESYNC"):
            client.ask(line)
        asked = b"%d %d" % (self.mailbox.uidvalidity, moment.modseq)
        if narrow and moment.known:
            asked += b" " + written(sorted(moment.known))
            numbers = range(1, len(moment.uids) + 1)
            if numbers:
                asked += b" (%b %b)" % (written(numbers), written(moment.uids))
        answer = client.ask(b"c EXAMINE INBOX (QRESYNC (%b))" % asked)
        assert b"\r\nc OK [READ-ONLY]" in answer
        known = dict(moment.known)
        last = max(known, default=0)
        for line in answer.split(b"\r\n"):
            vanished, match = VANISHED.fullmatch(line), NUMBERED.fullmatch(line)
            if vanished is not None:
                assert vanished[1]
                for uid in uids_of(vanished[2]):
                    known.pop(uid, None)
            elif match is not None and match[2] == b"FETCH":
                self.take(known, match[3])
        self.take_all(known, client.ask(b"d UID FETCH %d:* (FLAGS)" % (last + 1)))
        full: dict[int, Flags] = {}
        self.take_all(full, client.ask(b"e UID FETCH 1:* (FLAGS)"))
        assert known == full, (asked, moment, answer)
        client.session.lost()

    def take_all(self, known: dict[int, Flags], answer: bytes) -> None:
        for line in answer.split(b"\r\n"):
            match = NUMBERED.fullmatch(line)
            if match is not None and match[2] == b"FETCH":
                self.take(known, match[3])

    @staticmethod
    def take(known: dict[int, Flags], items: bytes) -> None:
        uid, flags = re.search(rb"UID ([0-9]+)", items), flags_of(items)
        assert uid is not None and flags is not None
        known[int(uid[1])] = flags


def played(steps: list) -> None:
    with tempfile.TemporaryDirectory() as directory:
        scene = Scene(Path(directory))
        try:
            scene.begin()
            for step in steps:
                one_step(scene, *step)
            for number in range(len(scene.quick.moments)):
                scene.resync(number, narrow=bool(number % 2))
        finally:
            scene.world.close()


def one_step(scene: Scene, quick: bool, event: tuple, flag: str, caught_up: bool) -> None:
    scene.happen(quick, event, flag)
    scene.idle.pushed()
    truth = scene.truth()
    scene.world.settle()
    scene.idle.pushed()
    scene.idle.check(truth)
    if caught_up:
        scene.quick.ask("NOOP")
        scene.quick.fetch_unknown()
        scene.quick.check(truth)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_R170_every_session_knows_the_mailbox_and_any_moment_can_be_resumed(steps: list) -> None:
    played(steps)


@pytest.mark.soak
@settings(deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_R170_the_same_for_long(steps: list) -> None:
    played(steps)
