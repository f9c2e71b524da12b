"""The password file: one line a user, as Dovecot's passwd-file has them.

    user:{SCHEME}hash:uid:gid:gecos:home:shell:inbox=PLACE folders=PLACE quota=1G nologin

`user:hash` is enough; missing fields leave the choice to `[mail]`. `#` begins a comment. The
file is read again as soon as its stat() differs, so a change needs no signal. A damaged line is
reported with its number and stops nobody else: if its name can be read, that user gets "try
again later" and not "wrong password", which would make phones forget the password (R251).
"""

from __future__ import annotations

import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Hashable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Final

from maa.auth import hashes
from maa.auth.errors import AuthUnavailable, BadCredentials, Disabled
from maa.limits import quota
from maa.user import User, usable_name

FILE_OCTETS_MAX: Final = 1 << 27
_SETTLED_SECONDS: Final = 0.02
"""More than the kernel's clock tick, within which two changes have the same time stamp."""
# Verified in place of a missing user when the file itself offers nothing to imitate.
_NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$SmntfS+l1DrHuHduzdk7pw"
    "$n5OsUQT51pWXj6yUFuBwBwOkj39TmM9tjHUivB9QxZE"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line; line 0 is the file as a whole."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One user's line."""

    user: User
    stored: str
    """`{SCHEME}hash`, or a bare hash; empty when no password fits."""
    disabled: bool = False
    fault: Fault | None = None
    """The line cannot be used: nobody knows whether a password fits."""


@dataclass(frozen=True, slots=True)
class _Content:
    stamp: Hashable
    entries: dict[str, Entry]
    decoys: tuple[str, ...]
    faults: tuple[Fault, ...]


