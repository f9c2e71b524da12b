"""What the scanner sees of a message: all of a small one, a moving window on a large one."""

from __future__ import annotations

from typing import Final, NamedTuple

from maa.message.octets import HEADER_OCTETS_MAX, Wire, WireBytes

BOUNDARY_OCTETS_MAX: Final = 200
"""RFC 2046 §5.1.1 allows 70; of a longer one so much is compared."""

_LINE_OCTETS: Final = BOUNDARY_OCTETS_MAX + 8


class Delimiter(NamedTuple):
    """A delimiter line; the CRLF before it is its own (RFC 2046 §5.1.1; R141)."""

    at: int
    """Where its CRLF begins."""
    level: int
    """That of the boundary among those asked for."""
    closing: bool
    end: int
    """Where the next line begins."""


class Window:
    """Searches forward in a message, holding about `CHUNK` octets."""

    __slots__ = (
        "_ahead",
        "_base",
        "_blank",
        "_counted",
        "_data",
        "_lines",
        "_wire",
        "size",
    )

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._data = b""
        self._ahead = wire.chunks()
        self._base = 0
        self._blank = -2
        self._counted = 0
        self._lines = 0
        self.size = wire.size

    def text(self, start: int, stop: int) -> bytes:
        """The octets of a header, no more than `HEADER_OCTETS_MAX` of them."""
        stop = min(stop, start + HEADER_OCTETS_MAX)
        base = self._base
        if base <= start and stop <= base + len(self._data):
            return self._data[start - base : stop - base]
        return b"".join(self._wire.chunks(start, stop))

    def find(self, needle: bytes, start: int, stop: int) -> int:
        """Where `needle` begins first in start to stop, or -1."""
        while True:
            base = self._base
            if base <= start:
                at = self._data.find(needle, start - base, stop - base)
                if at >= 0:
                    return at + base
                end = base + len(self._data)
                if stop <= end:
                    return -1
                start = max(start, end - len(needle) + 1)
            self._load(start)

    def blank_line(self, start: int) -> int:
        """Where the CRLF before the next blank line begins, at `start` or behind; or the size."""
        # Remembered, as parts without a blank line would each search to the end.
        if self._blank < start:
            at = self.find(b"\r\n\r\n", start, self.size)
            self._blank = at if at >= 0 else self.size
        return self._blank

    def delimiter(
        self, start: int, stop: int, boundaries: tuple[bytes, ...], levels: tuple[int, ...]
    ) -> Delimiter | None:
        """The first line from `start` (a CRLF) before `stop` that begins with a boundary."""
        if not boundaries:
            return None
        if len(boundaries) == 1:
            at = self.find(b"\r\n--" + boundaries[0], start, stop)
            return self._read(at, boundaries, levels) if at >= 0 else None
        while (at := self.find(b"\r\n--", start, stop)) >= 0:
            while at + _LINE_OCTETS > self._base + len(self._data) < self.size:
                self._load(at)
            if self._data.startswith(boundaries, at + 4 - self._base):
                return self._read(at, boundaries, levels)
            start = at + 4
        return None

    def lines_before(self, position: int) -> int:
        """What `lines` wants to know of a body's start, when scanning has come there."""
        return self._lines_until(position)

    def lines(self, start: int, stop: int, before: int) -> int:
        """Line ends in a body; its end must be no earlier than any asked for before."""
        return max(0, self._lines_until(stop) - before)

    def _lines_until(self, position: int) -> int:
        """Line ends before `position`; asked for ever larger ones, or a few octets back."""
        if position < self._counted:
            return self._lines - self.text(position, self._counted).count(b"\n")
        for piece in self._wire.chunks(self._counted, position):
            self._lines += piece.count(b"\n")
        self._counted = position
        return self._lines

    def _load(self, start: int) -> None:
        """Move the window so that it begins at `start`, and has more behind if there is more."""
        kept = start - self._base
        if 0 <= kept <= len(self._data):
            self._data = self._data[kept:] + next(self._ahead, b"")
        else:
            self._ahead = self._wire.chunks(start)
            self._data = next(self._ahead, b"")
        self._base = start

    def _read(self, at: int, boundaries: tuple[bytes, ...], levels: tuple[int, ...]) -> Delimiter:
        """The delimiter line behind the CRLF at `at`, which begins with one of the boundaries.

        RFC 2046 §5.1.1 asks for a match of the line's beginning only; so that a boundary which
        is another's prefix does not match for it, the longest wins, then the innermost.
        """
        end = self.find(b"\r\n", at + 4, self.size)
        best, level = boundaries[0], levels[0]
        if len(boundaries) > 1:
            line = self.text(at + 4, at + _LINE_OCTETS if end < 0 else min(end, at + _LINE_OCTETS))
            best = b""
            for boundary, its_level in zip(boundaries, levels, strict=True):
                if len(boundary) > len(best) and line.startswith(boundary):
                    best, level = boundary, its_level
                    if line[len(best) :].rstrip(b" \t") in (b"", b"--"):
                        break
        behind = at + 4 + len(best)
        # One that the message's end cuts off begins no part either.
        closing = end < 0 or self.text(behind, behind + 2) == b"--"
        return Delimiter(at, level, closing, self.size if end < 0 else end + 2)


class Whole(Window):
    """A message in memory: the same answers, without asking what is held."""

    __slots__ = ()

    def __init__(self, wire: WireBytes) -> None:
        super().__init__(wire)
        self._data = wire.data

    def text(self, start: int, stop: int) -> bytes:
        return self._data[start : min(stop, start + HEADER_OCTETS_MAX)]

    def find(self, needle: bytes, start: int, stop: int) -> int:
        return self._data.find(needle, start, stop)

    def delimiter(
        self, start: int, stop: int, boundaries: tuple[bytes, ...], levels: tuple[int, ...]
    ) -> Delimiter | None:
        if len(boundaries) != 1:
            return super().delimiter(start, stop, boundaries, levels)
        data, boundary = self._data, boundaries[0]
        at = data.find(b"\r\n--" + boundary, start, stop)
        if at < 0:
            return None
        behind = at + 4 + len(boundary)
        end = data.find(b"\r\n", at + 4)
        if end < 0:
            return Delimiter(at, levels[0], True, self.size)
        return Delimiter(at, levels[0], data.startswith(b"--", behind), end + 2)

    def lines_before(self, position: int) -> int:
        return 0

    def lines(self, start: int, stop: int, before: int) -> int:
        return self._data.count(b"\n", start, stop)
