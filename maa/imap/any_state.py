"""CAPABILITY, NOOP, LOGOUT (RFC 3501 §6.1) and ID (RFC 2971)."""

from __future__ import annotations

import logging

from maa import __version__, audit
from maa.imap.capabilities import capabilities
from maa.imap.commands import Id, Plain
from maa.imap.responses import parenthesised, string
from maa.imap.states import (
    Answer,
    Authenticated,
    Done,
    Live,
    LoggedOut,
    Selected,
)

_log = logging.getLogger(__name__)


def capability(state: Live, command: Plain) -> Answer:
    """CAPABILITY (RFC 3501 §6.1.1)."""
    yield b"* %b\r\n" % capabilities(state)
    return Done(state, b"CAPABILITY completed")


def noop(state: Live, command: Plain) -> Answer:
    """NOOP: whatever happened is told behind it (RFC 3501 §6.1.2; R069)."""
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state, b"NOOP completed")


def logout(state: Live, command: Plain) -> Answer:
    """LOGOUT: BYE, then OK, then the end; nothing is expunged (RFC 3501 §6.1.3; R037, Q-27)."""
    yield b"* BYE Logging out\r\n"
    return Done(LoggedOut(), b"LOGOUT completed")


def identification(state: Live, command: Id) -> Answer:
    """ID: say who we are, note who the client is; it decides nothing (Q-9, L-10, L-11)."""
    said = " ".join(f"{name!r}={value!r}" for name, value in command.fields)
    # repr escapes CR and LF, so a client cannot write lines of its own (R228).
    _log.info("session %s: client %s", state.connection.peer.session, said[:2000])
    user = state.account.user.name if isinstance(state, Authenticated | Selected) else ""
    audit.note(audit.CLIENT, state.connection.peer, user, client=said[:2000])
    about = {b"name": b"maa", b"vendor": b"maa"}
    if isinstance(state, Authenticated | Selected):
        # Strangers need not know which version to attack (R042).
        about[b"version"] = __version__.encode("ascii")
    fields = parenthesised(string(word) for pair in about.items() for word in pair)
    yield b"* ID %b\r\n" % fields
    return Done(state, b"ID completed")
