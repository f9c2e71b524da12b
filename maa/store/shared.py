"""One writer at a time among all processes that have an account open, and who claims \\Recent.

Both go through locks on the account's file `shared`. They are open-file-description locks: the
kernel drops them when a process dies, and the next one goes on. Within a process the account's
`threading.RLock` comes first, so one description is enough.

The file's octets say for each mailbox, at eight times its id, its UIDVALIDITY and the lowest UID
that no session of any process was told of as recent: a claim takes microseconds, so the
reactor's thread may make it (R081). The index has that number too, for when this file is lost;
it follows behind.
"""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from types import TracebackType
from typing import Final

from maa.message.numbers import MAX_NUMBER
from maa.store.errors import LockTimeout, Unavailable
from maa.store.hold import OPEN_FLAGS, WAIT_SECONDS

CLAIM_SECONDS: Final = 0.002
"""A claim holds up the reactor, and takes others a few microseconds."""

# struct flock, as in `maa.store.hold`: one octet each, far behind the file's end.
_WRITING: Final = 1 << 61
_CLAIMING: Final = _WRITING + 1
_SLOT: Final = struct.Struct("<II")


def _flock(kind: int, start: int) -> bytes:
    return struct.pack("hhqqi0q", kind, os.SEEK_SET, start, 1, 0)


_WRITE_LOCK: Final = _flock(fcntl.F_WRLCK, _WRITING)
_WRITE_UNLOCK: Final = _flock(fcntl.F_UNLCK, _WRITING)
_CLAIM_LOCK: Final = _flock(fcntl.F_WRLCK, _CLAIMING)
_CLAIM_UNLOCK: Final = _flock(fcntl.F_UNLCK, _CLAIMING)


class Shared:
    """The file `shared` of one account; `with shared:` excludes every other process.

    Used under the account's lock, and under the user's identity; nested use costs nothing.
    """

    def __init__(self, path: str, neighbours: bool) -> None:
        """Open the file, made when it is not there; Unavailable.

        Without `neighbours`, what this process knows to be claimed is all there is.
        """
        self._path = path
        self._neighbours = neighbours
        self._depth = 0
        self._descriptor = -1
        self._claiming = threading.Lock()
        self._open()

    def _open(self) -> None:
        try:
            descriptor = os.open(self._path, OPEN_FLAGS, 0o600)
        except OSError as error:
            raise Unavailable(f"cannot open {self._path}: {error}") from error
        with self._claiming:
            before, self._descriptor = self._descriptor, descriptor
        if before >= 0:
            os.close(before)

    def __enter__(self) -> None:
        if not self._depth:
            self._wait()
            while not os.fstat(self._descriptor).st_nlink:  # removed: others lock a new one
                self._open()
                self._wait()
        self._depth += 1

    def _wait(self) -> None:
        if not self._locked(_WRITE_LOCK, WAIT_SECONDS):
            raise LockTimeout(f"{self._path}: another process holds the lock")

    def _locked(self, lock: bytes, seconds: float) -> bool:
        """The file belongs to the user, who may lock it too: nobody waits for that for ever."""
        if self._descriptor < 0:
            raise Unavailable(f"{self._path}: the account is closed")
        until = 0.0
        pause = 0.0001
        while True:
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, lock)
                return True
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES
                now = time.monotonic()
                until = until or now + seconds
                if now >= until:
                    return False
            except OSError as error:
                raise Unavailable(f"cannot lock {self._path}: {error}") from error
            time.sleep(pause)
            pause = min(2 * pause, 0.005)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if not self._depth:
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _WRITE_UNLOCK)

    def first_recent(self, mailbox_id: int, uidvalidity: int) -> int:
        """The lowest UID that nobody was told of as recent, or 0: not known here. Memory only."""
        if not self._neighbours or self._descriptor < 0:
            return 0
        slot = os.pread(self._descriptor, _SLOT.size, mailbox_id * _SLOT.size)
        if len(slot) < _SLOT.size:
            return 0
        validity, low = _SLOT.unpack(slot)
        return int(low) if validity == uidvalidity else 0

    def claim_recent(self, mailbox_id: int, uidvalidity: int, low: int, high: int) -> int:
        """Take the UIDs up to `high` as recent; the lowest that is ours, at least `low`.

        Never waits longer than another's claim takes.
        """
        if not self._neighbours:
            return low
        with self._claiming:
            if self._descriptor < 0:
                return low
            # Who locks it for long can only be the user, who is then told of \Recent twice.
            locked = self._locked(_CLAIM_LOCK, CLAIM_SECONDS)
            try:
                low = max(low, self.first_recent(mailbox_id, uidvalidity))
                if low < high:
                    slot = _SLOT.pack(uidvalidity, min(high, MAX_NUMBER))
                    os.pwrite(self._descriptor, slot, mailbox_id * _SLOT.size)
            finally:
                if locked:
                    fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _CLAIM_UNLOCK)
        return low

    def close(self) -> None:
        """Give the file back."""
        with self._claiming:
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
