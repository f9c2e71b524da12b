"""The AUTHORIZATION state: USER, PASS, AUTH and STLS (RFC 1939 §4, RFC 5034, RFC 2595).

Who may come in says `maa.auth.admission`.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from maa.auth.admission import FAILURES_MAX, delay
from maa.auth.errors import AuthError, AuthUnavailable
from maa.auth.refusals import note_login, note_unserved
from maa.auth.sasl import (
    HEAR,
    Dialogue,
    Malformed,
    NotOffered,
    PrivacyRequired,
    text,
)
from maa.conversation import CLOSE, SLOW, START_TLS, Delay
from maa.pop3.maildrop import Maildrop
from maa.pop3.states import (
    SERVICE,
    WAIT,
    Answer,
    Authorization,
    Connection,
    Done,
    Over,
    Said,
    Transaction,
)
from maa.pop3.wire import Mistake, Refused, failure, multi, ok
from maa.store.errors import MaildropInUse, StoreError
from maa.user import User

if TYPE_CHECKING:
    from maa.store.account import Account
    from maa.store.hold import Hold

POLL_SECONDS: Final = 0.25
_NEED_TLS: Final = "passwords need TLS: use STLS first"


def user(state: Authorization, argument: bytes) -> Done:
    """USER: accepted whether or not there is such a user (R201)."""
    if not state.connection.admission.private:
        raise Refused(_NEED_TLS)
    return Done(replace(state, name=argument), ok(b"Send PASS"))


def password(state: Authorization, argument: bytes) -> Answer:
    """PASS: the rest of the line, blanks and all (RFC 1939 §7; R201)."""
    admission = state.connection.admission
    if state.name is None and admission.private:
        raise Mistake("USER comes first")
    dialogue = admission.by_password(text(state.name or b""), text(argument))
    return (yield from _entered(replace(state, name=None), dialogue, "PASS"))


def auth(state: Authorization, argument: bytes) -> Answer:
    """AUTH mechanism [initial response]; AUTH alone lists the mechanisms (RFC 5034 §4; Q-6)."""
    admission = state.connection.admission
    if not argument:
        return Done(state, multi(b"Mechanisms follow", admission.mechanisms()))
    name, _, initial = argument.partition(b" ")
    dialogue = admission.by_mechanism(name, initial.strip() or None)
    mechanism = name.upper().decode("ascii", "replace")
    return (yield from _entered(replace(state, name=None), dialogue, mechanism))


def apop(state: Authorization, argument: bytes) -> Answer:
    """APOP: a digest of the greeting's timestamp and the password (RFC 1939 §7; R197)."""
    connection = state.connection
    if not connection.banner:
        raise Refused("APOP is not offered")
    name, _, digest = argument.partition(b" ")
    dialogue = connection.admission.by_apop(connection.banner, name, digest)
    return (yield from _entered(replace(state, name=None), dialogue, "APOP"))


def stls(state: Authorization, argument: bytes) -> Done:
    """STLS: once, and only where there is a certificate (RFC 2595 §4; R215, R026)."""
    if state.connection.peer.tls:
        raise Mistake("TLS is already in use")
    if not state.connection.settings.starttls:
        raise Mistake("STLS is not offered")
    return Done(state, ok(b"Begin TLS negotiation"), START_TLS)


def _entered(state: Authorization, dialogue: Dialogue[User], mechanism: str) -> Answer:
    """Let the user in, then hold the maildrop, then say +OK (R199)."""
    connection = state.connection
    try:
        known = yield from _spoken(dialogue)
    except PrivacyRequired:
        raise Refused(_NEED_TLS) from None
    except NotOffered as error:
        raise Refused(str(error)) from None
    except Malformed as error:
        raise Mistake(str(error)) from None
    except AuthError as error:
        return (yield from _failed(state, error))
    try:
        maildrop, hold = yield from _taken(connection, known)
    except StoreError as error:
        note_unserved(connection.peer, SERVICE, known.name, error)
        raise
    note_login(connection.peer, SERVICE, known.name, mechanism)
    count = len(maildrop.uids)
    return Done(Transaction(connection, known.name, maildrop, hold), ok(b"%d messages" % count))


def _taken(
    connection: Connection, user: User
) -> Generator[Said, bytes | None, tuple[Maildrop, Hold]]:
    """The user's maildrop, held; all of it in memory for a user known and warm."""
    account = connection.accounts.opened(user)
    if account is None:
        yield SLOW
        account = connection.accounts.open(user)
    hold = yield from _held(account, connection.settings.lock_seconds)
    try:
        mailbox = account.opened("INBOX")
        if mailbox is None:
            yield SLOW
            mailbox = account.open("INBOX")
        return Maildrop(mailbox), hold
    except BaseException:  # a lost connection (GeneratorExit) is one of the ways out
        hold.release()
        raise


def _spoken(dialogue: Dialogue[User]) -> Generator[Said, bytes | None, User]:
    """Have the dialogue hear the client's lines."""
    line: bytes | None = None
    while True:
        try:
            said = dialogue.send(line)
        except StopIteration as end:
            found: User = end.value
            return found
        line = yield WAIT if said is HEAR else said


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
    yield from delay(error, state.failures)
    if isinstance(error, AuthUnavailable):
        return Done(state, answer)
    failures = state.failures + 1
    if failures < FAILURES_MAX:
        return Done(replace(state, failures=failures), answer)
    return Done(Over(), answer, CLOSE)
