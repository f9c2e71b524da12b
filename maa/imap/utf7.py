"""Modified UTF-7, the spelling of mailbox names on the wire (RFC 3501 §5.1.3; R094)."""

from __future__ import annotations

import binascii
import re

_SHIFT = re.compile(rb"&([A-Za-z0-9+,]*)(-?)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_OTHERS = re.compile("&|[^ -~]+")


def encoded(name: str) -> bytes:
    """The canonical spelling: printable ASCII as it is, `&-` for `&`, runs of the rest shifted."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _OTHERS.sub(_shifted, name).encode("ascii")


def _shifted(match: re.Match[str]) -> str:
    text = match.group()
    if text == "&":
        return "&-"
    # A lone surrogate cannot come from a client, but may come from a stranger's folder on disk.
    octets = text.encode("utf-16-be", "surrogatepass")
    coded = binascii.b2a_base64(octets, newline=False).rstrip(b"=").replace(b"/", b",")
    return "&" + coded.decode("ascii") + "-"


def decoded(name: bytes) -> str:
    """The Unicode name; ValueError when the spelling is illegal.

    Spellings that are legal UTF-7 without being canonical (shifted ASCII, two shifts side by
    side) are understood: old clients write them, and what we send is canonical anyway (L-13).
    """
    text = name.decode("ascii") if b"&" not in name else _parted(name)
    if _CONTROL.search(text):
        raise ValueError("a mailbox name holds control characters")
    return text


def _parted(name: bytes) -> str:
    parts: list[str] = []
    at = 0
    for match in _SHIFT.finditer(name):
        coded, closed = match.groups()
        if not closed:
            raise ValueError("a shift in a mailbox name is not closed")
        parts.append(name[at : match.start()].decode("ascii"))
        parts.append(_unshifted(coded) if coded else "&")
        at = match.end()
    parts.append(name[at:].decode("ascii"))
    return "".join(parts)


def _unshifted(coded: bytes) -> str:
    if len(coded) % 4 == 1:
        raise ValueError("a shift in a mailbox name is cut short")
    padded = coded.replace(b",", b"/") + b"=" * (-len(coded) % 4)
    return binascii.a2b_base64(padded).decode("utf-16-be")
