"""The passwords accepted a short time ago: a session that comes back costs no hash.

An accepted pair is remembered for a minute as a BLAKE2 digest, keyed with octets that this process
alone knows, so the table gives away no password and an attacker cannot choose digests. Before the
table is trusted every source's `stamp` is compared, which for a password file is one stat() (about
a microsecond, of a file on a local disk): the entry of a password that has just been changed is
never used again, not even for the rest of its minute. A saslauthd cannot say that it changed; there
the minute is the bound. Only successes are remembered, with the service they were for.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from maa.user import User

REMEMBERED_MAX: Final = 10_000

Stamps = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class _Remembered:
    digest: bytes
    user: User
    until: float
    stamps: Stamps


class Memory:
    """Accepted passwords; safe to use from several threads. Never blocks."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: dict[tuple[str, str], _Remembered] = {}
        self._changing = threading.Lock()

    def user(
        self, name: str, password: str, service: str, stamps: Callable[[], Stamps]
    ) -> User | None:
        """The user whose very password it is, if the sources are still what they were."""
        entry = self._entries.get((name, service))
        if entry is None:
            return None
        same = hmac.compare_digest(entry.digest, self._digest(name, password, service))
        if self._clock() >= entry.until or stamps() != entry.stamps:
            with self._changing:
                if self._entries.get((name, service)) is entry:
                    del self._entries[name, service]
            return None
        return entry.user if same else None

    def put(self, name: str, password: str, service: str, user: User, stamps: Stamps) -> None:
        """Remember it; `stamps` are from before it was checked."""
        digest = self._digest(name, password, service)
        entry = _Remembered(digest, user, self._clock() + self._seconds, stamps)
        with self._changing:
            self._entries.pop((name, service), None)
            while len(self._entries) >= REMEMBERED_MAX:
                del self._entries[next(iter(self._entries))]
            self._entries[name, service] = entry

    def _digest(self, name: str, password: str, service: str) -> bytes:
        pair = f"{service}\0{name}\0{password}".encode("utf-8", "surrogateescape")
        return blake2b(pair, key=self._key, digest_size=32).digest()
