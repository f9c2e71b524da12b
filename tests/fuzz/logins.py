"""Fuzz targets for what proves who a client is: SASL, APOP, SCRAM with a password, bearer tokens.

Everything is real but the issuer of tokens, who says what the input has. Passwords and keys are
made anew in each process and told to nobody, so whoever is let in without them is a finding.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import tempfile
import urllib.request
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials
from maa.auth.mechanisms import MECHANISMS
from maa.auth.new_hashes import new_hash
from maa.auth.penalties import Free, Penalties
from maa.auth.sasl import CHALLENGES_MAX, HEAR, Dialogue, DialogueError
from maa.auth.tokens import Issuer, Tokens
from maa.auth.verifiers import ITERATIONS, ScramVerifier
from maa.conversation import SLOW, Peer, TlsFacts
from maa.user import User
from tests.auth.exchanges import Desk

STEPS_MAX: Final = 4 * CHALLENGES_MAX
# What GSSAPI is told, a library reads that few have.
NAMES: Final = (*(name for name in MECHANISMS if name != b"GSSAPI"), b"APOP", b"NOTHING")
_FACTS: Final = TlsFacts("TLSv1.3", "x", "CN=cert", ("nobody", "cert"), b"exporter", b"end point")
_TLS: Final = Peer("192.0.2.7", True, False, "fuzz", lambda: _FACTS)
_CLEAR: Final = Peer("192.0.2.7", False, False, "fuzz")
_BANNER: Final = b"<1.2@localhost>"
_KEY: Final = Ed25519PrivateKey.generate()
_NONCE: Final = re.compile(rb'(?:nonce="|^r=)([^",]+)')
_SALTED: Final = secrets.token_bytes(32)
_CLIENT_KEY: Final = hmac.digest(_SALTED, b"Client Key", "sha256")
_BINDINGS: Final = {b"p=tls-exporter": b"exporter", b"p=tls-server-end-point": b"end point"}
_JOE: Final = re.compile(rb"n=joe,r=[a-z]+")
_HEADER: Final = re.compile(rb"(?:n|p=tls-exporter|p=tls-server-end-point),(?:a=joe)?,")
_SERVER_KEY: Final = hmac.digest(_SALTED, b"Server Key", "sha256")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Kept until the process ends."""
    return tempfile.TemporaryDirectory()


def place(name: str) -> Path:
    """A new directory."""
    path = Path(_folder().name) / name
    path.mkdir()
    return path


class _Issuer(Tokens):
    """Tokens whose issuer answers what the target says."""

    said = b""

    def _answer(self, request: urllib.request.Request) -> bytes:
        return self.said


@cache
def _tokens() -> _Issuer:
    """With a key set in a file."""
    path = place("keys") / "jwks.json"
    key = jwt.algorithms.OKPAlgorithm.to_jwk(_KEY.public_key(), as_dict=True)
    path.write_text(json.dumps({"keys": [key | {"kid": "one"}]}))
    asked = "https://i.example/ask"
    return _Issuer(Issuer("email", "https://i.example", "mail", "imap", str(path), asked))


@cache
def desk() -> Desk:
    """Users with every kind of stored secret."""
    password = secrets.token_hex()
    schemes = ("SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5")
    lines = [f"{name.lower()}:{new_hash(password.encode(), name)}" for name in schemes]
    digest = hashlib.md5(f"digest:localhost:{password}".encode(), usedforsecurity=False)
    lines += [f"digest:{{DIGEST-MD5}}{digest.hexdigest()}", "bad:{SCRAM-SHA-1}1,x,y,z", "cert:!"]
    lines += [f"{name}:{{PLAIN}}{password}" for name in ("joe", "joe@example.org")]
    lines += [f"off:{{PLAIN}}{password}::::::nologin"]
    return _desk_of("users", lines)


def _desk_of(name: str, lines: list[str]) -> Desk:
    penalties = Penalties(free=Free(per_address=1 << 40, per_account=1 << 40))
    found = Desk(
        place(name), "\n".join(lines), _TLS, penalties=penalties, tokens=_tokens(), mechanisms=NAMES
    )
    found.authenticator.load()
    return found


def sasl(data: bytes) -> None:
    """Nobody is let in whose certificate does not say who it is, and every dialogue ends.

    The first octet chooses the mechanism, the second the connection and whether there is an initial
    response. Then come the client's lines.
    """
    name = NAMES[data[0] % len(NAMES)] if data else b""
    connection, *lines = data[1:2] or b"\0", *data[2:].split(b"\n")
    admission = replace(desk().admission, peer=_CLEAR if connection[0] & 1 else _TLS)
    if name == b"APOP":
        talk = admission.by_apop(_BANNER, lines[0], b"".join(lines[1:2]))
    else:
        initial = _sent(lines.pop(0), b"") if connection[0] & 2 else None
        talk = admission.by_mechanism(name, initial)
    with suppress(AuthError, DialogueError):
        user = _played(talk, lines)
        assert user is None or (name == b"EXTERNAL" and user.name == "cert"), user


