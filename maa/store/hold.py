"""POP3's exclusive hold on a maildrop (RFC 1939 §4, R199), and other locks between processes.

An open-file-description lock belongs to one `open`, so it excludes other threads of this
process just as it excludes other processes, and the kernel drops it when the process dies.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from types import TracebackType
from typing import Final

from maa.store.errors import LockTimeout, MaildropInUse, Unavailable

# struct flock: type, whence, start, length (0: to the end), pid (0, as fcntl(2) demands).
WHOLE_FILE: Final = struct.pack("hhqqi0q", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
WAIT_SECONDS: Final = 40.0
OPEN_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Hold:
    """A lock file that is held until `release`; usable as `with hold:` too."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: str) -> Hold:
        """Hold the file at once, or MaildropInUse when somebody else does."""
        try:
            descriptor = os.open(path, OPEN_FLAGS, 0o600)
        except OSError as error:
            raise Unavailable(f"cannot open the lock file: {error}") from error
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, WHOLE_FILE)
        except OSError as error:
            os.close(descriptor)
            busy = isinstance(error, BlockingIOError | PermissionError)  # EAGAIN or EACCES
            raise (MaildropInUse if busy else Unavailable)(f"cannot lock: {error}") from error
        return cls(descriptor)

    @classmethod
    def wait(cls, path: str, seconds: float = WAIT_SECONDS) -> Hold:
        """Hold the file as soon as nobody else does; LockTimeout when that takes too long.

        The file belongs to the user, who may lock it too: no thread waits for that for ever.
        """
        until = time.monotonic() + seconds
        pause = 0.001
        while True:
            try:
                return cls.take(path)
            except MaildropInUse:
                if time.monotonic() >= until:
                    raise LockTimeout(f"{path}: another process holds the lock") from None
            time.sleep(pause)
            pause = min(2 * pause, 0.05)

    def release(self) -> None:
        """Give the lock back; doing so twice is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> Hold:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
