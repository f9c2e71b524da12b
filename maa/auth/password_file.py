"""The password file: one line a user, as Dovecot's passwd-file has them.

`password_line` says what a line is; `user:hash` is enough, so an htpasswd file is one too, and
missing fields leave the choice to `[mail]`. `#` begins a comment. The
file is read again as soon as its stat() differs, so a change needs no signal. A damaged line is
reported with its number and stops nobody else: if its name can be read, that user gets "try
again later" and not "wrong password", which would make phones forget the password (R251).
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from maa.auth import hashes, verifiers
from maa.auth.errors import AuthUnavailable, BadCredentials, Disabled, Undecided
from maa.auth.new_hashes import new_hash
from maa.auth.password_edit import exchange_password
from maa.auth.password_line import Entry, Fault, parsed
from maa.auth.settled_file import reachable, settled, stamp, stamp_of
from maa.auth.source import Serves, Source, Stored
from maa.user import User

# Verified in place of a missing user when the file itself offers nothing to imitate.
_NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$SmntfS+l1DrHuHduzdk7pw"
    "$n5OsUQT51pWXj6yUFuBwBwOkj39TmM9tjHUivB9QxZE"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Content:
    stamp: Hashable
    entries: dict[str, Entry]
    decoys: tuple[str, ...]
    faults: tuple[Fault, ...]
    serves: Serves
    scram_shapes: Mapping[str, frozenset[verifiers.Shape]]


class PasswordFile(Source):
    """A credential source over one file; safe to use from several threads."""

    def __init__(self, path: str, rehash: str = "none") -> None:
        """`rehash`: the scheme in which a password is stored anew when its user logs in."""
        self.path = path
        self._rehash = rehash
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
            raise Undecided(f"{self.path} line {entry.fault.line}: {entry.fault.text}")
        if not entry.stored:
            self._imitate(content, name, password)
            raise BadCredentials(name)
        try:
            fits = hashes.verified(entry.stored, password, name)
        except hashes.UnknownHash as error:
            raise Undecided(f"{self.path}: the hash of {name}: {error}") from None
        if not fits:
            raise BadCredentials(name)
        if entry.disabled:
            raise Disabled(name)
        if self._rehash != "none" and hashes.scheme_name(entry.stored) != self._rehash:
            self._store_anew(name, entry.stored, password)
        return entry.user

    def stored(self, name: str) -> Stored | None:
        """What the line says of the user; AuthUnavailable for a damaged line."""
        entry = self._current().entries.get(name)
        if entry is None:
            return None
        if entry.fault is not None:
            raise Undecided(f"{self.path} line {entry.fault.line}: {entry.fault.text}")
        return Stored(entry.user, entry.stored, entry.disabled)

    def serves(self) -> Serves:
        """Which challenges the users could answer when the file was read last. Never blocks."""
        content = self._content
        return Serves() if content is None else content.serves

    def scram_shapes(self, mechanism: str) -> frozenset[verifiers.Shape]:
        """Those of the file's secrets; AuthUnavailable. May block."""
        return self._current().scram_shapes.get(mechanism, frozenset())

    def load(self) -> None:
        """Read the file if it has changed; what is wrong is logged. May block."""
        try:
            self._current()
        except AuthUnavailable as error:
            _log.warning("%s", error)

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

    def pretend(self, name: str, password: bytes, service: str) -> None:
        """Spend the time a known user's check takes (R033)."""
        try:
            self._imitate(self._current(), name, password)
        except AuthUnavailable as error:
            _log.warning("%s", error)

    def stamp(self) -> Hashable:
        """Changes with every change of the file. One stat() of a file on a local disk."""
        return stamp(self.path)

    def _store_anew(self, name: str, old: str, password: bytes) -> None:
        try:
            exchange_password(self.path, name, old, new_hash(password, self._rehash))
        except hashes.PasswordTooLong as error:
            _log.info("%s: the password of %s stays as it is: %s", self.path, name, error)
        except OSError as error:
            # The login is right all the same.
            _log.warning("%s: %s is not stored anew: %s", self.path, name, error.strerror)
        else:
            _log.info("%s: the password of %s is now %s", self.path, name, self._rehash)

    def _imitate(self, content: _Content, name: str, password: bytes) -> None:
        # Always the same line's hash for one name: a file with hashes of several costs then
        # shows the same spread of times for names it has and for names it has not.
        digest = blake2b(name.encode("utf-8", "surrogateescape"), key=self._key).digest()
        decoys = content.decoys or (_NOBODY,)
        try:
            hashes.verified(decoys[int.from_bytes(digest[:8]) % len(decoys)], password, name)
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
            data, status = settled(self.path)
        except OSError as error:
            raise AuthUnavailable(f"{self.path}: {error.strerror}") from None
        faults = [Fault(0, text) for text in reachable(status)]
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
        serves = Serves.of(verifiers.serves(stored) for stored in decoys)
        shapes = {
            name: frozenset(shape for one in decoys if (shape := verifiers.scram_shape(one, name)))
            for name in verifiers.SCRAM_DIGESTS
            if name in serves.some
        }
        return _Content(stamp_of(status), entries, decoys, tuple(faults), serves, shapes)
