"""SCRAM-SHA-1, SCRAM-SHA-256 and their -PLUS forms, the server's side (RFC 5802, RFC 7677).

    C: n,,n=joe,r=CLIENTNONCE
    S: r=CLIENTNONCESERVERNONCE,s=SALT,i=4096
    C: c=biws,r=CLIENTNONCESERVERNONCE,p=PROOF
    S: v=SIGNATURE

No password crosses and none can be computed from what does or from what the server stores. -PLUS
binds the proof to this TLS connection, by tls-exporter (RFC 9266) or tls-server-end-point (RFC
5929), so that nobody in between can use it. A name that is not known is asked on as if it were,
with a salt that is always the same for it (R033).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from maa.auth.errors import AuthUnavailable, BadCredentials, named
from maa.auth.sasl import Exchange, Malformed, text
from maa.auth.verifiers import SCRAM_DIGESTS, NoVerifier, ScramVerifier, scram
from maa.conversation import SLOW, TlsFacts

if TYPE_CHECKING:
    from collections.abc import Callable

    from maa.auth.admission import Admission

NONCE_OCTETS: Final = 18

# RFC 5802 §7: gs2-header, then client-first-message-bare; no mandatory extensions (`m=`). The empty
# `a=` is not in the grammar, but libgsasl says it, and its many users with it.
_FIRST: Final = re.compile(
    rb"(?P<header>(?:(?P<flag>[ny])|p=(?P<binding>[A-Za-z0-9.-]+)),(?:a=(?P<authzid>[^,\0]*))?,)"
    rb"(?P<bare>n=(?P<name>[^,\0]+),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,\0]+)*)"
)
_FINAL: Final = re.compile(
    rb"(?P<bare>c=(?P<binding>[A-Za-z0-9+/]+={0,2}),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)"
    rb"(?:,[A-Za-z]=[^,\0]+)*?),p=(?P<proof>[A-Za-z0-9+/]+={0,2})"
)
_ESCAPE: Final = re.compile(rb"=(2C|3D)?")


@dataclass(frozen=True, slots=True)
class _First:
    """What the client says first."""

    header: bytes
    flag: bytes
    """`n`: no channel binding; `y`: would, if the server could; `p`: does."""
    binding: bytes
    """The kind of channel binding."""
    authzid: str
    bare: bytes
    name: str
    nonce: bytes

    @classmethod
    def parse(cls, message: bytes) -> _First:
        """Malformed unless it is one."""
        match = _FIRST.fullmatch(message)
        if match is None:
            raise Malformed("not a first SCRAM message")
        return cls(
            match["header"],
            match["flag"] or b"p",
            match["binding"] or b"",
            _unescaped(match["authzid"] or b""),
            match["bare"],
            _unescaped(match["name"]),
            match["nonce"],
        )


def mechanism(name: str, *, plus: bool = False) -> Callable[[Admission], Exchange]:
    """The exchange of SCRAM-SHA-1 or SCRAM-SHA-256, or with `plus` of its -PLUS form."""
    return partial(_exchange, name=name, plus=plus)


def _exchange(admission: Admission, *, name: str, plus: bool) -> Exchange:
    first = _First.parse((yield b""))
    bound = first.header + _binding(admission, first, name, plus)
    nonce = first.nonce + base64.b64encode(secrets.token_bytes(NONCE_OCTETS))
    yield SLOW
    verifier, known = _verifier(admission, first.name, name)
    challenge = b"r=%b,s=%b,i=%d" % (
        nonce,
        base64.b64encode(verifier.salt),
        verifier.iterations,
    )
    match = _FINAL.fullmatch((yield challenge))
    if match is None or match["nonce"] != nonce:
        raise Malformed("not a final SCRAM message")
    exchanged = b",".join((first.bare, challenge, match["bare"]))
    if not known or not _proved(verifier, SCRAM_DIGESTS[name], exchanged, match["proof"]):
        raise named(BadCredentials("wrong proof, or no such user"), first.name)
    if not hmac.compare_digest(_decoded(match["binding"]), bound):
        raise named(BadCredentials("the channel binding is another connection's"), first.name)
    signature = hmac.digest(verifier.server_key, exchanged, SCRAM_DIGESTS[name])
    user = yield from admission.proved(first.name, first.authzid)
    yield b"v=" + base64.b64encode(signature)
    return user


def _binding(admission: Admission, first: _First, name: str, plus: bool) -> bytes:
    """The octets that bind to this connection; none without -PLUS."""
    if plus != (first.flag == b"p"):
        raise Malformed("channel binding belongs to the -PLUS mechanisms")
    if not plus:
        if first.flag == b"y" and f"{name}-PLUS".encode() in admission.mechanisms():
            # Somebody took the -PLUS mechanisms out of what we announced (RFC 5802 §6).
            raise Malformed("the -PLUS mechanism is offered here")
        return b""
    facts: TlsFacts | None = admission.peer.tls_facts()
    found = None
    if facts is not None and first.binding == b"tls-exporter":
        found = facts.exporter
    elif facts is not None and first.binding == b"tls-server-end-point":
        found = facts.server_end_point
    if found is None:
        raise Malformed("this kind of channel binding is not possible here")
    return found


def _verifier(admission: Admission, user: str, mechanism: str) -> tuple[ScramVerifier, bool]:
    """What the user's proof is checked with, and whether it can be right. May block."""
    stored = admission.stored(user)
    authenticator, digest = admission.authenticator, SCRAM_DIGESTS[mechanism]
    if stored is not None and stored.secret:
        try:
            found = scram(stored.secret, mechanism, authenticator.salt(user))
        except NoVerifier as error:
            raise named(AuthUnavailable(f"the secret of {user}: {error}"), user) from None
        if found is not None:
            return found, True
    shape = authenticator.scram_shape(user, mechanism)
    salt = authenticator.salt(user, shape.salt_octets)
    # The work that a clear password costs is done for nobody too.
    make = ScramVerifier.of_password if shape.clear else ScramVerifier.of_salted
    return make(secrets.token_bytes(16), digest, salt, shape.iterations), False


def _proved(verifier: ScramVerifier, digest: str, exchanged: bytes, proof: bytes) -> bool:
    """Whether the proof was made with the client's key (RFC 5802 §3)."""
    signature = hmac.digest(verifier.stored_key, exchanged, digest)
    sent = _decoded(proof)
    if len(sent) != len(signature):
        return False
    key = bytes(a ^ b for a, b in zip(sent, signature, strict=True))
    return hmac.compare_digest(hashlib.new(digest, key).digest(), verifier.stored_key)


def _decoded(octets: bytes) -> bytes:
    try:
        return base64.b64decode(octets, validate=True)
    except binascii.Error:
        raise Malformed("invalid base64 in a SCRAM message") from None


def _unescaped(name: bytes) -> str:
    """A saslname (RFC 5802 §5.1)."""

    def meant(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise Malformed("a name with a stray =")
        return b"," if match[1] == b"2C" else b"="

    return text(_ESCAPE.sub(meant, name))
