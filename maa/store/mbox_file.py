"""An mbox file under the site's locks, and its table true to what is in it.

Whoever holds a descriptor from `opened` may rely on this: every lock of the site is held; the
descriptor is of the file that has the name now; what a crash of ours left half done is finished;
and the table says what is where. `glimpsed` gives the same for reading without a lock, while
nothing in the file has changed since the table was made.

Beside the file, in the account's state directory, lies all that is ours: `mbox/TAG.*`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from maa.store.directories import flush_directory
from maa.store.errors import Damaged, LockTimeout, MessageGone, NoSpace, Unavailable, of_system
from maa.store.locks import Locks, touch_dotlock
from maa.store.mbox_journal import Extent, Journal
from maa.store.mbox_split import NotMbox
from maa.store.mbox_table import Seen, Table

FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES: Final = 20
_TRIES_AHEAD: Final = 4
AHEAD_OCTETS: Final = 8 << 20
"""More than this is read before the file is locked."""
_ABANDONED_SECONDS: Final = 36 * 3600.0

_log = logging.getLogger(__name__)


class MboxFile:
    """One mbox file and what is kept beside it; `mutex` is held by whoever uses either."""

    def __init__(
        self, path: str, state: str, locks: Locks, *, required: bool, mboxrd: bool
    ) -> None:
        """Use the file at an absolute path; `state`: a directory of the user's for ours.

        `required`: that the file is not there means that the mailbox is gone, and not that it
        is empty, as a spool file may be.
        """
        self.path = path
        self.mboxrd = mboxrd
        self.required = required
        self._file = os.fsencode(path)
        self._locks = locks
        self.folder = os.path.join(state, "mbox")
        tag = hashlib.blake2b(self._file, digest_size=8).hexdigest()
        self.base = os.path.join(self.folder, tag)
        self.journal = Journal(self.base)
        self.table = Table(self.base + ".table", mboxrd)
        self._swept = False
        # Short, but for the first look at a file. Nothing is waited for inside but the file's
        # locks.
        self.mutex = threading.RLock()

    @property
    def unfinished(self) -> bool:
        """Whether a crash left a change to be finished by the next use of the mailbox."""
        return self.journal.pending or bool(self.beside("staged-"))

    @contextmanager
    def opened(self, write: bool, create: bool = False) -> Iterator[int]:
        """The file, locked, whole, and as the table has it; LockTimeout, MessageGone."""
        with self.mutex, translated(self.path):
            ahead = False
            for tries in range(_TRIES):
                descriptor = self._open(write, create)
                try:
                    if ahead and not self.journal.pending:
                        self._read_ahead(descriptor)
                    with self._locks.held(self._file, descriptor, write):
                        if not self._is_named(descriptor):
                            continue  # replaced, as some programs do it
                        # Under the lock nobody is in the middle of a change any more.
                        if self.journal.pending:
                            if not write:
                                write = True
                                continue
                            self._recover(descriptor)
                        ahead = tries < _TRIES_AHEAD and self._is_behind(descriptor)
                        if ahead:
                            continue
                        self._sweep()
                        self.table.catch_up(descriptor)
                        if not write and Seen.of(descriptor) != self.table.seen:
                            continue  # by a program that makes dotlocks only
                        yield descriptor
                        return
                finally:
                    os.close(descriptor)
            raise LockTimeout(f"{self.path} is replaced again and again")

    @contextmanager
    def glimpsed(self) -> Iterator[int | None]:
        """The file without a lock, if it is as the table has it; see `unchanged` afterwards."""
        with self.mutex, translated(self.path):
            descriptor = -1
            if self.table.seen is not None:
                with suppress(OSError, Unavailable):
                    descriptor = self._open(write=False, create=False)
            try:
                yield descriptor if descriptor >= 0 and self.unchanged(descriptor) else None
            finally:
                if descriptor >= 0:
                    os.close(descriptor)

    def unchanged(self, descriptor: int) -> bool:
        """Whether the file is still as the table has it."""
        return Seen.of(descriptor) == self.table.seen

    def octets(self, places: Sequence[bytes]) -> list[int]:
        """From each message's From_ line to the next; -1 where it is not there."""
        with self.mutex:
            positions = map(self.table.position, places)
            extents = [(0, -1) if at is None else self.table.extent(at) for at in positions]
            return [stop - start for start, stop in extents]

    def size(self) -> int:
        """Octets of the whole file; a spool file that is not there is empty."""
        try:
            return os.lstat(self._file).st_size
        except OSError:
            return 0

    def cut(self, descriptor: int, positions: Sequence[int]) -> None:
        """Take messages (ascending) out of the file, which is locked for writing."""
        holes: list[Extent] = []
        for position in positions:
            start, stop = self.table.extent(position)
            if holes and holes[-1][1] == start:
                start = holes.pop()[0]
            holes.append((start, stop))
        times = os.fstat(descriptor)
        known = self.table.seen
        try:
            self.table.seen = None
            self.journal.cut(descriptor, holes, self._alive)
        finally:
            # What is left is as new or as old as it was (R235).
            os.utime(descriptor, ns=(times.st_atime_ns, times.st_mtime_ns))
        self.table.seen = known
        self.table.removed(descriptor, positions)

    def make_folder(self) -> None:
        """Make the directory for what is ours."""
        with suppress(FileExistsError):
            os.mkdir(self.folder, 0o700)

    def beside(self, kind: str) -> list[str]:
        """The paths of our files of one kind."""
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []
        prefix = f"{os.path.basename(self.base)}.{kind}"
        return [os.path.join(self.folder, name) for name in names if name.startswith(prefix)]

    # --- opening

    def _open(self, write: bool, create: bool) -> int:
        mode = os.O_RDWR if write else os.O_RDONLY
        try:
            # Without O_NOATIME our looking at new mail would make it old for the shell (R235).
            descriptor = os.open(self._file, mode | FLAGS | os.O_NOATIME)
        except FileNotFoundError:
            if not create or self.required:
                raise
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | FLAGS, 0o600)
            with suppress(Unavailable):  # a spool directory that may not be listed
                flush_directory(os.path.dirname(self._file))
        except PermissionError:
            descriptor = os.open(self._file, mode | FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unavailable(f"{self.path} is not a regular file")
        return descriptor

    def _is_named(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.lstat(self._file), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _is_behind(self, descriptor: int) -> bool:
        """Whether there is so much to read that MDAs should not have to wait for it."""
        if os.fstat(descriptor).st_size <= AHEAD_OCTETS:
            return False
        return self.table.unread(descriptor) > AHEAD_OCTETS

    def _read_ahead(self, descriptor: int) -> None:
        self._sweep()
        # What another program is just writing may look like anything: the lock will tell.
        with suppress(OSError, NotMbox):
            self.table.read_ahead(descriptor)

    def _recover(self, descriptor: int) -> None:
        self.table.seen = None
        times = os.fstat(descriptor)
        self.journal.recover(descriptor, self.path, self._alive)
        os.utime(descriptor, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _alive(self) -> None:
        if "dotlock" in self._locks.order:
            touch_dotlock(self._file)

    def _sweep(self) -> None:
        """Once, remove what processes that were killed long ago left."""
        if self._swept:
            return
        self._swept = True
        if not os.path.isdir(os.path.dirname(self.folder)):
            return  # somebody only looks, and keeps nothing
        self.make_folder()
        # For `maa.store.dead_locks`.
        with suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            note = os.open(self.base + ".path", flags, 0o600)
            try:
                os.write(note, self._file)
            finally:
                os.close(note)
        for path in self.beside("raw-"):
            with suppress(FileNotFoundError):
                if time.time() - os.lstat(path).st_mtime > _ABANDONED_SECONDS:
                    os.unlink(path)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn the system's errors into the store's."""
    try:
        yield
    except NotMbox as error:
        _log.error("%s is not an mbox: %s", path, error)
        raise Damaged(f"{path} is not an mbox") from error
    except FileNotFoundError as error:
        raise MessageGone(f"{path}: not there") from error
    except OSError as error:
        found = of_system(error, path)
        if not isinstance(found, NoSpace):
            _log.error("mbox %s: %s", path, error)
        raise found from error
