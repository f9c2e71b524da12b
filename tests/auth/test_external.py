"""maa.auth.external: the client's certificate says who it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from maa.auth.errors import BadCredentials, Disabled, NotAuthorised
from maa.auth.sasl import Malformed
from maa.conversation import TlsFacts
from maa.user import User
from tests.auth.exchanges import PEER, Desk

WANTED = (b"AUTO", b"EXTERNAL")


def desk(tmp_path: Path, *names: str, **choices) -> Desk:
    facts = TlsFacts("TLSv1.3", "x", "CN=x" if names else None, names, None, None)
    peer = replace(PEER, tls_facts=lambda: facts)
    passwords = "joe:!\nann@example.org:!\nold:{PLAIN}x::::::nologin\n"
    return Desk(tmp_path, passwords, peer, mechanisms=WANTED, **choices)


def test_the_first_known_name_of_the_certificate_is_the_user(tmp_path: Path) -> None:
    for names, user in ((["ann@example.org", "joe"], "ann@example.org"), (["Ann X", "joe"], "joe")):
        known = desk(tmp_path, *names)
        assert b"EXTERNAL" in known.admission.mechanisms()
        assert known.played(b"EXTERNAL", b"") == ([b""], User(user))
        assert known.played(b"EXTERNAL", user.encode())[1] == User(user)


def test_R032_authzid(tmp_path: Path) -> None:
    with pytest.raises(NotAuthorised):
        desk(tmp_path, "joe").played(b"EXTERNAL", b"ann@example.org")
    proxy = desk(tmp_path, "joe", proxies=("joe",))
    assert proxy.played(b"EXTERNAL", b"ann@example.org")[1] == User("ann@example.org")


def test_who_is_not_known_or_disabled_stays_outside(tmp_path: Path) -> None:
    with pytest.raises(BadCredentials):
        desk(tmp_path, "eve").played(b"EXTERNAL", b"")
    with pytest.raises(Disabled):
        desk(tmp_path, "old").played(b"EXTERNAL", b"")
    with pytest.raises(Malformed):
        desk(tmp_path, "joe").played(b"EXTERNAL", b"joe\0")


def test_without_a_certificate_it_is_not_offered(tmp_path: Path) -> None:
    assert b"EXTERNAL" not in desk(tmp_path).admission.mechanisms()
    with pytest.raises(BadCredentials):
        desk(tmp_path).played(b"EXTERNAL", b"joe")
    clear = Desk(tmp_path, "joe:!\n", replace(PEER, tls=False), mechanisms=WANTED)
    assert b"EXTERNAL" not in clear.admission.mechanisms()
