"""Whose a bearer token is: a JWT checked here, or any token by asking its issuer.

A JWT (RFC 7519) is checked by the keys of a JWK set (RFC 7517): a file, read again when it changes,
or an address, asked again when a token names a key that is not there, at most once a minute.
Only signatures by public keys count. A token that is no JWT, and every one where there are no
keys, is shown to the introspection endpoint (RFC 7662). An issuer that does not answer has not said
that a token is wrong (R251).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import importlib
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from maa.auth.errors import AuthUnavailable, BadCredentials, Outdated
from maa.auth.settled_file import settled, stamp

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
ANSWER_OCTETS_MAX: Final = 1 << 20
ANSWER_SECONDS: Final = 10.0
ASK_AGAIN_SECONDS: Final = 60.0
SILENT_SECONDS: Final = 5.0
"""An issuer that did not answer in time is not waited for again for so long."""
SLOW_SECONDS: Final = 1.0
LEEWAY_SECONDS: Final = 30
"""How far clocks may differ."""
# What json and PyJWT say of a key set that is none.
_NONSENSE: Final = (
    *(ValueError, TypeError, AttributeError, KeyError, NotImplementedError, RecursionError),
)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whom to believe, and how; a field that is empty is not looked at."""

    claim: str = "email"
    """Which claim has the login name."""
    issuer: str = ""
    audience: str = ""
    scope: str = ""
    """What the token must be good for, among other things."""
    jwks: str = ""
    """Path or https address of the key set."""
    introspection: str = ""
    client_id: str = ""
    secret_file: str = ""
    """The file with our own secret for the introspection endpoint."""


