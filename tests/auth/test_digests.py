"""maa.auth.cram_md5 and maa.auth.digest_md5 against clients of their documents."""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import pytest

from maa.auth.cram_md5 import timestamp
from maa.auth.errors import BadCredentials, Disabled
from maa.auth.mechanisms import MECHANISMS
from maa.auth.new_hashes import new_hash
from maa.auth.sasl import Malformed
from maa.user import User
from tests.auth.exchanges import Desk

PASSWORDS = "joe:{PLAIN}sesame\nold:!{PLAIN}sesame\nhash:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    digest = "{DIGEST-MD5}" + hashlib.md5(b"bob:example.org:sesame").hexdigest()
    more = f"ann:{new_hash(b'sesame', 'CRAM-MD5')}\nbob@example.org:{digest}\n"
    return Desk(tmp_path, PASSWORDS + more)


def played(desk: Desk, mechanism: bytes, *answers) -> User:
    exchange = MECHANISMS[mechanism].begin(desk.admission)
    waiting = list(answers)
    said = next(exchange)
    try:
        while True:
            said = exchange.send(waiting.pop(0)(said) if isinstance(said, bytes) else b"")
    except StopIteration as end:
        assert not waiting
        return end.value


def cram(name: str, password: str):
    def answer(challenge: bytes) -> bytes:
        return f"{name} {hmac.new(password.encode(), challenge, 'md5').hexdigest()}".encode()

    return answer


def test_R197_a_challenge_is_in_angle_brackets_and_never_comes_again() -> None:
    found = {timestamp("mail.example.org") for _ in range(100)}
    assert len(found) == 100
    assert all(re.fullmatch(rb"<[0-9a-f]+\.[0-9]+@mail\.example\.org>", one) for one in found)
    assert timestamp("a b>\n").endswith(b"@a-b-->")


@pytest.mark.parametrize("name", ["joe", "ann"])
def test_cram_md5(desk: Desk, name: str) -> None:
    assert played(desk, b"CRAM-MD5", cram(name, "sesame")) == User(name)
    with pytest.raises(BadCredentials):
        played(desk, b"CRAM-MD5", cram(name, "sesam"))


@pytest.mark.parametrize("name", ["nobody", "hash", "bob@example.org"])
def test_cram_md5_of_nobody(desk: Desk, name: str) -> None:
    for password in ("sesame", "nobody"):
        with pytest.raises(BadCredentials):
            played(desk, b"CRAM-MD5", cram(name, password))


def test_cram_md5_of_a_disabled_user(desk: Desk) -> None:
    with pytest.raises(Disabled):
        played(desk, b"CRAM-MD5", cram("old", "sesame"))


@pytest.mark.parametrize(
    "response", [b"", b"joe", b"joe 00", b"joe " + b"g" * 32, b" " + b"0" * 32]
)
def test_what_is_no_cram_md5_response_is_malformed(desk: Desk, response: bytes) -> None:
    with pytest.raises(Malformed):
        played(desk, b"CRAM-MD5", lambda challenge: response)


class DigestClient:
    def __init__(self, name: str, password: str, realm: str | None = "localhost", **bent: str):
        self.name, self.password, self.realm, self.bent = name, password, realm, bent
        self.session = b""

    def _proof(self, method: str, said: dict[str, str]) -> str:
        a2 = hashlib.md5(f"{method}:{said['digest-uri']}".encode()).hexdigest()
        middle = f"{said['nonce']}:{said['nc']}:{said['cnonce']}:auth"
        a1 = hashlib.md5(self.session).hexdigest()
        return hashlib.md5(f"{a1}:{middle}:{a2}".encode()).hexdigest()

    def respond(self, challenge: bytes) -> bytes:
        nonce = re.search(rb'nonce="([^"]+)"', challenge)[1].decode()
        said = {
            "username": self.name, "nonce": nonce, "cnonce": 'c"\\x', "nc": "00000001",
            "qop": "auth", "digest-uri": "imap/localhost",
        } | self.bent  # fmt: skip
        realm = self.realm or ""
        secret = hashlib.md5(f"{self.name}:{realm}:{self.password}".encode()).digest()
        self.session = secret + f":{nonce}:{said['cnonce']}".encode()
        if self.realm is not None:
            said["realm"] = self.realm
        said["response"] = self._proof("AUTHENTICATE", said)
        self.said = said
        quoted = {k: v.replace("\\", "\\\\").replace('"', '\\"') for k, v in said.items()}
        return ", ".join(f'{k}="{v}"' for k, v in quoted.items()).encode()

    def verify(self, challenge: bytes) -> bytes:
        assert challenge == f"rspauth={self._proof('', self.said)}".encode()
        return b""


@pytest.mark.parametrize("realm", ["localhost", "", None])
def test_digest_md5(desk: Desk, realm: str | None) -> None:
    client = DigestClient("joe", "sesame", realm)
    assert played(desk, b"DIGEST-MD5", client.respond, client.verify) == User("joe")
    with pytest.raises(BadCredentials):
        played(desk, b"DIGEST-MD5", DigestClient("joe", "sesam", realm).respond)


def test_digest_md5_of_a_stored_digest(desk: Desk) -> None:
    client = DigestClient("bob", "sesame", "example.org")
    assert played(desk, b"DIGEST-MD5", client.respond, client.verify) == User("bob@example.org")


@pytest.mark.parametrize("name", ["nobody", "hash", "ann"])
def test_digest_md5_of_nobody(desk: Desk, name: str) -> None:
    with pytest.raises(BadCredentials):
        played(desk, b"DIGEST-MD5", DigestClient(name, "sesame").respond)


@pytest.mark.parametrize(
    "bent",
    [{"nonce": "mine"}, {"nc": "00000002"}, {"qop": "auth-conf"}, {"digest-uri": "smtp/localhost"}],
)
def test_a_bent_digest_md5_response_is_malformed(desk: Desk, bent: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        played(desk, b"DIGEST-MD5", DigestClient("joe", "sesame", **bent).respond)


@pytest.mark.parametrize(
    "response",
    [b"", b"username", b'username="joe"', b'username="joe', b"a=b,a=b", b"," * 9, b"a=b " * 2000],
)
def test_what_is_no_digest_md5_response_is_malformed(desk: Desk, response: bytes) -> None:
    with pytest.raises(Malformed):
        played(desk, b"DIGEST-MD5", lambda challenge: response)
