"""The tokens of RFC 3501 §9, and that no octets make the parser do anything but its duty."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError, Refused, string
from maa.imap.states import Literal
from maa.imap.table import COMMANDS
from maa.message.numbers import NumberSet


def test_a_cursor_reads_across_literals() -> None:
    cursor = Cursor([b"one ", b"li te ral", b' "quo\\"ted\\\\" 17'])
    assert cursor.atom() == b"one"
    cursor.space()
    assert cursor.peek() == b"{"
    assert cursor.astring() == b"li te ral"
    cursor.space()
    assert cursor.string() == b'quo"ted\\'
    cursor.space()
    assert cursor.number() == 17
    assert cursor.peek() == b""
    cursor.end()


@pytest.mark.parametrize(
    "text",
    [b'"a', b'"a\\n"', b'"\x00"', b'"\xe4"', b'"a\rb"', b'"a\nb"', b"", b'"\\"', b"(", b"{3}"],
)
def test_R007_what_is_no_string(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        Cursor([text]).string()


def test_R012_a_literal_holds_no_nul() -> None:
    with pytest.raises(ProtocolError):
        Cursor([b"", b"a\0b", b""]).astring()


def test_R018_nil_is_special_only_where_the_grammar_says_nstring() -> None:
    assert Cursor([b"NIL"]).astring() == b"NIL"
    assert Cursor([b"nil"]).nstring() is None
    assert Cursor([b'"NIL"']).nstring() == b"NIL"
    assert Cursor([b'""']).nstring() == b""


def test_R019_list_patterns_have_bare_wildcards_and_astrings_have_not() -> None:
    assert Cursor([b"a*%]"]).list_mailbox() == b"a*%]"
    assert Cursor([b"a]*"]).astring() == b"a]"
    assert Cursor([b"a]"]).atom() == b"a"


@pytest.mark.parametrize(("text", "number"), [(b"0", 0), (b"4294967295", 2**32 - 1), (b"007", 7)])
def test_numbers(text: bytes, number: int) -> None:
    assert Cursor([text]).number() == number


@pytest.mark.parametrize("text", [b"4294967296", b"9" * 5000, b"-1", b"+1", b"x", b""])
def test_R016_numbers_are_32_bit(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        Cursor([text]).number()


@pytest.mark.parametrize("text", [b"0", b"01", b""])
def test_R016_nz_numbers_do_not_begin_with_zero(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        Cursor([text]).nz_number()


def test_R014_sequence_sets() -> None:
    parsed = Cursor([b"4:2,*,7 x"]).sequence_set()
    assert parsed == NumberSet(((4, 2), (None, None), (7, 7)))


@pytest.mark.parametrize("text", [b"0", b"1,", b",1", b"1:", b":1", b"1:2:3", b"$", b""])
def test_what_is_no_sequence_set(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        Cursor([text]).sequence_set()


def test_R003_flags_are_canonical_and_keywords_keep_their_case() -> None:
    assert Cursor([b"(\\sEEN \\RECENT $Label1 nil)"]).flags() == {"\\Seen", "$Label1", "nil"}
    assert Cursor([b"\\Seen junk"]).flags() == {"\\Seen", "junk"}
    assert Cursor([b"()"]).flag_list() == frozenset()


@pytest.mark.parametrize("text", [b"(\\Mine)", b"(\\Seen", b"( \\Seen)", b"(a  b)", b"(\\*)", b""])
def test_R084_what_is_no_list_of_flags(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        Cursor([text]).flags()


def test_R084_keywords_are_short() -> None:
    with pytest.raises(Refused) as refused:
        Cursor([b"(" + b"k" * 101 + b")"]).flag_list()
    assert refused.value.code == b"LIMIT"


def test_R006_trailing_blanks_are_tolerated_and_arguments_are_not() -> None:
    Cursor([b"  "]).end()
    with pytest.raises(ProtocolError):
        Cursor([b" x"]).end()
    with pytest.raises(ProtocolError):
        Cursor([b" ", b"", b""]).end()


WORDS = st.sampled_from(
    [b" ", b"(", b")", b'"', b"\\", b"INBOX", b"NIL", b"FLAGS", b"+FLAGS.SILENT", b"\\Seen", b"1:*",
     b"BODY[", b"]", b"<0.5>", b"HEADER.FIELDS", b"CHARSET", b"UTF-8", b"NOT", b"OR", b"SUBJECT",
     b"SINCE", b"1-Feb-1994", b'"17-Jul-1996 02:44:25 -0700"', b"MESSAGES", b"&AMg-", b"&", b"*",
     b"%", b"0", b"4294967296", b"{3}", b"\x00", b"\xff", b"UID", b"ALL", b"RFC822.SIZE",
     b"ENVELOPE", b"BODY.PEEK[1.MIME]", b"LARGER", b"KEYWORD", b"HEADER"]
)  # fmt: skip
TEXTS = st.one_of(st.binary(max_size=60), st.lists(WORDS, max_size=12).map(b"".join))
PIECES = st.integers(0, 3).flatmap(
    lambda literals: st.lists(TEXTS, min_size=2 * literals + 1, max_size=2 * literals + 1)
)


@given(
    st.sampled_from(sorted(COMMANDS)),
    PIECES,
    st.one_of(st.none(), st.builds(Literal, st.integers(0, 2**64), st.booleans())),
)
def test_any_octets_are_a_command_or_a_protocol_error(
    name: bytes, pieces: list[bytes], announced: Literal | None
) -> None:
    try:
        command = COMMANDS[name].parse(b"tag", Cursor(pieces, 0, announced))
    except ProtocolError as error:
        assert str(error)
    else:
        assert command.tag == b"tag"


@given(st.binary(max_size=2000))
def test_R021_what_is_sent_as_a_string_is_read_back(value: bytes) -> None:
    sent = string(value)
    if sent.startswith(b"{"):
        head, _, content = sent.partition(b"\r\n")
        pieces = [b"", content, b""]
        assert head == b"{%d}" % len(value)
    else:
        pieces = [sent]
    assert Cursor(pieces).string() == value.replace(b"\0", b"\x80")


@pytest.mark.parametrize("filler", [b"(", b"a ", b'"', b'"a\\', b"1,", b"*:", b"OR ", b"NOT "])
def test_R225_long_arguments_take_linear_time(filler: bytes) -> None:
    """Anything quadratic or exponential would take minutes or for ever."""
    begun = time.process_time()
    for row in COMMANDS.values():
        with suppress(ProtocolError):
            row.parse(b"t", Cursor([b" " + filler * (65536 // len(filler))]))
    assert time.process_time() - begun < 5
