"""FETCH data as octets: ENVELOPE, BODYSTRUCTURE, and whole answers in bulk (RFC 3501 §7.4.2).

Answers to many messages are made by columns. A column has one ready fragment for each message,
and fragments are shared: all messages with the same flags have the same one. Rows are then
one formatting or one join each, and a hundred thousand of them take some 20 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from maa.imap.responses import nstring, parenthesised, string
from maa.message.addresses import Address
from maa.message.headers import Envelope
from maa.message.parameters import Parameters
from maa.message.parts import Part

PIECE_OCTETS = 65536
"""About so much is yielded at once: one write of the transport."""
_FEW: Final = 3
"""Lists of so many addresses are kept rendered."""


def envelope(value: Envelope) -> bytes:
    """An envelope: date subject from sender reply-to to cc bcc in-reply-to message-id (R150)."""
    from_ = _addresses(value.from_)
    # Usually they are defaults, the same object: rendered once.
    sender = from_ if value.sender is value.from_ else _addresses(value.sender)
    reply_to = from_ if value.reply_to is value.from_ else _addresses(value.reply_to)
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(value.date),
        nstring(value.subject),
        from_,
        sender,
        reply_to,
        _addresses(value.to),
        _addresses(value.cc),
        _addresses(value.bcc),
        nstring(value.in_reply_to),
        nstring(value.message_id),
    )


def _addresses(addresses: tuple[Address, ...]) -> bytes:
    """A list of addresses with no blank between them; NIL when there is none (R155)."""
    if not addresses:
        return b"NIL"
    # The same few people write most of the mail.
    return _few(addresses) if len(addresses) <= _FEW else _many(addresses)


def _many(addresses: tuple[Address, ...]) -> bytes:
    return b"(%b)" % b"".join(
        [
            b"(%b %b %b %b)"
            % (
                nstring(address.name),
                nstring(address.route),
                nstring(address.mailbox),
                nstring(address.host),
            )
            for address in addresses
        ]
    )


_few = lru_cache(maxsize=2048)(_many)


def body_structure(part: Part, extended: bool) -> bytes:
    """A body: BODYSTRUCTURE with extension data, BODY without (R143-R146).

    The grammar of IMAP4rev1 knows no message/global: it is shown as a plain part, for what a
    message has more would not be understood (RFC 3501 §9 media-message; RFC 9051 has both).
    Recurses as deep as `structure.DEPTH_MAX` allows.
    """
    if part.is_multipart:
        inner = b"".join([body_structure(child, extended) for child in part.parts])
        if not extended:
            return b"(%b %b)" % (inner, string(part.subtype))
        parameters, extension = _parameters(part.parameters), _extension(part)
        return b"(%b %b %b%b)" % (inner, string(part.subtype), parameters, extension)
    head = b"(%b %b %b %b %d" % (
        _labels(part.type, part.subtype, part.parameters),
        nstring(part.content_id),
        nstring(part.description),
        string(part.encoding),
        part.octets,
    )
    if part.envelope is not None and part.subtype == b"rfc822":
        inner = body_structure(part.parts[0], extended)
        head = b"%b %b %b %d" % (head, envelope(part.envelope), inner, part.lines)
    elif part.type == b"text":
        head = b"%b %d" % (head, part.lines)
    if not extended:
        return head + b")"
    return b"%b %b%b)" % (head, nstring(part.md5), _extension(part))


def _type(type_: bytes, subtype: bytes, parameters: Parameters) -> bytes:
    return b"%b %b %b" % (string(type_), string(subtype), _parameters(parameters))


_known_type = lru_cache(maxsize=256)(_type)


def _labels(type_: bytes, subtype: bytes, parameters: Parameters) -> bytes:
    """Type, subtype and parameters; of texts these are nearly always the same few."""
    if type_ == b"text" and len(parameters) == 1 and parameters[0][0] == b"charset":
        return _known_type(type_, subtype, parameters)
    return _type(type_, subtype, parameters)


def _extension(part: Part) -> bytes:
    """Disposition, language and location, with a blank before each."""
    if part.disposition is None and not part.languages and part.location is None:
        return b" NIL NIL NIL"
    disposition = b"NIL"
    if part.disposition is not None:
        kind, parameters = part.disposition
        disposition = b"(%b %b)" % (string(kind), _parameters(parameters))
    languages = b"NIL"
    if part.languages:
        languages = parenthesised(string(tag) for tag in part.languages)
    return b" %b %b %b" % (disposition, languages, nstring(part.location))


def _parameters(parameters: Parameters) -> bytes:
    """Pairs of names and values; NIL when there is none, never `()` (R147)."""
    if not parameters:
        return b"NIL"
    return parenthesised([b"%b %b" % (string(name), string(text)) for name, text in parameters])


def literal(data: bytes) -> bytes:
    """Octets of a message: a literal; of none `""`, for `{0}` makes some clients wait (L-4)."""
    return b"{%d}\r\n%b" % (len(data), data.replace(b"\0", b"\x80")) if data else b'""'


def template(names: Sequence[bytes]) -> bytes:
    """The format of one answer: the sequence number, then a rendered value for each name."""
    values = b" ".join(b"%b %%b" % name.replace(b"%", b"%%") for name in names)
    return b"* %%d FETCH (%b)\r\n" % values


def pieces(rows: Sequence[bytes]) -> Iterator[bytes]:
    """Rows joined to pieces of about `PIECE_OCTETS`."""
    start = octets = 0
    for stop, row in enumerate(rows, 1):
        octets += len(row)
        if octets >= PIECE_OCTETS:
            yield b"".join(rows[start:stop])
            start, octets = stop, 0
    if start < len(rows):
        yield b"".join(rows[start:])