def _played(talk: Dialogue[User], lines: list[bytes]) -> User | None:
    """Who is let in; None: the client has gone."""
    challenge, line = b"", None
    try:
        for _ in range(STEPS_MAX):
            said = talk.send(line)
            line = None
            if isinstance(said, bytes):
                challenge = base64.b64decode(said[2:])
            elif said is not HEAR:
                assert said is SLOW, said
            elif not lines:
                return None
            else:
                line = _sent(lines.pop(0), challenge)
    except StopIteration as end:
        found: User = end.value
        return found
    finally:
        talk.close()
    raise AssertionError("it finds no end")


def _sent(line: bytes, challenge: bytes) -> bytes:
    """What begins with `!`, as it is; else in base64, and `~` is the server's nonce."""
    if line.startswith(b"!"):
        return line[1:]
    return base64.b64encode(_nonced(line, challenge))


def _nonced(line: bytes, challenge: bytes) -> bytes:
    nonce = _NONCE.search(challenge)
    return line.replace(b"~", nonce[1]) if nonce else line


@cache
def _scram_desk() -> Desk:
    """Where joe's password is as SCRAM-SHA-256 needs it, and nobody has a clear one."""
    made = ScramVerifier.of_salted(_SALTED, "sha256", b"salt", ITERATIONS).text()
    other = new_hash(secrets.token_hex().encode(), "SCRAM-SHA-256")
    return _desk_of("scram", [f"joe:{{SCRAM-SHA-256}}{made}", f"ann:{other}"])


def scram(data: bytes) -> None:
    """Who knows joe's password comes in as joe, by messages that fit each other, and only so.

    Lines: the GS2 header; the rest of the first message; the final one without its proof; octets
    that the right proof is bent by.
    """
    header, bare, final, bend = (data.split(b"\n") + [b""] * 4)[:4]
    kind = header.partition(b",")[0]
    name = b"SCRAM-SHA-256-PLUS" if kind.startswith(b"p") else b"SCRAM-SHA-256"
    challenges: list[bytes] = []
    line: bytes | None = None
    user: User | None = None
    talk = _scram_desk().admission.by_mechanism(name, base64.b64encode(header + bare))
    try:
        for _ in range(STEPS_MAX):
            said = talk.send(line)
            line = None
            if isinstance(said, bytes):
                challenges.append(base64.b64decode(said[2:]))
            elif said is HEAR and len(challenges) == 1:
                final = _nonced(final, challenges[0])
                line = base64.b64encode(final + b",p=" + _proof(bare, challenges[0], final, bend))
            elif said is HEAR:
                line = b""
    except StopIteration as end:
        user = end.value
    except (AuthError, DialogueError):
        pass
    bound = header + _BINDINGS.get(kind, b"")
    fields = [b"c=" + base64.b64encode(bound), _nonced(b"r=~", b"".join(challenges[:1]))]
    right = not bend[:32].strip(b"\0")
    if user is not None:
        assert user.name == "joe" and bare.startswith(b"n=joe,") and right, user
        said_bound, said_nonce = final.split(b",")[:2]
        assert base64.b64decode(said_bound[2:]) == bound and said_nonce == fields[1]
        signed = hmac.digest(_SERVER_KEY, b",".join((bare, challenges[0], final)), "sha256")
        assert challenges[1:] == [b"v=" + base64.b64encode(signed)]
    elif right and final == b",".join(fields):
        assert not (_JOE.fullmatch(bare) and _HEADER.fullmatch(header)), "the proof is right"


def _proof(bare: bytes, challenge: bytes, final: bytes, bend: bytes) -> bytes:
    """RFC 5802 §3, bent."""
    stored = hashlib.sha256(_CLIENT_KEY).digest()
    signed = hmac.digest(stored, b",".join((bare, challenge, final)), "sha256")
    bends = bend[:32].ljust(32, b"\0")
    return base64.b64encode(
        bytes(a ^ b ^ c for a, b, c in zip(_CLIENT_KEY, signed, bends, strict=True))
    )


def tokens(data: bytes) -> None:
    """A token is its issuer's or refused; issuers who say nonsense have refused nobody.

    The first octet: `r` for a token, `u` for its header and claims without signature, `s` with one,
    `i` for an issuer's answer about a token, `k` for a set of keys.
    """
    kind, said = data[:1], data[1:]
    issuer, token = _tokens(), said.decode("ascii", "replace")
    if kind == b"u":
        token = _jwt(said, bytes(64))
    elif kind == b"s":
        token = _jwt(said)
    elif kind == b"i":
        token = "opaque"
    elif kind == b"k":
        issuer, token = _Issuer(Issuer(jwks="https://i.example/keys")), _jwt(b'{"alg":"EdDSA"}\n{}')
    issuer.said = said if kind in (b"i", b"k") else b'{"active":false}'
    with suppress(BadCredentials, AuthUnavailable):
        name = issuer.name(token)
        assert name and kind in (b"s", b"i"), name
        with suppress(AuthError):
            desk().authenticator.vouched(name)


def _jwt(said: bytes, signature: bytes | None = None) -> str:
    """Of header and claims, a line each; signed by the issuer, or as it is said."""
    header, _, claims = said.partition(b"\n")
    signed = b".".join(base64.urlsafe_b64encode(one).strip(b"=") for one in (header, claims))
    end = base64.urlsafe_b64encode(_KEY.sign(signed) if signature is None else signature)
    return (signed + b"." + end.strip(b"=")).decode()
