"""FETCH and SEARCH over real Maildirs, without a session around them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from maa.conversation import SLOW, Peer
from maa.imap import arguments
from maa.imap import sort as sorting
from maa.imap import thread as threading
from maa.imap.fetch import fetch
from maa.imap.grammar import Cursor
from maa.imap.search import search
from maa.imap.states import Answer, Connection, Done, ImapSettings, Selected
from maa.store.mailbox import Mailbox
from maa.store.view import View
from store.boxes import Boxes

HANDLERS: dict[str, tuple[Any, Any]] = {
    "FETCH": (arguments.fetch, fetch),
    "UID FETCH": (arguments.uid_fetch, fetch),
    "SEARCH": (arguments.search, search),
    "UID SEARCH": (arguments.uid_search, search),
    "SORT": (sorting.parse, sorting.sort),
    "UID SORT": (sorting.parse_by_uid, sorting.sort),
    "THREAD": (threading.parse, threading.thread),
    "UID THREAD": (threading.parse_by_uid, threading.thread),
}


def parsed(line: bytes, *literals: bytes) -> Any:
    """The command of a line; each `%` in it stands for the next literal."""
    name = line.split(b" ")[0]
    if name == b"UID":
        name = b" ".join(line.split(b" ")[:2])
    pieces: list[bytes] = []
    for text, literal in zip(line[len(name) :].split(b"%"), [*literals, None], strict=True):
        pieces.append(text)
        if literal is not None:
            pieces.append(literal)
    return HANDLERS[name.decode()][0](b"a", Cursor(pieces))


class Desk:
    """One mailbox and one session that has selected it."""

    def __init__(self, root: Path, *messages: bytes, read_only: bool = False) -> None:
        self.boxes = Boxes(root)
        self.mailbox: Mailbox = self.boxes.mailbox()
        self.arrived = 0
        self.deliver(*messages)
        view = View.of(self.mailbox, claims=False)
        # No handler looks at the account, and of the connection only at the time.
        nobody: Any = None
        connection = Connection(
            nobody, nobody, Peer("127.0.0.1", False, True, "desk"), ImapSettings(),
            wake=lambda: None, now=lambda: self.now,
        )  # fmt: skip
        self.now = 1_000_000_000.0
        self.state = Selected(nobody, self.mailbox, view, read_only, connection)
        self.slow = 0
        """How often the last command said that it may block."""
        self.pieces: list[bytes] = []
        self.done: Done | None = None

    def deliver(self, *messages: bytes, date: int | None = None) -> None:
        for message in messages:
            self.arrived += 1
            path = self.boxes.deliver(f"{1_000_000 + self.arrived}.M1P1.host", message)
            if date is not None:
                os.utime(path, (date, date))
        self.mailbox.sync()
        self.mailbox.recent_span(claim=True)  # another session was told first

    def started(self, line: bytes, *literals: bytes) -> Answer:
        """The handler's generator, not yet begun."""
        name = b" ".join(line.split(b" ")[: 2 if line.startswith(b"UID") else 1]).decode()
        return cast(Answer, HANDLERS[name][1](self.state, parsed(line, *literals)))

    def ask(self, line: bytes, *literals: bytes) -> bytes:
        """The untagged answer to a command; the session's state goes on."""
        steps = self.started(line, *literals)
        self.pieces, self.slow = [], 0
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                self.done = cast(Done, end.value)
                self.state = cast(Selected, self.done.state)
                return b"".join(self.pieces)
            if step is SLOW:
                self.slow += 1
            else:
                assert isinstance(step, bytes), step
                self.pieces.append(step)

    def found(self, line: bytes, *literals: bytes) -> list[int]:
        """What a SEARCH finds."""
        answer = self.ask(line, *literals)
        assert answer.startswith((b"* SEARCH", b"* SORT")), answer
        assert answer.endswith(b"\r\n")
        return [int(number) for number in answer.split()[2:]]

    def status(self) -> bytes:
        """How the last command ended: status, and code if there is one."""
        assert self.done is not None
        return b" ".join(filter(None, (self.done.status, self.done.code)))

    def refreshed(self, expunges: bool = True) -> None:
        """What NOOP does: the session learns everything; other commands keep EXPUNGE back."""
        self.mailbox.recent_span(claim=True)
        view, _ = self.state.view.refresh(expunges)
        self.state = replace(self.state, view=view)

    def file(self, number: int) -> Path:
        """Where the n-th message that was delivered lies."""
        (found,) = (self.boxes.root / "INBOX").glob(f"*/{1_000_000 + number}.*")
        return found

    def claimed(self) -> None:
        """As after SELECT: what is new is recent for this session."""
        self.state = replace(self.state, view=View.of(self.mailbox, claims=True))
