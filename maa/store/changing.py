"""What clients change in a mailbox; see `maa.store.mailbox` for the order of writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from maa.message.flags import DELETED, NONE, Flags
from maa.message.numbers import Uid
from maa.store.errors import MessageGone, StoreError
from maa.store.snapshot import UNKNOWN, Copied, Stored, StoreMode

if TYPE_CHECKING:
    from maa.store.mailbox import Mailbox


def store(
    mailbox: Mailbox,
    uids: Sequence[int],
    mode: StoreMode,
    given: Flags,
    unchanged_since: int | None,
) -> Stored:
    """Change flags in the index; the files follow behind the reply."""
    with mailbox.ledger.held():
        snapshot, table = mailbox.snapshot, mailbox.ledger.table
        given = table.spelled(given)
        results: dict[int, int] = {}
        changes, failed = [], []
        for uid in uids:
            position = snapshot.position(uid)
            if position is None:
                continue
            if unchanged_since is not None and snapshot.modseqs[position] > unchanged_since:
                failed.append(uid)
                continue
            old = snapshot.flag_ids[position]
            new = results.get(old)
            if new is None:
                new = results[old] = table.number(mode.applied(table.sets[old], given))
            if new != old:
                changes.append((uid, new))
        mailbox.commit(flags=changes)
        changed = frozenset(uid for uid, _ in changes)
        if changed:
            mailbox.untidy(changed)
        return Stored(mailbox.snapshot.highest_modseq, changed, tuple(failed))


def expunge(mailbox: Mailbox, uids: Sequence[int] | None) -> tuple[int, ...]:
    """Remove those with \\Deleted, of `uids` or of all."""
    with mailbox.ledger.held():
        snapshot = mailbox.snapshot
        sets = snapshot.flag_sets
        chosen = {number for number in snapshot.histogram if DELETED in sets[number]}
        if not chosen:
            return ()
        doomed = [
            uid
            for uid, number in zip(snapshot.uids, snapshot.flag_ids, strict=True)
            if number in chosen
        ]
        if uids is not None:
            wanted = frozenset(uids)
            doomed = [uid for uid in doomed if uid in wanted]
        return remove(mailbox, doomed)


def remove(mailbox: Mailbox, uids: Sequence[int]) -> tuple[int, ...]:
    """Remove files, then rows; what can't be removed stays, and the last error is raised."""
    with mailbox.ledger.held():
        removed, moved, failure = _remove_files(mailbox, uids)
        if moved:
            # Another program renamed them meanwhile: find them under their new names.
            mailbox.sync(whole=True)
            more, vanished, again = _remove_files(mailbox, moved)
            removed += more
            failure = failure or again
            removed += [uid for uid in vanished if mailbox.snapshot.position(uid) is not None]
        if removed:
            mailbox.maildrop.flush()
            present = [uid for uid in removed if mailbox.snapshot.position(uid) is not None]
            mailbox.commit(expunged=present)
        if failure is not None:
            raise failure
        return tuple(sorted(removed))


def _remove_files(
    mailbox: Mailbox, uids: Sequence[int]
) -> tuple[list[int], list[int], StoreError | None]:
    snapshot = mailbox.snapshot
    removed: list[int] = []
    moved: list[int] = []
    failure: StoreError | None = None
    for uid in uids:
        position = snapshot.position(uid)
        if position is None:
            continue
        place = snapshot.places[position]
        mailbox.expect((place,))
        try:
            mailbox.maildrop.remove(place)
            removed.append(uid)
        except MessageGone:
            moved.append(uid)
        except StoreError as error:
            failure = error
    return removed, moved, failure


def copy(mailbox: Mailbox, uids: Sequence[int], target: Mailbox) -> Copied:
    """Copy messages with their flags and dates, all or none."""
    with mailbox.ledger.held():
        try:
            return _copy(mailbox, uids, target)
        except MessageGone:
            mailbox.sync(whole=True)
            return _copy(mailbox, uids, target)


def _copy(mailbox: Mailbox, uids: Sequence[int], target: Mailbox) -> Copied:
    source = mailbox.snapshot
    positions = []
    for uid in uids:
        position = source.position(uid)
        if position is None:
            raise MessageGone(f"UID {uid} is expunged")
        positions.append(position)
    if not positions:
        return Copied(target.uidvalidity, (), ())
    places = target.maildrop.adopt(
        mailbox.maildrop,
        [source.places[position] for position in positions],
        [source.flags(position) for position in positions],
    )
    numbers = [source.flag_ids[position] for position in positions]
    facts = [(source.sizes[position], source.dates[position]) for position in positions]
    targets = _settled(target, places, numbers, facts)
    return Copied(target.uidvalidity, tuple(uids), tuple(targets))


def _settled(
    target: Mailbox,
    places: list[bytes],
    numbers: Sequence[int],
    facts: Sequence[tuple[int, int]],
) -> Sequence[int]:
    """Give finished messages their UIDs, then their places."""
    try:
        targets = target.commit(arrivals=list(zip(places, numbers, strict=True)))
    except StoreError:
        target.maildrop.discard(places)
        raise
    for place in places:
        target.expect((place,))
        target.maildrop.settle(place)
    target.maildrop.flush()
    known = [
        (uid, size, date)
        for uid, (size, date) in zip(targets, facts, strict=True)
        if size != UNKNOWN or date != UNKNOWN
    ]
    if known:
        target.learn(known)
    return targets


def move(mailbox: Mailbox, uids: Sequence[int], target: Mailbox) -> Copied:
    """Copy, then remove what was copied, whatever its flags (R127)."""
    with mailbox.ledger.held():
        copied = copy(mailbox, uids, target)
        remove(mailbox, copied.sources)
        return copied


class Incoming:
    """A message on its way into a mailbox; every method may block."""

    def __init__(self, mailbox: Mailbox) -> None:
        """Begin to write beside the mailbox; NoSpace, Unavailable."""
        self._mailbox = mailbox
        self._octets = 0
        self._last = b""
        with mailbox.ledger.identity:
            self._arriving = mailbox.maildrop.arriving()

    def write(self, data: bytes) -> None:
        """Add octets as they are (R120); NoSpace."""
        if not data:
            return
        self._arriving.write(data)
        # As sent, every LF that no CR precedes gets one.
        bare = data.count(b"\n") - data.count(b"\r\n")
        if self._last == b"\r" and data[:1] == b"\n":
            bare -= 1
        self._octets += len(data) + bare
        self._last = data[-1:]

    def commit(self, flags: Flags = NONE, internal_date: int | None = None) -> Uid:
        """Let the message appear in the mailbox; its UID. NoSpace, MailboxGone."""
        mailbox = self._mailbox
        with mailbox.ledger.held():
            place = self._arriving.finish(flags, internal_date)
            number = mailbox.ledger.table.number(mailbox.ledger.table.spelled(flags))
            date = UNKNOWN if internal_date is None else internal_date
            return Uid(_settled(mailbox, [place], [number], [(self._octets, date)])[0])

    def abort(self) -> None:
        """Leave nothing behind."""
        with self._mailbox.ledger.identity:
            self._arriving.abort()