class PasswordFile:
    """A credential source over one file; safe to use from several threads."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._loading = threading.Lock()
        self._content: _Content | None = None
        self._key = secrets.token_bytes(16)

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the file as it is now. May block."""
        try:
            return self._current().faults
        except AuthUnavailable as error:
            return (Fault(0, str(error)),)

    def check(self, name: str, password: bytes, service: str) -> User | None:
        """The user if the password fits; None when the file does not have the name."""
        content = self._current()
        entry = content.entries.get(name)
        if entry is None:
            self._imitate(content, name, password)
            return None
        if entry.fault is not None:
            raise AuthUnavailable(f"{self.path} line {entry.fault.line}: {entry.fault.text}")
        if not entry.stored:
            self._imitate(content, name, password)
            raise BadCredentials(name)
        try:
            fits = hashes.verified(entry.stored, password)
        except hashes.UnknownHash as error:
            raise AuthUnavailable(f"{self.path}: the hash of {name}: {error}") from None
        if not fits:
            raise BadCredentials(name)
        if entry.disabled:
            raise Disabled(name)
        return entry.user

    def find(self, name: str) -> User | None:
        """The user, without a password."""
        entry = self._current().entries.get(name)
        return entry.user if entry is not None and entry.fault is None else None

    def names(self) -> list[str]:
        """Every user's name; AuthUnavailable. May block."""
        return sorted(self._current().entries)

    def users(self) -> list[User]:
        """Every user whose line can be used; AuthUnavailable."""
        return [entry.user for entry in self._current().entries.values() if entry.fault is None]

    def pretend(self, name: str, password: bytes) -> None:
        """Spend the time a known user's check takes (R033)."""
        try:
            self._imitate(self._current(), name, password)
        except AuthUnavailable as error:
            _log.warning("%s", error)

    def stamp(self) -> Hashable:
        """Changes with every change of the file. One stat() of a file on a local disk."""
        try:
            return _stamp_of(os.stat(self.path))
        except OSError as error:
            return error.errno

    def _imitate(self, content: _Content, name: str, password: bytes) -> None:
        # Always the same line's hash for one name: a file with hashes of several costs then
        # shows the same spread of times for names it has and for names it has not.
        digest = blake2b(name.encode("utf-8", "surrogateescape"), key=self._key).digest()
        decoys = content.decoys or (_NOBODY,)
        try:
            hashes.verified(decoys[int.from_bytes(digest[:8]) % len(decoys)], password)
        except hashes.UnknownHash as error:
            _log.warning("%s: %s", self.path, error)

    def _current(self) -> _Content:
        content = self._content
        if content is not None and content.stamp == self.stamp():
            return content
        with self._loading:
            content = self._content
            if content is None or content.stamp != self.stamp():
                content = self._content = self._loaded()
                for fault in content.faults:
                    where = f" line {fault.line}" if fault.line else ""
                    _log.warning("%s%s: %s", self.path, where, fault.text)
            return content

    def _loaded(self) -> _Content:
        try:
            data, status = _settled(self.path)
        except OSError as error:
            raise AuthUnavailable(f"{self.path}: {error.strerror}") from None
        faults = list(_permission_faults(status))
        entries: dict[str, Entry] = {}
        for number, line in enumerate(data.decode("utf-8", "surrogateescape").split("\n"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            entry, found = parsed(line.rstrip("\r"), number)
            faults += found
            if entry is not None and entry.user.name in entries:
                faults.append(Fault(number, f"{entry.user.name} is there already"))
            elif entry is not None:
                entries[entry.user.name] = entry
        decoys = tuple(e.stored for e in entries.values() if e.stored and e.fault is None)
        return _Content(_stamp_of(status), entries, decoys, tuple(faults))


def parsed(line: str, number: int) -> tuple[Entry | None, list[Fault]]:
    """One line: the entry, if its name can be read, and what is wrong with it."""
    fields = line.split(":", 7)
    name = fields[0]
    if not usable_name(name):
        return None, [Fault(number, "no usable user name before the first colon")]
    fields += [""] * (8 - len(fields))
    faults: list[Fault] = []
    user, disabled = User(name), False
    stored = fields[1]
    try:
        if stored.startswith("!") and len(stored.strip("!*")):
            stored, disabled = stored.lstrip("!"), True
        elif stored.strip("!*") == "" and stored:
            stored = ""
        else:
            _ensure_password(stored)
        if stored:
            hashes.ensure_known(stored)
        user = replace(user, uid=_number(fields[2]), gid=_number(fields[3]))
        user = replace(user, home=_home(fields[5]))
        for extra in fields[7].split():
            user, forbidden, wrong = _extra(user, extra)
            disabled = disabled or forbidden
            faults += [Fault(number, wrong)] if wrong else []
    except ValueError as error:
        fault = Fault(number, str(error))
        return Entry(user, stored, disabled, fault), [*faults, fault]
    return Entry(user, stored, disabled), faults


def _ensure_password(stored: str) -> None:
    if not stored:
        raise ValueError("no password; write ! for a user who may not log in")


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32 - 1:
        raise ValueError(f"{text!r} is no uid or gid")
    return int(text)


def _home(text: str) -> str | None:
    if text and not text.startswith("/"):
        raise ValueError(f"home {text!r} is no absolute path")
    return text or None


def _extra(user: User, extra: str) -> tuple[User, bool, str]:
    """One of the words behind the shell: the user with it, whether it forbids, what is wrong."""
    key, equals, value = extra.partition("=")
    if key == "inbox" and value:
        return replace(user, inbox=value), False, ""
    if key == "folders" and value:
        return replace(user, folders=value), False, ""
    if key == "quota" and value:
        try:
            quota(value)
        except ValueError as error:
            # A slip here is not to keep anybody from their mail: the quota of `[mail]` holds.
            return user, False, str(error)
        return replace(user, quota=value), False, ""
    if key == "nologin":
        return user, value.lower() not in ("n", "no"), ""
    if equals and value:
        return user, False, f"unknown key {key!r} is ignored; known: inbox folders quota nologin"
    raise ValueError(f"{extra!r} is not key=value")


def _settled(path: str) -> tuple[bytes, os.stat_result]:
    """The file and its stat(), such that a later change must show in a later stat()."""
    for _ in range(5):
        # Without O_NONBLOCK the open of a FIFO would wait for a writer.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(0, "not a regular file")
            if status.st_size > FILE_OCTETS_MAX:
                raise OSError(0, "larger than any password file")
            data = file.read(FILE_OCTETS_MAX)
        if abs(time.time() - status.st_ctime) > _SETTLED_SECONDS:
            break
        time.sleep(_SETTLED_SECONDS)
    return data, status


def _stamp_of(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )  # fmt: skip


def _permission_faults(status: os.stat_result) -> list[Fault]:
    faults = []
    if status.st_mode & stat.S_IROTH:
        faults.append(Fault(0, "everybody on this machine can read it: chmod o-r"))
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        faults.append(Fault(0, "others than its owner can write it: chmod go-w"))
    return faults