class Tokens:
    """Judges bearer tokens; safe to use from several threads."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self.scope = issuer.scope
        self._jwt: Any = importlib.import_module("jwt") if issuer.jwks else None
        self._fetching = threading.Lock()
        self._keys: Any = None
        self._stamp: Hashable = None
        self._asked = -ASK_AGAIN_SECONDS
        self._silent_until = 0.0

    def name(self, token: str) -> str:
        """The login name that the token stands for; BadCredentials, AuthUnavailable. May block."""
        is_jwt = token.count(".") == 2
        if self._issuer.jwks and (is_jwt or not self._issuer.introspection):
            claims = self._verified(token)
        else:
            claims = self._introspected(token)
        found = claims.get(self._issuer.claim)
        if not isinstance(found, str) or not found:
            raise BadCredentials(f"the token has no {self._issuer.claim}")
        # Some issuers write the two words as strings.
        verified = claims.get("email_verified", True)
        if self._issuer.claim == "email" and verified not in (True, "true"):
            raise BadCredentials("the issuer does not know whose address it is")
        scopes = claims.get("scope", "")
        if self.scope and self.scope not in str(scopes).split():
            raise BadCredentials(f"the token is not for {self.scope}")
        return found

    # JWT

    def _verified(self, token: str) -> Mapping[str, Any]:
        issuer, jwt = self._issuer, self._jwt
        try:
            key = self._key(jwt.get_unverified_header(token))
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name] if key.algorithm_name in ALGORITHMS else [],
                audience=issuer.audience or None,
                issuer=issuer.issuer or None,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp"], "verify_aud": bool(issuer.audience)},
            )
        except jwt.ExpiredSignatureError as error:
            raise Outdated(f"token: {error}") from None
        # PyJWT 2.10 lets the last two of them through.
        except (jwt.PyJWTError, OverflowError, RecursionError) as error:
            raise BadCredentials(f"token: {error}") from None
        return claims

    def _key(self, header: Mapping[str, Any]) -> Any:
        """The key that the token names; the only one, where it names none."""
        wanted = header.get("kid")
        with self._fetching:
            for again in (False, True):
                self._fetch(again)
                keys = self._keys.keys
                fitting = [one for one in keys if one.key_id == wanted]
                if not fitting and len(keys) == 1 and (wanted is None or keys[0].key_id is None):
                    fitting = keys
                if fitting:
                    return fitting[0]
        raise BadCredentials("the token's key is not known")

    def _fetch(self, again: bool) -> None:
        where = self._issuer.jwks
        if "://" not in where:
            now = stamp(where)
            if now == self._stamp and self._keys is not None:
                return
            try:
                self._keys, self._stamp = self._set(settled(where)[0]), now
            except OSError as error:
                raise AuthUnavailable(f"{where}: {error.strerror}") from None
            return
        moment = time.monotonic()
        if self._keys is not None and (not again or moment - self._asked < ASK_AGAIN_SECONDS):
            return
        self._asked = moment
        self._keys = self._set(self._answer(urllib.request.Request(where)))

    def _set(self, data: bytes) -> Any:
        try:
            return self._jwt.PyJWKSet.from_dict(json.loads(data))
        except (*_NONSENSE, self._jwt.PyJWTError) as error:
            raise AuthUnavailable(f"{self._issuer.jwks}: no key set: {error}") from None

    # Introspection

    def _introspected(self, token: str) -> Mapping[str, Any]:
        issuer = self._issuer
        body = urllib.parse.urlencode({"token": token, "token_type_hint": "access_token"})
        request = urllib.request.Request(issuer.introspection, body.encode("ascii"))
        request.add_header("Accept", "application/json")
        if issuer.client_id:
            pair = f"{urllib.parse.quote(issuer.client_id)}:{urllib.parse.quote(self._secret())}"
            request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        try:
            claims = json.loads(self._answer(request))
        except (ValueError, RecursionError):
            claims = None
        if not isinstance(claims, dict) or not isinstance(claims.get("active"), bool):
            raise AuthUnavailable(f"{issuer.introspection}: no answer of RFC 7662")
        if not claims["active"]:
            raise BadCredentials("the token is not active")
        self._ensure_meant(claims)
        return claims

    def _ensure_meant(self, claims: Mapping[str, Any]) -> None:
        """The issuer answers for tokens of all its services; and only it may."""
        issuer = self._issuer
        audience = claims.get("aud", [])
        if issuer.audience and issuer.audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise BadCredentials("the token is for another service")
        if issuer.issuer and claims.get("iss", issuer.issuer) != issuer.issuer:
            raise BadCredentials("the token is another issuer's")
        expires = claims.get("exp")
        if isinstance(expires, int | float) and expires + LEEWAY_SECONDS < time.time():
            raise BadCredentials("the token has expired")

    def _answer(self, request: urllib.request.Request) -> bytes:
        """What the issuer says; while it is silent, not every login waits for it anew."""
        begun = time.monotonic()
        if begun < self._silent_until:
            raise AuthUnavailable(f"{request.host}: did not answer a moment ago")
        try:
            return _answer(request)
        except AuthUnavailable:
            now = time.monotonic()
            if now - begun > SLOW_SECONDS:
                self._silent_until = now + SILENT_SECONDS
            raise

    def _secret(self) -> str:
        if not self._issuer.secret_file:
            return ""
        try:
            with open(self._issuer.secret_file, encoding="utf-8") as file:
                return file.read(4096).strip()
        except OSError as error:
            raise AuthUnavailable(f"{self._issuer.secret_file}: {error.strerror}") from None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes to nobody but whom the administrator named."""

    def redirect_request(self, *args: Any) -> None:
        """Never."""


_opener: Final = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def _answer(request: urllib.request.Request) -> bytes:
    """What the issuer says, within bounds of time and size; AuthUnavailable."""
    deadline = time.monotonic() + ANSWER_SECONDS
    try:
        with contextlib.closing(_opener.open(request, timeout=ANSWER_SECONDS)) as answer:
            data = b""
            while more := answer.read1(1 << 16):
                data += more
                if len(data) > ANSWER_OCTETS_MAX or time.monotonic() > deadline:
                    raise AuthUnavailable(f"{request.host}: too much, or too slow")
            return data
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise AuthUnavailable(f"{request.host}: {reason}") from None


def needed_library(issuer: Issuer) -> str | None:
    """The library that is missing for this configuration; None: nothing is."""
    if not issuer.jwks:
        return None
    try:
        importlib.import_module("jwt")
        importlib.import_module("cryptography")
    except ImportError:
        return "PyJWT"
    return None
