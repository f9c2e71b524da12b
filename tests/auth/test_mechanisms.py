"""maa.auth.mechanisms: the SASL dialogues."""

from __future__ import annotations

import pytest

from maa.auth.mechanisms import MECHANISMS, Claim, text


def played(name: bytes, *responses: bytes) -> tuple[list[bytes], Claim]:
    dialogue = MECHANISMS[name]()
    challenges = [next(dialogue)]
    try:
        for response in responses:
            challenges.append(dialogue.send(response))
    except StopIteration as end:
        return challenges, end.value
    raise AssertionError(challenges)


def test_plain_claims_in_one_response() -> None:
    assert played(b"PLAIN", b"\0joe\0secret") == ([b""], Claim("", "joe", "secret"))


def test_login_asks_for_name_and_password() -> None:
    challenges, claim = played(b"LOGIN", b"joe", b"secret")
    assert challenges == [b"Username:", b"Password:"]
    assert claim == Claim("", "joe", "secret")


@pytest.mark.parametrize(
    "response", [b"", b"joe", b"joe\0secret", b"\0\0secret", b"a\0b\0c\0d", b"\0joe\0se\0cret"]
)
def test_what_is_no_plain_response_is_refused(response: bytes) -> None:
    with pytest.raises(ValueError):
        played(b"PLAIN", response)


@pytest.mark.parametrize("responses", [(b"", b"x"), (b"a\0", b"x"), (b"a", b"x\0")])
def test_what_is_no_login_response_is_refused(responses: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError):
        played(b"LOGIN", *responses)


def test_R032_only_the_own_name_may_be_acted_for() -> None:
    assert not Claim("", "joe", "x").foreign
    assert not Claim("joe", "joe", "x").foreign
    assert Claim("ann", "joe", "x").foreign


def test_R034_octets_that_are_no_utf8_survive() -> None:
    password = b"caf\xe9"
    assert text(password).encode("utf-8", "surrogateescape") == password


def test_a_claim_does_not_show_its_password() -> None:
    assert "secret" not in repr(Claim("", "joe", "secret"))
