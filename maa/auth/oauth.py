"""OAUTHBEARER (RFC 7628) and XOAUTH2 (Google's): a bearer token in place of a password.

What a token says is found out by `maa.auth.tokens`. A refused token is answered by a challenge that
tells the client where it stands, and the client's empty word, before the command is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials, named
from maa.auth.sasl import Exchange, Malformed, text
from maa.conversation import SLOW

if TYPE_CHECKING:
    from maa.auth.admission import Admission

# RFC 7628 §3.1; a token is RFC 6750's b64token.
_BEARER: Final = re.compile(
    rb"(?:n|y|p=[A-Za-z0-9.-]+),(?:a=(?P<authzid>[^,\0\x01]*))?,\x01"
    rb"(?:(?!auth=)[a-z]+=[^\x01]*\x01)*"
    rb"auth=[Bb]earer +(?P<token>[A-Za-z0-9._~+/-]+=*)\x01(?:[a-z]+=[^\x01]*\x01)*\x01"
)
_XOAUTH2: Final = re.compile(
    rb"user=(?P<authzid>[^\0\x01]*)\x01auth=[Bb]earer +(?P<token>[A-Za-z0-9._~+/-]+=*)\x01\x01"
)


def possible(admission: Admission) -> bool:
    """It is configured what a token is checked with."""
    return admission.authenticator.tokens is not None


def bearer(admission: Admission) -> Exchange:
    """OAUTHBEARER."""
    match = _BEARER.fullmatch((yield b""))
    if match is None:
        raise Malformed("not an OAUTHBEARER response")
    return (yield from _admitted(admission, match, {"status": "invalid_token"}))


def xoauth2(admission: Admission) -> Exchange:
    """XOAUTH2."""
    match = _XOAUTH2.fullmatch((yield b""))
    if match is None:
        raise Malformed("not an XOAUTH2 response")
    return (yield from _admitted(admission, match, {"status": "401", "schemes": "bearer"}))


def _admitted(admission: Admission, match: re.Match[bytes], refusal: dict[str, str]) -> Exchange:
    authzid = text(_unescaped(match["authzid"] or b""))
    tokens = admission.authenticator.tokens
    yield SLOW
    try:
        if tokens is None:
            raise named(BadCredentials("tokens are not taken"), authzid)
        name = tokens.name(match["token"].decode("ascii"))
        user = admission.vouched(name)
    except AuthUnavailable as error:
        raise named(error, authzid) from None
    except AuthError as error:
        scope = {"scope": tokens.scope} if tokens is not None and tokens.scope else {}
        yield json.dumps(refusal | scope).encode("ascii")
        raise named(error, authzid) from None
    try:
        return (yield from admission.known(user, authzid))
    except AuthError as error:
        raise named(error, name) from None


def _unescaped(name: bytes) -> bytes:
    return name.replace(b"=2C", b",").replace(b"=3D", b"=")
