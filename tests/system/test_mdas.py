"""Real MDAs, mutt and sessions of both protocols in one mailbox, all at once, for a minute.

At the end every message is there exactly once, octet by octet, unless the one whose it was to
remove has removed it.
"""

from __future__ import annotations

import imaplib
import os
import poplib
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from maa.cli.mdas import KNOWN, Postfix, Running
from maa.cli.sandbox import Recipient, Sandbox, make_alike

from .clients import bodies, imap, imap_wire, pop3
from .mutt import Mutt
from .server import Server
from .users import User

SECONDS = float(os.environ.get("MAA_MINUTE", "60"))
PAUSE_SECONDS = 0.2
ROLES = ("kept", "kept", "imap", "pop", "mutt")
"""Who removes a message; nobody removes the kept ones."""
TEMPORARY_FAILURE = 75
TURNS = 2
"""For procmail and maildrop, which make the dotlock first; mail.local, which makes it last, takes
both: with either at once it would wait for ten minutes, each for the other, as `maa locks` says."""
POSTFIX = """deliver_lock_attempts = 1
queue_run_delay = 2s
minimal_backoff_time = 2s
maximal_backoff_time = 2s
"""
"""It tries once, with its dotlock, and comes again soon: else one of its processes after the other
would keep that lock from mail.local for as long as mail.local keeps them from the other."""
NUMBER = re.compile(rb"^X-Number: (\d+)\r?\nSubject: number \d+ for (\w+)\r?\n", re.MULTILINE)


def message(number: int) -> bytes:
    """One of its own, of a size of its own, with lines that look like the start of a message."""
    rng = random.Random(number)
    lines = [
        b"X-Number: %d" % number,
        b"Subject: number %d for %s" % (number, role(number).encode()),
        b"From: ann@example.org",
        b"To: bob@example.org",
        b"Date: Mon, 2 Mar 2026 10:11:12 +0100",
        b"Message-ID: <%d@example.org>" % number,
        b"",
        b"From the beginning",
    ]
    for _ in range(rng.choice((1, 20, 300))):
        lines.append(rng.choice((b"", b"From nobody", b".", b"line " * rng.randrange(1, 15))))
    # Blanks are not what a mail program may change, and empty lines at the end are.
    return b"\n".join([*lines, b"end %d" % number, b""])


def role(number: int) -> str:
    return ROLES[number % len(ROLES)]


def shown(found: bytes, by_mutt: bool) -> bytes:
    """What stays of a message whoever delivered it: MDAs add fields in front, lines behind."""
    start = NUMBER.search(found)
    assert start is not None, found
    text = found[start.start() :].replace(b"\r\n", b"\n").rstrip(b"\n") + b"\n"
    if by_mutt:
        text = re.sub(rb"\n(Content-Length|Lines): \d+(?=\n)", b"", text)
    return re.sub(rb"(?m)^>From ", b"From ", text)


