"""The structure of small messages that are made as most are: one part, or several in a row.

It says what `maa.message.structure` says of them, in a third of the time, and leaves to it
whatever is made otherwise: parts inside of parts, messages inside, parts without a header's end.
"""

from __future__ import annotations

from typing import Final

from maa.message.content import MESSAGES, Said, said, said_of_part
from maa.message.headers import header_end
from maa.message.octets import HEADER_OCTETS_MAX
from maa.message.parameters import parameter
from maa.message.parts import Part
from maa.message.window import BOUNDARY_OCTETS_MAX

_SEVERAL: Final = 100
"""Many more are counted by `maa.message.structure` (R142)."""


def simple_structure(data: bytes) -> Part | None:
    """The structure of a message as sent, or None where it is not that simple."""
    if len(data) > HEADER_OCTETS_MAX:
        return None
    body = header_end(data)
    says = said(data[:body])
    kind, subtype, parameters = says.type
    if kind != b"multipart":
        return _leaf(data, 0, body, len(data), says)
    boundary = parameter(parameters, b"boundary")
    if not boundary or subtype == b"digest":
        return None
    parts = _parts(data, body, b"\r\n--" + boundary[:BOUNDARY_OCTETS_MAX])
    return Part(0, body, len(data), 0, says, tuple(parts), None) if parts else None


def _leaf(data: bytes, start: int, body: int, end: int, says: Said) -> Part | None:
    """A part that has none inside."""
    kind, subtype, _ = says.type
    if kind == b"multipart" or (kind == b"message" and subtype in MESSAGES):
        return None
    lines = data.count(b"\n", body, end) if kind == b"text" else 0
    return Part(start, body, end, lines, says, (), None)


def _parts(data: bytes, body: int, delimiter: bytes) -> list[Part] | None:
    """The parts between the lines that begin with the delimiter (RFC 2046 §5.1.1)."""
    find = data.find
    parts: list[Part] = []
    at = find(delimiter, body - 2)
    while at >= 0:
        line_end = find(b"\r\n", at + 2)
        if line_end < 0 or data.startswith(b"--", at + len(delimiter)):
            break
        start = line_end + 2
        blank = find(b"\r\n\r\n", line_end)
        at = find(delimiter, line_end)
        if blank < 0 or 0 <= at < blank + 4:
            return None
        end = at if at >= 0 else len(data)
        part = _leaf(data, start, blank + 4, end, said_of_part(data[start : blank + 4]))
        if part is None or len(parts) >= _SEVERAL:
            return None
        parts.append(part)
    return parts
