"""maa.auth.mechanisms: the exchanges in which the client speaks its password."""

from __future__ import annotations

import pytest

from maa.auth.errors import BadCredentials, NotAuthorised
from maa.auth.sasl import Malformed, text
from maa.user import User
from tests.auth.exchanges import Desk


@pytest.fixture
def desk(tmp_path) -> Desk:
    return Desk(tmp_path, "joe:{PLAIN}secret\nann:{PLAIN}other\n")


def test_plain_is_one_response(desk: Desk) -> None:
    assert desk.played(b"PLAIN", b"\0joe\0secret") == ([b""], User("joe"))


def test_login_asks_for_name_and_password(desk: Desk) -> None:
    assert desk.played(b"LOGIN", b"joe", b"secret") == ([b"Username:", b"Password:"], User("joe"))


@pytest.mark.parametrize(
    "response", [b"", b"joe", b"joe\0secret", b"\0\0secret", b"a\0b\0c\0d", b"\0joe\0se\0cret"]
)
def test_what_is_no_plain_response_is_refused(desk: Desk, response: bytes) -> None:
    with pytest.raises(Malformed):
        desk.played(b"PLAIN", response)


@pytest.mark.parametrize("responses", [(b"", b"x"), (b"a\0", b"x"), (b"a", b"x\0")])
def test_what_is_no_login_response_is_refused(desk: Desk, responses: tuple[bytes, bytes]) -> None:
    with pytest.raises(Malformed):
        desk.played(b"LOGIN", *responses)


def test_R032_only_the_own_name_may_be_acted_for(desk: Desk) -> None:
    assert desk.played(b"PLAIN", b"joe\0joe\0secret")[1] == User("joe")
    with pytest.raises(NotAuthorised) as refused:
        desk.played(b"PLAIN", b"ann\0joe\0secret")
    assert refused.value.name == "joe"
    with pytest.raises(BadCredentials):
        desk.played(b"PLAIN", b"ann\0joe\0wrong")


def test_R034_octets_that_are_no_utf8_survive() -> None:
    password = b"caf\xe9"
    assert text(password).encode("utf-8", "surrogateescape") == password