@dataclass
class Site:
    """A user with MDAs, and what became of the messages."""

    user: User
    sandbox: Sandbox
    mdas: dict[str, Running]
    mutt: Mutt
    sent: list[int] = field(default_factory=list)
    by_mutt: set[int] = field(default_factory=set)
    unsaved: set[int] = field(default_factory=set)
    screens: dict[int, bytes] = field(default_factory=dict)
    """What mutt showed."""
    removed: Counter[int] = field(default_factory=Counter)
    seen: int = 0
    waits: list[float] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(TURNS))
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(1, 10**9)))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_number(self) -> int:
        with self._lock:
            number = next(self._numbers)
            self.sent.append(number)
            return number

    # --- who works on the mailbox

    def deliver(self, name: str) -> None:
        while not self.over.is_set():
            text = message(self.next_number())
            with ExitStack() as turn:
                for _ in range(TURNS if name == "mail.local" else name != "postfix"):
                    turn.enter_context(self.turns)
                began = time.monotonic()
                while (status := self.delivered(name, text)) == TEMPORARY_FAILURE:
                    time.sleep(0.2)  # as an MTA does when an MDA cannot deliver now
                assert status == 0, self.sandbox.last_words()
                self.waits.append(time.monotonic() - began)
            time.sleep(PAUSE_SECONDS)

    def delivered(self, name: str, text: bytes) -> int:
        process = self.mdas[name].deliver(text)
        try:
            return process.wait(60)
        except subprocess.TimeoutExpired:
            seen = self.locks()
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"{name} waits and waits:\n{seen}") from None

    def locks(self) -> str:
        """Who holds what on the mbox."""
        spool = self.sandbox.spool
        found = [
            f"{path.name}: {path.read_bytes()[:80]!r} of {path.stat()}"
            for path in spool.glob("*.lock")
        ]
        inode = f":{self.sandbox.box.stat().st_ino} "
        for line in Path("/proc/locks").read_text().splitlines():
            if inode in line:
                pid = line.split()[4]
                command = Path(f"/proc/{pid}/cmdline")
                found.append(line + " " + (command.read_text()[-200:] if command.exists() else ""))
        return "\n".join(found)

    def use_mutt(self) -> None:
        while not self.over.is_set():
            number = self.next_number()
            self.by_mutt.add(number)
            if not self.mutt.save(message(number)):
                self.unsaved.add(number)
            self.screens[number] = self.mutt.seen
            self.mutt.remove("mutt")
            self.over.wait(2)

    def use_imap(self, server: Server) -> None:
        """Fetch what is new, flag it, expunge what is ours."""
        known: dict[bytes, int] = {}
        while not self.over.is_set():
            client = imap(server, self.user)
            for _ in range(5):
                assert client.select("INBOX")[0] == "OK"
                found = self.fetched(client, known)
                self.seen += len(found)
                ours = [uid for uid, number in found.items() if role(number) == "imap"]
                if found:
                    client.uid("STORE", b",".join(found).decode(), "+FLAGS", "(\\Seen)")
                if ours:
                    named = b",".join(ours).decode()
                    assert client.uid("STORE", named, "+FLAGS", "(\\Deleted)")[0] == "OK"
                    assert client.expunge()[0] == "OK"
                    _, left = client.uid("SEARCH", "UID", named)  # type: ignore[call-arg]
                    assert not left[0].split(), left
                    self.removed.update(found[uid] for uid in ours)
                self.over.wait(0.3)
            client.logout()

    def compared(self, text: bytes) -> int:
        """The number of a message that is what was sent."""
        number = int(NUMBER.search(text)[1])  # type: ignore[index]
        assert shown(text, number in self.by_mutt) == message(number)
        return number

    def fetched(self, client: imaplib.IMAP4, known: dict[bytes, int]) -> dict[bytes, int]:
        """Every new message, compared octet by octet: its UID, which stays its own, and number."""
        _, found = client.uid("SEARCH", "ALL")  # type: ignore[call-arg]
        new = [uid for uid in found[0].split() if uid not in known]
        answers: dict[bytes, int] = {}
        for start in range(0, len(new), 50):
            some = b",".join(new[start : start + 50]).decode()
            status, rows = client.uid("FETCH", some, "(UID BODY.PEEK[])")
            # Others may have removed some: the rest comes all the same.
            assert status == "OK" or b"EXPUNGEISSUED" in rows[-1], rows
            for row in rows:
                if isinstance(row, tuple):
                    uid = re.search(rb"UID (\d+)", row[0])
                    assert uid is not None, row[0]
                    answers[uid[1]] = self.compared(row[1])
        known.update(answers)
        return answers

    def use_pop3(self, server: Server) -> None:
        """Retrieve, and delete what is ours."""
        known: set[bytes] = set()
        while not self.over.is_set():
            client = pop3(server, self.user)
            numbers = []
            for line in client.uidl()[1]:
                place, uidl = line.split()
                if uidl in known or len(numbers) > 40:
                    continue
                try:
                    text = b"\r\n".join(client.retr(int(place))[1]) + b"\r\n"
                except poplib.error_proto as gone:
                    assert b"removed meanwhile" in gone.args[0], gone
                    continue
                known.add(uidl)
                number = self.compared(text)
                if role(number) == "pop":
                    client.dele(int(place))
                    numbers.append(number)
            assert client.quit().startswith(b"+OK")
            self.removed.update(numbers)
            self.over.wait(0.5)

    def watch(self, server: Server) -> None:
        """IDLE: every number that is told makes sense, and at the end the sum is right."""
        while not self.over.is_set():
            with imap_wire(server, self.user) as wire:
                count = counted(wire.command(b"SELECT INBOX"), 0)
                wire.send(b"i IDLE\r\n")
                until = time.monotonic() + 5
                wire.socket.settimeout(0.5)
                while time.monotonic() < until and not self.over.is_set():
                    with suppress(TimeoutError):  # when all is over, nothing more happens
                        count = counted([wire.line()], count)
                wire.socket.settimeout(60)
                wire.send(b"DONE\r\n")
                count = counted(wire.until(b"i"), count)
                lines = wire.command(b"SEARCH ALL")
                (found,) = (line for line in lines if line.startswith(b"* SEARCH"))
                assert len(found.split()) - 2 in (count, counted(lines, count))

    # --- at the end

    def check(self, server: Server) -> None:
        """Every message is there once, or was removed once by the one whose it was."""
        until = time.monotonic() + 60
        while True:
            client = imap(server, self.user)
            texts = bodies(client)
            client.logout()
            found = Counter(int(NUMBER.search(text)[1]) for text in texts)  # type: ignore[index]
            sent = [n for n in self.sent if n not in self.unsaved]
            expected = [n for n in sent if role(n) != "mutt" and n not in self.removed]
            # Postfix may have some in its queue.
            if set(expected) <= found.keys() or time.monotonic() > until:
                break
            time.sleep(0.5)
        assert {n: times for n, times in found.items() if times > 1} == {}
        missing = set(expected) - found.keys()
        assert not missing, {number: self.screens.get(number) for number in missing}
        assert {n for n in found if role(n) != "mutt"} - self.unsaved == set(expected)
        assert {n: times for n, times in self.removed.items() if times > 1} == {}
        assert [n for n in sent if role(n) == "mutt" and n not in found]
        assert {role(n) for n in self.removed} == {"imap", "pop"}
        for text in texts:
            self.compared(text)

    def report(self) -> str:
        waits = sorted(self.waits)
        return (
            f"{self.user.name}: {len(self.sent)} messages, {len(self.unsaved)} of mutt's "
            f"{len(self.by_mutt)} not saved, {sum(self.removed.values())} removed by "
            f"sessions, {self.seen} fetched; deliveries: median {waits[len(waits) // 2]:.2f} s, "
            f"longest {waits[-1]:.1f} s"
        )


