"""The question every login asks: do this name and this password belong together, and to whom?

`Authenticator.check` asks the sources in order. The first that knows the user decides; one that
does not know the user leaves it to the next; one that cannot be asked makes the answer
`AuthUnavailable` unless another accepts (R251).

Theory of the cache: an accepted pair is remembered for a minute as a BLAKE2 digest, keyed with
octets that this process alone knows, so the table gives away no password and an attacker cannot
choose digests. `remembered` looks there without blocking. Before it trusts the table it compares
every source's `stamp`, which for a password file is one stat() (about a microsecond, of a file
on a local disk): the entry of a password that has just been changed is never used again, not
even for the rest of its minute. A saslauthd cannot say that it changed; there the minute is
the bound. Only successes are remembered, with the service they were for.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials
from maa.auth.mechanisms import MECHANISMS
from maa.auth.penalties import Penalties
from maa.user import User, usable_name

PASSWORD_OCTETS_MAX = 1024
"""saslauthd's own bound; no hash of ours needs more."""
REMEMBERED_MAX = 10_000

_log = logging.getLogger(__name__)


class Source(Protocol):
    """One place that knows users."""

    def check(self, name: str, password: bytes, service: str) -> User | None:
        """The user; None when not known here; raises AuthError. May block."""

    def find(self, name: str) -> User | None:
        """The user without a password, for the administrator's tools. May block."""

    def pretend(self, name: str, password: bytes) -> None:
        """Spend the time that `check` of a known user takes (R033). May block."""

    def stamp(self) -> Hashable:
        """Changes when the source does. Never blocks."""


Stamps = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class _Remembered:
    digest: bytes
    user: User
    until: float
    stamps: Stamps


class Authenticator:
    """Credential sources in order, with a short memory of what they accepted."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        penalties: Penalties | None = None,
        remember_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = tuple(sources)
        self.penalties = penalties or Penalties()
        """For mechanisms that prove users without a password, too."""
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._memory: dict[tuple[str, str], _Remembered] = {}
        self._changing = threading.Lock()

    def mechanisms(self) -> tuple[bytes, ...]:
        """The SASL mechanisms these sources can check: all of them need the password itself."""
        return tuple(MECHANISMS)

    def remembered(self, name: str, password: str, service: str = "imap") -> User | None:
        """The user whose very password was accepted a short time ago. Never blocks."""
        entry = self._memory.get((name, service))
        if entry is None:
            return None
        same = hmac.compare_digest(entry.digest, self._digest(name, password, service))
        if self._clock() >= entry.until or self._stamps() != entry.stamps:
            self._forget(name, service, entry)
            return None
        return entry.user if same else None

    def check(self, name: str, password: str, service: str = "imap", address: str = "") -> User:
        """Ask the sources in order; raises AuthError. May block for as long as they take.

        `address` is the client's; who guesses has to wait, or is not heard (Throttled).
        """
        wait_seconds = self.penalties.wait_seconds(address, name)
        begun = time.monotonic()
        try:
            # Taken before the sources are asked: after a change meanwhile they match no more.
            stamps = self._stamps()
            user = self._asked(name, password.encode("utf-8", "surrogateescape"), service)
        except AuthError as error:
            error.spent_seconds = time.monotonic() - begun
            if isinstance(error, BadCredentials):
                self.penalties.failed(address, name, password)
                error.wait_seconds = wait_seconds
            raise
        self.penalties.succeeded(address, name)
        self._remember(name, password, service, user, stamps)
        return user

    def find(self, name: str) -> User | None:
        """The user as the first source that knows the name describes it. May block."""
        if usable_name(name):
            for source in self._sources:
                user = source.find(name)
                if user is not None:
                    return user
        return None

    def _asked(self, name: str, password: bytes, service: str) -> User:
        if not usable_name(name) or b"\0" in password or len(password) > PASSWORD_OCTETS_MAX:
            for source in self._sources:
                source.pretend(name, password.replace(b"\0", b"")[:PASSWORD_OCTETS_MAX])
            raise BadCredentials(name)
        unavailable: AuthUnavailable | None = None
        for source in self._sources:
            try:
                user = source.check(name, password, service)
            except AuthUnavailable as error:
                _log.warning("login of %s: %s", name, error)
                unavailable = error
                continue
            except BadCredentials:
                if unavailable is not None:
                    raise unavailable from None
                raise
            if user is not None:
                return user
        if unavailable is not None:
            raise unavailable
        raise BadCredentials(name)

    def _remember(self, name: str, password: str, service: str, user: User, stamps: Stamps) -> None:
        entry = _Remembered(
            self._digest(name, password, service),
            user,
            self._clock() + self._remember_seconds,
            stamps,
        )
        with self._changing:
            self._memory.pop((name, service), None)
            while len(self._memory) >= REMEMBERED_MAX:
                del self._memory[next(iter(self._memory))]
            self._memory[name, service] = entry

    def _forget(self, name: str, service: str, entry: _Remembered) -> None:
        with self._changing:
            if self._memory.get((name, service)) is entry:
                del self._memory[name, service]

    def _stamps(self) -> Stamps:
        return tuple(source.stamp() for source in self._sources)

    def _digest(self, name: str, password: str, service: str) -> bytes:
        pair = f"{service}\0{name}\0{password}".encode("utf-8", "surrogateescape")
        return blake2b(pair, key=self._key, digest_size=32).digest()
