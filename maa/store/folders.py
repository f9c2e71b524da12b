"""Maildir++ folders: the `.Name` directories in a Maildir, each a Maildir itself.

Another program may make, move or remove them at any time, and kill -9 may come between any two
calls here. So a folder is made whole under a name that means no mailbox, then renamed to its
own; and removed by a rename to such a name first. `..` begins these names: to every program
that knows Maildir++ that is an empty element, and no folder. `sweep` removes what was left.

Symlinks are never followed: a folder that is one is none, and neither is one with a symlink
for `cur`, `new` or `tmp`. Nor is any directory without these three (R245).
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from maa.store import names
from maa.store.directories import flush_directory
from maa.store.errors import CannotChange, MailboxNotFound, NoSpace, of_system

_PARTS: Final = ("cur", "new", "tmp")
_MAKING: Final = "..maa-new-"
_TRASH: Final = "..maa-trash-"
# A folder takes milliseconds to make: after so long its maker is dead.
_MAKING_SECONDS: Final = 3600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Folder:
    """A mailbox's directory as it was found."""

    name: str
    path: str
    inode: int
    """Changes when another program puts another directory in its place."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is in the Maildir of the folders."""

    folders: dict[str, Folder]
    """By `names.key`; INBOX is not among them."""
    unfinished: bool
    """A directory looked as if another program was just making a folder of it: look again."""


class Folders:
    """The folders in one Maildir. All methods may block and raise Unavailable, NoSpace."""

    hidden = False
    """Only names with a dot in front say anything of mailboxes."""

    def __init__(self, root: str) -> None:
        self.root = root

    def scan(self) -> Found:
        """Every folder there is."""
        found: dict[str, Folder] = {}
        unfinished = False
        with disk_errors(self.root), os.scandir(self.root) as entries:
            # In order, so that all processes choose the same of two that mean one name.
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                    continue
                name = names.from_directory(entry.name)
                if name is None:
                    continue
                if not _is_maildir(entry.path):
                    unfinished = unfinished or _is_recent(entry.path)
                    continue
                self._enter(found, Folder(name, entry.path, entry.inode()))
        return Found(found, unfinished)

    def _enter(self, found: dict[str, Folder], folder: Folder) -> None:
        """Of two directories that mean one name, keep the one spelled as we would spell it."""
        other = found.get(names.key(folder.name))
        if other is not None:
            _log.warning("one mailbox, two directories: %r, %r", folder.path, other.path)
        if other is None or folder.path == self.path(folder.name):
            found[names.key(folder.name)] = folder

    def path(self, name: str) -> str:
        """Where a folder of this name is made."""
        return os.path.join(self.root, names.directory(name))

    def check_free(self, name: str) -> None:
        """CannotChange when there is anything where a folder of this name would be made."""
        if os.path.lexists(self.path(name)):
            raise CannotChange(f"{self.path(name)} is in the way")

    def make(self, name: str) -> None:
        """Make a folder; CannotChange when something else is in its place."""
        with disk_errors(self.root):
            path = os.path.join(self.root, _MAKING + secrets.token_hex(8))
            os.mkdir(path, 0o700)
            try:
                for part in _PARTS:
                    os.mkdir(os.path.join(path, part), 0o700)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(os.path.join(path, "maildirfolder"), flags, 0o600))
                flush_directory(os.fsencode(path))
                self._place(path, self.path(name))
            except BaseException:
                shutil.rmtree(path, ignore_errors=True)
                raise

    def rename(self, source: str, name: str) -> None:
        """Give a folder's directory another name; CannotChange when something is there."""
        with disk_errors(self.root):
            self._place(source, self.path(name))

    def trash(self, folder: Folder) -> str:
        """Take a folder away from everybody at once; the path to `discard`."""
        path = os.path.join(self.root, _TRASH + secrets.token_hex(8))
        with disk_errors(self.root):
            self._place(folder.path, path)
        return path

    def discard(self, path: str) -> None:
        """Remove what `trash` took away; what cannot be removed now is left to `sweep`."""
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("cannot remove the rest of a deleted mailbox: %s", error)

    def sweep(self) -> None:
        """Remove what a killed process left half made or half removed."""
        with disk_errors(self.root), os.scandir(self.root) as entries:
            left = [
                entry.path
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
                and (
                    entry.name.startswith(_TRASH)
                    or (entry.name.startswith(_MAKING) and not _is_recent(entry.path))
                )
            ]
        for path in left:
            self.discard(path)

    def _place(self, source: str, target: str) -> None:
        try:
            # rename(2) replaces nothing but an empty directory, which is nobody's mail.
            os.rename(source, target)
        except FileNotFoundError:
            raise MailboxNotFound(f"{source} is gone") from None
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise CannotChange(f"{target} is in the way") from None
            raise
        flush_directory(os.fsencode(self.root))


def _is_maildir(path: str) -> bool:
    try:
        return all(stat.S_ISDIR(os.lstat(f"{path}/{part}").st_mode) for part in _PARTS)
    except OSError:
        return False


def _is_recent(path: str) -> bool:
    try:
        return time.time() - os.lstat(path).st_mtime < _MAKING_SECONDS
    except OSError:
        return True


def make_directories(path: str) -> None:
    """Make a directory and what is missing above it, for this user alone."""
    if not os.path.isdir(path):
        make_directories(os.path.dirname(path))
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)


@contextmanager
def disk_errors(path: str) -> Iterator[None]:
    """Turn the system's errors into the store's, with the reason in the log."""
    try:
        yield
    except OSError as error:
        found = of_system(error, path)
        if not isinstance(found, NoSpace):
            _log.error("mail in %s: %s", path, error)
        raise found from error
