"""maa.auth.tokens and maa.auth.oauth: JWTs by a key set, other tokens by their issuer."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

import maa.auth.tokens
from maa.auth.errors import AuthUnavailable, BadCredentials, NotAuthorised, Outdated
from maa.auth.mechanisms import MECHANISMS
from maa.auth.sasl import HEAR, Malformed
from maa.auth.tokens import Issuer, Tokens
from maa.user import User
from tests.auth.exchanges import PEER, Desk

ISSUER = "https://login.example.org"
KEY = rsa.generate_private_key(65537, 2048)
OTHER = ec.generate_private_key(ec.SECP256R1())


def public(key: Any, kid: str) -> dict[str, Any]:
    algorithm = (
        jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
        if isinstance(key, rsa.RSAPrivateKey)
        else jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    )
    name = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return json.loads(algorithm.to_jwk(key.public_key())) | {"kid": kid, "alg": name, "use": "sig"}


def token(key: Any = KEY, kid: str = "one", algorithm: str = "RS256", **claims: Any) -> str:
    said = {
        "iss": ISSUER,
        "aud": "mail",
        "exp": time.time() + 60,
        "email": "joe",
        "scope": "a imap",
    }
    said = {name: value for name, value in (said | claims).items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [public(KEY, "one"), public(OTHER, "two")]}))
    return path


@pytest.fixture
def tokens(keys: Path) -> Tokens:
    return Tokens(Issuer("email", ISSUER, "mail", "imap", str(keys)))


def test_a_jwt_of_the_issuer_names_its_user(tokens: Tokens) -> None:
    assert tokens.name(token()) == "joe"
    assert tokens.name(token(OTHER, "two", "ES256")) == "joe"


WRONG: dict[str, dict[str, Any]] = {
    "past its time": {"exp": time.time() - 120},
    "for ever": {"exp": None},
    "of another issuer": {"iss": "https://other.example"},
    "of no issuer": {"iss": None},
    "for another service": {"aud": "web"},
    "for no service": {"aud": None},
    "for another scope": {"scope": "web"},
    "of nobody": {"email": None},
    "of a number": {"email": 7},
    "not yet": {"nbf": time.time() + 600},
    "by a key that is not there": {"kid": "three"},
    "by a key of the same name": {"key": rsa.generate_private_key(65537, 2048)},
    "by another key of the issuer": {"key": OTHER, "algorithm": "ES256"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_a_jwt_that_is_not_right_is_refused(tokens: Tokens, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadCredentials):
        tokens.name(token(**wrong))


def test_a_genuine_token_past_its_time_is_no_guess(tokens: Tokens) -> None:
    with pytest.raises(Outdated):
        tokens.name(token(exp=time.time() - 120))
    with pytest.raises(BadCredentials) as forged:
        other = rsa.generate_private_key(65537, 2048)
        tokens.name(token(exp=time.time() - 120, key=other))
    assert type(forged.value) is BadCredentials


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_only_public_keys_sign(tokens: Tokens, keys: Path) -> None:
    unsigned = jwt.encode({"email": "joe", "exp": time.time() + 60}, None, algorithm="none")
    # The classic: the public key taken for a secret that both know.
    shared = json.loads(keys.read_text())["keys"][0]["n"]
    for forged in (unsigned, token(shared, "one", "HS256"), "a.b.c", "rubbish", ""):
        with pytest.raises(BadCredentials):
            tokens.name(forged)


@pytest.mark.parametrize("part", ["header", "claims"])
def test_a_token_of_nested_lists_is_refused(tokens: Tokens, part: str) -> None:
    nested = b"[" * 5000
    header = nested if part == "header" else json.dumps({"alg": "RS256", "kid": "one"}).encode()
    signed = b".".join(base64.urlsafe_b64encode(one).strip(b"=") for one in (header, nested))
    signature = KEY.sign(signed, padding.PKCS1v15(), hashes.SHA256())
    forged = b".".join((signed, base64.urlsafe_b64encode(signature).strip(b"=")))
    with pytest.raises(BadCredentials):
        tokens.name(forged.decode())


def test_a_shared_secret_in_the_key_set_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text('{"keys": [{"kty": "oct", "kid": "one", "alg": "HS256", "k": "c2VjcmV0"}]}')
    with pytest.raises(BadCredentials):
        Tokens(Issuer(jwks=str(path))).name(token(b"secret", "one", "HS256"))


def test_keys_are_read_again_when_they_change(tokens: Tokens, keys: Path) -> None:
    new = rsa.generate_private_key(65537, 2048)
    with pytest.raises(BadCredentials):
        tokens.name(token(new, "new"))
    keys.write_text(json.dumps({"keys": [public(new, "new")]}))
    assert tokens.name(token(new, "new")) == "joe"


@pytest.mark.parametrize(
    "text",
    [None, "", "{}", "[]", '{"keys": 7}', '{"keys": [{"kty": "oct"}]}', "[" * 2000,
     '{"keys": [{"kty": "oct", "k": "AA", "alg": "none"}]}'],
    ids=range(8),
)  # fmt: skip
def test_R251_without_keys_nobody_can_tell(keys: Path, text: str | None) -> None:
    keys.unlink() if text is None else keys.write_text(text)
    with pytest.raises(AuthUnavailable):
        Tokens(Issuer(jwks=str(keys))).name(token())


# --- introspection


class Web:
    """An issuer on a loopback port."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.answer: Callable[[str], tuple[int, bytes]] = lambda body: (200, b"{}")
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                web.asked.append((self.path, self.headers.get("Authorization", ""), body))
                status, data = web.answer(body)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *args: Any) -> None:
                return

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


