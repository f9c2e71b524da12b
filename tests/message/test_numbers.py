"""Sequence sets as clients write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.numbers import MAX_NUMBER, NumberSet, written


@pytest.mark.parametrize(
    ("text", "largest", "ranges"),
    [
        (b"1", 9, [(1, 1)]),
        (b"2,4:7,9:*", 12, [(2, 2), (4, 7), (9, 12)]),
        (b"*", 5, [(5, 5)]),
        (b"4:2", 9, [(2, 4)]),
        (b"*:1", 3, [(1, 3)]),
        (b"12:*", 5, [(5, 12)]),
        (b"1:3,2:4,5", 9, [(1, 5)]),
        (b"%d" % MAX_NUMBER, 1, [(MAX_NUMBER, MAX_NUMBER)]),
    ],
)
def test_R014_sets_resolve_to_ranges(
    text: bytes, largest: int, ranges: list[tuple[int, int]]
) -> None:
    assert NumberSet.parse(text).resolved(largest) == ranges


@pytest.mark.parametrize(
    "text",
    [b"", b"0", b"01", b"1:", b":1", b"1,", b",1", b"1 ", b"-1", b"1:2:3", b"4294967296",
     b"1:4294967296", b"a", b"**", b"1\n"],
)  # fmt: skip
def test_R016_what_is_no_set_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="n"):
        NumberSet.parse(text)


def test_R015_numbers_beyond_the_mailbox_are_an_error() -> None:
    assert list(NumberSet.parse(b"1:3").positions_of_numbers(3)) == [0, 1, 2]
    assert list(NumberSet.parse(b"3,1").positions_of_numbers(3)) == [0, 2]
    for text, exists in ((b"4", 3), (b"1:4", 3), (b"*", 0), (b"1", 0)):
        with pytest.raises(ValueError, match="no such message"):
            NumberSet.parse(text).positions_of_numbers(exists)


def test_R015_uids_that_do_not_exist_are_ignored() -> None:
    uids = [3, 5, 9]
    assert list(NumberSet.parse(b"1:4,9:20,6").positions_of_uids(uids)) == [0, 2]
    assert list(NumberSet.parse(b"100:*").positions_of_uids(uids)) == [2]
    assert list(NumberSet.parse(b"6:8").positions_of_uids(uids)) == []
    assert list(NumberSet.parse(b"1:*").positions_of_uids([])) == []


@given(st.sets(st.integers(1, 60)))
def test_written_sets_name_what_was_asked(numbers: set[int]) -> None:
    ordered = sorted(numbers)
    text = written(ordered)
    if not numbers:
        assert text == b""
        return
    found = NumberSet.parse(text).positions_of_uids(range(1, 61))
    assert [position + 1 for position in found] == ordered


def test_written_sets_keep_their_order() -> None:
    assert written([5, 1, 2, 3, 9]) == b"5,1:3,9"
