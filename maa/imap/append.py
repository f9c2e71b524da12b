"""APPEND: a message into a mailbox, in chunks as it comes (RFC 3501 §6.3.11)."""

from __future__ import annotations

from collections.abc import Generator

from maa.conversation import SLOW
from maa.imap import hearing
from maa.imap.changes import existing, into
from maa.imap.commands import Append
from maa.imap.frames import CHUNK_OCTETS
from maa.imap.quota import reserved
from maa.imap.responses import ProtocolError, Refused
from maa.imap.states import GO_AHEAD, Answer, Authenticated, Done, Input, Said, Selected
from maa.store.changing import Incoming
from maa.store.mailbox import Mailbox
from maa.store.quota import Admit


def append(state: Authenticated | Selected, command: Append) -> Answer:
    """APPEND; what can be refused is refused before the client sends the message (R118, R123)."""
    if command.octets == 0:
        raise Refused(b"CANNOT", "a message cannot be empty")
    if command.octets > state.connection.settings.append_limit_octets:
        raise Refused(b"TOOBIG", "the message is too large")
    mailbox = yield from existing(state, command.mailbox)
    room = yield from reserved(state.account, command.octets)
    try:
        uid = yield from _taken(mailbox, command, None if room is None else room.admit)
    finally:
        if room is not None:
            room.release()
    code = b"APPENDUID %d %d" % (mailbox.uidvalidity, uid)
    return Done(state, b"APPEND completed", code)


def _taken(
    mailbox: Mailbox, command: Append, admit: Admit | None
) -> Generator[Said, Input | None, int]:
    """The UID of the message, when it is there and whole."""
    yield GO_AHEAD
    # A small message is waited for before anything is begun on disk, so that a client which
    # stops in the middle of it costs nothing.
    first = yield from _some(command.octets)
    yield SLOW
    with into(mailbox):
        incoming = mailbox.incoming()
    finished = False
    try:
        incoming.write(first)
        yield from _received(incoming, command.octets - len(first))
        yield from _line_end()
        yield SLOW
        with into(mailbox):
            uid = incoming.commit(command.flags, command.internal_date, admit)
        finished = True
    finally:
        # Also when the connection is gone: the session then closes this generator (R048, R119).
        if not finished:
            incoming.abort()
    return uid


def _received(incoming: Incoming, octets: int) -> Generator[Said, Input | None, None]:
    while octets:
        data = yield from _some(octets)
        octets -= len(data)
        yield SLOW
        incoming.write(data)


def _some(octets: int) -> Generator[Said, Input | None, bytes]:
    """A good part of what is left: a visit to the disk for each packet would be dear."""
    return (yield from hearing.literal(min(octets, CHUNK_OCTETS)))


def _line_end() -> Generator[Said, Input | None, None]:
    line = yield from hearing.line()
    if line.text.strip(b" ") or line.literal or line.fault:
        yield SLOW  # what was begun on disk is undone next
        raise ProtocolError("only one message can be appended at a time")
