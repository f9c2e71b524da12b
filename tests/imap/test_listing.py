"""The attributes of LIST and LSUB."""

from __future__ import annotations

import pytest

from maa.imap.listing import attributes
from maa.store.account import Listed


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (Listed("a", True, None, children=False), [b"\\HasNoChildren"]),
        (Listed("a", False, None, children=True), [b"\\Noselect", b"\\HasChildren"]),
        (Listed("a", True, "\\Sent", False, True), [b"\\HasNoChildren", b"\\Marked", b"\\Sent"]),
        (Listed("a", True, None, True, False), [b"\\HasChildren", b"\\Unmarked"]),
    ],
)
def test_R108_attributes_are_one_of_each_kind(listed: Listed, expected: list[bytes]) -> None:
    assert list(attributes(listed)) == expected
