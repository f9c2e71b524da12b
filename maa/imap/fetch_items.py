"""What FETCH can be asked for, as values, and its grammar (RFC 3501 §6.4.5, §9 fetch-att).

An item knows the name under which its answer comes (R133): sections are spelled back in one
canonical form, `BODY[HEADER.FIELDS (FROM TO)]<0>`, whatever the client wrote.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError, astring
from maa.message.numbers import MAX_NUMBER


class Datum(Enum):
    """An item without arguments; the value is its name on the wire."""

    UID = b"UID"
    FLAGS = b"FLAGS"
    INTERNALDATE = b"INTERNALDATE"
    SIZE = b"RFC822.SIZE"
    MODSEQ = b"MODSEQ"
    SAVEDATE = b"SAVEDATE"
    EMAILID = b"EMAILID"
    THREADID = b"THREADID"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    PREVIEW = b"PREVIEW"
    LAZY_PREVIEW = b"PREVIEW (LAZY)"
    """PREVIEW if it is remembered, and NIL if not (RFC 8970 §4)."""
    REV2_BODY = b"BODY (IMAP4rev2)"
    REV2_BODYSTRUCTURE = b"BODYSTRUCTURE (IMAP4rev2)"
    """As IMAP4rev2 has them: a message/global is a message (RFC 9051 §9 media-message)."""

    @property
    def answered_as(self) -> bytes:
        """The name of the answer."""
        return self.value.partition(b" ")[0]


class Text(Enum):
    """Which octets of a message or part a section means (RFC 3501 §6.4.5)."""

    ALL = b""
    HEADER = b"HEADER"
    TEXT = b"TEXT"
    MIME = b"MIME"
    FIELDS = b"HEADER.FIELDS"
    FIELDS_NOT = b"HEADER.FIELDS.NOT"


@dataclass(frozen=True, slots=True)
class Section:
    """Octets of the message: `BODY[section]<partial>` and the older names for some of them."""

    name: bytes
    """What the answer is called."""
    path: tuple[int, ...] = ()
    """The part number; empty for the message itself."""
    text: Text = Text.ALL
    fields: tuple[bytes, ...] = ()
    """Field names of HEADER.FIELDS, in capitals, as asked."""
    partial: tuple[int, int] | None = None
    """First octet and number of octets."""
    peek: bool = True
    """Reading does not set \\Seen (R087)."""
    decoded: bool = False
    """BINARY: without the Content-Transfer-Encoding (RFC 3516)."""
    size: bool = False
    """BINARY.SIZE: only how many octets these are."""


Item = Datum | Section

_REV2: Final[dict[Item, Item]] = {
    Datum.BODY: Datum.REV2_BODY,
    Datum.BODYSTRUCTURE: Datum.REV2_BODYSTRUCTURE,
}


def in_rev2(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """What a client means by the items that enabled IMAP4rev2."""
    return tuple(_REV2.get(item, item) for item in items)


_FAST: Final = (Datum.FLAGS, Datum.INTERNALDATE, Datum.SIZE)
MACROS: Final[dict[bytes, tuple[Item, ...]]] = {
    b"FAST": _FAST,
    b"ALL": (*_FAST, Datum.ENVELOPE),
    b"FULL": (*_FAST, Datum.ENVELOPE, Datum.BODY),
}
# RFC 3501 gives three names to old forms of sections; RFC 1730 had more, which some clients
# still use. The answer's name is without PEEK.
_OLD_NAMES: Final = {
    b"RFC822": Section(b"RFC822", peek=False),
    b"RFC822.PEEK": Section(b"RFC822"),
    b"RFC822.HEADER": Section(b"RFC822.HEADER", text=Text.HEADER),
    b"RFC822.TEXT": Section(b"RFC822.TEXT", text=Text.TEXT, peek=False),
    b"RFC822.TEXT.PEEK": Section(b"RFC822.TEXT", text=Text.TEXT),
}
_OLD_LINES: Final = {
    b"RFC822.HEADER.LINES": Text.FIELDS,
    b"RFC822.HEADER.LINES.NOT": Text.FIELDS_NOT,
}
_BINARY: Final = (b"BINARY", b"BINARY.PEEK", b"BINARY.SIZE")
_DATA: Final = {datum.value: datum for datum in Datum}

_WORD = re.compile(rb"[A-Za-z0-9.]+")
_LAZY = re.compile(rb" \(LAZY(?: LAZY)*\)", re.IGNORECASE)
_PART = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_TEXT = re.compile(rb"\.?(HEADER\.FIELDS\.NOT|HEADER\.FIELDS|HEADER|TEXT|MIME)", re.IGNORECASE)
_PARTIAL = re.compile(rb"<(0|[1-9][0-9]{0,9})\.([1-9][0-9]{0,9})>")


def parse_items(cursor: Cursor, opened: bool = False) -> tuple[Item, ...]:
    """A macro, one item, or a parenthesised list of items (R131, R132); `opened`: its rest."""
    if opened or cursor.take(b"("):
        items = [_item(cursor, _word(cursor))]
        while not cursor.take(b")"):
            cursor.space()
            items.append(_item(cursor, _word(cursor)))
        return tuple(items)
    word = _word(cursor)
    return MACROS[word] if word in MACROS else (_item(cursor, word),)


def _word(cursor: Cursor) -> bytes:
    match = cursor.remaining_match(_WORD)
    if match is None:
        raise ProtocolError("a fetch item is missing")
    return match.group().upper()


def _item(cursor: Cursor, word: bytes) -> Item:
    if word in (b"BODY", b"BODY.PEEK") and cursor.peek() == b"[":
        return _section(cursor, peek=word == b"BODY.PEEK")
    if word in _BINARY:
        return _binary(cursor, word)
    if word == b"PREVIEW" and cursor.remaining_match(_LAZY):
        return Datum.LAZY_PREVIEW
    if word in _DATA:
        return _DATA[word]
    if word in _OLD_NAMES:
        return _OLD_NAMES[word]
    if word in _OLD_LINES:
        cursor.space()
        return Section(b"RFC822.HEADER", text=_OLD_LINES[word], fields=_header_list(cursor))
    if word in MACROS:
        raise ProtocolError("a macro stands alone, not in a list")
    raise ProtocolError("unknown fetch item " + word[:40].decode("ascii"))


def _section(cursor: Cursor, peek: bool) -> Section:
    """`[section-spec]` and `<first.count>`, behind BODY or BODY.PEEK."""
    cursor.expect(b"[")
    path = _path(cursor)
    text, fields = _section_text(cursor, bool(path))
    cursor.expect(b"]")
    partial = _partial(cursor)
    return Section(_name(path, text, fields, partial), path, text, fields, partial, peek)


def _binary(cursor: Cursor, word: bytes) -> Section:
    """`[section-part]` and, but for the size, `<first.count>` of what is decoded (RFC 3516 §7)."""
    cursor.expect(b"[")
    path = _path(cursor)
    cursor.expect(b"]")
    size = word == b"BINARY.SIZE"
    partial = None if size else _partial(cursor)
    name = _name(path, Text.ALL, (), partial, b"BINARY.SIZE" if size else b"BINARY")
    peek = word != b"BINARY"
    return Section(name, path, partial=partial, peek=peek, decoded=True, size=size)


def _path(cursor: Cursor) -> tuple[int, ...]:
    part = cursor.remaining_match(_PART)
    path = tuple(int(number) for number in part.group().split(b".")) if part else ()
    if path and max(path) > MAX_NUMBER:
        raise ProtocolError("a part number is too large")
    return path


def _section_text(cursor: Cursor, behind_part: bool) -> tuple[Text, tuple[bytes, ...]]:
    match = cursor.remaining_match(_TEXT)
    if match is None:
        return Text.ALL, ()
    if match.group().startswith(b".") != behind_part:
        raise ProtocolError("invalid section")
    text = Text(match.group(1).upper())
    if text is Text.MIME and not behind_part:
        raise ProtocolError("MIME needs a part number")
    if text not in (Text.FIELDS, Text.FIELDS_NOT):
        return text, ()
    cursor.space()
    return text, _header_list(cursor)


def _header_list(cursor: Cursor) -> tuple[bytes, ...]:
    """`(field ...)`, not empty (R136)."""
    cursor.expect(b"(")
    names = [cursor.astring().upper()]
    while not cursor.take(b")"):
        cursor.space()
        names.append(cursor.astring().upper())
    return tuple(names)


def _partial(cursor: Cursor) -> tuple[int, int] | None:
    """`<first.count>`; a count of 0 is BAD (R134)."""
    if cursor.peek() != b"<":
        return None
    match = cursor.remaining_match(_PARTIAL)
    if match is None:
        raise ProtocolError("invalid partial range")
    first, count = int(match.group(1)), int(match.group(2))
    if first > MAX_NUMBER or count > MAX_NUMBER:
        raise ProtocolError("a number in a partial range is too large")
    return first, count


def _name(
    path: tuple[int, ...],
    text: Text,
    fields: tuple[bytes, ...],
    partial: tuple[int, int] | None,
    word: bytes = b"BODY",
) -> bytes:
    """The section as the answer spells it (R133): of a partial range only the first octet."""
    specification = b".".join([b"%d" % number for number in path] + [text.value] * bool(text.value))
    if fields:
        specification += b" (%b)" % b" ".join(astring(name) for name in fields)
    origin = b"<%d>" % partial[0] if partial else b""
    return b"%b[%b]%b" % (word, specification, origin)
