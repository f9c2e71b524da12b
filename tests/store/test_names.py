"""Mailbox names and their directories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.store import names
from maa.store.errors import InvalidName

SPELLINGS = [
    ("Work", ".Work"),
    ("Work.2024", ".Work.2024"),
    ("R&D", ".R&-D"),
    ("Entwürfe", ".Entw&APw-rfe"),
    # The example of RFC 3501 section 5.1.3.
    ("~peter.mail.台北.日本語", ".~peter.mail.&U,BTFw-.&ZeVnLIqe-"),
    ("Fun 😀", ".Fun &2D3eAA-"),
    ("1/2", ".1&AC8-2"),
    ("ü/ü", ".&APwALwD8-"),
    ("a&ü", ".a&-&APw-"),
]


@pytest.mark.parametrize(("name", "directory"), SPELLINGS)
def test_R094_directories_are_canonical_modified_utf7(name: str, directory: str) -> None:
    assert names.directory(name) == directory
    assert names.decoded(directory[1:]) == name


@pytest.mark.parametrize("text", ["R&D", "&", "a&b-", "&AGE-&", "&====-", "&2D0-", "&A-"])
def test_L13_what_is_no_modified_utf7_is_the_text_it_looks_like(text: str) -> None:
    assert names.decoded(text) == text


def test_L13_a_directory_in_utf8_is_read_as_such() -> None:
    assert names.from_directory(".Entwürfe") == "Entwürfe"


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_R094_every_name_comes_back_from_its_directory(name: str) -> None:
    try:
        checked = names.checked(name)
    except InvalidName:
        return
    directory = names.directory(checked)
    assert "/" not in directory
    assert len(directory.encode()) <= 255
    assert names.from_directory(directory) == (None if checked == "INBOX" else checked)


@pytest.mark.parametrize("name", ["inbox", "INBOX", "InBoX", "inbox."])
def test_R093_inbox_is_case_insensitive(name: str) -> None:
    assert names.normalised(name) == "INBOX"


def test_R093_only_a_whole_first_element_is_inbox() -> None:
    assert names.normalised("inbox.Work") == "INBOX.Work"
    assert names.normalised("inboxes.Work") == "inboxes.Work"
    assert names.normalised("Work.inbox") == "Work.inbox"


def test_Q2_one_trailing_separator_is_ignored() -> None:
    assert names.checked("Work.") == "Work"


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "a..b", ".a", "a..", "~joe", "/etc"),
        *("a\0b", "a\rb", "a\nb", "a\x7fb", "a\u2028b", "\ud800"),
        *("x" * 255, "ü" * 96),
    ],
)
def test_R096_names_that_no_mailbox_can_have(name: str) -> None:
    with pytest.raises(InvalidName):
        names.checked(name)


def test_R096_a_name_may_fill_its_directory_name() -> None:
    assert names.checked("x" * 254) == "x" * 254


def test_R095_names_compare_in_their_composed_form() -> None:
    assert names.key("Entwu\u0308rfe") == names.key("Entwürfe")
    assert names.is_below("Entwu\u0308rfe.alt", "Entwürfe")
    assert not names.is_below("Work2", "Work")


@pytest.mark.parametrize(
    "entry",
    ["cur", "Work", ".", "..", ".INBOX", ".inbox", "..maa-new-1", ".a..b", ".a.", ".\udcff", ".~x"],
)
def test_R114_other_directories_are_no_mailboxes(entry: str) -> None:
    assert names.from_directory(entry) is None


def test_parents_come_nearest_first() -> None:
    assert names.parents("a.b.c") == ["a.b", "a"]
    assert names.parents("a") == []


@pytest.mark.parametrize("name", ["cur", "new", "tmp", "a/cur", "maildirfolder"])
def test_R097_no_name_is_another_directory_of_a_maildir(name: str) -> None:
    """Mailboxes lie flat, a dot before each; the dot is the separator, and a slash is spelled."""
    directory = names.directory(name)
    assert directory.startswith(".") and "/" not in directory
    assert directory not in (".", "..", "cur", "new", "tmp")
    assert names.from_directory(directory) == name
