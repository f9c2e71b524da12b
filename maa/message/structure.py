"""The MIME structure of a message: a tree of parts with offsets in octets as sent.

`scan` makes one pass. What looks like a delimiter line is found by searching for CRLF "--",
and compared with the boundaries that are open; headers are looked at only for their Content-*
fields (RFC 2045, 2046; R137-R148). It takes any octets: what makes no sense is one opaque
part. MIME is read without a MIME-Version field, as mail in the wild demands.
"""

from __future__ import annotations

from typing import Final

from maa.message.content import MESSAGE, MESSAGES, TEXT, Said, said, said_of_part
from maa.message.headers import Envelope, envelope
from maa.message.octets import Wire, WireBytes
from maa.message.parameters import parameter
from maa.message.parts import Part, find, pack, unpack
from maa.message.simple import simple_structure
from maa.message.window import BOUNDARY_OCTETS_MAX, Delimiter, Whole, Window

__all__ = ["DEPTH_MAX", "PARTS_MAX", "Part", "find", "pack", "scan", "unpack"]

DEPTH_MAX: Final = 100
"""Levels of parts that are looked into (R142, R224)."""
PARTS_MAX: Final = 10_000

_OPAQUE: Final = (b"application", b"octet-stream", ())
_DIGEST: Final = (b"multipart", b"digest")


def scan(wire: Wire) -> Part:
    """The structure of a message; linear in its size, and never raises on any octets."""
    simple = simple_structure(wire.data) if isinstance(wire, WireBytes) else None
    return simple or _Scanner(wire).run()


class _Open:
    """A part whose end is not yet known."""

    __slots__ = (
        "body_start",
        "cut",
        "envelope",
        "header_start",
        "lines_before",
        "parts",
        "said",
        "type",
    )  # fmt: skip

    def __init__(self, start: int, body: int, says: Said) -> None:
        self.header_start = start
        self.body_start = body
        self.said = says
        self.type = says.type
        self.lines_before = 0
        self.cut: int | None = None
        self.envelope: Envelope | None = None
        self.parts: list[Part] = []


class _Scanner:
    """Holds the parts that are open, outermost first, and the boundaries to look for."""

    def __init__(self, wire: Wire) -> None:
        self._window = Whole(wire) if isinstance(wire, WireBytes) else Window(wire)
        self._open: list[_Open] = []
        self._boundaries: tuple[bytes, ...] = ()
        """To look for, innermost first (R141), and whose they are."""
        self._levels: tuple[int, ...] = ()
        self._count = 0
        self._in_header: Delimiter | None = None

    def run(self) -> Part:
        window = self._window
        line = self._begin(0)
        begun = True
        while found := self._next_delimiter(line):
            level = found.level
            if begun and found.at < line:
                self._cut(level + 1, found.at, line)
            # A line end that ends a delimiter or a header is still inside the parts around it.
            self._close(level + 1, max(found.at, line))
            begun = not found.closing
            if begun:
                line = self._begin(found.end)
            else:
                self._forget_boundaries(level)
                line = found.end
        root = self._close(0, window.size)
        assert root is not None  # the message itself is always open
        return root

    def _next_delimiter(self, line: int) -> Delimiter | None:
        """The delimiter at `line` or behind, its level that of the part it delimits."""
        if self._in_header is not None:
            found, self._in_header = self._in_header, None
            return found
        window = self._window
        return window.delimiter(line - 2, window.size, self._boundaries, self._levels)

    def _begin(self, start: int) -> int:
        """Open the part whose header starts here, and the messages directly inside it.

        Returns the line from which to look for a delimiter.
        """
        outer: _Open | None = None
        while True:
            header, body = self._header(start)
            part = self._opened(start, header, body)
            if outer is not None:
                outer.envelope = envelope(header)
            self._open.append(part)
            if part.type[0] == b"multipart":
                self._begin_multipart(part)
                return body
            if part.type[0] != b"message" or part.type[1] not in MESSAGES:
                return body
            if len(self._open) >= DEPTH_MAX:
                part.type = _OPAQUE
                return body
            outer, start = part, body

    def _header(self, start: int) -> tuple[bytes, int]:
        """The header that starts here, and where the body starts behind it."""
        window = self._window
        if not start and window.text(0, 2) == b"\r\n":
            return b"\r\n", 2
        before = start - 2 if start else 0  # the line end before the header
        blank = window.blank_line(before)
        # A delimiter ends the part even where its header has no end yet (R141).
        found = window.delimiter(before, blank, self._boundaries, self._levels) if start else None
        if found is not None:
            self._in_header = found
            body = found.at + 2
        else:
            body = min(blank + 4, window.size)
        return window.text(start, body), body

    def _opened(self, start: int, header: bytes, body: int) -> _Open:
        digest = bool(self._open) and self._open[-1].type[:2] == _DIGEST
        of = said_of_part if start else said
        part = _Open(start, body, of(header, MESSAGE if digest else TEXT))
        part.lines_before = self._window.lines_before(body)
        self._count += 1
        if self._count >= PARTS_MAX:
            # The rest is one opaque part: nothing ends it but the message's end (R142).
            part.type = _OPAQUE
            self._boundaries, self._levels, self._in_header = (), (), None
        return part

    def _begin_multipart(self, part: _Open) -> None:
        boundary = parameter(part.type[2], b"boundary")
        if len(self._open) >= DEPTH_MAX:
            part.type = _OPAQUE
        elif boundary:
            self._boundaries = (boundary[:BOUNDARY_OCTETS_MAX], *self._boundaries)
            self._levels = (len(self._open) - 1, *self._levels)

    def _forget_boundaries(self, level: int) -> None:
        """Look no more for the boundaries of parts at `level` and inside."""
        inside = 0
        while inside < len(self._levels) and self._levels[inside] >= level:
            inside += 1
        if inside:
            self._boundaries = self._boundaries[inside:]
            self._levels = self._levels[inside:]

    def _cut(self, level: int, at: int, line: int) -> None:
        """Shorten the parts whose body begins with a delimiter: its CRLF is not theirs.

        RFC 2046 §5.1.1: a body part is MIME-part-headers [CRLF *OCTET], so without a body
        it has no blank line either.
        """
        empty = [part for part in self._open[level:] if part.body_start >= line]
        for part in empty:
            part.cut = max(at, empty[0].header_start)

    def _close(self, level: int, at: int) -> Part | None:
        """Close the open parts from the innermost out to `level`; the outermost of them."""
        part = None
        open_ = self._open
        while len(open_) > level:
            part = self._finished(open_.pop(), at)
            if open_:
                open_[-1].parts.append(part)
        self._forget_boundaries(level)
        return part

    def _finished(self, part: _Open, at: int) -> Part:
        start, body, end = part.header_start, part.body_start, at
        if part.cut is not None:
            end = part.cut
            start, body = min(start, end), min(body, end)
        kind = part.type[0]
        if kind == b"multipart" and not part.parts:
            part.parts.append(_empty(end))
        wanted = kind == b"text" or part.envelope is not None
        lines = self._window.lines(body, end, part.lines_before) if wanted else 0
        parts = tuple(part.parts)
        says = part.said if part.type is part.said.type else part.said._replace(type=part.type)
        return Part(start, body, end, lines, says, parts, part.envelope)


def _empty(at: int) -> Part:
    """What a multipart without parts is shown to hold: one empty text/plain part (R146)."""
    return Part(at, at, at, 0, Said(TEXT), (), None)
