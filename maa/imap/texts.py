"""The texts in which SEARCH BODY and TEXT look, part by part (RFC 3501 §6.4.4; R185)."""

from __future__ import annotations

from collections.abc import Iterator

from maa.imap.sections import Content
from maa.message.content import last_type
from maa.message.parts import Part
from maa.message.text import header_text, part_text
from maa.message.words import folded

_ENCODINGS = frozenset((b"7BIT", b"8BIT", b"BINARY", b"BASE64", b"QUOTED-PRINTABLE"))


def texts(content: Content, headers: bool) -> Iterator[tuple[str, bool]]:
    """Folded texts of a message, and whether only TEXT looks there; each step may block.

    BODY looks into text parts, other messages inside (their headers included), and reports such
    as message/delivery-status, all decoded. TEXT also looks into the header and, with `headers`,
    those of the parts. A long part comes in several strings, which overlap.
    """
    if headers:
        yield folded(header_text(content.header)), True
    waiting = [(content.root, False)]
    while waiting:
        part, labelled = waiting.pop()
        if labelled and headers:
            yield folded(_header(content, part)), True
        if part.is_message:
            yield folded(_header(content, part.parts[0])), False
            # The header of a message inside was a text of its own.
            waiting.append((part.parts[0], False))
            continue
        if _has_no_parts(part):
            part = _said_otherwise(content, part)
        if _is_text(part):
            for text in part_text(content.wire, part):
                yield folded(text), False
        waiting.extend((inner, True) for inner in reversed(part.parts))


def _header(content: Content, part: Part) -> str:
    return header_text(content.octets(part.header_start, part.body_start))


def _has_no_parts(part: Part) -> bool:
    """Whether it is a multipart whose boundary is nowhere; what it holds is made up (R146)."""
    return part.is_multipart and part.parts[0].header_start == part.body_end


def _said_otherwise(content: Content, part: Part) -> Part:
    """The part as its last Content-Type has it, where several contradict (RFC 5322 §3.6).

    It stands behind a multipart's header that no blank line ends: the first part's header.
    """
    type_ = last_type(content.octets(part.header_start, part.body_start))
    if type_[0] == b"multipart":
        return part
    return part._replace(said=part.said._replace(type=type_), parts=())


def _is_text(part: Part) -> bool:
    """Whether people may read it; an encoding nobody knows makes it binary (RFC 2045 §6.4)."""
    return part.type in (b"text", b"message") and part.encoding in _ENCODINGS
