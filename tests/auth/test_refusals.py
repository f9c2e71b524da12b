import logging
from dataclasses import replace

import pytest

from maa.auth.errors import AuthUnavailable, BadCredentials, Throttled
from maa.auth.refusals import note_leak, note_refusal, note_unserved
from maa.conversation import Peer
from maa.store.errors import MaildropInUse


def test_R228_a_refused_login_is_one_line_with_user_and_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer(address="192.0.2.7", tls=True, loopback=False, session="s1")
    with caplog.at_level(logging.INFO, "maa"):
        error = BadCredentials()
        error.name = "joe\r\nimap login refused" + "x" * 500
        note_refusal(peer, "imap", error)
    (line,) = caplog.messages
    assert line.startswith("imap login refused: user 'joe\\r\\nimap login refused")
    assert "from 192.0.2.7: " in line and "\n" not in line and len(line) < 300


def test_R222_a_flood_of_logins_is_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "maa"):
        for number in range(200):
            peer = Peer(f"2001:db8:9::{number:x}", tls=True, loopback=False, session="s")
            note_refusal(peer, "imap", Throttled("too many failed logins"))
        assert len(caplog.messages) == 1
        note_refusal(replace(peer, address="192.0.2.8"), "imap", Throttled("too many"))
        note_refusal(peer, "imap", BadCredentials("wrong"))
    assert len(caplog.messages) == 3


def test_R228_an_outage_makes_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer("192.0.2.61", tls=True, loopback=False, session="s")
    with caplog.at_level(logging.INFO, "maa"):
        for number in range(200):
            note_refusal(peer, "imap", AuthUnavailable(f"saslauthd, {number}"))
    assert len(caplog.messages) == 1


def test_a_right_password_whose_mail_cannot_be_served_is_noted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer("192.0.2.62", tls=True, loopback=False, session="s")
    with caplog.at_level(logging.INFO, "maa"):
        note_unserved(peer, "pop", "joe", MaildropInUse())
    assert caplog.messages == ["pop login of user 'joe' from 192.0.2.62: not served: MaildropInUse"]


def test_R028_a_client_that_shows_its_password_again_and_again_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    peer = Peer("192.0.2.44", tls=False, loopback=False, session="s")
    for _ in range(100):
        note_leak(peer, "imap", "joe")
    note_leak(replace(peer, address="192.0.2.45"), "imap", "joe")
    assert len(caplog.messages) == 2
