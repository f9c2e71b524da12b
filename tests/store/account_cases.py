"""What the tests of accounts share: an installation in a directory, and deliveries into it."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maa.store.account import Account
from maa.store.accounts import Accounts
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.user import User

ROLE_NAMES = ("Archive", "Drafts", "Junk", "Sent", "Trash")
_serial = itertools.count(1)


@dataclass
class Site:
    """One installation, below `root`."""

    root: Path

    quota: str = "maildirsize"

    def accounts(
        self,
        folders: str = "maildir:{home}/Maildir",
        watcher: Watcher | None = None,
        neighbours: bool = False,
    ) -> Accounts:
        """As another process, or this one after a restart, would have them."""
        home, inbox = f"{self.root}/home/{{user}}", "maildir:{home}/Maildir"
        places = MailPlaces.parse(home, inbox, folders, limits=self.quota)
        state = str(self.root / "state")
        return Accounts(state, places, watcher or Watcher(), neighbours=neighbours)

    def account(self, name: str = "joe") -> Account:
        """The account of a user in a new process."""
        account: Account = self.accounts().open(User(name))
        return account

    def maildir(self, name: str = "joe") -> Path:
        """The user's INBOX."""
        return self.root / "home" / name / "Maildir"


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory that other users can pass through; pytest's own are private again and again."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


def maildir(path: Path) -> Path:
    """A Maildir as another program makes one."""
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    return path


def deliver(path: Path, text: bytes = b"Subject: x\n\nx\n") -> str:
    """A message as an MDA delivers it."""
    name = f"{1700000000 + next(_serial)}.M1P{os.getpid()}.host"
    (path / "tmp" / name).write_bytes(text)
    (path / "tmp" / name).rename(path / "new" / name)
    return name


def names_of(account: Account, roles: bool = False) -> list[str]:
    """The mailboxes, without the five of every account unless `roles`; parents in brackets."""
    return [
        line.name if line.selectable else f"({line.name})"
        for line in account.mailboxes()
        if roles or line.name not in ROLE_NAMES
    ]
