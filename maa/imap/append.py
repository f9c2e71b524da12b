"""APPEND, MULTIAPPEND and REPLACE: messages into a mailbox, in chunks as they come.

What can be refused is refused before the client sends the message (R118, R123). Of several
messages all appear in the mailbox, or none (RFC 3502; R119).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple

from maa.conversation import SLOW
from maa.imap import hearing, oldname
from maa.imap.arguments import upload
from maa.imap.changes import check_writable, existing, into, note_gone
from maa.imap.commands import Append, Replace, Upload
from maa.imap.frames import CHUNK_OCTETS
from maa.imap.grammar import Cursor
from maa.imap.message_sets import positions_of
from maa.imap.quota import reserved
from maa.imap.responses import ProtocolError, Refused, untagged
from maa.imap.states import GO_AHEAD, Answer, Authenticated, Done, Input, Said, Selected
from maa.limits import Usage
from maa.message.numbers import Uid, written
from maa.store.changing import Incoming, commit_all, exchange
from maa.store.mailbox import Mailbox
from maa.store.quota import Admit, Reservation
from maa.store.tally import taken_by

UPLOADS_MAX: Final = 500
"""Messages of one APPEND: all of them wait beside the mailbox for the last."""

User = Authenticated | Selected


def append(state: User, command: Append) -> Answer:
    """APPEND (RFC 3501 §6.3.11), of one message or several (RFC 3502)."""
    _check(state, command.first)
    mailbox = yield from existing(state, command.mailbox)
    uids = yield from _taken(state, mailbox, command.first)
    yield from oldname.told(state, command.mailbox)
    return Done(state, b"APPEND completed", _appenduid(mailbox, uids))


def replace(state: Selected, command: Replace) -> Answer:
    """REPLACE: the new message comes and the old one goes, or neither (RFC 8508 §3.4)."""
    check_writable(state)
    _check(state, command.upload)
    positions = yield from positions_of(state, command.message, command.by_uid)
    if not positions or state.view.index(positions[0]) is None:
        raise Refused(b"EXPUNGEISSUED", "there is no such message any more")
    old = state.view.uids[positions[0]]
    mailbox = yield from existing(state, command.mailbox)
    uids = yield from _taken(state, mailbox, command.upload, _Replaced(state.mailbox, old))
    note_gone(state, (old,), "REPLACE")
    # Before the EXPUNGE, which the session tells (§4.3).
    yield untagged(b"OK", _appenduid(mailbox, uids), b"The replacement is there")
    yield from oldname.told(state, command.mailbox)
    return Done(state, b"REPLACE completed")


def _appenduid(mailbox: Mailbox, uids: list[Uid]) -> bytes:
    return b"APPENDUID %d %b" % (mailbox.uidvalidity, written(uids))


def _check(state: User, upload: Upload) -> None:
    octets = upload.literal.octets
    if octets == 0:
        raise Refused(b"CANNOT", "a message cannot be empty")  # which cancels (R124)
    if octets > state.connection.settings.append_limit_octets:
        raise Refused(b"TOOBIG", "the message is too large")
    if upload.wrapped and not state.enabled.unicode:
        raise Refused(b"CANNOT", "UTF8=ACCEPT must be enabled first")  # RFC 6855 §4


class _Replaced(NamedTuple):
    """The message that goes when another comes."""

    mailbox: Mailbox
    uid: int

    def usage(self) -> Usage:
        """What it takes; may block."""
        return taken_by(self.mailbox, self.uid)


def _taken(
    state: User, mailbox: Mailbox, first: Upload, replaced: _Replaced | None = None
) -> Generator[Said, Input | None, list[Uid]]:
    """The UIDs of the messages, when all of them are there and whole."""
    waiting: list[Incoming] = []
    rooms: list[Reservation] = []
    present: Upload | None = first
    leaving = Usage if replaced is None else replaced.usage
    done = False
    try:
        while present is not None:
            _check(state, present)
            room = yield from reserved(state.account, present.literal.octets, leaving)
            rooms += [room] if room is not None else []
            incoming = yield from _received(mailbox, present, waiting)
            several = replaced is None
            following = yield from _following(several, present.wrapped)
            yield SLOW
            if following is not None and len(waiting) == UPLOADS_MAX:
                raise Refused(b"LIMIT", f"at most {UPLOADS_MAX} messages at a time")
            with into(mailbox):
                incoming.finish(present.flags, present.internal_date)
            present = following
        with into(mailbox):
            if replaced is None:
                uids = commit_all(waiting, _admission(rooms))
            else:
                uids = [exchange(*replaced, waiting[0], _admission(rooms))]
        done = True
    finally:
        # Also when the connection is gone: the session then closes this generator (R048, R119).
        if not done:
            for incoming in waiting:
                incoming.abort()
        for room in rooms:
            room.release()
    return uids


def _admission(rooms: list[Reservation]) -> Admit | None:
    """Who is asked whether all of it fits; the reservations are of one user, so any will do."""
    return rooms[-1].admit if rooms else None


def _received(
    mailbox: Mailbox, upload: Upload, waiting: list[Incoming]
) -> Generator[Said, Input | None, Incoming]:
    """One message, written beside the mailbox and put to those that wait."""
    octets, binary = upload.literal.octets, upload.literal.binary
    yield GO_AHEAD
    # A small message is waited for before anything is begun on disk, so that a client which
    # stops in the middle of it costs nothing.
    data = yield from _some(octets, binary)
    yield SLOW
    with into(mailbox):
        incoming = mailbox.incoming()
    waiting.append(incoming)
    incoming.write(data)
    octets -= len(data)
    while octets:
        data = yield from _some(octets, binary)
        octets -= len(data)
        yield SLOW
        incoming.write(data)
    return incoming


def _some(octets: int, binary: bool) -> Generator[Said, Input | None, bytes]:
    """A good part of what is left: a visit to the disk for each packet would be dear."""
    data = yield from hearing.literal(min(octets, CHUNK_OCTETS))
    if b"\0" in data and not binary:
        yield SLOW  # what was begun on disk is undone next
        raise ProtocolError("NUL is for a literal8, ~{...} (RFC 3516)")  # R012
    return data


def _following(several: bool, wrapped: bool) -> Generator[Said, Input | None, Upload | None]:
    """What stands behind a message: nothing, or the next message without its octets.

    `wrapped`: first comes the parenthesis of `UTF8 (...)`.
    """
    line = yield from hearing.line()
    fault, text = line.fault, line.text
    if wrapped and fault is None:
        fault = None if text[:1] == b")" else "a parenthesis is not closed"
        text = text[1:]
    if fault is None and not text.strip(b" ") and line.literal is None:
        return None
    if not several:
        fault = "one message replaces another"
    if fault is not None:
        yield SLOW  # what was begun on disk is undone next
        raise ProtocolError(fault)
    try:
        return upload(Cursor((text,), 0, line.literal))
    except ProtocolError:
        yield SLOW
        raise
