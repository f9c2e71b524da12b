"""The AUTHORIZATION state: USER, PASS, AUTH and STLS (RFC 1939 §4, RFC 5034, RFC 2595)."""

from __future__ import annotations

import binascii
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from maa.auth.errors import AuthError, AuthUnavailable, Throttled
from maa.auth.mechanisms import MECHANISMS, Claim, text
from maa.auth.penalties import THROTTLED_SECONDS
from maa.auth.refusals import note_login, note_refusal
from maa.conversation import CLOSE, SLOW, START_TLS, Delay
from maa.pop3.maildrop import Maildrop
from maa.pop3.states import WAIT, Answer, Authorization, Connection, Done, Over, Said, Transaction
from maa.pop3.wire import Mistake, Refused, failure, multi, ok
from maa.store.errors import MaildropInUse

if TYPE_CHECKING:
    from maa.store.account import Account
    from maa.store.hold import Hold

FAILURES_MAX: Final = 3
"""Wrong passwords before the connection is closed (R222)."""
FAILURE_SECONDS: Final = 1.0
"""The answer to the first failure takes so long, to the second twice, then four times that."""
POLL_SECONDS: Final = 0.25
SERVICE: Final = "pop"


def user(state: Authorization, argument: bytes) -> Done:
    """USER: accepted whether or not there is such a user (R201)."""
    _check_privacy(state.connection)
    return Done(replace(state, name=argument), ok(b"Send PASS"))


def password(state: Authorization, argument: bytes) -> Answer:
    """PASS: the rest of the line, blanks and all (RFC 1939 §7; R201)."""
    _check_privacy(state.connection)
    if state.name is None:
        raise Mistake("USER comes first")
    name = state.name
    return (yield from admitted(replace(state, name=None), text(name), text(argument), "PASS"))


def auth(state: Authorization, argument: bytes) -> Answer:
    """AUTH mechanism [initial response]; AUTH alone lists the mechanisms (RFC 5034 §4; Q-6)."""
    offered = mechanisms(state.connection)
    if not argument:
        return Done(state, multi(b"Mechanisms follow", offered))
    name, _, initial = argument.partition(b" ")
    _check_privacy(state.connection)
    if name.upper() not in offered:
        raise Refused("this mechanism is not offered")
    dialogue = MECHANISMS[name.upper()]()
    challenge = next(dialogue)
    initial = initial.strip()
    response = None if not initial else b"" if initial == b"=" else _decoded(initial)
    while True:
        if response is None:
            response = yield from _asked(challenge)
        try:
            challenge = dialogue.send(response)
        except StopIteration as end:
            claim: Claim = end.value
            break
        except ValueError as error:
            raise Mistake(str(error)) from None
        response = None
    if claim.foreign:
        raise Refused("nobody may act for another user", b"AUTH")
    by = name.upper().decode("ascii")
    return (yield from admitted(replace(state, name=None), claim.name, claim.password, by))


def stls(state: Authorization, argument: bytes) -> Done:
    """STLS: once, and only where there is a certificate (RFC 2595 §4; R215, R026)."""
    if state.connection.peer.tls:
        raise Mistake("TLS is already in use")
    if not state.connection.settings.starttls:
        raise Mistake("STLS is not offered")
    return Done(state, ok(b"Begin TLS negotiation"), START_TLS)


def login_allowed(connection: Connection) -> bool:
    """Whether a password may cross this connection (R028)."""
    peer, choice = connection.peer, connection.settings.plaintext_login
    return peer.tls or choice == "always" or (choice == "loopback" and peer.loopback)


def mechanisms(connection: Connection) -> tuple[bytes, ...]:
    """The SASL mechanisms offered on this connection as it is now (R214)."""
    return connection.authenticator.mechanisms() if login_allowed(connection) else ()


def admitted(state: Authorization, name: str, secret: str, mechanism: str) -> Answer:
    """Check the password, then hold the maildrop, then say +OK (R199)."""
    connection = state.connection
    known = connection.authenticator.remembered(name, secret, SERVICE)
    if known is None:
        yield SLOW
        try:
            known = connection.authenticator.check(name, secret, SERVICE, connection.peer.address)
        except AuthError as error:
            note_refusal(connection.peer, SERVICE, name, error)
            return (yield from _failed(state, error))
    account = connection.accounts.opened(known)
    if account is None:
        yield SLOW
        account = connection.accounts.open(known)
    hold = yield from _held(account, connection.settings.lock_seconds)
    try:
        mailbox = account.opened("INBOX")
        if mailbox is None:
            yield SLOW
            mailbox = account.open("INBOX")
        maildrop = Maildrop(mailbox)
    except BaseException:  # a lost connection (GeneratorExit) is one of the ways out
        hold.release()
        raise
    note_login(connection.peer, SERVICE, known.name, mechanism)
    count = len(maildrop.uids)
    return Done(Transaction(connection, known.name, maildrop, hold), ok(b"%d messages" % count))


def _held(account: Account, seconds: float) -> Generator[Said, bytes | None, Hold]:
    """The maildrop's lock; another session is waited for without a thread (L-29)."""
    while True:
        if not account.hold_ready:
            yield SLOW
        try:
            return account.hold_maildrop()
        except MaildropInUse:
            if seconds <= 0:
                raise
        yield Delay(POLL_SECONDS)
        seconds -= POLL_SECONDS


def _failed(state: Authorization, error: AuthError) -> Answer:
    answer = failure(error)
    if isinstance(error, Throttled):
        yield Delay(THROTTLED_SECONDS)
    if isinstance(error, AuthUnavailable):
        # Not the client's fault, and a delay would only hold more connections open (R251).
        return Done(state, answer)
    # All failures take the same time, whatever was asked (R033).
    seconds = max(0.0, FAILURE_SECONDS * 2.0**state.failures - error.spent_seconds)
    yield Delay(seconds + error.wait_seconds)
    failures = state.failures + 1
    if failures < FAILURES_MAX:
        return Done(replace(state, failures=failures), answer)
    return Done(Over(), answer, CLOSE)


def _check_privacy(connection: Connection) -> None:
    if not login_allowed(connection):
        raise Refused("passwords need TLS: use STLS first")


def _asked(challenge: bytes) -> Generator[Said, bytes | None, bytes]:
    # `+ ` even when nothing follows (RFC 5034 §4; R216).
    yield b"+ %b\r\n" % binascii.b2a_base64(challenge, newline=False)
    line = yield WAIT
    assert line is not None
    if line == b"*":
        raise Refused("authentication cancelled")
    return _decoded(line)


def _decoded(response: bytes) -> bytes:
    try:
        return binascii.a2b_base64(response, strict_mode=True)
    except binascii.Error:
        raise Mistake("invalid base64") from None
