"""The MIME structure of a message: a tree of parts with offsets in octets as sent.

`scan` makes one pass. What looks like a delimiter line is found by searching for CRLF "--",
and compared with the boundaries that are open; headers are looked at only for their Content-*
fields (RFC 2045, 2046; R137-R148). It takes any octets: what makes no sense is one opaque
part. MIME is read without a MIME-Version field, as mail in the wild demands.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from maa.message.headers import Envelope, envelope, header_end
from maa.message.octets import HEADER_OCTETS_MAX, Wire, WireBytes
from maa.message.parameters import (
    Parameters,
    content_type,
    disposition,
    languages,
    parameter,
    token,
)
from maa.message.parts import Part, find, pack, unpack
from maa.message.window import BOUNDARY_OCTETS_MAX, Delimiter, Whole, Window

__all__ = ["DEPTH_MAX", "PARTS_MAX", "Part", "find", "pack", "scan", "unpack"]

DEPTH_MAX: Final = 100
"""Levels of parts that are looked into (R142, R224)."""
PARTS_MAX: Final = 10_000

_TEXT: Final = (b"text", b"plain", ())
_MESSAGE: Final = (b"message", b"rfc822", ())
_OPAQUE: Final = (b"application", b"octet-stream", ())
_MESSAGES: Final = (b"rfc822", b"global")
_DIGEST: Final = (b"multipart", b"digest")
_BLANKS: Final = b" \t\r\n"
_CONTENT: Final = re.compile(
    rb"\r\ncontent-(type|transfer-encoding|id|description|disposition|language|location|md5)"
    rb"[ \t]*+:[ \t]*+((?:[^\r]++|\r\n[ \t]|(?=\r[^\n])\r|\r\Z)*+)",
    re.IGNORECASE,
)
_ENCODINGS: Final = {
    name.lower(): name for name in (b"7BIT", b"8BIT", b"BINARY", b"BASE64", b"QUOTED-PRINTABLE")
}


def scan(wire: Wire) -> Part:
    """The structure of a message; linear in its size, and never raises on any octets."""
    sole = _sole_part(wire.data) if isinstance(wire, WireBytes) else None
    return sole or _Scanner(wire).run()


def _sole_part(data: bytes) -> Part | None:
    """The structure of a message that is neither multipart nor message: nothing to look for."""
    body = header_end(data)
    if body > HEADER_OCTETS_MAX:
        return None
    facts = _facts(data[:body], _TEXT)
    kind = facts.type[0]
    if kind == b"multipart" or (kind == b"message" and facts.type[1] in _MESSAGES):
        return None
    lines = data.count(b"\n", body) if kind == b"text" else 0
    return _part(0, body, len(data), lines, facts, facts.type, (), None)


def last_type(header: bytes) -> tuple[bytes, bytes, Parameters]:
    """The type that the last Content-Type field of a header names."""
    found = [value for name, value in _content_fields(header) if name.lower() == b"type"]
    return content_type(_raw(found[-1])) if found else _TEXT


class _Facts(NamedTuple):
    """What a header says of its part: the fields of `Part` that do not depend on where it is."""

    type: tuple[bytes, bytes, Parameters]
    content_id: bytes | None
    description: bytes | None
    encoding: bytes
    md5: bytes | None
    disposition: tuple[bytes, Parameters] | None
    languages: tuple[bytes, ...]
    location: bytes | None


def _facts(header: bytes, default: tuple[bytes, bytes, Parameters]) -> _Facts:
    found = _content_fields(header)
    # Whatever else is in a header, of these fields there are a few sets only.
    few = len(found) <= 8 and len(header) <= _HEADER_OCTETS_REMEMBERED
    return _facts_of_few(found, default) if few else _facts_of(found, default)


def _facts_of(
    found: Sequence[tuple[bytes, bytes]], default: tuple[bytes, bytes, Parameters]
) -> _Facts:
    fields: dict[bytes, bytes] = {}
    for name, value in found:
        name = name.lower()
        if name not in fields or name == b"disposition":
            fields[name] = _raw(value)
    get = fields.get
    written, placed = get(b"type"), get(b"disposition")
    tags = get(b"language") if b"type" in fields else None
    return _Facts(
        content_type(written) if written else default,
        get(b"id"),
        get(b"description"),
        _encoding(get(b"transfer-encoding", b"7BIT")),
        get(b"md5"),
        disposition(placed) if placed else None,
        languages(tags) if tags else (),
        get(b"location"),
    )


def _content_fields(header: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Names without their "content-", and values as they stand there."""
    # In front a line end, so that every field's name follows one.
    return tuple(_CONTENT.findall(b"\r\n" + header))


def _raw(value: bytes) -> bytes:
    """A value without line ends and the blanks around (R149)."""
    return value.replace(b"\r\n", b"").rstrip(_BLANKS)


_facts_of_few = lru_cache(maxsize=1024)(_facts_of)
_HEADER_OCTETS_REMEMBERED: Final = 4096
# Parts of one sender's messages have the same few lines as their headers, again and again.
_facts_of_part = lru_cache(maxsize=2048)(_facts)
_PART_OCTETS_REMEMBERED: Final = 512


class _Open:
    """A part whose end is not yet known."""

    __slots__ = (
        "body_start",
        "cut",
        "envelope",
        "facts",
        "header_start",
        "lines_before",
        "parts",
        "type",
    )  # fmt: skip

    def __init__(self, start: int, body: int, facts: _Facts) -> None:
        self.header_start = start
        self.body_start = body
        self.facts = facts
        self.type = facts.type
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
            if part.type[0] != b"message" or part.type[1] not in _MESSAGES:
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
        known = _facts_of_part if start and len(header) <= _PART_OCTETS_REMEMBERED else _facts
        part = _Open(start, body, known(header, _MESSAGE if digest else _TEXT))
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
        return _part(start, body, end, lines, part.facts, part.type, parts, part.envelope)


def _part(
    start: int,
    body: int,
    end: int,
    lines: int,
    facts: _Facts,
    type_: tuple[bytes, bytes, Parameters],
    parts: tuple[Part, ...],
    envelope: Envelope | None,
) -> Part:
    _, content_id, description, encoding, md5, placed, tags, location = facts
    return Part(
        start, body, end, lines, *type_, content_id, description, encoding, md5,
        placed, tags, location, parts, envelope,
    )  # fmt: skip


def _encoding(value: bytes) -> bytes:
    """The transfer encoding in upper case; empty when it cannot be read.

    What has a semicolon behind it is no word either, but taken for 7BIT, as it is shown.
    """
    return (
        _ENCODINGS.get(value.lower()) or token(value).upper() or (b"7BIT" if b";" in value else b"")
    )


def _empty(at: int) -> Part:
    """What a multipart without parts is shown to hold: one empty text/plain part (R146)."""
    return Part(
        at, at, at, 0, b"text", b"plain", (), None, None, b"7BIT", None, None, (), None, (), None
    )
