"""Whether somebody is writing to a file just now (L-23).

MDAs write a message elsewhere and link or rename it into a Maildir; procmail's MH folders, cp(1)
and tar(1) write in place, and until they close the file, it is not the message.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from typing import Final

from maa.store.remote import is_remote

SETTLED_SECONDS: Final = 10.0
"""Nobody writes to a file that was left alone for so long."""


def is_recent(modified: float) -> bool:
    """Whether a file with that modification time may be in the middle of being written."""
    return time.time() - modified <= SETTLED_SECONDS


def is_being_written(descriptor: int, directory: bytes, presumed: bool) -> bool:
    """Whether any process has the open file open for writing.

    `presumed`: the answer where the kernel does not tell; `directory`: of the file.
    """
    try:
        # The kernel gives a lease to read only while nobody can write (fcntl(2)). Who opens
        # the file to write just now is held up, and this process told by a signal: not by
        # SIGIO, which would end it.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        # NFS answers so when it does not know.
        return presumed or not is_remote(directory)
    except OSError:
        return presumed
    return False


def is_whole(path: bytes, status: os.stat_result, directory: bytes, presumed: bool) -> bool:
    """Whether a file's writer is done with it; one that cannot be opened counts as whole."""
    if not is_recent(status.st_mtime):
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return True  # gone again, or not for us to read: whoever opens it will see
    try:
        return not is_being_written(descriptor, directory, presumed)
    finally:
        os.close(descriptor)
