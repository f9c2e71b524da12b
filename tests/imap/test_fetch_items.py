"""The grammar of FETCH items (RFC 3501 §6.4.5, §9)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.fetch_items import MACROS, Datum, Section, Text, parse_items
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError


def items(text: bytes, *literals: bytes) -> tuple[object, ...]:
    pieces: list[bytes] = []
    for part, literal in zip(text.split(b"%"), [*literals, None], strict=True):
        pieces += [part] if literal is None else [part, literal]
    cursor = Cursor(pieces)
    found = parse_items(cursor)
    cursor.end()
    return found


@pytest.mark.parametrize("macro", [b"ALL", b"fast", b"Full"])
def test_R131_macros_stand_alone(macro: bytes) -> None:
    assert items(macro) == MACROS[macro.upper()]
    for text in (b"(" + macro + b")", b"(FLAGS " + macro + b")"):
        with pytest.raises(ProtocolError):
            items(text)


def test_R131_macros_mean_what_the_rfc_says() -> None:
    assert items(b"ALL") == items(b"(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)")
    assert items(b"FAST") == items(b"(FLAGS INTERNALDATE RFC822.SIZE)")
    assert items(b"FULL") == items(b"(FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY)")


def test_R132_one_item_needs_no_parentheses() -> None:
    assert items(b"envelope") == items(b"(ENVELOPE)") == (Datum.ENVELOPE,)


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        (b"BODY[]", b"BODY[]"),
        (b"body.peek[]<0.2048>", b"BODY[]<0>"),
        (b"BODY.PEEK[header]", b"BODY[HEADER]"),
        (b"BODY[1.2.mime]", b"BODY[1.2.MIME]"),
        (b"BODY[3.Text]<17.1>", b"BODY[3.TEXT]<17>"),
        (b"BODY[HEADER.FIELDS (from To)]", b"BODY[HEADER.FIELDS (FROM TO)]"),
        (b'BODY[2.HEADER.FIELDS.NOT ("x y")]', b'BODY[2.HEADER.FIELDS.NOT ("X Y")]'),
    ],
)
def test_R133_sections_are_spelled_back_in_one_form(asked: bytes, name: bytes) -> None:
    (item,) = items(asked)
    assert isinstance(item, Section)
    assert item.name == name


def test_R008_field_names_may_be_literals() -> None:
    (item,) = items(b"BODY[HEADER.FIELDS (% TO)]", b"from")
    assert isinstance(item, Section)
    assert item.fields == (b"FROM", b"TO")
    assert item.text is Text.FIELDS


@pytest.mark.parametrize("asked", [b"BODY[]<0.0>", b"BODY[]<0>", b"BODY[]<01.5>", b"BODY[]<-1.5>",
    b"BODY[]<0.4294967296>",
])  # fmt: skip
def test_R134_a_partial_range_needs_two_numbers_and_a_count(asked: bytes) -> None:
    with pytest.raises(ProtocolError):
        items(asked)


def test_R136_an_empty_field_list_is_bad() -> None:
    with pytest.raises(ProtocolError):
        items(b"BODY[HEADER.FIELDS ()]")


@pytest.mark.parametrize(
    "asked",
    [
        b"BODY[MIME]", b"BODY[0]", b"BODY[1.]", b"BODY[1HEADER]", b"BODY[.HEADER]", b"BODY[1",
        b"BODY []", b"BODY[9999999999]", b"BODY[99999999999]", b"()", b"", b"NOSUCH",
        b"(FLAGS  UID)", b"(FLAGS UID", b"BODY.PEEK", b"FLAGS]",
        b"BODY[HEADER.FIELDS]", b"BODY[HEADER (FROM)]",
    ],
)  # fmt: skip
def test_R138_nonsense_is_bad(asked: bytes) -> None:
    with pytest.raises(ProtocolError):
        items(asked)


@pytest.mark.parametrize(
    ("asked", "name", "peek"),
    [
        (b"RFC822", b"RFC822", False),
        (b"RFC822.PEEK", b"RFC822", True),
        (b"RFC822.HEADER", b"RFC822.HEADER", True),
        (b"RFC822.TEXT", b"RFC822.TEXT", False),
        (b"RFC822.TEXT.PEEK", b"RFC822.TEXT", True),
        (b"RFC822.HEADER.LINES (To)", b"RFC822.HEADER", True),
        (b"RFC822.HEADER.LINES.NOT (To)", b"RFC822.HEADER", True),
    ],
)
def test_R157_old_names_are_still_answered(asked: bytes, name: bytes, peek: bool) -> None:
    (item,) = items(asked)
    assert isinstance(item, Section)
    assert (item.name, item.peek) == (name, peek)


@given(st.binary(max_size=60), st.sampled_from([b"", b"BODY[", b"(BODY.PEEK[HEADER.FIELDS ("]))
def test_any_octets_are_items_or_a_protocol_error(octets: bytes, start: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        assert parse_items(Cursor([start + octets]))
