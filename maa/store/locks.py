"""Locks on mbox files that MDAs and other programs honour: fcntl, flock and dotlock (R232, R233).

Which of them, and in which order, is the site's to say (`[mail] locks`): the order of its MDA.
All are taken or none: whoever finds one taken gives back what it has before it waits, so that
a program with another order can never be waited for while it waits for us.

`fcntl` locks are those of open file descriptions: they stand in the way of every program's
POSIX locks, but belong to one descriptor and not to the process. A dotlock is `NAME.lock`,
made whole by link(2); in its first line stands the process, in its second the host, the boot and
the process's start, so that one left by kill -9 is known at once. Where the directory does not
let the user make files but its group, as a `/var/mail` of group mail does, it is made with that
group, as MDAs and mutt make it, for a file that the user may write to. Where neither may, there is
none, and the log says so once.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
import socket
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

from maa.store.errors import LockTimeout, Unavailable
from maa.store.identity import with_group
from maa.store.remote import is_remote

METHODS: Final = ("fcntl", "flock", "dotlock")
WAIT_SECONDS: Final = 25.0
STUCK_SECONDS: Final = 0.1
"""How long is waited for a lock that somebody waited for in vain just before."""
STALE_SECONDS: Final = 300.0
"""A dotlock of a dead process is stale when nobody touched it for so long (R233)."""
NAMELESS_SECONDS: Final = 1024.0
"""The same of a dotlock that names no process, as procmail's: its own default."""
_PAUSES: Final = (0.002, 0.005, 0.01, 0.02, 0.05)
_NOT_ALLOWED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_NAMELESS: Final = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
_OWN_CONTENT: Final = re.compile(rb"([0-9]{1,10})\n(\S+) (\S+) ([0-9]{1,20})\n")
_ANY_CONTENT: Final = re.compile(rb"\s*([0-9]{1,10})\b")

_log = logging.getLogger(__name__)
_complained: set[bytes] = set()


@dataclass(frozen=True, slots=True)
class Locks:
    """The site's way of locking."""

    order: Sequence[str] = ("fcntl",)
    """Of METHODS, the first to be taken first."""
    seconds: float = WAIT_SECONDS
    """How long is waited for another program."""
    _stuck: dict[bytes, float] = field(default_factory=dict, repr=False, compare=False)
    """Files for which somebody waited in vain, and until when nobody waits as long again."""

    @contextmanager
    def held(self, path: bytes, descriptor: int, write: bool) -> Iterator[None]:
        """Hold every lock of the open file; LockTimeout. To write it must be open for writing.

        To read, no dotlock is made, for procmail sleeps eight seconds when it finds one; only
        that of another is waited for. Whoever reads must look whether the file changed meanwhile.

        A user's sessions wait one behind the other: once the first has waited in vain, the others
        hardly do, else the last was told after as many times the whole wait.
        """
        began = time.monotonic()
        stuck = self._stuck.get(path, began) > began
        until = began + (min(STUCK_SECONDS, self.seconds) if stuck else self.seconds)
        tries = 0
        while isinstance(taken := self._taken(path, descriptor, write), str):
            if time.monotonic() >= until:
                self._stuck[path] = time.monotonic() + self.seconds
                raise LockTimeout(
                    f"{os.fsdecode(path)}: another program has had the {taken} lock "
                    f"for {self.seconds:.0f} s"
                )
            time.sleep(_PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
        self._stuck.pop(path, None)
        try:
            yield
        finally:
            _release(path, descriptor, taken)

    def _taken(self, path: bytes, descriptor: int, write: bool) -> list[str] | str:
        """The methods by which the file is locked now, or the one that somebody else has."""
        taken: list[str] = []
        try:
            for method in self.order:
                if method == "dotlock" and not write:
                    free = None if _removed_if_stale(path + b".lock") else False
                else:
                    free = _take(method, path, descriptor, write)
                if free is None:
                    continue
                if not free:
                    _release(path, descriptor, taken)
                    return method
                taken.append(method)
        except BaseException:
            _release(path, descriptor, taken)
            raise
        return taken


def _take(method: str, path: bytes, descriptor: int, write: bool) -> bool | None:
    """Whether the lock was free and is ours now; None: it cannot be taken here at all."""
    if method == "dotlock":
        return take_dotlock(path)
    try:
        if method == "fcntl":
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(write))
        else:
            kind = fcntl.LOCK_EX if write else fcntl.LOCK_SH
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise Unavailable(f"{os.fsdecode(path)}: cannot lock: {error.strerror}") from error
    return True


@lru_cache(maxsize=2)
def _request(write: bool) -> bytes:
    kind = fcntl.F_WRLCK if write else fcntl.F_RDLCK
    return struct.pack("hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)


_UNLOCK: Final = struct.pack("hhqqi0q", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0)


def _release(path: bytes, descriptor: int, taken: Sequence[str]) -> None:
    """Give back in reverse order (R232)."""
    for method in reversed(taken):
        if method == "dotlock":
            drop_dotlock(path)
        elif method == "fcntl":
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _UNLOCK)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_UN)


# --- dotlocks


def take_dotlock(path: bytes) -> bool | None:
    """Whether `PATH.lock` was free and is ours now; None: we may not make files there."""
    name = path + b".lock"
    for _ in range(2):
        try:
            _with_rights(_make, name)
        except FileExistsError:
            if not _removed_if_stale(name):
                return False
        except OSError as error:
            directory = os.path.dirname(path)
            if error.errno not in _NOT_ALLOWED:
                raise Unavailable(f"{os.fsdecode(name)}: {error.strerror}") from error
            if directory not in _complained:
                _complained.add(directory)
                _log.warning(
                    "no dotlocks in %s: %s; other locks have to do (said only once)",
                    *(os.fsdecode(directory), error.strerror),
                )
            return None
        else:
            return True
    return False


