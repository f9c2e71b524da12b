"""Dotlocks that a killed process of ours left: removed at the start, not at the next use.

An MDA would wait for such a lock for minutes (L-22). Where the mbox files are that maa ever
locked stands beside their tables (`PATHS`).
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from maa.store.errors import Unavailable
from maa.store.identity import Identity
from maa.store.locks import drop_if_stale

PATHS = "mbox/*.path"

_log = logging.getLogger(__name__)


def drop_dead_locks(state: str) -> None:
    """Look at every mbox of every user; each under its user's identity, for users own the lists."""
    try:
        users = [entry.path for entry in os.scandir(os.path.join(state, "users"))]
    except FileNotFoundError:
        return
    for user in users:
        try:
            found = os.lstat(user)
            if stat.S_ISDIR(found.st_mode):
                with Identity(found.st_uid, found.st_gid):
                    _drop(Path(user))
        except (OSError, Unavailable) as error:
            _log.warning("%s: cannot look for locks: %s", user, error)


def _drop(user: Path) -> None:
    for note in user.glob(PATHS):
        descriptor = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            path = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
        if path.startswith(b"/") and os.path.lexists(path + b".lock"):
            drop_if_stale(path)