def counted(lines: list[bytes], count: int) -> int:
    """How many messages there are after these responses (R064, R065)."""
    for line in lines:
        if line.endswith(b" EXISTS"):
            assert int(line.split()[1]) >= count, line
            count = int(line.split()[1])
        elif line.endswith(b" EXPUNGE"):
            assert 1 <= int(line.split()[1]) <= count, line
            count -= 1
    return count


PROGRAMS = {mda.program: mda for mda in KNOWN}
PROCMAILRC = "SHELL=/bin/sh\nDEFAULT=$HOME/Maildir/\n"
MAILFILTER = 'to "$HOME/Maildir/"\n'


@contextmanager
def site(base: Path, user: User, mbox: bool) -> Iterator[Site]:
    """The MDAs of one user, delivering to the spool file or to the Maildir."""
    user.make_home()
    folder = base / f"mdas-{user.name}"
    folder.mkdir(mode=0o711)
    spool = base / "spool"
    if not spool.exists():
        spool.mkdir()
        make_alike(spool)
    recipient = Recipient(user.name, user.uid, user.uid, user.home)
    sandbox = Sandbox(folder, recipient, spool, private=True)
    sandbox.prepare()
    if mbox:
        sandbox.box.touch(0o660)
        os.chown(sandbox.box, user.uid, spool.stat().st_gid)
    else:
        for name, text in ((".procmailrc", PROCMAILRC), (".mailfilter", MAILFILTER)):
            (user.home / name).write_text(text)
            (user.home / name).chmod(0o600)
            user.give(user.home / name)
    names = ["procmail", "maildrop", *(["mail.local"] if mbox else [])]
    with ExitStack() as ending:
        mdas: dict[str, Running] = {}
        for name in names:
            program = PROGRAMS[name].found()
            assert program is not None, name
            mdas[name] = PROGRAMS[name].start(sandbox, program)
        settings = POSTFIX if mbox else POSTFIX + "home_mailbox = Maildir/\n"
        mdas["postfix"] = postfix = Postfix(sandbox, "postfix", settings)
        ending.callback(postfix.stop)
        yield Site(user, sandbox, mdas, Mutt(sandbox, sandbox.box_inside if mbox else user.maildir))


@contextmanager
def working(site: Site, server: Server) -> Iterator[list[Future[None]]]:
    jobs: list[Callable[[], None]] = [
        *(lambda name=name: site.deliver(name) for name in site.mdas),  # type: ignore[misc]
        site.use_mutt,
        lambda: site.use_imap(server),
        lambda: site.use_pop3(server),
        lambda: site.watch(server),
    ]
    with ThreadPoolExecutor(len(jobs)) as threads:
        try:
            yield [threads.submit(job) for job in jobs]
        finally:
            site.over.set()


def test_mdas_mutt_and_sessions_for_a_minute(
    base: Path, two_workers: Server, everyone: list[User]
) -> None:
    """In an mbox and in a Maildir side by side, with two workers."""
    users = {user.name: user for user in everyone}
    with ExitStack() as stack:
        sites = [
            stack.enter_context(site(base, users["mdasmbox"], mbox=True)),
            stack.enter_context(site(base, users["mdasmaildir"], mbox=False)),
        ]
        with ExitStack() as work:
            futures = [
                future for one in sites for future in work.enter_context(working(one, two_workers))
            ]
            until = time.monotonic() + SECONDS
            while time.monotonic() < until and not any(future.done() for future in futures):
                time.sleep(0.1)
        for future in futures:
            future.result()
        for one in sites:
            one.check(two_workers)
            print(one.report())
        assert [name for name in os.listdir(base / "spool") if "lock" in name] == []
