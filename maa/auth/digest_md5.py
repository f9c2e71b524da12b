"""DIGEST-MD5 (RFC 2831), which RFC 6331 calls historic: off unless it is asked for by name.

Only `qop=auth` is offered: integrity and confidentiality are TLS's affair here. The realm is the
server's host name, or the client's choice, which must be the domain of its own name.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from maa.auth.errors import AuthUnavailable, BadCredentials, named
from maa.auth.sasl import Exchange, Malformed
from maa.auth.verifiers import NoVerifier, digest_md5
from maa.conversation import SLOW

if TYPE_CHECKING:
    from maa.auth.admission import Admission

NONCE_OCTETS: Final = 18
RESPONSE_OCTETS_MAX: Final = 4096
"""RFC 2831 §2.1.2."""
_DIRECTIVE: Final = re.compile(
    rb'[ \t\r\n]*([a-z-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^,"\0 \t]+))[ \t\r\n]*(?:,|\Z)',
    re.S,
)
_NEEDED: Final = frozenset(("username", "nonce", "cnonce", "nc", "digest-uri", "response"))


def exchange(admission: Admission) -> Exchange:
    """The server speaks first, and last: `rspauth` proves that it knows the secret too."""
    nonce = secrets.token_urlsafe(NONCE_OCTETS)
    challenge = (
        f'realm="{admission.hostname}",nonce="{nonce}",qop="auth",charset=utf-8,algorithm=md5-sess'
    )
    said = _directives((yield challenge.encode("ascii", "replace")))
    name, realm = said["username"], said.get("realm", "")
    service = "imap" if admission.service == "imap" else "pop"
    if (
        said["nonce"] != nonce
        or said["nc"] != "00000001"
        or said.get("qop", "auth") != "auth"
        or said["digest-uri"].partition("/")[0].lower() != service
    ):
        raise Malformed("not a DIGEST-MD5 response to this challenge")
    yield SLOW
    a1 = _a1(admission, name, realm)
    session = (a1 or bytes(16)) + f":{nonce}:{said['cnonce']}".encode("utf-8", "surrogateescape")
    if said.get("authzid"):
        session += b":" + said["authzid"].encode("utf-8", "surrogateescape")
    expected = _response(session, said, "AUTHENTICATE")
    fits = hmac.compare_digest(expected.encode(), said["response"].encode("utf-8", "replace"))
    if a1 is None or not fits:
        raise named(BadCredentials("wrong digest, or no such user"), name)
    user = yield from admission.proved(_full(admission, name, realm), said.get("authzid", ""))
    yield b"rspauth=" + _response(session, said, "").encode()
    return user


def _a1(admission: Admission, name: str, realm: str) -> bytes | None:
    """MD5 of `user:realm:password`; None where nobody has it. May block."""
    login = _full(admission, name, realm)
    stored = admission.stored(login)
    if stored is None or not stored.secret:
        return None
    own = name.rpartition("@")[2] if "@" in name else login.partition("@")[2]
    try:
        return digest_md5(stored.secret, name, own, realm)
    except NoVerifier as error:
        raise named(AuthUnavailable(f"the secret of {name}: {error}"), name) from None


def _full(admission: Admission, name: str, realm: str) -> str:
    """The login name: a realm other than this host's is its domain."""
    return name if "@" in name or realm in ("", admission.hostname) else f"{name}@{realm}"


def _response(session: bytes, said: dict[str, str], method: str) -> str:
    """RFC 2831 §2.1.2.1, for `qop=auth`."""
    middle = ":".join((said["nonce"], said["nc"], said["cnonce"], said.get("qop", "auth")))
    return _md5(
        f"{_md5(session)}:{middle}:{_md5(_octets(f'{method}:' + said['digest-uri']))}".encode(
            "utf-8", "surrogateescape"
        )
    )


def _md5(octets: bytes) -> str:
    return hashlib.md5(octets, usedforsecurity=False).hexdigest()


def _octets(words: str) -> bytes:
    return words.encode("utf-8", "surrogateescape")


def _directives(response: bytes) -> dict[str, str]:
    """The response's `name=value` list; each once, and none missing."""
    if len(response) > RESPONSE_OCTETS_MAX:
        raise Malformed("the response is too long")
    found: dict[str, str] = {}
    at = 0
    while at < len(response):
        match = _DIRECTIVE.match(response, at)
        if match is None or match[1].decode() in found:
            raise Malformed("not a DIGEST-MD5 response")
        quoted, token = match[2], match[3]
        value = re.sub(rb"\\(.)", rb"\1", quoted, flags=re.S) if token is None else token
        found[match[1].decode()] = value.decode("utf-8", "surrogateescape")
        at = match.end()
    if not found.keys() >= _NEEDED:
        raise Malformed("not a DIGEST-MD5 response")
    return found
