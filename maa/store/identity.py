"""The user's file-system identity, taken by one thread for as long as it works for that user.

Linux keeps a user id for file access alone, for each thread (setfsuid(2)). A worker thread that
has taken it reads and writes as the user would: files belong to their users, and a symlink to
somebody else's mail opens nothing. The supplementary groups are dropped too: what a user may
reach through groups besides the own one is not mail, and this process's groups are not the
user's. That needs the raw system call, because the C library's setgroups changes every thread
of the process; a process without supplementary groups saves it, half of a switch's cost.

A process that is the user already (an installation with one mail uid) never switches. One that
must switch needs CAP_SETUID and CAP_SETGID, or to be root.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import platform
import pwd
import sys
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from maa.store.errors import Unavailable
from maa.user import User

_log = logging.getLogger(__name__)

# PyDLL keeps the interpreter lock: these calls do not block, and giving it up costs more.
_libc = ctypes.PyDLL(None)
_libc.setfsuid.argtypes = _libc.setfsgid.argtypes = [ctypes.c_uint]
_libc.syscall.argtypes = [ctypes.c_long, ctypes.c_size_t, ctypes.c_void_p]
_libc.syscall.restype = ctypes.c_long

_SETGROUPS_CALLS: Final = {
    "x86_64": 116,
    "aarch64": 159,
    "riscv64": 159,
    "loongarch64": 159,
    "ppc64le": 81,
    "s390x": 206,
}
_SETGROUPS: Final = _SETGROUPS_CALLS.get(platform.machine()) if sys.maxsize > 1 << 32 else None
# An id that does not exist changes nothing, and the call answers the present one.
_NOBODY: Final = 0xFFFFFFFF


class _Thread(threading.local):
    """Which identity this thread has, and those it had outside the present `with`."""

    def __init__(self) -> None:
        self.now: Identity | None = None  # None: the process's own
        self.outer: list[Identity | None] = []
        self.own_groups: tuple[int, ...] = ()
        self.groups: tuple[int, ...] = ()  # at present


@dataclass(frozen=True, slots=True)
class Identity:
    """A file-system identity; `with identity:` takes it for this thread and gives it back.

    A `with` inside another of the same identity costs next to nothing, and so does the
    process's own.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    """Supplementary groups."""

    @classmethod
    def own(cls) -> Identity:
        """The process's own identity."""
        return cls(os.geteuid(), os.getegid())

    @classmethod
    def of(cls, user: User) -> Identity:
        """The identity for work on a user's mail; may ask the system's user database."""
        uid = os.geteuid() if user.uid is None else user.uid
        if os.geteuid() and not (uid and user.gid != 0):
            # Privileges were shed, and no login gives them back.
            _log.error("user %s: the mail of root is not served", user.name)
            raise Unavailable("root's identity is never taken")
        if user.gid is not None:
            return cls(uid, user.gid)
        if user.uid is None or user.uid == os.geteuid():
            return cls(uid, os.getegid())
        try:
            return cls(uid, pwd.getpwuid(uid).pw_gid)
        except KeyError:
            _log.error("user %s: uid %d has no group: give a gid with it", user.name, uid)
            raise Unavailable(f"no group for uid {uid}") from None

    def __enter__(self) -> None:
        thread = _thread
        before = thread.now
        own = self.uid == os.geteuid() and self.gid == os.getegid() and not self.groups
        wanted = None if own else self
        thread.outer.append(before)
        if wanted is before or wanted == before:
            return
        if before is None:
            thread.groups = thread.own_groups = tuple(os.getgroups())
        try:
            _take(thread, wanted)
        except Unavailable:
            _take(thread, thread.outer.pop())
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        thread = _thread
        before = thread.outer.pop()
        if before is not thread.now:
            _take(thread, before)


_thread = _Thread()


def with_group(gid: int) -> Identity | None:
    """This thread's identity with another group, but root's; None: it has the process's own."""
    now = _thread.now
    return None if now is None or not gid else Identity(now.uid, gid)


def _take(thread: _Thread, identity: Identity | None) -> None:
    """Give this thread an identity, or its own, and verify that it has it."""
    if identity is None:
        uid, gid, groups = os.geteuid(), os.getegid(), thread.own_groups
    else:
        uid, gid, groups = identity.uid, identity.gid, identity.groups
    if groups != thread.groups:
        if not _set_groups(groups):
            _refused(uid, gid)
        thread.groups = groups
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)
    if _libc.setfsgid(_NOBODY) != gid or _libc.setfsuid(_NOBODY) != uid:
        _refused(uid, gid)
    thread.now = identity


def _set_groups(groups: tuple[int, ...]) -> bool:
    if _SETGROUPS is None:
        return False
    return bool(_libc.syscall(_SETGROUPS, len(groups), _array(groups)) == 0)


@functools.lru_cache(maxsize=1024)
def _array(groups: tuple[int, ...]) -> ctypes.Array[ctypes.c_uint32]:
    return (ctypes.c_uint32 * len(groups))(*groups)


def _refused(uid: int, gid: int) -> None:
    _log.error(
        "cannot take the file-system identity %d:%d as process %d:%d: "
        "it needs CAP_SETUID and CAP_SETGID on Linux",
        *(uid, gid, os.geteuid(), os.getegid()),
    )
    raise Unavailable(f"cannot work as {uid}:{gid}")
