"""Changes of a password file: one line is replaced, all others stay as they are.

The new file is written beside the old one, flushed, and renamed over it, so whoever reads meanwhile
sees the one or the other, whole; mode and owner stay. Two who change it at once wait for each
other by a lock on the file itself, taken anew when the file was replaced while waiting.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass

NEW_FILE_MODE = 0o600
EXTRAS = ("inbox", "folders", "quota", "allow_nets", "protocols", "expires")
"""The keys behind the shell that are set one by one; an empty value takes one away."""


class NoSuchUser(LookupError):
    """The file has no line for the user."""


@dataclass(frozen=True, slots=True)
class Fields:
    """What is to stand in a user's line behind the password; None leaves it as it is."""

    uid: int | None = None
    gid: int | None = None
    home: str | None = None
    inbox: str | None = None
    folders: str | None = None
    quota: str | None = None
    allow_nets: str | None = None
    protocols: str | None = None
    expires: str | None = None


def set_password(path: str, name: str, stored: str | None, fields: Fields) -> bool:
    """Give the user this stored password (None: keep it) and fields; whether the user is new."""
    with changing(path, create=True) as lines:
        at = _place(lines, name)
        if at is None and stored is None:
            raise NoSuchUser(name)
        line = lines[at].decode("utf-8", "surrogateescape") if at is not None else name
        changed = _changed(line, stored, fields).encode("utf-8", "surrogateescape")
        if at is None:
            lines.append(changed)
        else:
            lines[at] = changed
        return at is None


def exchange_password(path: str, name: str, old: str, new: str) -> bool:
    """Put a stored password in the place of another, if it is still there; whether it was."""
    with changing(path, create=False) as lines:
        at = _place(lines, name)
        if at is None:
            return False
        parts = lines[at].decode("utf-8", "surrogateescape").rstrip("\r").split(":", 7)
        # A user who may not log in has the hash behind a mark, and is never asked for it.
        if len(parts) < 2 or parts[1] != old:
            return False
        lines[at] = ":".join((name, new, *parts[2:])).encode("utf-8", "surrogateescape")
        return True


def delete(path: str, name: str) -> None:
    """Remove the user's lines; NoSuchUser."""
    with changing(path, create=False) as lines:
        if _place(lines, name) is None:
            raise NoSuchUser(name)
        while (at := _place(lines, name)) is not None:
            del lines[at]


def _place(lines: list[bytes], name: str) -> int | None:
    wanted = name.encode()
    places = (at for at, line in enumerate(lines) if line.split(b":", 1)[0] == wanted)
    return next(places, None)


def _changed(line: str, stored: str | None, fields: Fields) -> str:
    parts = line.rstrip("\r").split(":", 7)
    parts += [""] * (8 - len(parts))
    if stored is not None:
        parts[1] = stored
    for place, value in ((2, fields.uid), (3, fields.gid), (5, fields.home)):
        if value is not None:
            parts[place] = str(value)
    extras = parts[7].split()
    for key in EXTRAS:
        value = getattr(fields, key)
        if value is not None:
            extras = [word for word in extras if not word.startswith(f"{key}=")]
            extras += [f"{key}={value}"] if value else []
    parts[7] = " ".join(extras)
    # Short forms stay short: `user:hash`.
    return ":".join(parts).rstrip(":")


@contextlib.contextmanager
def changing(path: str, *, create: bool) -> Iterator[list[bytes]]:
    """The file's lines, to be changed in place; written when the block ends without an error."""
    path = os.path.realpath(path)
    descriptor = _locked(path, create)
    try:
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        before = lines.copy()
        yield lines
        if lines != before:
            replace_file(path, descriptor, b"".join(line + b"\n" for line in lines))
    finally:
        os.close(descriptor)


def _locked(path: str, create: bool) -> int:
    """The file, open and locked, and still the one of that name."""
    flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    while True:
        descriptor = os.open(path, flags, NEW_FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass  # replaced or removed while we waited: open what is there now
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def replace_file(path: str, old: int, data: bytes) -> None:
    """Put octets in the place of an open file, with its owner and mode, durably; OSError."""
    status = os.fstat(old)
    temporary = f"{path}.{os.getpid()}.new"
    new = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE_MODE)
    try:
        with open(new, "wb") as file:
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(new, status.st_uid, status.st_gid)
            os.fchmod(new, status.st_mode & 0o7777)
            file.write(data)
            file.flush()
            os.fsync(new)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
