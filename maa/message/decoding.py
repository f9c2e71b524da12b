"""A part's body without its Content-Transfer-Encoding, piece by piece (RFC 2045 §6; RFC 3516).

However the encoded octets are cut into pieces, the decoded ones are the same, so that a size
found in one pass is that of another. What cannot be decoded is passed over or left as it is,
as mail programs do; nothing here raises but for an encoding that nobody knows.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterable, Iterator
from typing import Final

from maa.message.parts import Part

_AS_IT_IS: Final = (b"", b"7BIT", b"8BIT", b"BINARY")
_NOT_BASE64: Final = bytes(
    octet for octet in range(256) if not re.match(rb"[A-Za-z0-9+/=]", bytes([octet]))
)
_PADDING: Final = re.compile(rb"=+")
_BLANKS_AT_END: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_BLANK_ENDS: Final = (b" \r\n", b"\t\r\n", b" \n", b"\t\n")
_LONE: Final = re.compile(rb"=(?==|\r(?!\n)|\Z)")
_BLANKS: Final = b" \t"
_HEX: Final = b"0123456789ABCDEFabcdef"
_HELD_MAX: Final = 65536
_WIDE: Final = (b"utf-16", b"utf16", b"utf-32", b"utf32", b"ucs-2", b"ucs-4", b"iso-10646")
"""Charsets in which an octet 10 need not be a line end."""


class UnknownEncoding(ValueError):
    """A Content-Transfer-Encoding that cannot be decoded."""


def decoded(part: Part, body: Iterable[bytes]) -> Iterator[bytes]:
    """The octets that the body of a part stands for; UnknownEncoding, at once.

    The lines of a text end in CRLF, as all lines that IMAP sends (RFC 9051 §7.5.2).
    """
    # What a multipart says of itself is false: its parts have encodings (RFC 2045 §6.4).
    if part.encoding in _AS_IT_IS or part.is_multipart:
        return iter(body)  # as sent, its lines end so already
    if part.encoding == b"BASE64":
        octets = _from_base64(body)
    elif part.encoding == b"QUOTED-PRINTABLE":
        octets = _from_quoted_printable(body)
    else:
        raise UnknownEncoding(part.encoding.decode("ascii", "replace"))
    lines = part.type == b"text" and not part.charset.lower().startswith(_WIDE)
    return _with_crlf(octets) if lines else octets


def _from_base64(body: Iterable[bytes]) -> Iterator[bytes]:
    """Padding in the middle ends a piece encoded by itself; other letters are passed over."""
    held = b""
    for piece in body:
        held += piece.translate(None, _NOT_BASE64)
        if b"=" in held:
            *whole, held = _PADDING.split(held)
            yield b"".join(map(_of_letters, whole))
        usable = len(held) - len(held) % 4
        if usable:
            yield a2b_base64(held[:usable])
            held = held[usable:]
    yield _of_letters(held)


def _of_letters(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:  # six bits are no octet
        letters = letters[:-1]
    return a2b_base64(letters + b"=" * (-len(letters) % 4))


def _from_quoted_printable(body: Iterable[bytes]) -> Iterator[bytes]:
    held = b""
    for piece in body:
        data = held + piece
        cut = _settled(data)
        held = data[cut:]
        yield _of_quoted(data[:cut])
    yield _of_quoted(held.rstrip(_BLANKS))  # the last line ends here, too


def _settled(data: bytes) -> int:
    """How many octets there are in front of what the next piece may give another meaning."""
    line_end = len(data) - data.endswith(b"\r")
    shown = len(data[:line_end].rstrip(_BLANKS))
    if line_end - shown >= _HELD_MAX:
        return len(data)  # so many blanks are nobody's line end
    half = shown == len(data) and data[-1:] in _HEX and data[-2:-1] == b"="
    shown -= half
    return shown - data[:shown].endswith(b"=")


def _of_quoted(data: bytes) -> bytes:
    # The expressions look at every blank and every =, and nearly always find nothing.
    if any(end in data for end in _BLANK_ENDS):
        data = _BLANKS_AT_END.sub(b"", data)
    # Before a lone CR, and at the end, the library takes an = for a soft line break; of two it
    # takes one.
    lone_cr = data.count(b"=\r") != data.count(b"=\r\n")
    if lone_cr or b"==" in data or data.endswith(b"="):
        data = _LONE.sub(b"=3D", data)
    return a2b_qp(data)


def _with_crlf(octets: Iterable[bytes]) -> Iterator[bytes]:
    before = b""
    for piece in octets:
        if not piece:
            continue
        found = piece.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        # A CR before it was the last octet of the piece before.
        if before == b"\r" and piece[:1] == b"\n":
            found = found[1:]
        before = piece[-1:]
        yield found
