"""POP3's exclusive hold on a maildrop, taken and given back without opening a file each time.

The lock is that of `hold`: an open-file-description lock, which the kernel drops when the process
dies. Here the description stays open between sessions, so that taking the lock is one fcntl on a
file of the local state directory, which never waits: a warm POP3 login needs no thread. The
kernel lets one description lock twice, so sessions of this process exclude each other by a
lock in memory.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
from typing import Final

from maa.store.errors import MaildropInUse, Unavailable
from maa.store.hold import OPEN_FLAGS, WHOLE_FILE, Hold

_UNLOCKED: Final = struct.pack("hhqqi0q", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


class Latch:
    """The lock file of one account's maildrop."""

    def __init__(self, path: str) -> None:
        """Nothing is opened yet."""
        self._path = path
        self._descriptor = -1
        self._inside = threading.Lock()

    @property
    def ready(self) -> bool:
        """Whether the file is open, and still the one of its name: then `take` never blocks."""
        return self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink > 0

    def open(self) -> None:
        """Open the file, under the identity to which it is to belong; Unavailable."""
        if self._inside.acquire(blocking=False):  # whoever holds it has it open
            try:
                if not self.ready:
                    self.forget()
                    self._descriptor = os.open(self._path, OPEN_FLAGS, 0o600)
            except OSError as error:
                raise Unavailable(f"cannot open the lock file: {error}") from error
            finally:
                self._inside.release()

    def take(self) -> Hold:
        """Hold the maildrop at once, or MaildropInUse; `open` comes first."""
        if not self._inside.acquire(blocking=False):
            raise MaildropInUse("another session holds the maildrop")
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, WHOLE_FILE)
        except OSError as error:
            self._inside.release()
            busy = isinstance(error, BlockingIOError | PermissionError)  # EAGAIN or EACCES
            raise (MaildropInUse if busy else Unavailable)(f"cannot lock: {error}") from error
        return _Taken(self)

    def release(self) -> None:
        """For the hold that was taken."""
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _UNLOCKED)
        finally:
            self._inside.release()

    def forget(self) -> None:
        """Close the file; nobody holds it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:
        """The account is not needed any more."""
        self.forget()


class _Taken(Hold):
    """A hold that leaves the file open."""

    __slots__ = ("_latch",)

    def __init__(self, latch: Latch) -> None:
        super().__init__(-1)
        self._latch: Latch | None = latch

    def release(self) -> None:
        latch, self._latch = self._latch, None
        if latch is not None:
            latch.release()
