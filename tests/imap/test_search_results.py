"""RETURN options and ESEARCH (RFC 4731, 5182, 9394)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.grammar import Cursor
from maa.imap.message_sets import saved
from maa.imap.responses import ProtocolError
from maa.imap.search_results import ReturnOptions, esearch, parse_partial, parse_return, plain

RESULTS = st.lists(st.integers(1, 300), unique=True).map(sorted)


def options(text: bytes) -> ReturnOptions:
    found = parse_return(Cursor((b"RETURN (%b) ALL" % text,)))
    assert found is not None
    return found


def answer(text: bytes, numbers: list[int]) -> bytes:
    return b"".join(esearch(b"t", False, options(text), numbers))


def read_set(text: bytes) -> list[int]:
    """A sequence-set, expanded in its own order."""
    found: list[int] = []
    for element in text.split(b","):
        low, _, high = element.partition(b":")
        found.extend(range(int(low), int(high or low) + 1))
    return found


@given(RESULTS, st.integers(1, 40), st.integers(1, 40), st.booleans())
def test_R189_partial_is_a_slice_of_all(
    results: list[int], first: int, last: int, from_end: bool
) -> None:
    sign = b"-" if from_end else b""
    text = b"%b%d:%b%d" % (sign, first, sign, last)
    low, high = min(first, last), max(first, last)
    counted = list(enumerate(reversed(results) if from_end else results, 1))
    wanted = sorted(number for place, number in counted if low <= place <= high)
    assert list(parse_partial(Cursor((text,))).of(results)) == wanted
    said = answer(b"PARTIAL " + text, results)
    window = said.partition(b" PARTIAL (" + text + b" ")[2].removesuffix(b")\r\n")
    assert window == b"NIL" if not wanted else read_set(window) == wanted


@given(st.lists(st.integers(1, 4000), unique=True))
def test_RFC5267_all_keeps_the_order_of_a_sort(results: list[int]) -> None:
    said = answer(b"ALL", results)
    if results:
        assert read_set(said.partition(b" ALL ")[2].rstrip()) == results
    else:
        assert said == b'* ESEARCH (TAG "t")\r\n'


@given(st.sets(st.integers(0, 60)), st.integers(0, 40))
def test_R188_what_is_saved_names_the_same_messages_when_others_arrive(
    chosen: set[int], arrived: int
) -> None:
    uids = [3 * n + n % 2 for n in range(1, 62)]
    positions = sorted(chosen)
    kept = saved(uids, positions)
    later = [*uids, *range(1000, 1000 + arrived)]
    assert list(kept.positions_of_uids(later)) == positions


def test_long_answers_come_in_pieces_that_make_one_set() -> None:
    numbers = list(range(1, 40_000, 2))
    pieces = list(esearch(b"t", True, options(b""), numbers))
    assert max(map(len, pieces)) < 40_000
    assert read_set(b"".join(pieces).partition(b" ALL ")[2].rstrip()) == numbers
    assert b"".join(plain(b"SORT", [3, 1])) == b"* SORT 3 1\r\n"


@pytest.mark.parametrize(
    "text",
    [b"RETURN (", b"RETURN (MIN", b"RETURN (MIN MAX)", b"RETURN ( MIN) ", b"RETURN (MIN ) ",
     b"RETURN (MODSEQ) ", b"RETURN (PARTIAL) ", b"RETURN (PARTIAL 1:2MIN) ", b"RETURN (ALLMIN) "],
)  # fmt: skip
def test_nonsense_is_bad(text: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_return(Cursor((text,)))


def test_without_return_there_are_no_options() -> None:
    assert parse_return(Cursor((b"RETURNED",))) is None
