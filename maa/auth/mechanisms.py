"""The SASL mechanisms: what each needs, and those that carry the password itself.

`maa.auth.sasl` says what an exchange is. The table is the one place that knows all mechanisms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from maa.auth.sasl import Exchange, Malformed, text

if TYPE_CHECKING:
    from maa.auth.admission import Admission


@dataclass(frozen=True, slots=True)
class Mechanism:
    """How a mechanism is treated."""

    begin: Callable[[Admission], Exchange]
    reveals: bool = False
    """Who listens to an unencrypted connection could log in afterwards (R028)."""


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


MECHANISMS: Final[dict[bytes, Mechanism]] = {
    b"PLAIN": Mechanism(plain, reveals=True),
    b"LOGIN": Mechanism(login, reveals=True),
}
"""In the order they are announced: the better one first."""
