"""Mailboxes over real files for the tests of the store."""

from __future__ import annotations

import os
from pathlib import Path

from maa.store.identity import Identity
from maa.store.ledger import Ledger
from maa.store.mailbox import Mailbox
from maa.store.maildir import Maildir
from maa.store.watch import Watcher


class Boxes:
    """An account's mailboxes in a directory; `reopened` forgets what is only in memory."""

    def __init__(self, root: Path, *, neighbours: bool = False) -> None:
        self.root = root
        self.neighbours = neighbours
        self.watcher = Watcher()
        self.ledger = Ledger.open(root, Identity.own(), self.watcher, neighbours=neighbours)

    def mailbox(self, name: str = "INBOX") -> Mailbox:
        path = str(self.root / name)
        Maildir.create(path)
        with self.ledger.held():  # another process may be making it
            index = self.ledger.index
            row = index.mailboxes().get(name) or index.create_mailbox(name)
        mailbox = Mailbox(row, Maildir(path), self.ledger)
        mailbox.sync()
        return mailbox

    def reopened(self) -> Boxes:
        self.ledger.close()
        self.watcher.close()
        return Boxes(self.root, neighbours=self.neighbours)

    def deliver(self, key: str, data: bytes = b"Subject: x\n\nbody\n", box: str = "INBOX") -> Path:
        """What an MDA does: write in tmp, rename into new."""
        path = self.root / box
        (path / "tmp" / key).write_bytes(data)
        return (path / "tmp" / key).rename(path / "new" / key)

    def files(self, box: str = "INBOX") -> set[str]:
        path = self.root / box
        return {f"{sub}/{name}" for sub in ("new", "cur", "tmp") for name in os.listdir(path / sub)}


def tidied(mailbox: Mailbox) -> None:
    while mailbox.tidy():
        pass
