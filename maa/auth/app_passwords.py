"""App passwords: one for each device of a user, made by the server, shown once, revocable.

    user:device:{SSHA256}hash:2026-11-26

They stand in a file of their own, beside whatever source knows the user, so they work with
saslauthd too. Each has 100 random bits, so a fast hash keeps it, and one check tries all devices
of the user. When and from where a device was seen last is the time and the content of a small
file in the server's own folder, for the list of passwords is the administrator's.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from maa.auth import hashes
from maa.auth.password_edit import changing
from maa.auth.settled_file import settled, stamp, stamp_of
from maa.user import usable_name

_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_LETTERS: Final = 20
_GROUP: Final = 5
_DEVICE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AppPassword:
    """One device's line."""

    name: str
    device: str
    stored: str
    created: str


@dataclass(frozen=True, slots=True)
class LastUse:
    """When, in seconds since the epoch, and from which address a device logged in last."""

    seconds: float
    address: str


@dataclass(frozen=True, slots=True)
class _Content:
    stamp: Hashable
    by_name: dict[str, tuple[AppPassword, ...]]
    fault: str = ""
    """Why nobody's can be told."""


class NoSuchDevice(LookupError):
    """The user has no app password of this name."""


class AppPasswords:
    """The file of app passwords, and the folder of their last use; safe for several threads."""

    def __init__(self, path: str, seen: str) -> None:
        """`seen`: the folder; made when it is not there."""
        self.path = path
        self._seen = seen
        self._loading = threading.Lock()
        self._content: _Content | None = None

    def device(self, name: str, password: bytes) -> str | None:
        """The device whose password of this user it is. May block."""
        listed = self._current().by_name.get(name)
        if listed is None:
            return None
        typed = _normal(password)
        fitting = [one.device for one in listed if hashes.verified(one.stored, typed)]
        return fitting[0] if fitting else None

    def load(self) -> None:
        """Read the file if it has changed. May block."""
        self._current()

    def anybody(self) -> bool:
        """Whether somebody had one when the file was read last. Never blocks."""
        return self._content is not None and bool(self._content.by_name)

    def fault(self) -> str:
        """Why nobody's device is found at present; empty: they are. May block."""
        return self._current().fault

    def listed(self, name: str) -> tuple[AppPassword, ...]:
        """The user's app passwords. May block."""
        return self._current().by_name.get(name, ())

    def stamp(self) -> Hashable:
        """Changes when a password is added or revoked. Never blocks."""
        return stamp(self.path)

    def note_use(self, name: str, device: str, address: str) -> None:
        """Remember that the device was here now. May block."""
        file = self._seen_file(name, device)
        try:
            os.makedirs(self._seen, mode=0o700, exist_ok=True)
            with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
                out.write(address[:100])
        except OSError as error:
            # The login is right all the same.
            _log.warning("%s: %s", error.filename or file, error.strerror)

    def last_use(self, name: str, device: str) -> LastUse | None:
        """When the device was here last; None: never. May block."""
        file = self._seen_file(name, device)
        try:
            with open(file, encoding="ascii", errors="replace") as text:
                return LastUse(os.fstat(text.fileno()).st_mtime, text.read(100))
        except FileNotFoundError:
            return None

    def add(self, name: str, device: str) -> str:
        """A new password, which replaces an older one of the device; ValueError, OSError."""
        if not _DEVICE.fullmatch(device):
            raise ValueError(f"{device!r} is no name of a device: letters, digits, blank . _ -")
        letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
        line = f"{name}:{device}:{_stored(letters.encode())}:{datetime.date.today().isoformat()}"
        with changing(self.path, create=True) as lines:
            lines[:] = [one for one in lines if not _is_of(one, name, device)]
            lines.append(line.encode())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._seen_file(name, device))
        return "-".join(letters[at : at + _GROUP] for at in range(0, _LETTERS, _GROUP))

    def revoke(self, name: str, device: str) -> None:
        """Take the device's password away; NoSuchDevice, OSError."""
        with changing(self.path, create=False) as lines:
            left = [one for one in lines if not _is_of(one, name, device)]
            if len(left) == len(lines):
                raise NoSuchDevice(device)
            lines[:] = left
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._seen_file(name, device))

    def _seen_file(self, name: str, device: str) -> str:
        key = f"{name}\0{device}".encode("utf-8", "surrogateescape")
        return os.path.join(self._seen, hashlib.sha256(key).hexdigest()[:32])

    def _current(self) -> _Content:
        content = self._content
        if content is not None and content.stamp == self.stamp():
            return content
        with self._loading:
            content = self._content
            if content is None or content.stamp != self.stamp():
                content = self._content = self._loaded()
            return content

    def _loaded(self) -> _Content:
        before = self.stamp()
        try:
            data, status = settled(self.path)
        except FileNotFoundError:
            return _Content(before, {})  # nobody has one
        except OSError as error:
            # Whoever has another password is not to wait for this file.
            fault = f"{self.path}: {error.strerror}"
            if self._content is None or self._content.fault != fault:
                _log.warning("%s", fault)
            # It may be read the next time, though nothing of it changed.
            return _Content(object(), {}, fault)
        found: dict[str, tuple[AppPassword, ...]] = {}
        for one in self._lines(data.decode("utf-8", "surrogateescape")):
            found[one.name] = (*found.get(one.name, ()), one)
        return _Content(stamp_of(status), found)

    def _lines(self, text: str) -> Iterator[AppPassword]:
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.rstrip("\r").split(":")
            try:
                name, device, stored, created = fields
                hashes.ensure_known(stored)
            except ValueError as error:
                _log.warning("%s line %d: %s", self.path, number, error)
                continue
            if usable_name(name):
                yield AppPassword(name, device, stored, created)


def _normal(password: bytes) -> bytes:
    """Without the marks between groups and blanks, in small letters: it is typed on phones."""
    return password.replace(b"-", b"").replace(b" ", b"").lower()


def _stored(password: bytes) -> str:
    salt = secrets.token_bytes(16)
    digest = hashlib.sha256(password + salt).digest()
    return "{SSHA256}" + base64.b64encode(digest + salt).decode("ascii")


def _is_of(line: bytes, name: str, device: str) -> bool:
    return line.split(b":")[:2] == [name.encode(), device.encode()]


def seen_folder(state: str) -> str:
    """Where a server with this state folder notes last uses."""
    return os.path.join(state, "app-passwords")


def when(use: LastUse | None) -> str:
    """A last use for people."""
    if use is None:
        return "never used"
    moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(use.seconds))
    return f"last used {moment} from {use.address or 'this machine'}"
