"""The grammar of SEARCH (RFC 3501 §6.4.4, §9)."""

import contextlib
import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.imap.search_keys import (
    DEPTH_MAX,
    KEYS_MAX,
    PARENTHESES_MAX,
    All,
    Any,
    Comparison,
    HasFlag,
    InHeader,
    InMessage,
    InSet,
    Internal,
    Key,
    Not,
    Sent,
    Size,
    known_charset,
    parse_search,
)
from maa.message.numbers import NumberSet

SEEN, RECENT = HasFlag("\\Seen"), HasFlag("\\Recent")


def key(text: bytes, *literals: bytes) -> Key:
    pieces: list[bytes] = []
    for part, literal in zip(text.split(b"%"), [*literals, None], strict=True):
        pieces += [part] if literal is None else [part, literal]
    cursor = Cursor(pieces)
    charset, found = parse_search(cursor)
    cursor.end()
    assert known_charset(charset)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"ALL", All()),
        (b"seen", SEEN),
        (b"UNSEEN", Not(SEEN)),
        (b"NEW", All((RECENT, Not(SEEN)))),
        (b"OLD", Not(RECENT)),
        (b"KEYWORD $Forwarded", HasFlag("$Forwarded")),
        (b"UNKEYWORD NIL", Not(HasFlag("NIL"))),
        (b"2,4:*", InSet(NumberSet.parse(b"2,4:*"), by_uid=False)),
        (b"UID 7", InSet(NumberSet.parse(b"7"), by_uid=True)),
        (b"LARGER 0", Size(Comparison.MORE, 0)),
        (b"SMALLER 5", Size(Comparison.LESS, 5)),
        (b"ON 1-Feb-1994", Internal(Comparison.EQUAL, datetime.date(1994, 2, 1))),
        (b'SENTSINCE "01-feb-1994"', Sent(Comparison.SINCE, datetime.date(1994, 2, 1))),
        (b'Subject "a b"', InHeader(b"SUBJECT", "a b")),
        (b"HEADER Message-ID %", InHeader(b"MESSAGE-ID", "<x@y>")),
        (b"BODY NIL", InMessage("NIL", with_header=False)),
        (b'TEXT ""', InMessage("", with_header=True)),
    ],
)
def test_each_key_is_read(text: bytes, expected: Key) -> None:
    assert key(text, *([b"<x@y>"] if b"%" in text else [])) == expected


def test_R177_keys_are_anded_and_grouped() -> None:
    assert key(b"SEEN 1 (ALL DELETED)") == All(
        (SEEN, InSet(NumberSet.parse(b"1"), False), All((All(), HasFlag("\\Deleted"))))
    )
    assert key(b"((SEEN))") == SEEN


def test_R177_not_and_or_take_one_and_two_keys() -> None:
    assert key(b"OR SEEN NOT (SEEN RECENT) ALL") == All(
        (Any((SEEN, Not(All((SEEN, RECENT))))), All())
    )
    assert key(b"NOT NOT NOT SEEN") == Not(SEEN)
    assert key(b"OR OR SEEN RECENT OR SEEN RECENT") == Any((SEEN, RECENT, SEEN, RECENT))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"OR SEEN", b"NOT", b"(", b"()", b"(SEEN", b"SEEN)", b"SEEN  SEEN", b"NOSUCH",
        b"BEFORE 31-Feb-1994", b"BEFORE 1-Foo-1994", b"ON yesterday", b"LARGER -1", b"LARGER x",
        b"HEADER From", b"SUBJECT", b"UID", b"0", b"CHARSET UTF-8", b"SINCE 1-Jan-0000",
    ],
)  # fmt: skip
def test_nonsense_is_bad(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        key(text)


def test_trailing_blanks_are_tolerated() -> None:
    assert key(b"SEEN ") == SEEN


def test_R224_as_many_keys_as_the_limit_and_no_more() -> None:
    chain = b"OR SEEN " * (KEYS_MAX // 2 - 1)
    found = key(chain + b"SEEN")
    assert isinstance(found, Any)
    assert len(found.keys) == KEYS_MAX // 2
    with pytest.raises(ProtocolError, match="keys"):
        key(b"SEEN " * KEYS_MAX + b"SEEN")


def test_R224_parentheses_are_limited() -> None:
    assert key(b"(" * PARENTHESES_MAX + b"SEEN" + b")" * PARENTHESES_MAX) == SEEN
    with pytest.raises(ProtocolError, match="parentheses"):
        key(b"(" * (PARENTHESES_MAX + 1) + b"SEEN" + b")" * (PARENTHESES_MAX + 1))
    assert key(b" ".join([b"(SEEN)"] * (PARENTHESES_MAX + 1))) is not None


def test_R177_alternating_keys_cannot_nest_without_end() -> None:
    with pytest.raises(ProtocolError, match="nested"):
        key(b"NOT OR SEEN " * DEPTH_MAX + b"SEEN")


def test_R180_charsets_decode_texts() -> None:
    assert key(b"CHARSET UTF-8 SUBJECT %", "é".encode()) == InHeader(b"SUBJECT", "é")
    assert key(b'CHARSET "GBK" BODY %', "测试".encode("gbk")) == InMessage("测试", False)
    assert key(b"SUBJECT %", "é".encode()) == InHeader(b"SUBJECT", "é")


def test_R180_an_unknown_charset_is_read_to_the_end() -> None:
    charset, found = parse_search(Cursor([b"CHARSET zlib SUBJECT ", b"\xff\xfe", b""]))
    assert not known_charset(charset)
    assert isinstance(found, InHeader)


@given(st.lists(st.sampled_from([
    b"SEEN", b"NOT", b"OR", b"(", b")", b"1:*", b"UID", b"SUBJECT", b"x", b"ON", b"1-Jan-2000",
    b"HEADER", b'"', b"\\", b"", b"CHARSET", b"UTF-8", b"\xff", b"KEYWORD",
])))  # fmt: skip
def test_any_words_are_a_key_or_a_protocol_error(words: list[bytes]) -> None:
    for joined in (b" ".join(words), b"".join(words)):
        with contextlib.suppress(ProtocolError):
            parse_search(Cursor([joined]))
