"""Two clients and other programs in one mailbox: what each client is told is always the truth.

Each client keeps a copy of the mailbox from nothing but the lines it receives, as a real one
does (RFC 3501 §7.3-4), and complains about every line that makes no sense to it (L-19).
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.imap.world import SessionClient, SessionWorld

HELD = ("FETCH", "STORE", "SEARCH")
LINE = re.compile(rb"\* ([0-9]+) (EXISTS|RECENT|EXPUNGE|FETCH)(?: \((.*)\))?")


@dataclass
class Message:
    """What a client knows of one message."""

    uid: int | None = None
    flags: frozenset[bytes] | None = None


@dataclass
class Copy:
    """A client with its copy of the mailbox."""

    client: SessionClient
    messages: list[Message] = field(default_factory=list)

    def ask(self, command: str) -> None:
        """Say a command that fits, and learn from the answer."""
        answer = self.client.ask(b"t " + command.encode())
        for line in answer.split(b"\r\n")[:-1]:
            self.learn(line, command)
        assert re.search(rb"^t (OK|NO \[EXPUNGEISSUED\]) ", answer, re.MULTILINE), answer

    def learn(self, line: bytes, command: str) -> None:
        match = LINE.fullmatch(line)
        if match is None:
            return
        number, what = int(match.group(1)), match.group(2)
        if what == b"EXISTS":
            assert number >= len(self.messages), "R064: EXISTS shrank"
            self.messages += [Message() for _ in range(number - len(self.messages))]
        elif what == b"EXPUNGE":
            assert not command.startswith(HELD), f"R061: EXPUNGE in {command}"
            del self.messages[number - 1]
        elif what == b"FETCH":
            self.fetched(self.messages[number - 1], match.group(3))

    def fetched(self, message: Message, items: bytes) -> None:
        uid = re.search(rb"UID ([0-9]+)", items)
        if uid is not None:
            assert message.uid in (None, int(uid.group(1))), "L-19: another message's number"
            message.uid = int(uid.group(1))
        flags = re.search(rb"FLAGS \(([^)]*)\)", items)
        if flags is not None:
            message.flags = frozenset(flags.group(1).split()) - {b"\\Recent"}


FLAGS = ("\\Seen", "\\Deleted", "\\Flagged", "Work")
EVENTS = st.one_of(
    st.tuples(st.just("deliver")),
    st.tuples(st.just("remove"), st.integers(0, 9)),
    st.tuples(st.sampled_from(["NOOP", "EXPUNGE", "IDLE", "CHECK", "SEARCH ALL"])),
    st.tuples(st.sampled_from(["FETCH", "STORE", "COPY", "MOVE"]), st.integers(0, 9)),
    st.tuples(st.sampled_from(["UID FETCH", "UID STORE", "UID MOVE", "UID EXPUNGE"])),
    st.tuples(st.just("APPEND")),
)
STEPS = st.lists(st.tuples(st.booleans(), EVENTS, st.sampled_from(FLAGS)), max_size=25)


def happen(world: SessionWorld, copy: Copy, event: tuple, flag: str) -> None:
    """Let a client, or another program, do something."""
    name, exists = event[0], len(copy.messages)
    number = event[1] % exists + 1 if len(event) == 2 and exists else 1
    files = [*world.inbox.glob("new/*"), *world.inbox.glob("cur/*")]
    if name == "deliver":
        world.deliver("three.eml")
    elif name == "remove":
        if files:
            world.remove(number if number <= len(files) else 1)
    elif name in ("NOOP", "EXPUNGE", "CHECK", "SEARCH ALL"):
        copy.ask(name)
    elif name == "IDLE":
        copy.ask("IDLE\r\nDONE")
    elif name == "APPEND":
        copy.ask("APPEND INBOX {8+}\r\nA: b\r\n\r\n")
    elif name.startswith("UID"):
        rest = {
            "UID FETCH": "1:* (FLAGS)",
            "UID STORE": f"2:4 +FLAGS ({flag})",
            "UID MOVE": "3:5 Trash",
            "UID EXPUNGE": "1:7",
        }
        copy.ask(f"{name} {rest[name]}")
    elif exists:
        rest = {
            "FETCH": "(UID FLAGS)",
            "STORE": f"-FLAGS ({flag})" if number % 2 else f"FLAGS ({flag})",
            "COPY": "INBOX",
            "MOVE": "Trash",
        }
        copy.ask(f"{name} {number} {rest[name]}")


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_R060_what_clients_are_told_is_what_the_mailbox_is(steps: list) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = SessionWorld(Path(directory), messages=["one.eml", "two.eml"])
        copies = [Copy(world.client(1)), Copy(world.client(2))]
        for copy in copies:
            copy.ask("SELECT INBOX")
            copy.ask("FETCH 1:* (UID FLAGS)")
        for second, event, flag in steps:
            happen(world, copies[second], event, flag)
        for copy in copies:
            copy.ask("NOOP")
            told = [message.flags for message in copy.messages]
            copy.ask("UID FETCH 1:* (FLAGS)")
            known = [message.flags for message in copy.messages]
            assert all(old in (None, new) for old, new in zip(told, known, strict=True)), "R069"
        first, other = copies
        assert first.messages == other.messages
        account = world.client(1).session.state.account
        snapshot = account.open("INBOX").snapshot
        assert [message.uid for message in first.messages] == list(snapshot.uids)
        for position, message in enumerate(first.messages):
            assert message.flags == {flag.encode() for flag in snapshot.flags(position)}
        files = [*world.inbox.glob("new/*"), *world.inbox.glob("cur/*")]
        assert len(files) == len(snapshot.uids)
        world.close()
