"""GSSAPI: who the client is, its Kerberos ticket says (RFC 4752).

The dialogue: tokens go back and forth until the security context stands; then the server says that
it offers no security layer, for that is the affair of TLS here, and the client, that it wants none
and as whom it wants to act. The library, gssapi of PyPI, is an extra that only this needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from maa.auth.errors import AuthUnavailable, BadCredentials, named
from maa.auth.sasl import Exchange, Malformed, text
from maa.conversation import SLOW

if TYPE_CHECKING:
    from maa.auth.admission import Admission

NO_LAYER: Final = b"\x01\x00\x00\x00"
"""No security layer, and so no size of its messages (RFC 4752 §3.1)."""
LIBRARY: Final = "gssapi"


class Kerberos:
    """What tickets are checked with."""

    def __init__(self, keytab: str, realm: str) -> None:
        """`realm`: whose principals are login names without their realm; empty: none."""
        self._library: Any = importlib.import_module(LIBRARY)
        self._keytab = keytab
        self._realm = realm

    def context(self) -> Any:
        """A new security context; AuthUnavailable without a usable keytab. May block."""
        try:
            credentials = self._library.Credentials(usage="accept", store={"keytab": self._keytab})
            return self._library.SecurityContext(creds=credentials, usage="accept")
        except self._library.exceptions.GSSError as error:
            raise AuthUnavailable(f"{self._keytab}: {error}") from None

    def step(self, context: Any, token: bytes) -> bytes:
        """The context's answer to a token; BadCredentials."""
        try:
            return context.step(token) or b""
        except self._library.exceptions.GSSError as error:
            raise BadCredentials(f"ticket: {error}") from None

    def unwrapped(self, context: Any, message: bytes) -> bytes:
        """What a protected message says; BadCredentials."""
        try:
            return bytes(context.unwrap(message).message)
        except self._library.exceptions.GSSError as error:
            raise BadCredentials(f"ticket: {error}") from None

    def ensure_meant(self, context: Any, service: str) -> None:
        """BadCredentials for a ticket of another service, whose key is in the keytab too."""
        service_name = str(context.target_name).partition("/")[0].lower()
        if service_name != service:
            raise BadCredentials(f"a ticket for {context.target_name}, not for {service}")

    def name(self, context: Any) -> str:
        """The login name that the client's principal stands for."""
        name, at, realm = str(context.initiator_name).rpartition("@")
        return name if at and realm == self._realm else f"{name}{at}{realm}"


def possible(admission: Admission) -> bool:
    """There is a keytab."""
    return admission.authenticator.kerberos is not None


def exchange(admission: Admission) -> Exchange:
    """The client speaks first."""
    kerberos = admission.authenticator.kerberos
    token = yield b""
    yield SLOW
    if kerberos is None:
        raise BadCredentials("tickets are not taken")
    context = kerberos.context()
    answer = kerberos.step(context, token)
    while not context.complete:
        token = yield answer
        yield SLOW  # the replay cache is a file
        answer = kerberos.step(context, token)
    kerberos.ensure_meant(context, admission.service)
    if answer and (yield answer):
        raise Malformed("not a GSSAPI response")
    said = kerberos.unwrapped(context, (yield context.wrap(NO_LAYER, False).message))
    name = kerberos.name(context)
    if len(said) < len(NO_LAYER) or said[:1] != NO_LAYER[:1] or b"\0" in said[4:]:
        raise named(BadCredentials("the client wants a security layer"), name)
    authzid = text(said[4:])
    own = authzid == str(context.initiator_name)
    return (yield from admission.proved(name, "" if own else authzid))


def missing() -> bool:
    """Whether the library cannot be had."""
    try:
        importlib.import_module(LIBRARY)
    except ImportError:
        return True
    return False