def test_a_token_is_asked_about(web: Web, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3 cret\n")
    issuer = Issuer(
        introspection=f"{web.url}/ask", client_id="maa", secret_file=str(tmp_path / "secret")
    )
    web.answer = lambda body: (200, json.dumps({"active": True, "email": "joe"}).encode())
    assert Tokens(issuer).name("opaque+token/x=") == "joe"
    ((path, authorization, body),) = web.asked
    assert (path, authorization[:6]) == ("/ask", "Basic ")
    assert urllib.parse.parse_qs(body)["token"] == ["opaque+token/x="]


@pytest.mark.parametrize(
    "claims",
    [
        {"active": False},
        {"active": True},
        {"active": True, "email": "joe", "exp": 1},
        {"active": True, "email": "joe", "aud": "web"},
        {"active": True, "email": "joe", "aud": ["mail"], "iss": "https://other.example"},
    ],
)
def test_what_the_issuer_denies_is_refused(web: Web, claims: dict[str, Any]) -> None:
    web.answer = lambda body: (200, json.dumps(claims).encode())
    issuer = Issuer(issuer=ISSUER, audience="mail", introspection=web.url)
    with pytest.raises(BadCredentials):
        Tokens(issuer).name("opaque")


@pytest.mark.parametrize(
    ("status", "data"),
    [(500, b""), (401, b"{}"), (302, b""), (200, b"<html>"), (200, b"{}"), (200, b" " * (2 << 20)),
     (200, b"[" * 2000)],
    ids=range(7),
)  # fmt: skip
def test_R251_an_issuer_that_does_not_answer_has_refused_nobody(
    web: Web, status: int, data: bytes
) -> None:
    web.answer = lambda body: (status, data)
    with pytest.raises(AuthUnavailable):
        Tokens(Issuer(introspection=web.url)).name("opaque")
    with pytest.raises(AuthUnavailable):
        Tokens(Issuer(introspection="http://127.0.0.1:1")).name("opaque")


def test_R251_an_issuer_that_speaks_no_http_has_refused_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"* OK this is IMAP\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(AuthUnavailable):
            Tokens(Issuer(introspection=f"http://127.0.0.1:{server.getsockname()[1]}")).name("x")
        thread.join(10)


def test_an_issuer_that_is_silent_is_not_waited_for_by_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maa.auth.tokens, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(maa.auth.tokens, "SLOW_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        tokens = Tokens(Issuer(introspection=url))
        with pytest.raises(AuthUnavailable, match="timed out"):
            tokens.name("x")
        for _ in range(100):
            with pytest.raises(AuthUnavailable, match="a moment ago"):
                tokens.name("x")
        monkeypatch.setattr(maa.auth.tokens.time, "monotonic", lambda: tokens._silent_until + 1)
        with pytest.raises(AuthUnavailable, match="timed out"):
            tokens.name("x")


def test_an_address_that_the_issuer_has_not_verified_is_nobodys(tokens: Tokens) -> None:
    for yes in (True, "true"):
        assert tokens.name(token(email_verified=yes)) == "joe"
    for no in (False, "false", 0, "", "yes"):
        with pytest.raises(BadCredentials):
            tokens.name(token(email_verified=no))


def test_a_key_set_at_an_address_is_asked_for_once(web: Web) -> None:
    web.answer = lambda body: (200, json.dumps({"keys": [public(KEY, "one")]}).encode())
    tokens = Tokens(Issuer(jwks=f"{web.url}/keys"))
    for _ in range(3):
        assert tokens.name(token()) == "joe"
    assert [asked[0] for asked in web.asked] == ["/keys"]


def test_a_key_set_of_one_key_may_be_replaced(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maa.auth.tokens, "ASK_AGAIN_SECONDS", 0.0)
    published = [public(KEY, "one")]
    web.answer = lambda body: (200, json.dumps({"keys": published}).encode())
    tokens = Tokens(Issuer(jwks=f"{web.url}/keys"))
    assert tokens.name(token()) == "joe"
    published[:] = [public(OTHER, "two")]
    assert tokens.name(token(OTHER, "two", "ES256")) == "joe"
    with pytest.raises(BadCredentials):
        tokens.name(token())


# --- the mechanisms


@pytest.fixture
def desk(tmp_path: Path, tokens: Tokens) -> Desk:
    return Desk(
        tmp_path, "joe:!\nann:!\nadmin:!\n", tokens=tokens, proxies=("admin",),
        mechanisms=(b"OAUTHBEARER", b"XOAUTH2"),
    )  # fmt: skip


def bearer(said: str, authzid: str = "") -> bytes:
    named = f"a={authzid}" if authzid else ""
    return f"n,{named},\x01host=localhost\x01port=143\x01auth=Bearer {said}\x01\x01".encode()


def xoauth2(said: str, name: str = "joe") -> bytes:
    return f"user={name}\x01auth=Bearer {said}\x01\x01".encode()


def test_oauthbearer_and_xoauth2_let_the_user_of_the_token_in(desk: Desk) -> None:
    assert desk.admission.mechanisms() == (b"OAUTHBEARER", b"XOAUTH2")
    assert desk.played(b"OAUTHBEARER", bearer(token())) == ([b""], User("joe"))
    assert desk.played(b"OAUTHBEARER", bearer(token(), "joe"))[1] == User("joe")
    assert desk.played(b"XOAUTH2", xoauth2(token()))[1] == User("joe")


@pytest.mark.parametrize("name", [b"OAUTHBEARER", b"XOAUTH2"])
def test_a_refused_client_hears_where_it_stands_first(desk: Desk, name: bytes) -> None:
    said = (bearer if name == b"OAUTHBEARER" else xoauth2)(token(exp=1))
    exchange = MECHANISMS[name].begin(desk.admission)
    next(exchange)
    challenge: object = exchange.send(said)
    while not isinstance(challenge, bytes):
        challenge = exchange.send(b"")
    assert json.loads(challenge)["scope"] == "imap"
    with pytest.raises(BadCredentials):
        exchange.send(b"\x01")


def test_R032_a_token_is_its_own_users(desk: Desk) -> None:
    with pytest.raises(NotAuthorised):
        desk.played(b"XOAUTH2", xoauth2(token(), "ann"))
    with pytest.raises(NotAuthorised):
        desk.played(b"OAUTHBEARER", bearer(token(), "ann"))
    assert desk.played(b"OAUTHBEARER", bearer(token(email="admin"), "ann"))[1] == User("ann")


def test_a_token_of_a_user_nobody_knows(desk: Desk) -> None:
    with pytest.raises(BadCredentials):
        desk.played(b"XOAUTH2", xoauth2(token(email="bob"), "bob"), b"")


@pytest.mark.parametrize(
    "response",
    [b"", b"n,,\x01\x01", b"n,,\x01auth=Basic x\x01\x01", b"user=joe\x01auth=Bearer a b\x01\x01",
     b"n,,\x01auth=Bearer x\x01", b"n,,\x01auth=Bearer x\x01\x01x", b"n,," + b"\x01a=" * 3000],
)  # fmt: skip
def test_what_is_no_response_is_malformed(desk: Desk, response: bytes) -> None:
    for name in (b"OAUTHBEARER", b"XOAUTH2"):
        with pytest.raises(Malformed):
            desk.played(name, response)


def test_an_old_token_is_refused_and_no_guess(desk: Desk) -> None:
    penalties, address = desk.authenticator.penalties, PEER.address
    for _ in range(40):
        with pytest.raises(BadCredentials):
            played(desk, bearer(token(exp=time.time() - 120)))
    assert penalties.wait_seconds(address, "joe") == 0
    for number in range(14):
        with pytest.raises(BadCredentials):
            played(desk, bearer(token(email=f"user{number}", key=OTHER, algorithm="ES256")))
    assert penalties.wait_seconds(address, "joe") > 0


def played(desk: Desk, said: bytes) -> None:
    """A login by OAUTHBEARER, with all that a server does about it."""
    talk = desk.admission.by_mechanism(b"OAUTHBEARER", base64.b64encode(said))
    answer: bytes | None = None
    while True:
        answer = b"AQ==" if talk.send(answer) is HEAR else None
