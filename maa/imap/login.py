"""LOGIN, AUTHENTICATE and STARTTLS (RFC 3501 §6.2); who may come in says `maa.auth.admission`."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from maa.auth import sasl
from maa.auth.admission import FAILURES_MAX, delay
from maa.auth.errors import AuthError, AuthUnavailable
from maa.auth.refusals import note_login, note_unserved
from maa.auth.sasl import HEAR, Dialogue, Malformed, NotOffered, PrivacyRequired, text
from maa.conversation import SLOW, START_TLS
from maa.imap import hearing
from maa.imap.capabilities import capabilities
from maa.imap.clients import note_client
from maa.imap.commands import Authenticate, Login, Plain
from maa.imap.responses import Cancelled, ProtocolError, Refused, failure, untagged
from maa.imap.states import (
    SERVICE,
    Answer,
    Authenticated,
    Done,
    Input,
    LoggedOut,
    NotAuthenticated,
    Said,
)
from maa.store.errors import StoreError
from maa.user import User


def login(state: NotAuthenticated, command: Login) -> Answer:
    """LOGIN (RFC 3501 §6.2.3)."""
    admission = state.connection.admission
    dialogue = admission.by_password(text(command.name), text(command.password))
    return (yield from _entered(state, dialogue, "LOGIN"))


def authenticate(state: NotAuthenticated, command: Authenticate) -> Answer:
    """AUTHENTICATE: a SASL dialogue in base64 (RFC 3501 §6.2.2; R029, R030)."""
    admission = state.connection.admission
    dialogue = admission.by_mechanism(command.mechanism, command.initial)
    return (yield from _entered(state, dialogue, command.mechanism.decode("ascii")))


def starttls(state: NotAuthenticated, command: Plain) -> Answer:
    """STARTTLS: once, and only where there is a certificate (RFC 3501 §6.2.1; R025, R026)."""
    if state.connection.peer.tls:
        raise ProtocolError("TLS is already in use")
    if not state.connection.settings.starttls:
        raise ProtocolError("STARTTLS is not offered")
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state, b"Begin TLS negotiation now", then=START_TLS)


def _entered(state: NotAuthenticated, dialogue: Dialogue[User], mechanism: str) -> Answer:
    """Let the user in and open the account; all of it in memory for a user known and warm."""
    connection = state.connection
    try:
        user = yield from _spoken(dialogue)
    except NotOffered as error:
        raise Refused(b"CANNOT", str(error)) from None
    except PrivacyRequired:
        raise Refused(b"PRIVACYREQUIRED", "log in after STARTTLS or over TLS") from None
    except sasl.Cancelled as error:
        raise Cancelled(str(error)) from None
    except Malformed as error:
        raise ProtocolError(str(error)) from None
    except AuthError as error:
        return (yield from _failed(state, error))
    account = connection.accounts.opened(user)
    if account is None:
        yield SLOW
        try:
            account = connection.accounts.open(user)
        except StoreError as error:
            note_unserved(connection.peer, SERVICE, user.name, error)
            raise
    note_client(connection, user.name)
    note_login(connection.peer, SERVICE, user.name, mechanism)
    new = Authenticated(account, connection)
    return Done(new, b"Logged in", capabilities(new))


def _spoken(dialogue: Dialogue[User]) -> Generator[Said, Input | None, User]:
    """Have the dialogue hear the client's lines."""
    line: bytes | None = None
    while True:
        try:
            said = dialogue.send(line)
        except StopIteration as end:
            user: User = end.value
            return user
        line = None
        if said is not HEAR:
            yield said
            continue
        heard = yield from hearing.line()
        if heard.fault is not None or heard.literal is not None:
            raise ProtocolError(heard.fault or "a literal is not expected here")
        line = heard.text


def _failed(state: NotAuthenticated, error: AuthError) -> Answer:
    code, words = failure(error)
    yield from delay(error, state.failures)
    if isinstance(error, AuthUnavailable):
        return Done(state, words, code, b"NO")
    failures = state.failures + 1
    if failures < FAILURES_MAX:
        return Done(replace(state, failures=failures), words, code, b"NO")
    yield untagged(b"BYE", None, b"Too many failed logins")
    return Done(LoggedOut(), words, code, b"NO")
