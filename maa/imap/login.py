"""LOGIN, AUTHENTICATE and STARTTLS (RFC 3501 §6.2)."""

from __future__ import annotations

import binascii
from collections.abc import Generator
from dataclasses import replace

from maa.auth.errors import AuthError, AuthUnavailable, Throttled
from maa.auth.mechanisms import MECHANISMS, Claim, text
from maa.auth.penalties import THROTTLED_SECONDS
from maa.auth.refusals import note_login, note_refusal
from maa.conversation import SLOW, START_TLS, Delay
from maa.imap import hearing
from maa.imap.capabilities import capabilities, login_allowed
from maa.imap.commands import Authenticate, Login, Plain
from maa.imap.responses import Cancelled, ProtocolError, Refused, failure, untagged
from maa.imap.states import (
    Answer,
    Authenticated,
    Done,
    Input,
    LoggedOut,
    NotAuthenticated,
    Said,
)

FAILURES_MAX = 3
"""Wrong passwords before the connection is closed (R222)."""
FAILURE_SECONDS = 1.0
"""The answer to the first failure takes so long, to the second twice, then four times that."""
SERVICE = "imap"


def login(state: NotAuthenticated, command: Login) -> Answer:
    """LOGIN (RFC 3501 §6.2.3)."""
    _check_privacy(state)
    return (yield from admitted(state, text(command.name), text(command.password), "LOGIN"))


def authenticate(state: NotAuthenticated, command: Authenticate) -> Answer:
    """AUTHENTICATE: a SASL dialogue in base64 (RFC 3501 §6.2.2; R029, R030)."""
    offered = state.connection.authenticator.mechanisms()
    mechanism = MECHANISMS.get(command.mechanism) if command.mechanism in offered else None
    if mechanism is None:
        raise Refused(b"CANNOT", "this mechanism is not offered")
    _check_privacy(state)
    dialogue = mechanism()
    challenge = next(dialogue)
    response = None if command.initial is None else _initial(command.initial)
    while True:
        if response is None:
            response = yield from _asked(challenge)
        try:
            challenge = dialogue.send(response)
        except StopIteration as end:
            claim: Claim = end.value
            break
        except ValueError as error:
            raise ProtocolError(str(error)) from None
        response = None
    if claim.foreign:
        # Checked only after the password would tell strangers less, but nobody may do it anyway.
        raise Refused(b"AUTHORIZATIONFAILED", "nobody may act for another user")
    name = command.mechanism.decode("ascii")
    return (yield from admitted(state, claim.name, claim.password, name))


def starttls(state: NotAuthenticated, command: Plain) -> Answer:
    """STARTTLS: once, and only where there is a certificate (RFC 3501 §6.2.1; R025, R026)."""
    if state.connection.peer.tls:
        raise ProtocolError("TLS is already in use")
    if not state.connection.settings.starttls:
        raise ProtocolError("STARTTLS is not offered")
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state, b"Begin TLS negotiation now", then=START_TLS)


def admitted(state: NotAuthenticated, name: str, password: str, mechanism: str) -> Answer:
    """Check the password and open the account; all of it in memory for a user known and warm."""
    connection = state.connection
    user = connection.authenticator.remembered(name, password, SERVICE)
    if user is None:
        yield SLOW
        try:
            user = connection.authenticator.check(name, password, SERVICE, connection.peer.address)
        except AuthError as error:
            note_refusal(connection.peer, SERVICE, name, error)
            return (yield from _failed(state, error))
    account = connection.accounts.opened(user)
    if account is None:
        yield SLOW
        account = connection.accounts.open(user)
    note_login(connection.peer, SERVICE, user.name, mechanism)
    new = Authenticated(account, connection)
    return Done(new, b"Logged in", capabilities(new))


def _check_privacy(state: NotAuthenticated) -> None:
    if not login_allowed(state.connection):
        raise Refused(b"PRIVACYREQUIRED", "log in after STARTTLS or over TLS")


def _failed(state: NotAuthenticated, error: AuthError) -> Answer:
    code, words = failure(error)
    if isinstance(error, Throttled):
        yield Delay(THROTTLED_SECONDS)
    if isinstance(error, AuthUnavailable):
        # Not the client's fault, and delays would only hold more connections open (R251).
        return Done(state, words, code, b"NO")
    failures = state.failures + 1
    seconds = FAILURE_SECONDS * 2.0**state.failures
    # All failures take the same time, whatever was asked (R033).
    yield Delay(max(0.0, seconds - error.spent_seconds) + error.wait_seconds)
    if failures < FAILURES_MAX:
        return Done(replace(state, failures=failures), words, code, b"NO")
    yield untagged(b"BYE", None, b"Too many failed logins")
    return Done(LoggedOut(), words, code, b"NO")


def _asked(challenge: bytes) -> Generator[Said, Input | None, bytes]:
    # `+ ` even when nothing follows: `+` alone is a syntax error to many clients.
    yield b"+ %b\r\n" % binascii.b2a_base64(challenge, newline=False)
    heard = yield from hearing.line()
    if heard.fault is not None or heard.literal is not None:
        raise ProtocolError(heard.fault or "a literal is not expected here")
    if heard.text == b"*":
        raise Cancelled("authentication cancelled")
    return _decoded(heard.text)


def _initial(response: bytes) -> bytes:
    return b"" if response == b"=" else _decoded(response)


def _decoded(response: bytes) -> bytes:
    try:
        return binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error:
        raise ProtocolError("invalid base64") from None
