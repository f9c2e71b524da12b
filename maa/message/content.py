"""What the Content-* fields of a header say of its part (RFC 2045, 2183; R143-R149)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from maa.message.parameters import (
    ContentType,
    Parameters,
    content_type,
    disposition,
    languages,
    token,
)

TEXT: Final[ContentType] = (b"text", b"plain", ())
"""The type of what names none (RFC 2045 §5.2)."""
MESSAGE: Final[ContentType] = (b"message", b"rfc822", ())
"""The same inside a multipart/digest (RFC 2046 §5.1.5)."""
MESSAGES: Final = (b"rfc822", b"global")
"""Subtypes of message that hold another message."""
_BLANKS: Final = b" \t\r\n"
_CONTENT: Final = re.compile(
    rb"\r\ncontent-(type|transfer-encoding|id|description|disposition|language|location|md5)"
    rb"[ \t]*+:[ \t]*+((?:[^\r]++|\r\n[ \t]|(?=\r[^\n])\r|\r\Z)*+)",
    re.IGNORECASE,
)
_ENCODINGS: Final = {
    name.lower(): name for name in (b"7BIT", b"8BIT", b"BINARY", b"BASE64", b"QUOTED-PRINTABLE")
}


class Said(NamedTuple):
    """What a header says of its part, wherever that is: the same for many parts."""

    type: ContentType
    """Type and subtype in lower case; names of parameters too, RFC 2231 pieces joined."""
    content_id: bytes | None = None
    description: bytes | None = None
    encoding: bytes = b"7BIT"
    """In upper case; empty where the field cannot be read."""
    md5: bytes | None = None
    disposition: tuple[bytes, Parameters] | None = None
    languages: tuple[bytes, ...] = ()
    location: bytes | None = None


def said(header: bytes, default: ContentType = TEXT) -> Said:
    """What the header of a message says."""
    found = _content_fields(header)
    # Whatever else is in a header, of these fields there are a few sets only.
    few = len(found) <= 8 and len(header) <= _HEADER_OCTETS_REMEMBERED
    return _said_by_few(found, default) if few else _said_by(found, default)


def said_of_part(header: bytes, default: ContentType = TEXT) -> Said:
    """What the header of a part says: of one sender's messages the same again and again."""
    known = _said_of_short if len(header) <= _PART_OCTETS_REMEMBERED else said
    return known(header, default)


def last_type(header: bytes) -> ContentType:
    """The type that the last Content-Type field of a header names."""
    found = [value for name, value in _content_fields(header) if name.lower() == b"type"]
    return content_type(_raw(found[-1])) if found else TEXT


def _said_by(found: Sequence[tuple[bytes, bytes]], default: ContentType) -> Said:
    fields: dict[bytes, bytes] = {}
    for name, value in found:
        name = name.lower()
        if name not in fields or name == b"disposition":
            fields[name] = _raw(value)
    get = fields.get
    written, placed = get(b"type"), get(b"disposition")
    tags = get(b"language") if b"type" in fields else None
    return Said(
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


def _encoding(value: bytes) -> bytes:
    """The transfer encoding in upper case; empty when it cannot be read.

    What has a semicolon behind it is no word either, but taken for 7BIT, as it is shown.
    """
    return (
        _ENCODINGS.get(value.lower()) or token(value).upper() or (b"7BIT" if b";" in value else b"")
    )


_said_by_few = lru_cache(maxsize=1024)(_said_by)
_HEADER_OCTETS_REMEMBERED: Final = 4096
_said_of_short = lru_cache(maxsize=2048)(said)
_PART_OCTETS_REMEMBERED: Final = 512
