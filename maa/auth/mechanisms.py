"""The SASL mechanisms: what each needs, and those that carry the password itself.

`maa.auth.sasl` says what an exchange is. The table is the one place that knows all mechanisms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from maa.auth import cram_md5, digest_md5, external, kerberos, oauth, scram
from maa.auth.sasl import Exchange, Malformed, text

if TYPE_CHECKING:
    from maa.auth.admission import Admission


def _always(admission: Admission) -> bool:
    return True


def _bindable(admission: Admission) -> bool:
    """There is a TLS connection to bind to."""
    return admission.peer.tls


@dataclass(frozen=True, slots=True)
class Mechanism:
    """How a mechanism is treated."""

    begin: Callable[[Admission], Exchange]
    password: bool = False
    """It carries the password itself, so `Authenticator.check` judges it."""
    reveals: bool = False
    """Who listens to an unencrypted connection could log in afterwards (R028)."""
    secret: str | None = None
    """The stored secret it needs, as `verifiers.serves` names it."""
    automatic: bool = True
    """It is offered without being asked for by name."""
    possible: Callable[[Admission], bool] = _always
    """Whether this connection and this configuration have what it needs."""


def plain(admission: Admission) -> Exchange:
    """PLAIN: authzid NUL authcid NUL passwd in one response (RFC 4616 §2; R032)."""
    response = yield b""
    parts = response.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        raise Malformed("not a PLAIN response")
    authzid, name, password = map(text, parts)
    return (yield from admission.checked(name, password, authzid))


def login(admission: Admission) -> Exchange:
    """LOGIN: the name, then the password, for Outlook and old devices (draft-murchison)."""
    name = yield b"Username:"
    password = yield b"Password:"
    if not name or b"\0" in name or b"\0" in password:
        raise Malformed("not a LOGIN response")
    return (yield from admission.checked(text(name), text(password)))


def _scram(name: str, *, plus: bool = False) -> Mechanism:
    begin = scram.mechanism(name, plus=plus)
    return Mechanism(begin, secret=name, possible=_bindable if plus else _always)


MECHANISMS: Final[dict[bytes, Mechanism]] = {
    b"SCRAM-SHA-256-PLUS": _scram("SCRAM-SHA-256", plus=True),
    b"SCRAM-SHA-256": _scram("SCRAM-SHA-256"),
    b"SCRAM-SHA-1-PLUS": _scram("SCRAM-SHA-1", plus=True),
    b"SCRAM-SHA-1": _scram("SCRAM-SHA-1"),
    b"PLAIN": Mechanism(plain, password=True, reveals=True),
    b"LOGIN": Mechanism(login, password=True, reveals=True),
    b"CRAM-MD5": Mechanism(cram_md5.exchange, secret="CRAM-MD5"),
    b"OAUTHBEARER": Mechanism(oauth.bearer, reveals=True, possible=oauth.possible),
    b"XOAUTH2": Mechanism(oauth.xoauth2, reveals=True, possible=oauth.possible),
    b"GSSAPI": Mechanism(kerberos.exchange, possible=kerberos.possible),
    b"EXTERNAL": Mechanism(external.exchange, automatic=False, possible=external.possible),
    b"DIGEST-MD5": Mechanism(digest_md5.exchange, secret="DIGEST-MD5", automatic=False),
}
"""In the order they are announced: the better one first."""
