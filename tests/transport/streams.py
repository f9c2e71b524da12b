"""The client's end of a compressed connection (RFC 4978)."""

from __future__ import annotations

import zlib

ACTIVE = b" OK DEFLATE active"
"""How the line ends behind which everything is compressed."""


class Streams:
    """What a client sends and receives."""

    def __init__(self) -> None:
        self.deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        self.inflater = zlib.decompressobj(-zlib.MAX_WBITS)

    def packed(self, data: bytes) -> bytes:
        return self.deflater.compress(data) + self.deflater.flush(zlib.Z_SYNC_FLUSH)

    def unpacked(self, data: bytes) -> bytes:
        return self.inflater.decompress(data)
