"""Files of ours in a directory that belongs to the user, who may have put anything there."""

from __future__ import annotations

import errno
import os
import stat

FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_private(path: str, most: int | None = None) -> int:
    """A descriptor to read a regular file, of at most so many octets; OSError. Never waits."""
    descriptor = os.open(path, os.O_RDONLY | FLAGS)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (most is not None and found.st_size > most):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no file of ours", path)
    return descriptor


def read_private(path: str, most: int) -> bytes:
    """The octets of a regular file; OSError."""
    with os.fdopen(open_private(path, most), "rb") as file:
        return file.read()


def set_aside(path: str) -> None:
    """Give what is no file of ours, or makes no sense, another name; OSError."""
    os.replace(path, path + ".abandoned")
