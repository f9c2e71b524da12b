"""Which directories other machines may change, without the kernel here telling anybody (R246).

inotify works on NFS, but hears only of what this machine does there: where a Maildir is on such a
disk, nothing that is remembered may be trusted.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Final

_MOUNTS: Final = "/proc/self/mountinfo"
_SHARED: Final = frozenset(
    b"9p afs beegfs ceph cifs coda gfs2 glusterfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb3".split()
)
_SHARED_FUSE: Final = frozenset(
    b"fuse.ceph-fuse fuse.glusterfs fuse.juicefs fuse.mfs fuse.moosefs fuse.s3fs fuse.sshfs".split()
)


def is_remote(path: str | bytes) -> bool:
    """Whether the directory is on a disk that several machines may use at once."""
    try:
        device = os.stat(path).st_dev
    except OSError:
        return False
    return is_remote_device(device)


def is_remote_device(device: int) -> bool:
    """The same, by the number of a mounted file system."""
    return _kind(device) in _SHARED | _SHARED_FUSE


@lru_cache(maxsize=256)
def _kind(device: int) -> bytes:
    """The type of the file system with this device number; empty when it is not known."""
    number = b"%d:%d" % (os.major(device), os.minor(device))
    try:
        with open(_MOUNTS, "rb") as file:
            return file_systems(file.read()).get(number, b"")
    except OSError:
        return b""


def file_systems(mountinfo: bytes) -> dict[bytes, bytes]:
    """Types of file systems by device number, from /proc/PID/mountinfo (proc(5))."""
    found = {}
    for line in mountinfo.splitlines():
        front, _, rear = line.partition(b" - ")
        words = front.split()
        if len(words) > 2 and rear:
            found[words[2]] = rear.split()[0]
    return found
