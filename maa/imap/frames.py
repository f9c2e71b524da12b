"""Octets into lines and literals, whatever the packet edges (RFC 3501 §2.2; R001).

The framer knows nothing of commands: it ends a line at CRLF, notes whether the line announces a
literal, and hands over literal octets in chunks once the session has said that the client sends
them. Time is linear in the octets: every octet is searched once for a line end, and what was
consumed is dropped once a `feed`, not once a line.
"""

from __future__ import annotations

import re

from maa.imap.states import Line, Literal, LiteralChunk

CHUNK_OCTETS = 65536
LITERAL_MAX = 2**63
"""Beyond this a literal's size is no number that any server takes (RFC 9051 §4.3; R013)."""
_DIGITS_MAX = 20
_BLANK_LINES = re.compile(rb"(?:\r\n){2,}")
_TAIL_OCTETS = 64
"""What is kept of the end of a line that is too long: enough for the literal it announces."""


class Framer:
    """The client's octets in order, taken out line by line or as a literal's chunks."""

    __slots__ = (
        "_bare_lf", "_buffer", "_literal_left", "_long", "_searched", "_start", "dropped_octets",
        "limit",
    )  # fmt: skip

    def __init__(self, limit: int, bare_lf: bool = False) -> None:
        self.limit = limit
        """Octets a line may have; more of it is dropped, and the line has a fault (R222, R223)."""
        self._bare_lf = bare_lf
        self._buffer = bytearray()
        self._start = 0
        self._searched = 0
        self._literal_left = 0
        self._long: bytes | None = None
        """The beginning of a line that is too long, whose rest is being dropped."""
        self.dropped_octets = 0
        """Of the present line."""

    @property
    def held_octets(self) -> int:
        """Octets fed and not taken yet."""
        return len(self._buffer) - self._start

    def feed(self, data: bytes) -> None:
        """Append what the client sent."""
        if self._start:
            del self._buffer[: self._start]
            self._searched -= self._start
            self._start = 0
        self._buffer += data

    def clear(self) -> None:
        """Forget everything that was received (R026)."""
        self._buffer.clear()
        self._start = self._searched = self._literal_left = self.dropped_octets = 0
        self._long = None

    def expect_literal(self, octets: int) -> None:
        """The next octets are a literal's; they come as chunks, before the rest of the line."""
        self._literal_left = octets

    def next(self) -> Line | LiteralChunk | None:
        """The next line, or chunk of the literal that is expected; None until more is fed."""
        if self._literal_left:
            return self._chunk()
        buffer, start = self._buffer, self._start
        end = buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(buffer)
            if self._searched - start > self.limit:
                self._shorten()
            return None
        self._start = self._searched = end + 1
        fault = None
        if end > start and buffer[end - 1] == 13:
            text = bytes(buffer[start : end - 1])
        else:
            text = bytes(buffer[start:end])
            fault = None if self._bare_lf else "a line must end with CRLF"
        if self._long is not None or len(text) > self.limit:
            text, fault = self._joined(text), "the line is too long"
        if text[-1:] == b"}":
            return announced(text, fault)
        if not text:
            self._skip_blank_lines()
        return Line(text, None, fault)

    def _skip_blank_lines(self) -> None:
        """Of blank lines behind a blank one leave one: a GiB of them is a MiB of DEFLATE."""
        match = _BLANK_LINES.match(self._buffer, self._start)
        if match is not None:
            self._start = self._searched = match.end() - 2

    def _chunk(self) -> LiteralChunk | None:
        size = min(self._literal_left, len(self._buffer) - self._start, CHUNK_OCTETS)
        if not size:
            return None
        chunk = bytes(self._buffer[self._start : self._start + size])
        self._start += size
        self._searched = self._start
        self._literal_left -= size
        return LiteralChunk(chunk)

    def _shorten(self) -> None:
        if self._long is None:
            self._long = bytes(self._buffer[self._start : self._start + self.limit])
        kept = len(self._buffer) - _TAIL_OCTETS
        self.dropped_octets += kept - self._start
        self._start = kept

    def _joined(self, text: bytes) -> bytes:
        beginning = text[: self.limit] if self._long is None else self._long
        self._long = None
        self.dropped_octets = 0
        return beginning[: self.limit - _TAIL_OCTETS] + text[-_TAIL_OCTETS:]


def announced(text: bytes, fault: str | None) -> Line:
    """A line that ends with `}`: with its literal, if that is what the braces mean (R013)."""
    before, _, inside = text[:-1].rpartition(b"{")
    digits = inside.removesuffix(b"+")
    if not digits.isdigit() or len(before) + len(inside) + 2 != len(text):
        return Line(text, None, fault)
    # int() of 5,000 digits would raise. The literal is kept: it says whether the client waits.
    octets = int(digits) if len(digits) <= _DIGITS_MAX else LITERAL_MAX
    if octets >= LITERAL_MAX:
        fault = fault or "no literal can be so large"
    binary = before.endswith(b"~")  # no word of the grammar touches a literal
    return Line(before.removesuffix(b"~"), Literal(octets, inside == digits, binary), fault)
