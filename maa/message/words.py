"""Header text for people: encoded words, raw 8-bit octets, and folding for SEARCH (RFC 2047)."""

from __future__ import annotations

import re
import unicodedata
from binascii import a2b_base64, a2b_qp
from typing import Final

from maa.message.charsets import charset_decoder, guessed

_WORD: Final = re.compile(
    rb"=\?([^?\s*]++)(?:\*[^?\s]*+)?\?([QqBb])\?([^?\r\n]*+(?:(?=\?[^=])\?[^?\r\n]*+){0,8}+)\?="
)
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]++")
_PADDING: Final = re.compile(rb"=++")
# Whose upper case is not their title case, or not one character.
_OTHERWISE: Final = re.compile(
    "([\u00df\u0149\u01c4-\u01cc\u01f0-\u01f3\u0390\u03b0\u0587\u10d0-\u10ff\u1e96-\u1e9a"
    "\u1f50-\u1f57\u1f80-\u1fff\ufb00-\ufb06\ufb13-\ufb17])"
)


def decoded(value: bytes) -> str:
    """The text a field's unfolded value stands for.

    Blanks between encoded words vanish (RFC 2047 §6.2), and neighbours of one character set
    are decoded as one, as many senders cut characters in two. What is not ASCII and not
    encoded is guessed (Q-10: raw GBK is common).
    """
    if b"=?" not in value:
        return value.decode("ascii") if value.isascii() else guessed(value)
    pieces: list[str] = []
    charset, pending = b"", b""
    position = 0
    for match in _WORD.finditer(value):
        between = value[position : match.start()]
        name, encoding, text = match.groups()
        octets = _octets(encoding, text)
        if pending and not between.strip() and name.lower() == charset:
            pending += octets
        else:
            pieces.append(_text(charset, pending))
            if between.strip() or not position:
                pieces.append(between.decode("ascii") if between.isascii() else guessed(between))
            charset, pending = name.lower(), octets
        position = match.end()
    pieces.append(_text(charset, pending))
    rest = value[position:]
    pieces.append(rest.decode("ascii") if rest.isascii() else guessed(rest))
    return "".join(pieces)


def folded(text: str) -> str:
    """Text for comparing without regard to case and to compatible forms (RFC 5051's idea)."""
    if text.isascii():
        return text.lower()
    # Case folding may leave text that is not in normal form, and decomposing upper case.
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())


def casemapped(text: str) -> str:
    """Text as i;unicode-casemap compares it (RFC 5051 §2): in title case, and decomposed.

    Sorted by code points it is sorted as that collation wants it. Only mappings of one character
    to one count: so a sharp s stays what it is.
    """
    if text.isascii():
        return text.upper()
    return unicodedata.normalize("NFKD", _capitals(text))


def _capitals(text: str) -> str:
    """Each character in title case, as far as that is one character."""
    if _OTHERWISE.search(text) is None:
        return text.upper()
    pieces = _OTHERWISE.split(text)
    pieces[::2] = [piece.upper() for piece in pieces[::2]]
    pieces[1::2] = [one.title() if len(one.title()) == 1 else one for one in pieces[1::2]]
    return "".join(pieces)


def base64_octets(text: bytes) -> bytes:
    """The octets that base64 stands for, as far as they can be read; never raises.

    Padding in the middle ends a piece encoded by itself; other letters are passed over.
    """
    if b"=" in text.rstrip(b"=\r\n\t "):
        return b"".join(_piece_octets(piece) for piece in _PADDING.split(text))
    return _piece_octets(text)


def _piece_octets(text: bytes) -> bytes:
    letters = _NOT_BASE64.sub(b"", text)
    if len(letters) % 4 == 1:  # six bits are no octet
        letters = letters[:-1]
    return a2b_base64(letters + b"=" * (-len(letters) % 4))


def _octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"Qq":
        return a2b_qp(text, header=True)
    return base64_octets(text)


def _text(charset: bytes, octets: bytes) -> str:
    if not octets:
        return ""
    return (charset_decoder(charset) or guessed)(octets)
