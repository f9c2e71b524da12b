"""IDLE: report changes until the client says DONE (RFC 2177)."""

from __future__ import annotations

from collections.abc import Generator

from maa.imap.commands import Plain
from maa.imap.notify import pushed
from maa.imap.states import (
    KEEPALIVE,
    POKE,
    WAIT,
    Answer,
    Authenticated,
    Done,
    Input,
    Said,
    Selected,
)
from maa.imap.updates import caught_up, refreshed
from maa.store.errors import MailboxGone

User = Authenticated | Selected


def idle(state: User, command: Plain) -> Answer:
    """IDLE (RFC 2177 §3); without a mailbox and without NOTIFY it only waits (Q-30)."""
    yield b"+ idling\r\n"
    if state.watching is not None:
        state, heard = yield from _notified(state)
    elif isinstance(state, Selected):
        state, heard = yield from _told(state)
    else:
        heard = POKE
        while heard is POKE:
            heard = yield from _heard()
    return _ended(state, heard)


Idled = Generator[Said, Input | None, tuple[User, Input | None]]


def _notified(state: User) -> Idled:
    """The very events that NOTIFY asked for (RFC 5465 §4)."""
    heard: Input | None = POKE
    while heard is POKE:
        state = yield from pushed(state, idling=True)
        heard = yield from _heard()
    return state, heard


def _told(state: Selected) -> Idled:
    mailbox, wake = state.mailbox, state.connection.wake
    mailbox.listen(wake)
    try:
        # After listening, so that nothing can happen unnoticed between the two.
        state = yield from caught_up(state, expunges=True, news=True)
        # A poke comes after `mailbox` has looked at the disk, once for all its listeners:
        # what is left to do here is in memory, so thousands may idle.
        while (heard := (yield from _heard())) is POKE:
            if mailbox.gone:
                raise MailboxGone(mailbox.name)
            if state.view.stale:
                state = yield from refreshed(state, expunges=True, news=True)
    finally:
        mailbox.unlisten(wake)
    return state, heard


def _heard() -> Generator[Said, Input | None, Input | None]:
    """A poke, or what the client says; now and then a word lest the way to it be forgotten."""
    while (heard := (yield WAIT)) is KEEPALIVE:
        yield b"* OK Still here\r\n"
    return heard


def _ended(state: User, heard: Input | None) -> Done:
    """Only DONE ends IDLE well (R046); what stands behind it is the next command (L-3)."""
    done = getattr(heard, "text", b"").upper() == b"DONE" and not getattr(heard, "fault", None)
    if done:
        return Done(state, b"IDLE completed")
    return Done(state, b"DONE was expected", b"CLIENTBUG", b"BAD")
