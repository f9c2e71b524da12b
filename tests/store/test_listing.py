"""The mailboxes as LIST shows them."""

from __future__ import annotations

from maa.store.listing import Listed, listed


def test_R105_parents_without_a_mailbox_are_listed_not_selectable() -> None:
    assert listed([("INBOX", None), ("a.b.c", None), ("a", "\\Sent")]) == (
        Listed("INBOX", True, None, False),
        Listed("a", True, "\\Sent", True),
        Listed("a.b", False, None, True),
        Listed("a.b.c", True, None, False),
    )


def test_R093_children_of_inbox_are_its_children() -> None:
    assert listed([("INBOX", None), ("INBOX.x", None)])[0].children


def test_R095_one_parent_in_two_forms_is_one() -> None:
    lines = listed([("Entwürfe.a", None), ("Entwu\u0308rfe.b", None)])
    assert len(lines) == 3
    assert listed([("Entwürfe", None), ("Entwu\u0308rfe.b", None)])[0].children


def test_inbox_comes_first_and_children_follow_their_parent() -> None:
    names = ["work 2", "Work.a", "b", "Work", "INBOX", "A", "work"]
    assert [line.name for line in listed((name, None) for name in names)] == [
        *("INBOX", "A", "b", "Work", "Work.a", "work", "work 2"),
    ]
