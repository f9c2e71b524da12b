"""Framing: lines and literals come out the same wherever the packets end."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.frames import CHUNK_OCTETS, Framer
from maa.imap.states import Line, Literal, LiteralChunk

LIMIT = 8192


def framed(pieces: list[bytes], limit: int = LIMIT) -> list[Line | bytes]:
    """Everything a framer makes of the pieces, every literal accepted and joined."""
    framer = Framer(limit)
    found: list[Line | bytes] = []
    left = 0
    for piece in pieces:
        framer.feed(piece)
        while (heard := framer.next()) is not None:
            if isinstance(heard, LiteralChunk):
                assert isinstance(found[-1], bytes)
                found[-1] += heard.data
                left -= len(heard.data)
                assert left >= 0
            else:
                found.append(heard)
                if heard.literal is not None and 0 < heard.literal.octets < 100_000:
                    left = heard.literal.octets
                    framer.expect_literal(left)
                    found.append(b"")
    return found


@pytest.mark.parametrize("digits", [b"%d" % 2**63, b"%d" % 2**64, b"9" * 5001])
@pytest.mark.parametrize("sign", [b"", b"+"])
def test_R013_a_literal_beyond_63_bit_is_a_fault(digits: bytes, sign: bytes) -> None:
    (line,) = framed([b"a SELECT {%b%b}\r\n" % (digits, sign)])
    assert isinstance(line, Line) and line.fault is not None and line.literal is not None
    assert line.literal.synchronising is (sign == b"")


def test_a_line_ends_at_crlf() -> None:
    assert framed([b"a NOOP\r\nb NO", b"OP\r", b"\n"]) == [Line(b"a NOOP"), Line(b"b NOOP")]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"a LOGIN {3}", Line(b"a LOGIN ", Literal(3, synchronising=True))),
        (b"a LOGIN {3+}", Line(b"a LOGIN ", Literal(3, synchronising=False))),
        (b"a X {0}", Line(b"a X ", Literal(0, synchronising=True))),
        (b"a X {007}", Line(b"a X ", Literal(7, synchronising=True))),
        (b"{1}{2}", Line(b"{1}", Literal(2, synchronising=True))),
        (b"}", Line(b"}")),
        (b"{}", Line(b"{}")),
        (b"a {-1}", Line(b"a {-1}")),
        (b"a {+1}", Line(b"a {+1}")),
        (b"a {1++}", Line(b"a {1++}")),
        (b"a {+}", Line(b"a {+}")),
        (b"a {1_0}", Line(b"a {1_0}")),
        (b"a { 5}", Line(b"a { 5}")),
        (b"a {0x5}", Line(b"a {0x5}")),
        (b"a {\xd9\xa3}", Line(b"a {\xd9\xa3}")),  # a 3 in Arabic
        (b"a {\xb2}", Line(b"a {\xb2}")),  # a small 2 in Latin 1
        (b"a {1 }", Line(b"a {1 }")),
        (b"a {1} ", Line(b"a {1} ")),
        (b"a 1}", Line(b"a 1}")),
    ],
)
def test_R013_only_digits_in_braces_at_the_end_announce_a_literal(text: bytes, line: Line) -> None:
    framer = Framer(LIMIT)
    framer.feed(text + b"\r\n")
    assert framer.next() == line


def test_R013_an_absurd_size_is_one_that_every_limit_refuses() -> None:
    framer = Framer(LIMIT)
    framer.feed(b"a {" + b"9" * 6000 + b"}\r\n")
    line = framer.next()
    assert isinstance(line, Line)
    assert line.literal is not None
    assert line.literal.octets > 2**62


def test_R005_bare_lf_ends_a_line_with_a_fault_unless_allowed() -> None:
    strict, lax = Framer(LIMIT), Framer(LIMIT, bare_lf=True)
    for framer in (strict, lax):
        framer.feed(b"a NOOP\n")
    first = strict.next()
    assert isinstance(first, Line)
    assert first.fault
    assert lax.next() == Line(b"a NOOP")


@pytest.mark.parametrize("size", [1, 3, 64, 1000, 100_000])
def test_R223_a_line_that_is_too_long_has_a_fault_and_its_literal_is_known(size: int) -> None:
    text = b"tag SEARCH " + b"x" * 50_000 + b" {5+}\r\nhello\r\nb NOOP\r\n"
    pieces = [text[place : place + size] for place in range(0, len(text), size)]
    first, literal, rest, noop = framed(pieces)
    assert isinstance(first, Line)
    assert first.fault
    assert first.text.startswith(b"tag SEARCH xxx")
    assert len(first.text) <= LIMIT
    assert first.literal == Literal(5, synchronising=False)
    assert (literal, rest, noop) == (b"hello", Line(b""), Line(b"b NOOP"))


def test_an_endless_line_is_not_kept() -> None:
    framer = Framer(LIMIT)
    for _ in range(1000):
        framer.feed(b"x" * 10_000)
        assert framer.next() is None
        assert framer.held_octets <= LIMIT + 10_000
    assert framer.dropped_octets > 9_900_000
    framer.feed(b"\r\nb NOOP\r\n")
    first = framer.next()
    assert isinstance(first, Line)
    assert first.fault
    assert framer.next() == Line(b"b NOOP")
    assert framer.dropped_octets == 0


def test_a_literal_comes_in_bounded_chunks() -> None:
    framer = Framer(LIMIT)
    framer.feed(b"a {200000+}\r\n" + b"x" * 200_000 + b"\r\n")
    line = framer.next()
    assert isinstance(line, Line)
    framer.expect_literal(200_000)
    octets = 0
    while isinstance(heard := framer.next(), LiteralChunk):
        assert len(heard.data) <= CHUNK_OCTETS
        octets += len(heard.data)
    assert octets == 200_000
    assert heard == Line(b"")


def test_clear_forgets_everything() -> None:
    framer = Framer(LIMIT)
    framer.feed(b"a {5+}\r\nhe")
    framer.next()
    framer.expect_literal(5)
    framer.next()
    framer.feed(b"llo\r\nb")
    framer.clear()
    assert framer.held_octets == 0
    framer.feed(b"c NOOP\r\n")
    assert framer.next() == Line(b"c NOOP")


LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"a NOOP\r\n", b"\r\n", b"\n", b"\r", b"{5}\r\n", b"x {3+}\r\nabc", b"}"]),
        st.integers(0, 30).map(lambda n: b"a {%d+}\r\n" % n + b"y" * n),
        st.just(b"z" * 300),
    ),
    max_size=12,
).map(b"".join)


@given(LINES, st.lists(st.integers(1, 60), max_size=40))
def test_R001_packet_edges_make_no_difference(data: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in [*sizes, len(data) + 1]:
        pieces.append(data[at : at + size])
        at += size
    assert framed(pieces, limit=200) == framed([data], limit=200)


def test_framing_takes_linear_time_byte_by_byte() -> None:
    """64 KiB lines in single octets: quadratic work would take minutes."""
    framer = Framer(65536)
    begun = time.process_time()
    for _ in range(3):
        for _ in range(60_000):
            framer.feed(b"x")
            assert framer.next() is None
        framer.feed(b"\r\n")
        assert framer.next() is not None
    assert time.process_time() - begun < 5


def test_R004_blank_lines_without_end_take_no_time() -> None:
    """Compressed they cost who sends them nothing."""
    frames = Framer(1000)
    heard = []
    for _ in range(200):
        frames.feed(b"\r\n" * 32768)
        while (line := frames.next()) is not None:
            heard.append(line)
    frames.feed(b"a NOOP\r\n")
    assert frames.next() == Line(b"a NOOP")
    assert 2 <= len(heard) <= 400 and set(heard) == {Line(b"")}
