"""The passwords accepted a short time ago: a session that comes back costs no hash.

An accepted pair is remembered for a minute as a BLAKE2 digest, keyed with octets that this process
alone knows, so the table gives away no password and an attacker cannot choose digests. Before the
table is trusted every source's `stamp` is compared, which for a password file is one stat() (about
a microsecond, of a file on a local disk): the entry of a password that has just been changed is
never used again, not even for the rest of its minute. A saslauthd cannot say that it changed; there
the minute is the bound. Only successes are remembered, with the service they were for.

Nor does the table tell anything to somebody who guesses: what was accepted from one address is
remembered for that address alone (of IPv6: its /64), and forgotten after a few guesses. Then each
of them is heard, refused or made to wait like any other (`penalties`).
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
MISSES_MAX: Final = 6
"""Three guesses: each is looked for twice."""

Stamps = tuple[Hashable, ...]


Key = tuple[str, str, str]
"""Login name, service, neighbourhood."""


@dataclass(slots=True)
class _Remembered:
    digest: bytes
    user: User
    until: float
    stamps: Stamps
    misses: int = 0


class Memory:
    """Accepted passwords; safe to use from several threads. Never blocks."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._entries: dict[Key, _Remembered] = {}
        self._changing = threading.Lock()

    def user(self, key: Key, password: str, stamps: Callable[[], Stamps]) -> User | None:
        """The user whose very password it is, if the sources are still what they were."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        same = hmac.compare_digest(entry.digest, self._digest(key, password))
        if same and self._clock() < entry.until and stamps() == entry.stamps:
            return entry.user
        entry.misses += 1
        if same or entry.misses >= MISSES_MAX:
            with self._changing:
                if self._entries.get(key) is entry:
                    del self._entries[key]
        return None

    def put(self, key: Key, password: str, user: User, stamps: Stamps) -> None:
        """Remember it; `stamps` are from before it was checked."""
        digest = self._digest(key, password)
        entry = _Remembered(digest, user, self._clock() + self._seconds, stamps)
        with self._changing:
            self._entries.pop(key, None)
            while len(self._entries) >= REMEMBERED_MAX:
                del self._entries[next(iter(self._entries))]
            self._entries[key] = entry

    def _digest(self, key: Key, password: str) -> bytes:
        text = "\0".join((*key, password)).encode("utf-8", "surrogateescape")
        return blake2b(text, key=self._key, digest_size=32).digest()
