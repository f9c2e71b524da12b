"""The TRANSACTION state's commands, and CAPA, NOOP and QUIT (RFC 1939 §5, §6, RFC 2449)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from maa import audit
from maa.conversation import CLOSE, SLOW
from maa.message.flags import SEEN
from maa.message.octets import WireBytes
from maa.pop3.maildrop import Maildrop
from maa.pop3.sending import counted_octets_of, message, whole
from maa.pop3.sending import top as top_of
from maa.pop3.states import Answer, Authorization, Done, Over, Transaction
from maa.pop3.wire import END, failure, multi, number, ok
from maa.store.errors import StoreError
from maa.store.snapshot import StoreMode

LINES_AT_ONCE: Final = 4096

_log = logging.getLogger(__name__)


def stat(state: Transaction, argument: bytes) -> Answer:
    """STAT: how many messages and octets, without those marked as deleted."""
    maildrop = state.maildrop
    sizes = yield from maildrop.sizes()
    octets = sum(sizes) - sum(sizes[p] for p in maildrop.deleted)
    return Done(state, ok(b"%d %d" % (len(sizes) - len(maildrop.deleted), octets)))


def list_(state: Transaction, argument: bytes) -> Answer:
    """LIST [number]: sizes as RETR sends them (R203)."""
    maildrop = state.maildrop
    if argument:
        position = maildrop.position(number(argument))
        sizes = yield from maildrop.sizes()
        return Done(state, ok(b"%d %d" % (position + 1, sizes[position])))
    sizes = yield from maildrop.sizes()
    yield from _listing(maildrop, b"%d %d\r\n".__mod__, lambda start, stop: sizes[start:stop])
    return Done(state, END)


def uidl(state: Transaction, argument: bytes) -> Answer:
    """UIDL [number]: names that stay, one blank behind the number (R210, Q-34)."""
    maildrop = state.maildrop
    uids, names = maildrop.uids, maildrop.mailbox.uidls
    if argument:
        position = maildrop.position(number(argument))
        (name,) = names([uids[position]])
        return Done(state, ok(b"%d %b" % (position + 1, name)))
    yield from _listing(maildrop, b"%d %b\r\n".__mod__, lambda start, stop: names(uids[start:stop]))
    return Done(state, END)


def _listing(
    maildrop: Maildrop,
    line: Callable[[tuple[int, Any]], bytes],
    values: Callable[[int, int], Iterable[Any]],
) -> Iterator[bytes]:
    """A line for each message; of a large maildrop in pieces, so that others have their turn."""
    total, deleted = len(maildrop.uids), maildrop.deleted
    yield ok(b"%d messages" % (total - len(deleted)))
    for start in range(0, total, LINES_AT_ONCE):
        rows = enumerate(values(start, start + LINES_AT_ONCE), start + 1)
        if deleted:
            yield b"".join([line(row) for row in rows if row[0] - 1 not in deleted])
        else:
            yield b"".join(map(line, rows))


def retr(state: Transaction, argument: bytes) -> Answer:
    """RETR number: the whole message (RFC 1939 §5; R204)."""
    maildrop = state.maildrop
    position = maildrop.position(number(argument))
    wire = yield from maildrop.read(position)
    try:
        if not isinstance(wire, WireBytes):
            yield SLOW
        # The same number as in LIST, found again because not every session has asked for LIST.
        yield b"+OK %d octets\r\n" % (wire.size + counted_octets_of(wire))
        yield from message(wire)
    finally:
        wire.close()
    maildrop.sent.add(position)
    return Done(state)


def top(state: Transaction, argument: bytes) -> Answer:
    """TOP number lines: the header, and so many lines of the body (RFC 1939 §7; R206)."""
    first, _, second = argument.partition(b" ")
    maildrop, lines = state.maildrop, number(second.strip())
    position = maildrop.position(number(first))
    if not lines:
        head = yield from maildrop.head(position)
        return Done(state, ok(b"header follows") + whole(head))
    wire = yield from maildrop.read(position)
    try:
        yield ok(b"top of message follows")
        yield from top_of(wire, lines)
    finally:
        wire.close()
    return Done(state)


def dele(state: Transaction, argument: bytes) -> Done:
    """DELE number: a mark that QUIT acts upon (R207)."""
    position = state.maildrop.position(number(argument))
    state.maildrop.deleted.add(position)
    return Done(state, ok(b"message %d marked as deleted" % (position + 1)))


def rset(state: Transaction, argument: bytes) -> Done:
    """RSET: take all marks back."""
    state.maildrop.deleted.clear()
    return Done(state, ok(b"no message is marked as deleted"))


def noop(state: Transaction, argument: bytes) -> Done:
    """NOOP."""
    return Done(state, ok(b"nothing done"))


def capa(state: Authorization | Transaction, argument: bytes) -> Done:
    """CAPA: by state and by how well the connection is protected (RFC 2449 §5; R214)."""
    lines = [b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"]
    connection = state.connection
    admission = connection.admission
    if admission.private:
        lines.append(b"USER")
    if mechanisms := admission.mechanisms():
        lines.append(b" ".join((b"SASL", *mechanisms)))
    if isinstance(state, Transaction):
        lines.append(b"IMPLEMENTATION maa")
    elif connection.settings.starttls and not connection.peer.tls:
        lines.append(b"STLS")
    return Done(state, multi(b"Capability list follows", lines))


def quit_(state: Authorization | Transaction, argument: bytes) -> Answer:
    """QUIT: from TRANSACTION this is the only way to remove anything (R208, R209)."""
    if isinstance(state, Authorization):
        return Done(Over(), ok(b"bye"), CLOSE)
    answer = ok(b"bye")
    if state.maildrop.deleted or (state.connection.settings.retr_marks_seen and _seen(state)):
        yield SLOW
        answer = _update(state)
    state.maildrop.close()
    # Before the answer: a client that logs in again at once must not find its own lock.
    state.hold.release()
    return Done(Over(), answer, CLOSE)


def _seen(state: Transaction) -> list[int]:
    maildrop = state.maildrop
    return [maildrop.uids[p] for p in sorted(maildrop.sent - maildrop.deleted)]


def _update(state: Transaction) -> bytes:
    """The UPDATE state (RFC 1939 §6): messages that somebody else removed are no failure."""
    maildrop = state.maildrop
    try:
        if state.connection.settings.retr_marks_seen and (seen := _seen(state)):
            maildrop.mailbox.store(seen, StoreMode.ADD, frozenset({SEEN}))
        if maildrop.deleted:
            gone = maildrop.mailbox.remove([maildrop.uids[p] for p in sorted(maildrop.deleted)])
            audit.note_messages(
                *(audit.EXPUNGED, state.connection.peer, state.user, "INBOX", gone),
                command="DELE",
            )
    except StoreError as error:
        _log.warning("session %s: QUIT: %s", state.connection.peer.session, error)
        return failure(error)
    return ok(b"bye, %d messages removed" % len(maildrop.deleted))
