"""BINARY: sections without their Content-Transfer-Encoding (RFC 3516, RFC 9051 §6.4.5).

How long a literal is must be said before its first octet, so a section is decoded twice: to
measure it, and to send it. Neither pass has more than a few pieces in memory (R227).
"""

from __future__ import annotations

from collections.abc import Iterator

from maa.message.decoding import decoded
from maa.message.octets import Wire
from maa.message.parts import Part


class Decoded:
    """A section, or `<first.count>` of it; each step may block."""

    def __init__(self, wire: Wire, part: Part | None, partial: tuple[int, int] | None) -> None:
        """`part`: None is the whole message, which is not encoded. UnknownEncoding."""
        self._wire = wire
        self._part = part
        self._partial = partial
        self._all()

    def pieces(self) -> Iterator[bytes]:
        """The octets."""
        if self._partial is None:
            yield from self._all()
            return
        skip, left = self._partial
        for piece in self._all():
            taken = piece[skip : skip + left]
            skip = max(0, skip - len(piece))
            left -= len(taken)
            if taken:
                yield taken
            if not left:
                return

    def measured(self) -> tuple[int, bool]:
        """How many octets these are, and whether NUL is among them."""
        octets, nul = 0, False
        for piece in self.pieces():
            octets += len(piece)
            nul = nul or b"\0" in piece
        return octets, nul

    def _all(self) -> Iterator[bytes]:
        part = self._part
        if part is None:
            return self._wire.chunks()
        return decoded(part, self._wire.chunks(part.body_start, part.body_end))
