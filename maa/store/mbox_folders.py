"""Mailboxes as mbox files in a directory tree, as mutt, pine and UW's server keep them.

A mailbox is a regular file that is empty or begins with a From_ line; a directory is only a
parent of others. What else lies there is none: dot files (ours, while they are made or removed,
too), lock files, symlinks, other programs' files, Maildirs.

To the rest of the store names have `.` between their elements; here that is `/`, and a dot is
a dot: see `names.swapped`.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from maa.store import names
from maa.store.directories import flush_directory, rename_exclusively
from maa.store.errors import CannotChange, InvalidName, MailboxNotFound
from maa.store.folders import Folder, Found, disk_errors, make_directories
from maa.store.mbox import Mbox

_TRASH: Final = ".maa-trash-"
_LOCKS: Final = (".lock", ".lck", ".lockfile")
_DEPTH_MAX: Final = 20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_log = logging.getLogger(__name__)


class MboxFolders:
    """The mailboxes below one directory. All methods may block and raise Unavailable, NoSpace."""

    hidden = True
    """Names with a dot in front say nothing of mailboxes."""

    def __init__(self, root: str, inbox: str) -> None:
        """`inbox`: the path of INBOX, which is no folder."""
        self.root = root
        self._inbox = inbox
        self._away: set[str] = set()
        """Directories that could not be read."""

    def scan(self) -> Found:
        """Every mailbox there is."""
        found: dict[str, Folder] = {}
        nested = False
        with disk_errors(self.root):
            for directory, elements, entries in self._walk():
                # A change further down gives no hint, so that nothing is trusted.
                nested = nested or bool(elements)
                for entry in entries:
                    name = _name([*elements, entry.name])
                    if name is None or entry.path == self._inbox:
                        continue
                    if entry.is_file(follow_symlinks=False) and _is_mbox(entry.path):
                        path = os.path.join(directory, entry.name)
                        found.setdefault(names.key(name), Folder(name, path, 0))
        return Found(found, nested)

    def _walk(self) -> Iterator[tuple[str, list[str], list[os.DirEntry[str]]]]:
        """Directory, elements of its name and entries, of every directory that is a parent."""
        left: list[tuple[str, list[str]]] = [(self.root, [])]
        while left:
            directory, elements = left.pop()
            try:
                with os.scandir(directory) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                if not elements:
                    raise
                # Its mailboxes are away; the others, and INBOX, are not.
                if directory not in self._away:
                    _log.warning("%s: passed over: %s", directory, error.strerror)
                self._away.add(directory)
                continue
            self._away.discard(directory)
            found = [entry for entry in entries if not _is_hidden(entry.name)]
            inside = [entry for entry in found if entry.is_dir(follow_symlinks=False)]
            if elements and {"cur", "new", "tmp"} <= {entry.name for entry in inside}:
                continue  # a Maildir
            yield directory, elements, found
            if len(elements) < _DEPTH_MAX:
                left += [(entry.path, [*elements, entry.name]) for entry in inside]

    def path(self, name: str) -> str:
        """Where a mailbox of this name is; InvalidName."""
        elements = [_encoded(element) for element in name.split(names.SEPARATOR)]
        if any(_is_hidden(element) or len(element) > 200 for element in elements):
            raise InvalidName("an element of the name cannot be that of a file")
        return os.path.join(self.root, *elements)

    def check_free(self, name: str) -> None:
        """CannotChange when a mailbox of this name cannot be made."""
        path = self.path(name)
        if os.path.lexists(path):
            raise CannotChange(f"{path} is in the way")
        above = os.path.dirname(path)
        while above.startswith(self.root + "/"):
            if os.path.lexists(above) and not stat.S_ISDIR(os.lstat(above).st_mode):
                raise CannotChange("a mailbox that is a file has none below it")
            above = os.path.dirname(above)

    def make(self, name: str) -> None:
        """Make an empty mailbox."""
        path = self.path(name)
        with disk_errors(self.root):
            make_directories(os.path.dirname(path))
        Mbox.create(path)
        flush_directory(os.fsencode(os.path.dirname(path)))

    def rename(self, source: str, name: str) -> None:
        """Give a file another name; CannotChange when something is there."""
        target = self.path(name)
        with disk_errors(self.root):
            make_directories(os.path.dirname(target))
            self._place(source, target)

    def trash(self, folder: Folder) -> str:
        """Take a mailbox away; the path to `discard`."""
        path = os.path.join(self.root, _TRASH + secrets.token_hex(8))
        with disk_errors(self.root):
            self._place(folder.path, path)
        return path

    def discard(self, path: str) -> None:
        """Remove what `trash` took away."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("cannot remove the rest of a deleted mailbox: %s", error)

    def sweep(self) -> None:
        """Remove what a killed process left half removed."""
        with disk_errors(self.root), os.scandir(self.root) as entries:
            left = [entry.path for entry in entries if entry.name.startswith(_TRASH)]
        for path in left:
            self.discard(path)

    def _place(self, source: str, target: str) -> None:
        try:
            rename_exclusively(os.fsencode(source), os.fsencode(target))
        except FileNotFoundError:
            raise MailboxNotFound(f"{source} is gone") from None
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY):
                raise CannotChange(f"{target} is in the way") from None
            raise
        flush_directory(os.fsencode(os.path.dirname(target)))
        # A parent of nothing would be in the way of a mailbox of its name.
        above = os.path.dirname(source)
        with suppress(OSError):
            while above.startswith(self.root + "/"):
                os.rmdir(above)
                above = os.path.dirname(above)
        flush_directory(os.fsencode(os.path.dirname(source) if above == source else above))


def _is_hidden(entry: str) -> bool:
    return entry.startswith(".") or entry.endswith(_LOCKS)


def _encoded(element: str) -> str:
    return names.encoded(names.swapped(element))


def _name(entries: list[str]) -> str | None:
    """The mailbox that a path's elements mean; None when they mean none."""
    elements = [names.swapped(names.decoded(entry)) for entry in entries]
    try:
        name = names.checked(names.SEPARATOR.join(elements))
    except InvalidName:
        return None
    # A slash in an element would be a separator, and INBOX is elsewhere.
    spelled = name.split(names.SEPARATOR)
    return None if name == names.INBOX or spelled[1:] != elements[1:] else name


def _is_mbox(path: str) -> bool:
    """Whether a file is empty or begins as an mbox does; it stays as new as it was."""
    try:
        descriptor = os.open(path, _FLAGS | os.O_NOATIME)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return False
        return os.pread(descriptor, 5, 0) in (b"", b"From ")
    finally:
        os.close(descriptor)