def touch_dotlock(path: bytes) -> None:
    """Show that a lock held for long is alive (R233)."""
    with suppress(OSError):
        os.utime(path + b".lock")


def drop_dotlock(path: bytes) -> None:
    """Give the lock back, unless it is somebody else's by now."""
    name = path + b".lock"
    if _content(name)[0] == _own_content():
        with suppress(FileNotFoundError):
            _with_rights(os.unlink, name)


def drop_if_stale(path: bytes) -> bool:
    """Remove the dotlock of a file if whoever made it is dead; whether it was removed."""
    return _removed_if_stale(path + b".lock")


def _with_rights(change: Callable[[bytes], None], name: bytes) -> None:
    """Make or remove a lock as the user, or else with the directory's group; OSError."""
    try:
        change(name)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            raise
        found = os.stat(os.path.dirname(name))
        identity = with_group(found.st_gid)
        if identity is None or not found.st_mode & stat.S_IWGRP or not _may_write(name):
            raise
        with identity:
            change(name)


def _may_write(name: bytes) -> bool:
    """Whether the file of a lock is the user's to write to: nobody locks those of others."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        os.close(os.open(name.removesuffix(b".lock"), flags))
    except OSError:
        return False
    return True


def _make(name: bytes) -> None:
    """Make the lock with its content at once; OSError."""
    folder = os.path.dirname(name)
    try:
        # Without a name at first: a kill leaves nothing.
        descriptor = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o444)
    except OSError as error:
        if error.errno not in _NO_NAMELESS:
            raise
        _make_named(name)
        return
    try:
        os.write(descriptor, _own_content())
        # With a directory, though the path is absolute: else CPython does not follow the symlink.
        own = b"/proc/self/fd/%d" % descriptor
        os.link(own, name, src_dir_fd=descriptor, follow_symlinks=True)
    finally:
        os.close(descriptor)


def _make_named(name: bytes) -> None:
    own = os.path.dirname(name) + b"/.maa-lock-" + secrets.token_hex(8).encode("ascii")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(own, flags, 0o444)
    try:
        os.write(descriptor, _own_content())
        os.link(own, name)
    finally:
        os.close(descriptor)
        os.unlink(own)


def _own_content() -> bytes:
    pid = os.getpid()
    return b"%d\n%s %s %d\n" % (pid, _host(), _boot(), max(_started(pid) or 0, 0))


def _removed_if_stale(name: bytes) -> bool:
    """Whether the lock is gone now; one of a living process never is (R233)."""
    content, inode, touched = _content(name)
    if inode == 0:
        return True
    if not _is_stale(content, time.time() - touched, is_remote(os.path.dirname(name))):
        return False
    try:
        _with_rights(lambda name: _remove(name, inode), name)
    except FileNotFoundError:
        return True
    except FileExistsError:
        return False
    except OSError as error:
        _log.error("%s is stale and cannot be removed: %s", os.fsdecode(name), error)
        return False
    _log.warning("%s was left by a process that is dead: removed", os.fsdecode(name))
    return True


def _remove(name: bytes, inode: int) -> None:
    """Remove the lock if it still is that one; FileExistsError: it is another; OSError."""
    # Moved first: between look and unlink it may have become somebody else's, who gets it back.
    aside = os.path.dirname(name) + b"/.maa-lock-" + secrets.token_hex(8).encode("ascii")
    os.rename(name, aside)
    another = os.lstat(aside).st_ino != inode
    if another:
        with suppress(FileExistsError):
            os.link(aside, name)
    os.unlink(aside)
    if another:
        raise FileExistsError(errno.EEXIST, "another lock is there", name)


def _content(name: bytes) -> tuple[bytes, int, float]:
    """What stands in the lock, its inode (0: there is none) and when it was touched."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b"", 0, 0.0
    except OSError:
        found = os.lstat(name)  # not ours to read, or no file: only its age says something
        return b"", found.st_ino, found.st_mtime
    try:
        found = os.fstat(descriptor)
        regular = stat.S_ISREG(found.st_mode)
        return os.read(descriptor, 512) if regular else b"", found.st_ino, found.st_mtime
    finally:
        os.close(descriptor)


def _is_stale(content: bytes, age: float, shared: bool) -> bool:
    """`shared`: a process that the lock names may be one of another machine."""
    own = _OWN_CONTENT.fullmatch(content)
    if own is not None and own[2] == _host():
        # Ours, on this host: what the process was is known exactly, however young the lock is.
        started = _started(int(own[1])) if own[3] == _boot() else None
        return started is None or (started != int(own[4]) and started != _UNKNOWN)
    other = _ANY_CONTENT.match(content)
    if own is None and other is not None and int(other[1]) and not shared:
        return age > STALE_SECONDS and _started(int(other[1])) is None
    return age > NAMELESS_SECONDS


@lru_cache(maxsize=1)
def _host() -> bytes:
    return (socket.gethostname() or "localhost").encode("utf-8", "replace").replace(b" ", b"_")


@lru_cache(maxsize=1)
def _boot() -> bytes:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    except OSError:
        return b"-"


_UNKNOWN: Final = -1


def _started(pid: int) -> int | None:
    """When a process started, in ticks since boot, or _UNKNOWN; None: there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except OSError:
            pass
        return _UNKNOWN
    return None if fields[0] == b"Z" else int(fields[19])
