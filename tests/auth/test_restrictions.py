"""maa.auth.restrictions: when, from where and how a user may log in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from maa.auth import restrictions
from maa.auth.errors import (
    AuthError,
    AuthUnavailable,
    BadCredentials,
    Disabled,
    Expired,
    NotAuthorised,
)
from maa.auth.penalties import Free, Penalties
from maa.auth.restrictions import ensure_may
from maa.user import Restrictions, User
from tests.auth.exchanges import PEER, Desk

NOON = 1_800_000_000.0


def limited(**limits: object) -> User:
    return User("joe", restrictions=Restrictions(**limits))


@pytest.mark.parametrize(
    ("nets", "address", "allowed"),
    [
        ("192.168.1.0/24", "192.168.1.77", True),
        ("192.168.1.0/24", "192.168.2.1", False),
        ("192.168.1.0/24", "::ffff:192.168.1.77", True),
        ("10.0.0.1,2001:db8::/32", "2001:db8::7", True),
        ("10.0.0.1,2001:db8::/32", "10.0.0.2", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("127.0.0.0/8", "", True),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", "rubbish", False),
    ],
)
def test_allowed_networks(nets: str, address: str, allowed: bool) -> None:
    user, peer = limited(networks=restrictions.networks(nets)), replace(PEER, address=address)
    if allowed:
        ensure_may(user, peer, "imap", NOON)
    else:
        # As a wrong password: who stole the right one learns nothing.
        with pytest.raises(BadCredentials):
            ensure_may(user, peer, "imap", NOON)


def test_allowed_protocols() -> None:
    user = limited(services=restrictions.services("POP3"))
    ensure_may(user, PEER, "pop", NOON)
    with pytest.raises(Disabled):
        ensure_may(user, PEER, "imap", NOON)
    ensure_may(limited(services=restrictions.services("imap,pop3")), PEER, "imap", NOON)


def test_R033_an_account_expires() -> None:
    user = limited(expires=NOON)
    ensure_may(user, PEER, "imap", NOON - 1)
    with pytest.raises(Expired):
        ensure_may(user, PEER, "imap", NOON)
    assert restrictions.expiry("1970-01-01") == 86400.0
    assert restrictions.expiry("1234567890") == 1234567890.0


@pytest.mark.parametrize(
    "words", ["allow_nets=10.0.0.0/33", "allow_nets=all", "protocols=smtp", "expires=tomorrow"]
)
def test_a_slip_opens_nothing(tmp_path: Path, words: str) -> None:
    desk = Desk(tmp_path, f"joe:{{PLAIN}}secret::::::{words}\n")
    with pytest.raises(AuthUnavailable):
        desk.played(b"PLAIN", b"\0joe\0secret")


def test_a_login_is_restricted_also_when_it_is_remembered(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "joe:{PLAIN}secret::::::allow_nets=192.0.2.0/24 protocols=imap\n")
    assert desk.played(b"PLAIN", b"\0joe\0secret")[1].name == "joe"
    remembered = desk.authenticator.remembered
    assert remembered("joe", "secret", address=PEER.address) is not None
    assert remembered("joe", "secret", address="198.51.100.1") is None
    elsewhere = replace(desk.admission, peer=replace(PEER, address="198.51.100.1"))
    desk.admission = elsewhere
    with pytest.raises(BadCredentials):
        desk.played(b"PLAIN", b"\0joe\0secret")


def test_R033_the_right_password_from_a_forbidden_network_is_a_guess(tmp_path: Path) -> None:
    penalties = Penalties(free=Free(per_address=2, per_account=1))
    passwords = "joe:{PLAIN}secret::::::allow_nets=198.51.100.0/24\n"
    desk = Desk(tmp_path, passwords, penalties=penalties)
    waits = []
    for password in ("a", "b", "c", "secret"):
        with pytest.raises(BadCredentials) as caught:
            desk.played(b"PLAIN", f"\0joe\0{password}".encode())
        waits.append(caught.value.wait_seconds)
        assert caught.value.spent_seconds > 0
    assert 0 < waits[-2] <= waits[-1]
    # Nor when it has been remembered at the place where it is allowed.
    near = Desk(tmp_path, passwords, replace(PEER, address="198.51.100.1"), penalties=Penalties())
    near.played(b"PLAIN", b"\0joe\0secret")
    near.admission = replace(near.admission, peer=PEER)
    with pytest.raises(BadCredentials) as first:
        near.played(b"PLAIN", b"\0joe\0secret")
    assert first.value.spent_seconds > 0


@pytest.mark.parametrize(
    "limit", ["allow_nets=198.51.100.0/24", "protocols=pop3", "expires=2020-01-01"]
)
def test_what_holds_for_a_proxy_holds_when_it_acts_for_others(tmp_path: Path, limit: str) -> None:
    desk = Desk(tmp_path, f"joe:{{PLAIN}}a\nadmin:{{PLAIN}}b::::::{limit}\n", proxies=("admin",))
    with pytest.raises(AuthError):
        desk.played(b"PLAIN", b"joe\0admin\0b")


def test_R032_a_proxy_may_act_for_others_and_nobody_else(tmp_path: Path) -> None:
    passwords = "joe:{PLAIN}a\nadmin:{PLAIN}b\nold:{PLAIN}c::::::nologin\n"
    desk = Desk(tmp_path, passwords, proxies=("admin",))
    assert desk.played(b"PLAIN", b"joe\0admin\0b")[1] == User("joe")
    for refused in (b"admin\0joe\0a", b"bob\0admin\0b"):
        with pytest.raises(NotAuthorised):
            desk.played(b"PLAIN", refused)
    with pytest.raises(Disabled):
        desk.played(b"PLAIN", b"old\0admin\0b")
