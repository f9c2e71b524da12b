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
from maa.message.addresses import Address, parse
from maa.message.content import Said
from maa.message.headers import Envelope, envelope_fields
from maa.message.parameters import Parameters
from maa.message.parts import Part

PIECE_OCTETS = 65536
"""About so much is yielded at once: one write of the transport."""
_SHORT: Final = 200
"""Address fields of so many octets are kept rendered: the same few people write most mail."""
_KEPT_HEADER_OCTETS: Final = 8192
"""What the headers of parts say is kept rendered, when they are no longer than this."""


def envelope(value: Envelope) -> bytes:
    """An envelope: date subject from sender reply-to to cc bcc in-reply-to message-id (R150)."""
    return _ENVELOPE % (
        nstring(value.date),
        nstring(value.subject),
        _listed(_addresses(value.from_)),
        _listed(_addresses(value.sender)),
        _listed(_addresses(value.reply_to)),
        _listed(_addresses(value.to)),
        _listed(_addresses(value.cc)),
        _listed(_addresses(value.bcc)),
        nstring(value.in_reply_to),
        nstring(value.message_id),
    )


def envelope_of(header: bytes) -> bytes:
    """`envelope(headers.envelope(header))`, without the values in between."""
    texts, lists = envelope_fields(header)
    rendered = {name: _listed(_of_fields(fields)) for name, fields in lists.items()}
    text, addresses = texts.get, rendered.get
    from_ = addresses(b"from", b"NIL")
    # Also where there are none in them (R151).
    sender, reply_to = addresses(b"sender", b"NIL"), addresses(b"reply-to", b"NIL")
    return _ENVELOPE % (
        nstring(text(b"date")),
        nstring(text(b"subject")),
        from_,
        from_ if sender == b"NIL" else sender,
        from_ if reply_to == b"NIL" else reply_to,
        addresses(b"to", b"NIL"),
        addresses(b"cc", b"NIL"),
        addresses(b"bcc", b"NIL"),
        nstring(text(b"in-reply-to")),
        nstring(text(b"message-id")),
    )


_ENVELOPE: Final = b"(%b %b %b %b %b %b %b %b %b %b)"


def _listed(addresses: bytes) -> bytes:
    """A list of rendered addresses; NIL when there is none."""
    return b"(%b)" % addresses if addresses else b"NIL"


def _of_fields(values: Sequence[bytes]) -> bytes:
    """The rendered addresses of some fields."""
    return b"".join(
        [_of_short(value) if len(value) <= _SHORT else _of_field(value) for value in values]
    )


def _of_field(value: bytes) -> bytes:
    return _addresses(parse(value))


_of_short = lru_cache(maxsize=4096)(_of_field)


def _addresses(addresses: tuple[Address, ...]) -> bytes:
    """Addresses with no blank between them (R155)."""
    return b"".join(
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


def body_structure(part: Part, extended: bool, rev2: bool = False) -> bytes:
    """A body: BODYSTRUCTURE with extension data, BODY without (R143-R146).

    The grammar of IMAP4rev1 knows no message/global: it is shown as a plain part, for what a
    message has more would not be understood (RFC 3501 §9 media-message; RFC 9051 has both).
    Recurses as deep as `structure.DEPTH_MAX` allows.
    """
    if part.is_multipart:
        inner = b"".join([body_structure(child, extended, rev2) for child in part.parts])
        if not extended:
            return b"(%b %b)" % (inner, string(part.subtype))
        extension = _extension(part.said)
        values = (inner, string(part.subtype), _parameters(part.parameters), extension)
        return b"(%b %b %b%b)" % values
    known = _kept_leaf if part.body_start - part.header_start <= _KEPT_HEADER_OCTETS else _leaf
    head, tail = known(part.said)
    tail = tail if extended else b""
    if part.envelope is not None and (rev2 or part.subtype == b"rfc822"):
        inner = body_structure(part.parts[0], extended, rev2)
        shown = envelope(part.envelope)
        return b"(%b %d %b %b %d%b)" % (head, part.octets, shown, inner, part.lines, tail)
    if part.type == b"text":
        return b"(%b %d %d%b)" % (head, part.octets, part.lines, tail)
    return b"(%b %d%b)" % (head, part.octets, tail)


def holds_global(part: Part) -> bool:
    """Whether IMAP4rev2 has another BODYSTRUCTURE for it than IMAP4rev1."""
    if part.is_message and part.subtype != b"rfc822":
        return True
    return any(map(holds_global, part.parts))


def _leaf(said: Said) -> tuple[bytes, bytes]:
    """What stands before and behind the numbers of a part that is no multipart."""
    type_, subtype, parameters = said.type
    head = b"%b %b %b %b %b %b" % (
        string(type_),
        string(subtype),
        _parameters(parameters),
        nstring(said.content_id),
        nstring(said.description),
        string(said.encoding or b"7BIT"),  # R148, Q-22
    )
    return head, b" %b%b" % (nstring(said.md5), _extension(said))


# Of most texts only the numbers differ.
_kept_leaf = lru_cache(maxsize=512)(_leaf)


def _extension(said: Said) -> bytes:
    """Disposition, language and location, with a blank before each."""
    disposition, languages, location = said.disposition, said.languages, said.location
    if disposition is None and not languages and location is None:
        return b" NIL NIL NIL"
    placed = b"NIL"
    if disposition is not None:
        kind, parameters = disposition
        placed = b"(%b %b)" % (string(kind), _parameters(parameters))
    tags = parenthesised(map(string, languages)) if languages else b"NIL"
    return b" %b %b %b" % (placed, tags, nstring(location))


def _parameters(parameters: Parameters) -> bytes:
    """Pairs of names and values; NIL when there is none, never `()` (R147)."""
    if not parameters:
        return b"NIL"
    return parenthesised([b"%b %b" % (string(name), string(text)) for name, text in parameters])


def literal(data: bytes) -> bytes:
    """Octets of a message: a literal; of none `""`, for `{0}` makes some clients wait (L-4)."""
    return b"{%d}\r\n%b" % (len(data), data.replace(b"\0", b"\x80")) if data else b'""'


def binary(data: bytes) -> bytes:
    """Decoded octets: a literal, or with a NUL among them a literal8 (RFC 3516 §4.3)."""
    return b"%b%b" % (binary_start(len(data), b"\0" in data), data) if data else b'""'


def binary_start(octets: int, nul: bool) -> bytes:
    """What stands before so many decoded octets."""
    return b"%b{%d}\r\n" % (b"~" * nul, octets)


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
