"""Which mailbox gets which special use."""

from __future__ import annotations

import pytest

from maa.store import roles


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("Sent", "\\Sent"),
        ("SENT ITEMS", "\\Sent"),
        ("Verzonden items", "\\Sent"),
        ("Gesendete Elemente", "\\Sent"),
        ("Entwu\u0308rfe", "\\Drafts"),
        ("Éléments envoyés", "\\Sent"),
        ("已发送", "\\Sent"),
        ("ごみ箱", "\\Trash"),
        ("Корзина", "\\Trash"),
        ("Gelöschte Elemente", "\\Trash"),
        ("Deleted Messages", "\\Trash"),
        ("Junk E-mail", "\\Junk"),
        ("Spam", "\\Junk"),
        ("Arşiv", "\\Archive"),
        ("INBOX.Trash", "\\Trash"),
        ("Work.Trash", None),
        ("Sentinel", None),
        ("INBOX", None),
    ],
)
def test_L1_existing_mailboxes_are_known_by_their_names(name: str, use: str | None) -> None:
    assert roles.use_of_name(name) == use


def test_L2_of_several_the_commonest_name_gets_the_use() -> None:
    names = ["Verzonden items", "Sent Items", "Drafts", "INBOX", "Work"]
    assert roles.found(names) == {"\\Sent": "Sent Items", "\\Drafts": "Drafts"}
    assert roles.found(reversed(names)) == roles.found(names)


def test_L2_a_use_that_is_taken_is_not_given_again() -> None:
    assert roles.found(["Sent", "Trash"], {"\\Sent"}) == {"\\Trash": "Trash"}


def test_L2_no_name_suggests_two_uses() -> None:
    seen: dict[str, str] = {}
    for use, aliases in roles._RANKS.items():
        for alias in aliases:
            assert seen.setdefault(alias, use) == use
        assert roles.use_of_name(roles.NAMES[use]) == use
    assert set(roles.NAMES) == set(roles.USES) == set(roles._RANKS)
    assert "" not in seen
