"""The partitions on which mail lies."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Partition:
    """One mounted file system; all numbers are octets."""

    mounted: str
    size: int
    used: int
    free: int
    """What is left for everybody but root."""

    @property
    def full_at(self) -> int:
        """How much can be used."""
        return self.used + self.free

    @property
    def half(self) -> int:
        """What all mailboxes together should stay below, by the old rule of mail systems."""
        return self.size // 2

    @classmethod
    def of(cls, path: str) -> Partition:
        """The one on which a path is; OSError."""
        found = os.statvfs(path)
        block = found.f_frsize
        return cls(
            _mount_point(path),
            found.f_blocks * block,
            (found.f_blocks - found.f_bfree) * block,
            found.f_bavail * block,
        )


def _mount_point(path: str) -> str:
    path = os.path.realpath(path)
    device = os.stat(path).st_dev
    while path != "/":
        above = os.path.dirname(path)
        if os.stat(above).st_dev != device:
            break
        path = above
    return path
