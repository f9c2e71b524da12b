"""Mailboxes over mbox files for the tests of the store."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from maa.store.identity import Identity
from maa.store.ledger import Ledger
from maa.store.locks import Locks
from maa.store.mailbox import Mailbox
from maa.store.mbox import Mbox
from maa.store.watch import Watcher

FROM = b"From joe@example.org Thu Jan  1 10:00:%02d 2026\n"


def entry(number: int, body: bytes = b"body\n", header: bytes = b"") -> bytes:
    """One message as an MDA writes it, with the empty line behind it."""
    subject = b"Subject: %d\n" % number
    return FROM % (number % 60) + subject + header + b"\n" + body + b"\n"


def append(path: Path, data: bytes) -> None:
    """What an MDA does: lock, write at the end, unlock."""
    with open(path, "ab") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        file.write(data)


def as_mbox(data: bytes, second: int) -> bytes:
    """A message as an MDA adds it, delivered at 17 Jul 1996 02:44:00 UTC and so many seconds."""
    data = data.replace(b"\r\n", b"\n")
    line = b"From joe Wed Jul 17 02:%02d:%02d 1996 +0000\n" % (44 + second // 60, second % 60)
    quoted = re.sub(rb"(?m)^From ", b">From ", data)
    return line + quoted + (b"" if data.endswith(b"\n") else b"\n") + b"\n"


def remove_from_mbox(path: Path, number: int) -> None:
    """What mail(1) does: lock, write all but this message (from 1) into the same file, unlock."""
    with open(path, "r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        parts = re.split(rb"(?m)^(?=From )", file.read())[1:]
        del parts[number - 1]
        file.seek(0)
        file.truncate()
        file.write(b"".join(parts))


class Mboxes:
    """An account whose mailboxes are mbox files; `reopened` forgets what is only in memory."""

    def __init__(self, root: Path, *, neighbours: bool = False, mboxrd: bool = False) -> None:
        self.root = root
        self.neighbours = neighbours
        self.mboxrd = mboxrd
        self.closed = False
        self.watcher = Watcher()
        (root / "state").mkdir(exist_ok=True)
        (root / "mail").mkdir(exist_ok=True)
        self.ledger = Ledger.open(
            root / "state", Identity.own(), self.watcher, neighbours=neighbours
        )
        self.locks = Locks(("fcntl", "dotlock"), seconds=2.0)

    def path(self, name: str = "INBOX") -> Path:
        return self.root / "mail" / name

    def maildrop(self, name: str = "INBOX") -> Mbox:
        state = str(self.root / "state")
        return Mbox(str(self.path(name)), state, self.locks, required=False, mboxrd=self.mboxrd)

    def mailbox(self, name: str = "INBOX") -> Mailbox:
        with self.ledger.held():  # another process may be making it
            index = self.ledger.index
            row = index.mailboxes().get(name) or index.create_mailbox(name)
        mailbox = Mailbox(row, self.maildrop(name), self.ledger)
        mailbox.sync()
        return mailbox

    def deliver(self, number: int, body: bytes = b"body\n", header: bytes = b"") -> None:
        append(self.path(), entry(number, body, header))

    def reopened(self) -> Mboxes:
        self.close()
        return Mboxes(self.root, neighbours=self.neighbours, mboxrd=self.mboxrd)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.ledger.close()
        self.watcher.close()


def texts(mailbox: Mailbox) -> dict[int, bytes]:
    """Every message as sent."""
    found = {}
    left = list(mailbox.snapshot.uids)
    while left:
        for uid, wire in mailbox.read(left):
            assert not isinstance(wire, Exception), wire
            found[uid] = b"".join(wire.chunks())
            wire.close()
            left.remove(uid)
    return found


def rest(path: Path) -> list[str]:
    """What is in the directory of a mailbox but mailboxes."""
    return sorted(name for name in os.listdir(path.parent) if name != path.name)
