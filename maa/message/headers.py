"""Header fields: where they are, what they say, and the ENVELOPE made of them (R136, R150-R154).

Tolerant as mail demands: a line without a colon does not end the header, and a last line
without line end still belongs to it. Values stay raw octets, unfolded by taking out the CRLF
alone (RFC 5322 §2.2.3); nothing here decodes.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from maa.message import addresses
from maa.message.addresses import Address

FIELD_OCTETS_MAX: Final = 1 << 20
"""Of one field no more than so much is parsed or shown in ENVELOPE (R224)."""

_LINE_END: Final = re.compile(rb"\r\n(?![ \t])")
_BLANKS: Final = b" \t\r\n"
_FOLD: Final = re.compile(rb"[ \t]*+\r\n[ \t]*+")
_BLANK_RUN: Final = re.compile(rb"[ \t\r\n]{2,}+|[\t\r]")


def field_pattern(names: bytes) -> re.Pattern[bytes]:
    """Finds fields by their `|`-separated names: name and folded value; each behind a line end."""
    # Early releases of Python 3.11, Debian 12's among them, go on behind the failed last turn of
    # a possessive group instead of before it: so here and elsewhere each turn fails at its first
    # step.
    return re.compile(
        rb"\r\n(%b)[ \t]*+:[ \t]*+((?:[^\r]++|\r\n[ \t]|(?=\r[^\n])\r|\r\Z)*+)" % names,
        re.IGNORECASE,
    )


_ENVELOPE: Final = field_pattern(
    b"date|subject|from|sender|reply-to|to|cc|bcc|in-reply-to|message-id"
)


@dataclass(frozen=True, slots=True)
class Field:
    """One field's place in the header: octets from its start, the line end included in `end`."""

    name: bytes
    """As written, without blanks; of a line without colon the whole line."""
    start: int
    value_start: int
    end: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """The parsed representation of a header (RFC 3501 §7.4.2): raw, unfolded octets (R150)."""

    date: bytes | None
    subject: bytes | None
    from_: tuple[Address, ...]
    sender: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    in_reply_to: bytes | None
    message_id: bytes | None


def header_end(data: bytes) -> int:
    """Octets of the header with its blank line, if it has one; else all."""
    if data[:2] == b"\r\n":
        return 2
    at = data.find(b"\r\n\r\n")
    return at + 4 if at >= 0 else len(data)


def _spans(header: bytes) -> Iterator[tuple[int, int, int]]:
    """Start, colon (-1: none) and end of each field with its continuation lines."""
    start = 0
    for match in _LINE_END.finditer(header):
        if match.start() == start:
            return
        yield start, _colon(header, start, match.start()), match.end()
        start = match.end()
    if start < len(header):
        yield start, _colon(header, start, len(header)), len(header)


def _colon(header: bytes, start: int, stop: int) -> int:
    """The colon behind a field's name, which must stand on the field's first line."""
    at = header.find(b":", start, stop)
    return -1 if at >= 0 and header.find(b"\r\n", start, at) >= 0 else at


def _name(header: bytes, start: int, colon: int, end: int) -> bytes:
    return header[start : colon if colon >= 0 else end].rstrip(_BLANKS)


def fields(header: bytes) -> list[Field]:
    """Every field in the order of the message; a line without colon is one without value."""
    return [
        Field(_name(header, start, colon, end), start, colon + 1 if colon >= 0 else end, end)
        for start, colon, end in _spans(header)
    ]


def unfolded(value: bytes) -> bytes:
    """The value on one line, without the blanks around it; at most `FIELD_OCTETS_MAX`."""
    return value[:FIELD_OCTETS_MAX].replace(b"\r\n", b"").strip(_BLANKS)


def value(header: bytes, field: Field) -> bytes:
    """The field's value, unfolded and stripped."""
    return unfolded(header[field.value_start : field.end])


def first(header: bytes, name: bytes) -> bytes | None:
    """The unfolded value of the first field of this name, or None (R153)."""
    wanted = name.lower()
    octets = len(name)
    for start, colon, end in _spans(header):
        if header[start : start + octets].lower() == wanted and colon >= 0:
            if header[start + octets : colon].strip(_BLANKS):
                continue
            return unfolded(header[colon + 1 : end])
    return None


def selected(header: bytes, names: Collection[bytes], negate: bool = False) -> bytes:
    """The fields named (or all others) as they are, and the blank line (R136).

    The fields named have one even where the header has none, since clients look for it (as Q-5
    has it for POP3); nothing has none of a message without a header (RFC 3501 §6.4.5).
    """
    wanted = {name.lower() for name in names}
    taken = []
    for start, colon, end in _spans(header):
        if (_name(header, start, colon, end).lower() in wanted) != negate:
            taken.append(header[start:end])
    ended = header == b"\r\n" or header.endswith(b"\r\n\r\n")
    if ended or (header and not negate):
        taken.append(b"\r\n")
    return b"".join(taken)


class EnvelopeFields(NamedTuple):
    """What ENVELOPE is made of: fields by their names in lower case, unfolded and stripped."""

    texts: dict[bytes, bytes]
    """Of each that is no address list the first one (R153)."""
    lists: dict[bytes, list[bytes]]
    """Of each that is an address list all; the addresses of each are yet to be read."""


def envelope_fields(header: bytes) -> EnvelopeFields:
    """The fields of a header that ENVELOPE shows."""
    texts: dict[bytes, bytes] = {}
    lists: dict[bytes, list[bytes]] = {}
    # In front a line end, so that every field's name follows one.
    for name, text in _ENVELOPE.findall(b"\r\n" + header):
        name = name.lower()
        text = text[:FIELD_OCTETS_MAX].rstrip(_BLANKS)
        if name not in _TEXTS:
            if b"\r" in text:
                text = _FOLD.sub(b" ", text)
            if name in lists:
                lists[name].append(text)
            else:
                lists[name] = [text]
        elif name not in texts:
            if name == b"subject":
                # Senders fold it between words, with what blanks they like: one is enough.
                if b"  " in text or b"\t" in text or b"\r" in text:
                    text = _BLANK_RUN.sub(b" ", text.lstrip(_BLANKS))
            elif b"\r" in text:
                text = text.replace(b"\r\n", b"")
            texts[name] = text
    return EnvelopeFields(texts, lists)


def envelope(header: bytes) -> Envelope:
    """The ENVELOPE of a header; Sender and Reply-To default to From, also when empty (R151)."""
    texts, fields_ = envelope_fields(header)
    lists = {name: _addresses(values) for name, values in fields_.items()}
    sender = lists.get(b"from", ())
    return Envelope(
        date=texts.get(b"date"),
        subject=texts.get(b"subject"),
        from_=sender,
        sender=lists.get(b"sender") or sender,
        reply_to=lists.get(b"reply-to") or sender,
        to=lists.get(b"to", ()),
        cc=lists.get(b"cc", ()),
        bcc=lists.get(b"bcc", ()),
        in_reply_to=texts.get(b"in-reply-to"),
        message_id=texts.get(b"message-id"),
    )


def _addresses(values: Sequence[bytes]) -> tuple[Address, ...]:
    found = [addresses.parse(value) for value in values]
    return found[0] if len(found) == 1 else tuple(itertools.chain.from_iterable(found))


_TEXTS: Final = frozenset((b"date", b"subject", b"in-reply-to", b"message-id"))
