"""BINARY: sections without their Content-Transfer-Encoding (RFC 3516, RFC 9051 §6.4.5).

How long a literal is, and whether it must be a literal8, must be said before its first octet. So
a long section is decoded twice: to measure it, and to send it. Neither pass has more than a few
pieces in memory (R227), and what the first one found is remembered.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from maa.message.decoding import decoded
from maa.message.octets import SMALL, Wire, WireBytes
from maa.message.parts import Part

BINARY: Final = "binary/1"
"""A line for each section that was measured: its number, octets, and 1 for a NUL among them."""


class Measure(NamedTuple):
    """What must be known of octets before they are sent."""

    octets: int
    nul: bool
    """NUL is among them, so that only a literal8 can have them (R012)."""


class Measures:
    """What is known of the long sections of a few messages, from earlier FETCHes and this one."""

    def __init__(self, remembered: Mapping[int, bytes]) -> None:
        """`remembered`: by UID, what the cache has as `BINARY`."""
        self._remembered = remembered
        self.fresh: dict[int, bytes] = {}
        """What is to be remembered from now on."""

    def of(self, uid: int, path: tuple[int, ...]) -> Measure | None:
        """The measure of a whole section, if it is known."""
        for line in self._of_message(uid).splitlines():
            section, octets, nul = line.split(b" ")
            if section == _written(path):
                return Measure(int(octets), nul == b"1")
        return None

    def learn(self, uid: int, path: tuple[int, ...], found: Measure) -> None:
        """Have it remembered."""
        line = b"%b %d %d\n" % (_written(path), found.octets, found.nul)
        self.fresh[uid] = self._of_message(uid) + line

    def _of_message(self, uid: int) -> bytes:
        return self.fresh.get(uid) or self._remembered.get(uid, b"")


def _written(path: tuple[int, ...]) -> bytes:
    return b".".join(b"%d" % number for number in path)


class Decoded:
    """A section, or `<first.count>` of it; each step may block."""

    def __init__(self, wire: Wire, part: Part | None, partial: tuple[int, int] | None) -> None:
        """`part`: None is the whole message, which is not encoded. UnknownEncoding."""
        self._wire = wire
        self._part = part
        self._partial = partial
        self._all()

    @property
    def short(self) -> bool:
        """Whether the octets may be had in memory, all at once."""
        octets = self._wire.size if self._part is None else self._part.octets
        if self._partial is not None:
            octets = min(octets, self._partial[1])
        return octets <= SMALL or isinstance(self._wire, WireBytes)

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

    def promised(self, octets: int) -> Iterator[bytes]:
        """The octets, of which a literal was to have so many; OSError when there are not."""
        left = octets
        for piece in self.pieces():
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            raise OSError(errno.EIO, "a part is not as long as it was")

    def measured(self, uid: int, path: tuple[int, ...], measures: Measures) -> Measure:
        """What is known of the octets, or decoding them tells."""
        known = measures.of(uid, path)
        if known is not None and self._partial is None:
            return known
        octets, nul = 0, False
        for piece in self.pieces():
            octets += len(piece)
            nul = nul or b"\0" in piece
        found = Measure(octets, nul)
        if self._partial is None and not self.short:
            measures.learn(uid, path, found)
        return found

    def _all(self) -> Iterator[bytes]:
        part = self._part
        if part is None:
            return self._wire.chunks()
        return decoded(part, self._wire.chunks(part.body_start, part.body_end))
