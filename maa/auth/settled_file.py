"""Files of administrators, read such that every later change shows in their stat()."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Hashable
from typing import Final

FILE_OCTETS_MAX: Final = 1 << 27
_SETTLED_SECONDS: Final = 0.02
"""More than the kernel's clock tick, within which two changes have the same time stamp."""


def stamp(path: str) -> Hashable:
    """Changes with every change of the file. One stat() of a file on a local disk."""
    try:
        return stamp_of(os.stat(path))
    except OSError as error:
        return error.errno


def settled(path: str) -> tuple[bytes, os.stat_result]:
    """The file and its stat(), such that a later change must show in a later stat()."""
    for _ in range(5):
        # Without O_NONBLOCK the open of a FIFO would wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "not a regular file")
            if status.st_size > FILE_OCTETS_MAX:
                raise OSError(0, "larger than any such file")
            data = file.read(FILE_OCTETS_MAX)
        if abs(time.time() - status.st_ctime) > _SETTLED_SECONDS:
            break
        time.sleep(_SETTLED_SECONDS)
    return data, status


def stamp_of(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip


def reachable(status: os.stat_result) -> list[str]:
    """What is wrong with the mode of a file that has secrets, and what to do."""
    faults = []
    if status.st_mode & stat.S_IROTH:
        faults.append("everybody on this machine can read it: chmod o-r")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        faults.append("others than its owner can write it: chmod go-w")
    return faults
