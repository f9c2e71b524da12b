"""A message on its way into a Maildir: written in `tmp`, under a name that no other has (R243)."""

from __future__ import annotations

import itertools
import os
import socket
import time
from contextlib import suppress
from typing import Final

from maa.message.flags import Flags, to_letters
from maa.store.directories import translated
from maa.store.maildirsize import sized

INFO: Final = b":2,"
"""What stands between a file's base name and the letters of its flags (maildir(5))."""
_serial = itertools.count()


class MaildirArriving:
    """A message being written in `tmp` (R243)."""

    def __init__(self, root: bytes, key: bytes | None = None) -> None:
        """Create the file; NoSpace, Unavailable."""
        self._key = key or unique_name()
        self._path = root + b"tmp/" + self._key
        self._octets = 0
        with translated(os.fsdecode(root)):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)

    def write(self, data: bytes) -> None:
        """Add octets as they are (R120)."""
        with translated(os.fsdecode(self._path)):
            left = memoryview(data)
            self._octets += len(data)
            while left:
                left = left[os.write(self._descriptor, left) :]

    def finish(self, flags: Flags, internal_date: int | None) -> bytes:
        """Wait until the octets are on the disk; the place it will have after `settle`."""
        with translated(os.fsdecode(self._path)):
            if internal_date is not None:
                os.utime(self._descriptor, (internal_date, internal_date))
            os.fsync(self._descriptor)
            os.close(self._descriptor)
        self._descriptor = -1
        return settled_place(sized(self._key, self._octets), flags)

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with suppress(FileNotFoundError):
            os.unlink(self._path)


def settled_place(key: bytes, flags: Flags) -> bytes:
    """Where a message of ours comes to lie."""
    return b"cur/" + key + INFO + to_letters(flags).encode("ascii")


def unique_name() -> bytes:
    """A name no other delivery has: time, microseconds, process, serial number, host."""
    now = time.time_ns()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072") or "localhost"
    seconds, microseconds = now // 10**9, now // 1000 % 10**6
    name = f"{seconds}.M{microseconds}P{os.getpid()}Q{next(_serial)}.{host}"
    return name.encode("utf-8", "surrogateescape")
