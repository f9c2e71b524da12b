"""Reading messages of a mailbox, in batches: one change of identity for many small files."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from maa.message.octets import CHUNK, Wire, WireBytes, crlf, open_wire, read_head
from maa.store.errors import MessageGone, StoreError, Unavailable
from maa.store.snapshot import UNKNOWN

if TYPE_CHECKING:
    from maa.store.mailbox import Mailbox

HEADS_AT_ONCE = 256
HEADS_OCTETS = 1 << 20
READ_AT_ONCE = 256
READ_OCTETS = 4 * CHUNK
_LEARN_AT_ONCE = 1000

Opened = tuple[int, Wire | StoreError]
_Read = tuple[int, Wire | StoreError, int]
Head = tuple[int, bytes | StoreError]
T = TypeVar("T")


def read(mailbox: Mailbox, uids: Sequence[int]) -> list[Opened]:
    """Open the leading messages, about 256 KiB worth and at least one.

    What is seen on the way is remembered: the size and, from the same file, the date.
    """
    with mailbox.ledger.identity:
        found: Sequence[_Read] = _together(mailbox, uids[:READ_AT_ONCE])
        if not found:
            found = (_alone(mailbox, uids[0]),)
    snapshot = mailbox.snapshot
    sizes, dates = snapshot.sizes, snapshot.dates
    news = [
        (uid, wire.size, date)
        for uid, wire, date in found
        if not isinstance(wire, StoreError)
        and (at := snapshot.position(uid)) is not None
        and (sizes[at] == UNKNOWN or (dates[at] == UNKNOWN != date))
    ]
    if news:
        mailbox.learn(news)
    return [(uid, wire) for uid, wire, _ in found]


def _together(mailbox: Mailbox, uids: Sequence[int]) -> list[tuple[int, WireBytes, int]]:
    """The leading messages with their dates, where the maildrop reads them in one go."""
    snapshot = mailbox.snapshot
    first = snapshot.position(uids[0])
    if first is None:
        return []
    unknown = snapshot.dates[first] == UNKNOWN

    def places() -> Iterator[bytes]:
        """Only as many are looked up as are read."""
        for uid in uids:
            at = snapshot.position(uid)
            if at is None:
                return
            yield snapshot.places[at]

    try:
        found = mailbox.maildrop.contents(places(), READ_OCTETS, unknown)
        return [
            (uid, WireBytes(crlf(data)), date)
            for uid, (data, date) in zip(uids, found, strict=False)
        ]
    except StoreError:
        return []  # whoever opens each will see why


def _alone(mailbox: Mailbox, uid: int) -> _Read:
    """A message that is long, or not where the snapshot says, or cannot be read."""
    opened = _attempt(mailbox, uid, lambda fd: (mailbox.maildrop.internal_date(fd), open_wire(fd)))
    return (uid, opened, UNKNOWN) if isinstance(opened, StoreError) else (uid, *opened[::-1])


def heads(mailbox: Mailbox, uids: Sequence[int]) -> list[Head]:
    """The headers as sent of the leading messages; fewer when they are long."""
    found: list[Head] = []
    octets = 0
    with mailbox.ledger.identity:
        for uid in uids[:HEADS_AT_ONCE]:
            head = _attempt(mailbox, uid, _head)
            found.append((uid, head))
            octets += 0 if isinstance(head, StoreError) else len(head)
            if octets >= HEADS_OCTETS:
                break
    return found


def sizes(mailbox: Mailbox, uids: Sequence[int]) -> list[int | None]:
    """RFC822.SIZE of each; None when the message can't be read."""
    _fill(mailbox, uids, lambda position: mailbox.snapshot.sizes[position] >= 0)
    return _column(mailbox, uids, "sizes")


def internal_dates(mailbox: Mailbox, uids: Sequence[int]) -> list[int | None]:
    """INTERNALDATE of each; None when the message can't be read."""
    snapshot = mailbox.snapshot
    unknown = [
        uid
        for uid in uids
        if (position := snapshot.position(uid)) is not None and snapshot.dates[position] == UNKNOWN
    ]
    for start in range(0, len(unknown), _LEARN_AT_ONCE):
        facts = []
        with mailbox.ledger.identity:
            for uid in unknown[start : start + _LEARN_AT_ONCE]:
                date = _attempt(
                    mailbox, uid, lambda fd: _closing(fd, mailbox.maildrop.internal_date)
                )
                if not isinstance(date, StoreError):
                    facts.append((uid, UNKNOWN, date))
        mailbox.learn(facts)
    return _column(mailbox, uids, "dates")


def _fill(mailbox: Mailbox, uids: Sequence[int], known: Callable[[int], bool]) -> None:
    snapshot = mailbox.snapshot
    unknown = [
        uid
        for uid in uids
        if (position := snapshot.position(uid)) is not None and not known(position)
    ]
    for start in range(0, len(unknown), _LEARN_AT_ONCE):
        facts = []
        with mailbox.ledger.identity:
            left = deque(unknown[start : start + _LEARN_AT_ONCE])
            while left:
                together = _together(mailbox, tuple(left))
                facts += [(uid, wire.size, date) for uid, wire, date in together]
                for _ in together:
                    left.popleft()
                if not together:
                    uid = left.popleft()
                    size = _attempt(mailbox, uid, lambda fd: _measured(mailbox, fd))
                    if not isinstance(size, StoreError):
                        facts.append((uid, *size))
        mailbox.learn(facts)


def _measured(mailbox: Mailbox, descriptor: int) -> tuple[int, int]:
    date = mailbox.maildrop.internal_date(descriptor)
    wire = open_wire(descriptor)
    wire.close()
    return wire.size, date


def _closing(descriptor: int, of: Callable[[int], int]) -> int:
    try:
        return of(descriptor)
    finally:
        os.close(descriptor)


def _head(descriptor: int) -> bytes:
    try:
        return read_head(descriptor)
    finally:
        os.close(descriptor)


def _column(mailbox: Mailbox, uids: Sequence[int], name: str) -> list[int | None]:
    snapshot = mailbox.snapshot
    column = getattr(snapshot, name)
    positions = [snapshot.position(uid) for uid in uids]
    return [
        None if position is None or column[position] == UNKNOWN else column[position]
        for position in positions
    ]


def _attempt(mailbox: Mailbox, uid: int, of: Callable[[int], T]) -> T | StoreError:
    """Open a message where it is, or where it is now when another program moved it."""
    try:
        for times in range(3):
            position = mailbox.snapshot.position(uid)
            if position is None:
                return MessageGone(f"UID {uid} is expunged")
            try:
                descriptor = mailbox.maildrop.open(mailbox.snapshot.places[position])
            except MessageGone:
                if times == 2:
                    raise
                # First what is known to have happened, by another process of ours perhaps.
                mailbox.sync(whole=times == 1)
                continue
            try:
                return of(descriptor)
            except OSError as error:
                return Unavailable(f"UID {uid}: {error}")
    except StoreError as error:
        return error
    return MessageGone(f"UID {uid} is gone")
