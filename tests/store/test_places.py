"""Where a user's mail is."""

from __future__ import annotations

import re

import pytest

from maa.store.errors import Unavailable
from maa.store.places import MailPaths, MailPlaces, Place, template_fault
from maa.user import User

PLACES = MailPlaces.parse("/home/{user}", "maildir:{home}/Maildir", "maildir:~/Maildir/")


def test_templates_are_filled_for_the_user() -> None:
    assert PLACES.of(User("joe")) == MailPaths("/home/joe/Maildir", "/home/joe/Maildir")


def test_a_users_own_places_win() -> None:
    user = User("joe", home="/srv/joe", inbox="maildir:/mail/{user}")
    assert PLACES.of(user) == MailPaths("/mail/joe", "/srv/joe/Maildir")


def test_local_part_and_domain() -> None:
    places = MailPlaces.parse("/v/{domain}/{local}", "maildir:{home}/in", "maildir:{home}/all")
    assert places.of(User("joe@example.org")).inbox == "/v/example.org/joe/in"
    assert places.of(User("joe@example.org")).folders == "/v/example.org/joe/all"


@pytest.mark.parametrize("name", ["joe", "joe@", "joe@.", "joe@.x"])
def test_R253_a_place_by_domain_needs_a_domain(name: str) -> None:
    places = MailPlaces.parse("/v/{domain}/{local}", "maildir:{home}/in", "maildir:{home}/all")
    with pytest.raises(Unavailable):
        places.of(User(name))


@pytest.mark.parametrize("name", ["..", "a/b", "", "a..b", ".hidden"])
def test_R253_no_path_from_an_unchecked_name(name: str) -> None:
    with pytest.raises(Unavailable):
        PLACES.of(User(name))


def test_a_relative_home_is_refused() -> None:
    with pytest.raises(Unavailable):
        PLACES.of(User("joe", home="joe"))


def test_a_wrong_place_of_one_user_harms_only_that_user() -> None:
    with pytest.raises(Unavailable):
        PLACES.of(User("joe", inbox="mdbox:/var/mail/joe"))
    with pytest.raises(Unavailable):
        PLACES.of(User("joe", home="/", inbox="maildir:{home}"))
    assert PLACES.of(User("ann"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("maildir", "no place"),
        ("mbox", "no place"),
        ("mdbox:/x", "no place"),
        ("maildir:Maildir", "not absolute"),
        ("maildir:{hom}/Maildir", "{hom} is unknown: use {user} {local} {domain} {home}"),
        ("maildir:/mail/../{user}", "leads out"),
        ("maildir:/mail/\0", "leads out"),
    ],
)
def test_configuration_faults_say_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        Place.parse(text)
    fault = template_fault(text)
    assert fault is not None
    assert complaint in fault
    assert template_fault("maildir:/mail/{user}") is None


def test_a_home_cannot_be_made_of_itself() -> None:
    with pytest.raises(ValueError, match="unknown"):
        MailPlaces.parse("{home}/x", "maildir:{home}/Maildir", "maildir:{home}/Maildir")
