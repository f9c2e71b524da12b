"""Compression of one connection, both ways (RFC 4978; RFC 1951).

What a client sends is inflated a bounded piece at a time, and the rest of it only when the
conversation has taken the last piece: a bomb is a slow sender and nothing worse.
"""

from __future__ import annotations

import zlib
from typing import Final

PIECE_OCTETS: Final = 65536
"""Inflated at once at most."""
_LEVEL: Final = 3
_WINDOW: Final = -13
"""Raw deflate with a window of 8 KiB: 25 KiB of memory instead of 70, for one part in a hundred
more octets of mail. What a client uses is its own choice, up to 32 KiB."""
_MEMORY: Final = 6


class DamagedStream(Exception):
    """What the client sent is not compressed, or its stream has ended."""


class Deflate:
    """The two streams of a compressed connection."""

    __slots__ = ("_deflater", "_full", "_inflater", "_left")

    def __init__(self) -> None:
        self._deflater = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._left = b""
        self._full = False

    @property
    def more(self) -> bool:
        """Whether `inflated` would give something without new octets."""
        return self._full

    @property
    def held_octets(self) -> int:
        """Octets received and not inflated yet."""
        return len(self._left)

    def deflated(self, data: bytes) -> bytes:
        """The octets to send for these, whole: the client can read all of them at once."""
        return self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)

    def inflated(self, data: bytes) -> bytes:
        """The next octets of what the client meant, 64 KiB at most; DamagedStream."""
        try:
            piece = self._inflater.decompress(self._left + data, PIECE_OCTETS)
        except zlib.error as error:
            raise DamagedStream(str(error)) from None
        if self._inflater.eof:
            raise DamagedStream("the stream has ended")
        self._left = self._inflater.unconsumed_tail
        self._full = len(piece) == PIECE_OCTETS
        return piece
