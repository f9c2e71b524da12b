"""CAPABILITY, NOOP, LOGOUT (RFC 3501 §6.1) and ID (RFC 2971)."""

from __future__ import annotations

from maa import __version__
from maa.imap.capabilities import capabilities
from maa.imap.clients import identified
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
    """ID: say who we are, note who the client is; it never refuses (Q-9, L-10, L-11)."""
    about = {b"name": b"maa", b"vendor": b"maa"}
    if isinstance(state, Authenticated | Selected):
        # Strangers need not know which version to attack (R042).
        about[b"version"] = __version__.encode("ascii")
    fields = parenthesised(string(word) for pair in about.items() for word in pair)
    yield b"* ID %b\r\n" % fields
    return Done(identified(state, command.fields), b"ID completed")
