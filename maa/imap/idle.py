"""IDLE: report changes until the client says DONE (RFC 2177)."""

from __future__ import annotations

from maa.imap.commands import Plain
from maa.imap.states import POKE, WAIT, Answer, Authenticated, Done, Input, Selected
from maa.imap.updates import caught_up, refreshed
from maa.store.errors import MailboxGone


def idle(state: Authenticated | Selected, command: Plain) -> Answer:
    """IDLE (RFC 2177 §3); without a mailbox it only waits (Q-30)."""
    yield b"+ idling\r\n"
    if not isinstance(state, Selected):
        heard: Input | None = POKE
        while heard is POKE:
            heard = yield WAIT
        return _ended(state, heard)
    mailbox, wake = state.mailbox, state.connection.wake
    mailbox.listen(wake)
    try:
        # After listening, so that nothing can happen unnoticed between the two.
        state = yield from caught_up(state, expunges=True)
        # A poke comes after `mailbox` has looked at the disk, once for all its listeners:
        # what is left to do here is in memory, so thousands may idle.
        while (heard := (yield WAIT)) is POKE:
            if mailbox.gone:
                raise MailboxGone(mailbox.name)
            if state.view.stale:
                state = yield from refreshed(state, expunges=True)
    finally:
        mailbox.unlisten(wake)
    return _ended(state, heard)


def _ended(state: Authenticated | Selected, heard: Input | None) -> Done:
    """Only DONE ends IDLE well (R046); what stands behind it is the next command (L-3)."""
    done = getattr(heard, "text", b"").upper() == b"DONE" and not getattr(heard, "fault", None)
    if done:
        return Done(state, b"IDLE completed")
    return Done(state, b"DONE was expected", None, b"BAD")
