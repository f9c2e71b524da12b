"""Hints that a directory changed, from inotify(7), for every mailbox of this process.

A hint carries no data and may come twice; it says only that what was read before may be old.
`drain` is called before anything remembered is trusted: all that happened on disk before the
call has then been marked (R246: where there are no hints, nothing remembered is trusted).

Add a directory first and read it then: what happened before `add` returned gives no mark.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

import inotify_simple
from inotify_simple import flags

from maa.store.remote import is_remote

_log = logging.getLogger(__name__)

Mark = Callable[[str], None]
"""Called with the name of the entry that changed; '' when anything may have changed."""

# Deliveries end in a rename or a link, and flag changes are renames; CLOSE_WRITE is for
# programs that write in place. The directory's own removal or move comes as ''.
_MASK: Final = int(
    flags.CREATE
    | flags.MOVED_TO
    | flags.MOVED_FROM
    | flags.DELETE
    | flags.CLOSE_WRITE
    | flags.DELETE_SELF
    | flags.MOVE_SELF
    | flags.ONLYDIR
    | flags.DONT_FOLLOW
)
# A file that is appended to; ATTRIB comes with its removal.
_FILE_MASK: Final = int(
    flags.MODIFY | flags.ATTRIB | flags.DELETE_SELF | flags.MOVE_SELF | flags.DONT_FOLLOW
)
_ENDING: Final = int(flags.DELETE_SELF | flags.MOVE_SELF | flags.UNMOUNT | flags.IGNORED)
_READ_OCTETS: Final = 1 << 16
_EVENT_OCTETS_MAX: Final = 16 + 256
"""inotify(7): a head of four numbers, and a name."""


class Watch:
    """One directory watched on behalf of one mark."""

    __slots__ = ("__weakref__", "_mark", "descriptor", "live")

    def __init__(self, descriptor: int, mark: Mark, forgotten: Callable[[Watch], None]) -> None:
        self.descriptor = descriptor
        self.live = True
        """False when the directory is gone or was moved away: add its path again."""
        # A mailbox that nobody uses must not stay alive because it is watched.
        self._mark: Callable[[], Mark | None]
        if isinstance(mark, MethodType):
            self._mark = weakref.WeakMethod(mark, lambda _: forgotten(self))
        else:
            self._mark = lambda: mark

    def mark(self, name: str) -> None:
        """Pass a hint on, if somebody still wants it."""
        mark = self._mark()
        if mark is not None:
            mark(name)


class Watcher:
    """The process's one inotify queue; every method may be called from any thread."""

    def __init__(self) -> None:
        # One lock orders changes of the table and their system calls, the other the readers of
        # the queue: who finds it empty must know that its marks have been called, too.
        self._changing = threading.RLock()
        self._draining = threading.RLock()
        self._watches: dict[int, tuple[Watch, ...]] = {}
        self._forgotten: deque[Watch] = deque()
        self._complained = False
        self._inotify: Any = None
        self._descriptor = -1
        try:
            self._inotify = inotify_simple.INotify(nonblocking=True)
            self._descriptor = self._inotify.fileno()
        except OSError as error:
            self._complain("this process", error)

    def fileno(self) -> int:
        """The descriptor that becomes readable with a hint; -1 when there is no inotify."""
        return self._descriptor

    def add(self, path: str, mark: Mark) -> Watch | None:
        """Watch a directory (never through a symlink); None when that cannot be done."""
        return self._add(path, mark, _MASK)

    def add_file(self, path: str, mark: Mark) -> Watch | None:
        """Watch one file that others append to; None when that cannot be done."""
        return self._add(path, mark, _FILE_MASK)

    def _add(self, path: str, mark: Mark, mask: int) -> Watch | None:
        with self._changing:
            self._remove_forgotten()
            if self._inotify is None:
                return None
            if is_remote(path):
                self._complain(path, OSError(errno.EREMOTE, "other machines may write there"))
                return None
            try:
                descriptor = self._inotify.add_watch(path, mask)
            except OSError as error:
                if not isinstance(error, FileNotFoundError | NotADirectoryError):
                    self._complain(path, error)
                return None
            watch = Watch(descriptor, mark, self._forgotten.append)
            self._watches[descriptor] = (*self._watches.get(descriptor, ()), watch)
            return watch

    def remove(self, watch: Watch) -> None:
        """Give no more hints to this watch; doing so twice is no error."""
        with self._changing:
            self._remove_forgotten()
            self._remove(watch)

    def drain(self) -> None:
        """Call the marks for everything that has happened; never waits for the disk.

        What happens meanwhile is left to the next call: a program that goes on renaming files
        would else keep the caller, which may be the reactor, for as long as it likes.
        """
        with self._draining:
            more = self._descriptor >= 0
            while more:
                try:
                    data = os.read(self._descriptor, _READ_OCTETS)
                except BlockingIOError:
                    return
                # Where there was room for one more event, that was all.
                more = len(data) > _READ_OCTETS - _EVENT_OCTETS_MAX
                self._mark_all(data)

    def close(self) -> None:
        """Stop watching; the watches are no longer live."""
        with self._draining, self._changing:
            self._descriptor = -1
            for watch in [watch for watches in self._watches.values() for watch in watches]:
                watch.live = False
            self._watches.clear()
            if self._inotify is not None:
                self._inotify.close()
                self._inotify = None

    def _mark_all(self, data: bytes) -> None:
        for event in inotify_simple.parse_events(data):
            if event.mask & flags.Q_OVERFLOW:
                _log.warning("inotify queue overflowed: every mailbox will be read again")
                watches = tuple(watch for some in self._watches.copy().values() for watch in some)
            else:
                watches = self._watches.get(event.wd, ())
            if event.mask & _ENDING:
                watches = self._end(event.wd, bool(event.mask & flags.IGNORED))
            for watch in watches:
                watch.mark(event.name)

    def _end(self, descriptor: int, gone: bool) -> tuple[Watch, ...]:
        # The lock, so that an `add` of this moment is seen whole; such events are rare.
        with self._changing:
            watches = self._watches.get(descriptor, ())
            for watch in watches:
                watch.live = False
            if gone:  # the kernel forgot the watch, and never gives its number again
                self._watches.pop(descriptor, None)
            return watches

    def _remove(self, watch: Watch) -> None:
        watch.live = False
        watches = self._watches.get(watch.descriptor, ())
        if watch not in watches:
            return
        left = tuple(other for other in watches if other is not watch)
        if left:
            self._watches[watch.descriptor] = left
            return
        del self._watches[watch.descriptor]
        self._remove_from_kernel(watch.descriptor)

    def _remove_from_kernel(self, descriptor: int) -> None:
        try:
            self._inotify.rm_watch(descriptor)
        except OSError:
            # The directory went away at this moment, and its watch with it.
            _log.debug("inotify watch %d was gone already", descriptor)

    def _remove_forgotten(self) -> None:
        while self._forgotten:
            self._remove(self._forgotten.popleft())

    def _complain(self, what: str, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            _log.warning(
                "no hints from inotify for %s (%s): such mailboxes are read again each time; "
                "see fs.inotify.max_user_watches and max_user_instances; said only once",
                *(what, error),
            )
