"""A table of moments by key, in memory that all processes of the service share.

It is made before the workers are forked. Nobody waits for anybody: two processes that write the
same entry at once leave the moment of one of them, and who reads meanwhile may see an entry of
neither, which is why it is good only for what may be forgotten. Keys are digests under a secret,
so nobody outside can choose two that share a place.
"""

from __future__ import annotations

import mmap
import secrets
import struct
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

_ENTRY: Final = struct.Struct("=8sd")
_WAYS: Final = 8
"""So many entries share a place: the one whose moment is earliest makes room."""


class SharedTimes:
    """Of each key a moment; keys that were never noted have 0."""

    def __init__(self, entries: int = 65536) -> None:
        self._places: Final = max(1, entries // _WAYS)
        self._memory = mmap.mmap(-1, self._places * _WAYS * _ENTRY.size)
        self._secret = secrets.token_bytes(32)

    def get(self, *key: str) -> float:
        """The moment noted for this key."""
        wanted, place = self._found(key)
        for offset in self._entries(place):
            known, moment = _ENTRY.unpack_from(self._memory, offset)
            if known == wanted:
                return float(moment)
        return 0.0

    def put(self, moment: float, *key: str) -> None:
        """Note it, in place of what was known of this key or of the earliest moment there."""
        wanted, place = self._found(key)
        earliest, where = float("inf"), -1
        for offset in self._entries(place):
            known, then = _ENTRY.unpack_from(self._memory, offset)
            if known == wanted:
                where = offset
                break
            if then < earliest:
                earliest, where = then, offset
        _ENTRY.pack_into(self._memory, where, wanted, moment)

    def _found(self, key: tuple[str, ...]) -> tuple[bytes, int]:
        text = "\0".join(key).encode("utf-8", "surrogateescape")
        digest = blake2b(text, key=self._secret, digest_size=16).digest()
        return digest[:8], int.from_bytes(digest[8:], "little") % self._places

    @staticmethod
    def _entries(place: int) -> Iterator[int]:
        begin = place * _WAYS * _ENTRY.size
        return iter(range(begin, begin + _WAYS * _ENTRY.size, _ENTRY.size))
