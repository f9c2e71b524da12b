"""Changes of directories, and the system's errors in the store's words."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from maa.store.errors import MessageGone, NoSpace, StoreError, of_system

_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1
_libc = ctypes.CDLL(None, use_errno=True)
_log = logging.getLogger(__name__)


def rename_exclusively(source: bytes, target: bytes) -> None:
    """rename(2) that never replaces another file: two messages may have one name for a moment."""
    if _libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in (errno.EINVAL, errno.ENOSYS):  # file systems that cannot do it, such as NFS
        raise OSError(code, os.strerror(code), source)
    os.link(source, target, follow_symlinks=False)
    os.unlink(source)


def flush_directory(path: bytes) -> None:
    """Wait until a directory's entries are on the disk; Unavailable."""
    with translated(os.fsdecode(path)):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn the system's errors into the store's."""
    try:
        yield
    except OSError as error:
        raise store_error(path, error) from error


def store_error(path: str, error: OSError) -> StoreError:
    """The store's error for one of the system's, with a line in the log where that is due."""
    if isinstance(error, FileNotFoundError):
        return MessageGone(f"{path}: not there")
    found = of_system(error, path)
    level = logging.WARNING if isinstance(found, NoSpace) else logging.ERROR
    _log.log(level, "maildir %s: %s", path, error)
    return found
