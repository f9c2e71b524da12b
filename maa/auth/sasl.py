"""The SASL state machine that both protocols drive (RFC 4422 §4, §5), sans I/O.

A mechanism is a generator, an *exchange*: it yields challenges and is sent the responses to
them; before it does what may block it yields SLOW; it returns the `User`, or raises AuthError,
or `Malformed` for a response that is none. It knows neither base64 nor lines.

`dialogue` puts these around an exchange, for IMAP (RFC 3501 §6.2.2, RFC 4959) and POP3 (RFC 5034
§4) alike: a challenge is sent as `+ ` and base64; HEAR asks the protocol for the client's next
line; `*` cancels; an initial response answers the first challenge, and `=` is an empty one.
"""

from __future__ import annotations

import binascii
from collections.abc import Generator
from enum import Enum
from typing import Final, TypeVar

from maa.conversation import Request, Step
from maa.user import User

LINE_OCTETS_MAX: Final = 16384
"""Of a response in base64: tickets and tokens need 12 KiB (R031)."""
CHALLENGES_MAX: Final = 16
"""More than any mechanism has; a client cannot keep one going for ever."""

T = TypeVar("T")


class Hear(Enum):
    """What a dialogue asks of its protocol."""

    HEAR = "hear"
    """Resume me with the client's next line."""


HEAR: Final = Hear.HEAR

Dialogue = Generator[Step | Hear, bytes | None, T]
"""Yields what the transport carries out, and HEAR."""
Exchange = Generator[bytes | Request, bytes, User]
"""A mechanism at work: a challenge is answered by the response, SLOW by nothing."""


class DialogueError(Exception):
    """There will be no login, and no password was wrong."""


class Malformed(DialogueError):
    """What the client said is no response of the mechanism, or no base64; its text says why."""


class Cancelled(Malformed):
    """The client said `*`."""


class NotOffered(DialogueError):
    """The mechanism is unknown, not wanted, or cannot be checked here."""


class PrivacyRequired(DialogueError):
    """What proves the user may not cross this connection (R028)."""


def dialogue(exchange: Exchange, initial: bytes | None) -> Dialogue[User]:
    """Play an exchange; `initial` as sent, None where there is none. Malformed, AuthError."""
    challenges = 0
    response = b""
    waiting = initial
    try:
        said = next(exchange)
        while True:
            if not isinstance(said, bytes):
                yield said
                response = b""
            elif waiting is not None:
                response, waiting = _initial(waiting), None
            else:
                challenges += 1
                if challenges > CHALLENGES_MAX:
                    raise Malformed("the mechanism finds no end")
                # `+ ` even when nothing follows: `+` alone is a syntax error to many (Q-25, R216).
                yield b"+ %b\r\n" % binascii.b2a_base64(said, newline=False)
                response = _decoded((yield HEAR) or b"")
            said = exchange.send(response)
    except StopIteration as end:
        user: User = end.value
        return user
    finally:
        exchange.close()


def text(octets: bytes) -> str:
    """A name or password as text; octets that are no UTF-8 survive the way back (R034)."""
    return octets.decode("utf-8", "surrogateescape")


def _initial(response: bytes) -> bytes:
    return b"" if response == b"=" else _decoded(response)


def _decoded(response: bytes) -> bytes:
    if response == b"*":
        raise Cancelled("authentication cancelled")
    if len(response) > LINE_OCTETS_MAX:
        raise Malformed("the response is too long")
    try:
        return binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error:
        raise Malformed("invalid base64") from None
