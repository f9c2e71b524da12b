"""Flags, keywords and their letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message import flags


def test_equal_sets_of_flags_are_one_object() -> None:
    assert flags.interned([flags.SEEN, "Work"]) is flags.interned(["Work", flags.SEEN])
    assert flags.interned(frozenset()) == flags.NONE


@pytest.mark.parametrize(
    ("written", "canonical"),
    [("\\SEEN", "\\Seen"), ("\\recent", "\\Recent"), ("Work", "Work"), ("\\Unknown", "\\Unknown")],
)
def test_R003_system_flags_have_one_spelling_and_keywords_keep_theirs(
    written: str, canonical: str
) -> None:
    assert flags.canonical(written) == canonical


def test_a_backslash_makes_a_system_flag() -> None:
    assert flags.is_system("\\Anything")
    assert not flags.is_system("$Forwarded")


def test_R092_letters_mean_flags() -> None:
    assert flags.from_letters("SRab") == {"\\Seen", "\\Answered"}
    assert flags.from_letters("P") == {"$Forwarded"}


def test_R241_letters_are_sorted_and_unknown_ones_kept() -> None:
    kept = flags.to_letters(flags.interned(["\\Seen", "\\Deleted", "Work"]), kept="aSDz")
    assert kept == "STaz"


@given(st.sets(st.sampled_from(sorted(flags.LETTERS))))
def test_letters_come_back(letters: set[str]) -> None:
    assert set(flags.to_letters(flags.from_letters("".join(letters)))) == letters
