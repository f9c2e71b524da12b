"""APPEND: a message into a mailbox, in chunks as it comes (RFC 3501 §6.3.11)."""

from __future__ import annotations

from collections.abc import Generator

from maa.conversation import SLOW
from maa.imap.changes import existing
from maa.imap.commands import Append
from maa.imap.frames import CHUNK_OCTETS
from maa.imap.responses import ProtocolError, Refused
from maa.imap.states import (
    GO_AHEAD,
    WAIT,
    Answer,
    Authenticated,
    Done,
    Input,
    Line,
    LiteralChunk,
    Said,
    Selected,
)
from maa.store.changing import Incoming


def append(state: Authenticated | Selected, command: Append) -> Answer:
    """APPEND; what can be refused is refused before the client sends the message (R118, R123)."""
    if command.octets == 0:
        raise Refused(b"CANNOT", "a message cannot be empty")
    if command.octets > state.connection.settings.append_limit_octets:
        raise Refused(b"TOOBIG", "the message is too large")
    mailbox = yield from existing(state, command.mailbox)
    yield GO_AHEAD
    # A small message is waited for before anything is begun on disk, so that a client which
    # stops in the middle of it costs nothing.
    first = yield from _heard(command.octets)
    yield SLOW
    incoming = mailbox.incoming()
    finished = False
    try:
        incoming.write(first)
        yield from _received(incoming, command.octets - len(first))
        yield from _line_end()
        yield SLOW
        uid = incoming.commit(command.flags, command.internal_date)
        finished = True
    finally:
        # Also when the connection is gone: the session then closes this generator (R048, R119).
        if not finished:
            incoming.abort()
    code = b"APPENDUID %d %d" % (mailbox.uidvalidity, uid)
    return Done(state, b"APPEND completed", code)


def _received(incoming: Incoming, octets: int) -> Generator[Said, Input | None, None]:
    while octets:
        data = yield from _heard(octets)
        octets -= len(data)
        yield SLOW
        incoming.write(data)


def _heard(octets: int) -> Generator[Said, Input | None, bytes]:
    """The next octets of the literal, gathered: a visit to the disk for each packet is dear."""
    chunks: list[bytes] = []
    wanted = min(octets, CHUNK_OCTETS)
    while wanted > 0:
        heard = yield WAIT
        if isinstance(heard, LiteralChunk):
            chunks.append(heard.data)
            wanted -= len(heard.data)
    return b"".join(chunks)


def _line_end() -> Generator[Said, Input | None, None]:
    while True:
        heard = yield WAIT
        if isinstance(heard, Line):
            break
    if heard.text.strip(b" ") or heard.literal or heard.fault:
        raise ProtocolError("only one message can be appended at a time")
