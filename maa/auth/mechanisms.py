"""SASL mechanisms as dialogues without I/O: each yields challenges and receives responses.

A mechanism is a generator: the first `next()` gives the first challenge (empty for those in
which the client speaks first), `send(response)` the next one, and it returns a `Claim`. An
initial response (RFC 4959, RFC 5034) is sent in place of the first challenge. Base64, `*` and
`=` belong to the protocols. A response that is none is a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Claim:
    """What a client says: who it is, what proves it, and for whom it wants to act."""

    authzid: str
    """Empty: the same as `name` (RFC 4616 §2)."""
    name: str
    password: str = field(repr=False)

    @property
    def foreign(self) -> bool:
        """Whether it asks to act for somebody else, which needs a right nobody has yet (R032)."""
        return self.authzid not in ("", self.name)


Mechanism = Generator[bytes, bytes, Claim]


def text(octets: bytes) -> str:
    """A name or password as text; octets that are no UTF-8 survive the way back (R034)."""
    return octets.decode("utf-8", "surrogateescape")


def plain() -> Mechanism:
    """PLAIN: authzid NUL authcid NUL passwd in one response (RFC 4616 §2)."""
    response = yield b""
    parts = response.split(b"\0")
    if len(parts) != 3 or not parts[1]:
        raise ValueError("not a PLAIN response")
    return Claim(*map(text, parts))


def login() -> Mechanism:
    """LOGIN: the name, then the password, for Outlook and old devices (draft-murchison)."""
    name = yield b"Username:"
    password = yield b"Password:"
    if not name or b"\0" in name or b"\0" in password:
        raise ValueError("not a LOGIN response")
    return Claim("", text(name), text(password))


MECHANISMS: Final[dict[bytes, Callable[[], Mechanism]]] = {b"PLAIN": plain, b"LOGIN": login}
"""In the order they are announced: the better one first."""
