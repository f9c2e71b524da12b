"""Mailboxes over mbox files for the tests of the store."""

from __future__ import annotations

import fcntl
import os
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


class Mboxes:
    """An account whose mailboxes are mbox files; `reopened` forgets what is only in memory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.closed = False
        self.watcher = Watcher()
        (root / "state").mkdir(exist_ok=True)
        (root / "mail").mkdir(exist_ok=True)
        self.ledger = Ledger.open(root / "state", Identity.own(), self.watcher)
        self.locks = Locks(("fcntl", "dotlock"), seconds=2.0)

    def path(self, name: str = "INBOX") -> Path:
        return self.root / "mail" / name

    def maildrop(self, name: str = "INBOX") -> Mbox:
        return Mbox(str(self.path(name)), str(self.root / "state"), self.locks, required=False)

    def mailbox(self, name: str = "INBOX") -> Mailbox:
        row = self.ledger.index.mailboxes().get(name) or self.ledger.index.create_mailbox(name)
        mailbox = Mailbox(row, self.maildrop(name), self.ledger)
        mailbox.sync()
        return mailbox

    def deliver(self, number: int, body: bytes = b"body\n", header: bytes = b"") -> None:
        append(self.path(), entry(number, body, header))

    def reopened(self) -> Mboxes:
        self.close()
        return Mboxes(self.root)

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
