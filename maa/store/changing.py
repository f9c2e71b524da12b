"""What clients change in a mailbox; see `maa.store.mailbox` for the order of writes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from maa.limits import Usage
from maa.message.flags import DELETED, NONE, Flags, is_system
from maa.message.numbers import Uid
from maa.store.errors import MailboxGone, MessageGone, StoreError, Unavailable
from maa.store.maildrop import Maildrop
from maa.store.snapshot import UNKNOWN, Copied, Stored, StoreMode, Unchanged

if TYPE_CHECKING:
    from maa.store.mailbox import Mailbox
    from maa.store.quota import Admit

_log = logging.getLogger(__name__)

AT_ONCE = 1000
"""Files changed between two looks at the queue of hints, which is finite."""


def store(
    mailbox: Mailbox,
    uids: Sequence[int],
    mode: StoreMode,
    given: Flags,
    unchanged: Unchanged | None,
) -> Stored:
    """Change flags in the index; the files follow behind the reply."""
    with mailbox.held():
        snapshot, table = mailbox.snapshot, mailbox.ledger.table
        given = table.spelled(given)
        results: dict[int, int] = {}
        changes, failed = [], []
        for uid in uids:
            position = snapshot.position(uid)
            if position is None:
                continue
            if unchanged is not None and unchanged.fails(snapshot, position, mode, given):
                failed.append(uid)
                continue
            old = snapshot.flag_ids[position]
            new = results.get(old)
            if new is None:
                flags = mode.applied(table.sets[old], given)
                if any(not is_system(flag) for flag in flags - table.sets[old]):
                    table.check(flags)
                new = results[old] = table.number(flags)
            if new != old:
                changes.append((uid, new))
        mailbox.commit(flags=changes)
        changed = frozenset(uid for uid, _ in changes)
        if changed:
            mailbox.untidy(changed)
        return Stored(mailbox.snapshot.highest_modseq, changed, tuple(failed), mode, given)


def expunge(mailbox: Mailbox, uids: Sequence[int] | None) -> tuple[int, ...]:
    """Remove those with \\Deleted, of `uids` or of all."""
    with mailbox.held():
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
    with mailbox.held():
        mailbox.check()
        removed, absent, error = _remove_files(mailbox, uids)
        if absent:
            # Another program renamed or removed them: look for them under other names.
            mailbox.sync(whole=True)
            more, absent, again = _remove_files(mailbox, absent)
            removed, error = [*removed, *more, *absent], error or again
        if removed:
            _expunged(mailbox, removed)
        if error is not None:
            raise error
        return tuple(sorted(removed))


def _expunged(mailbox: Mailbox, uids: Sequence[int]) -> None:
    """Commit that messages are gone, whose files are."""
    try:
        mailbox.maildrop.flush()
        mailbox.commit(expunged=_present(mailbox, uids))
    except StoreError:
        mailbox.doubt()  # that they are gone is found out by the next look
        raise


def _present(mailbox: Mailbox, uids: Sequence[int]) -> list[int]:
    return [uid for uid in uids if mailbox.snapshot.position(uid) is not None]


def _remove_files(
    mailbox: Mailbox, uids: Sequence[int]
) -> tuple[list[int], list[int], StoreError | None]:
    """The UIDs removed, those that were not where the index has them, and what went wrong."""
    snapshot = mailbox.snapshot
    places = {}
    for uid in uids:
        position = snapshot.position(uid)
        if position is not None:
            places[snapshot.places[position]] = uid
    todo = list(places)
    absent: list[int] = []
    error: StoreError | None = None
    # What is one file is rewritten once, however much goes.
    step = len(todo) if mailbox.maildrop.only else AT_ONCE
    for start in range(0, len(todo), step or 1):
        some = todo[start : start + step]
        mailbox.expect(some)
        removal = mailbox.maildrop.remove(some)
        absent += [places.pop(place) for place in removal.absent]
        for place in removal.kept:
            del places[place]
        error = removal.error or error
    return list(places.values()), absent, error


def copy(
    mailbox: Mailbox, uids: Sequence[int], target: Mailbox, admit: Admit | None = None
) -> Copied:
    """Copy messages with their flags and dates, all or none; OverQuota when `admit` says so."""

    def undo(source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
        target.maildrop.remove(targets)

    return _brought(mailbox, uids, target, target.maildrop.adopt, undo, admit)


def move(mailbox: Mailbox, uids: Sequence[int], target: Mailbox) -> Copied:
    """Take messages over, whatever their flags (R127), or copy and then remove them."""
    with mailbox.held(), target.held():
        moved = True

        def bring(source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
            nonlocal moved
            mailbox.expect(places)
            moved = target.maildrop.take_over(source, places, targets)
            if not moved:
                target.maildrop.adopt(source, places, targets)

        def undo(source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
            if moved:
                source.take_over(target.maildrop, targets, places)
            else:
                target.maildrop.remove(targets)

        try:
            copied = _brought(mailbox, uids, target, bring, undo)
        except StoreError:
            mailbox.doubt()
            raise
        if not moved:
            remove(mailbox, copied.sources)
        elif copied.sources:
            _expunged(mailbox, copied.sources)
        return copied


Bring = Callable[[Maildrop, Sequence[bytes], Sequence[bytes]], None]


def _brought(
    mailbox: Mailbox,
    uids: Sequence[int],
    target: Mailbox,
    bring: Bring,
    undo: Bring,
    admit: Admit | None = None,
) -> Copied:
    with mailbox.held(), target.held():
        try:
            return _bring(mailbox, uids, target, bring, undo, admit)
        except MessageGone:
            mailbox.sync(whole=True)  # another program may have renamed it
            return _bring(mailbox, uids, target, bring, undo, admit)


def _bring(
    mailbox: Mailbox,
    uids: Sequence[int],
    target: Mailbox,
    bring: Bring,
    undo: Bring,
    admit: Admit | None,
) -> Copied:
    """Give the messages UIDs in the target, then bring their files to where those say."""
    mailbox.check()
    source = mailbox.snapshot
    positions = []
    for uid in uids:
        position = source.position(uid)
        if position is None:
            raise MessageGone(f"UID {uid} is expunged")
        positions.append(position)
    if not positions:
        return Copied(target.uidvalidity, (), ())
    places = [source.places[position] for position in positions]
    if admit is not None:
        admit(Usage(sum(mailbox.maildrop.octets(places)), len(places)))
    numbers = [source.flag_ids[position] for position in positions]
    shown = [source.flag_sets[number] for number in numbers]
    free = target.maildrop.free_places(shown, mailbox.maildrop, places)

    def files() -> None:
        for start in range(0, len(free), AT_ONCE):
            target.expect(free[start : start + AT_ONCE])
        bring(mailbox.maildrop, places, free)
        try:
            target.maildrop.flush(free)
        except StoreError:
            undo(mailbox.maildrop, places, free)
            raise

    details = mailbox.details(uids)
    email_ids = [details[uid][1] for uid in uids]
    arrivals = list(zip(free, numbers, strict=True))
    try:
        targets = target.commit(arrivals=arrivals, files=files, email_ids=email_ids)
    except StoreError:
        target.maildrop.discard(free)
        raise
    dates = source.dates
    exact = mailbox.maildrop.verbatim and target.maildrop.verbatim
    sizes = [source.sizes[position] if exact else UNKNOWN for position in positions]
    rows = zip(targets, sizes, positions, strict=True)
    target.learn([(uid, size, dates[position]) for uid, size, position in rows])
    return Copied(target.uidvalidity, tuple(uids), tuple(targets))


class Incoming:
    """A message on its way into a mailbox; every method may block."""

    def __init__(self, mailbox: Mailbox) -> None:
        """Begin to write beside the mailbox; MailboxGone, NoSpace, Unavailable."""
        self._mailbox = mailbox
        self._octets = self._written_octets = 0
        self._last = b""
        self._flags = NONE
        self._date = UNKNOWN
        self._place: bytes | None = None
        """Where it waits, once it is finished."""
        with mailbox.ledger.identity:
            try:
                self._arriving = mailbox.maildrop.arriving()
            except MessageGone:  # the directory itself is not there
                raise MailboxGone(mailbox.name) from None

    def write(self, data: bytes) -> None:
        """Add octets as they are (R120); NoSpace."""
        if not data:
            return
        self._arriving.write(data)
        self._written_octets += len(data)
        # As sent, every LF that no CR precedes gets one.
        bare = data.count(b"\n") - data.count(b"\r\n")
        if self._last == b"\r" and data[:1] == b"\n":
            bare -= 1
        self._octets += len(data) + bare
        self._last = data[-1:]

    def finish(self, flags: Flags = NONE, internal_date: int | None = None) -> None:
        """Nothing more is written: flush it, to wait beside the mailbox. NoSpace, MailboxGone."""
        mailbox = self._mailbox
        with mailbox.held():
            mailbox.check()
            table = mailbox.ledger.table
            self._flags = table.spelled(flags)
            table.check(self._flags)
            self._date = UNKNOWN if internal_date is None else internal_date
            self._place = self._arriving.finish(self._flags, internal_date)

    def commit(
        self,
        flags: Flags = NONE,
        internal_date: int | None = None,
        admit: Admit | None = None,
    ) -> Uid:
        """Let the message appear in the mailbox; its UID. NoSpace, MailboxGone, OverQuota."""
        with self._mailbox.held():
            self.finish(flags, internal_date)
            return commit_all((self,), admit)[0]

    def abort(self) -> None:
        """Leave nothing behind."""
        with self._mailbox.ledger.identity:
            if self._place is None:
                self._arriving.abort()
            else:
                self._mailbox.maildrop.discard((self._place,))


def commit_all(incoming: Sequence[Incoming], admit: Admit | None = None) -> list[Uid]:
    """Let finished messages appear in their mailbox, all or none; their UIDs (R119, RFC 3502)."""
    mailbox = incoming[0]._mailbox
    with mailbox.held():
        if admit is not None:
            admit(Usage(sum(one._written_octets for one in incoming), len(incoming)))
        places = [one._place for one in incoming if one._place is not None]

        def settle() -> None:
            mailbox.expect(places)
            settled = 0
            try:
                settled = mailbox.maildrop.settle(places)
                if settled < len(places):
                    raise Unavailable("a message is not there any more")
                mailbox.maildrop.flush(places)
            except StoreError:
                # All or none, which one file sees to by itself.
                if settled or not mailbox.maildrop.only:
                    mailbox.maildrop.remove(places)
                raise

        number = mailbox.ledger.table.number
        arrivals = list(zip(places, [number(one._flags) for one in incoming], strict=True))
        try:
            uids = mailbox.commit(arrivals=arrivals, files=settle)
        except StoreError:
            mailbox.maildrop.discard(places)
            raise
        finally:
            for one in incoming:
                one._place = None
        verbatim = mailbox.maildrop.verbatim
        mailbox.learn(
            [
                (uid, one._octets if verbatim else UNKNOWN, one._date)
                for uid, one in zip(uids, incoming, strict=True)
            ]
        )
        return [Uid(uid) for uid in uids]


def _is_there(mailbox: Mailbox, uid: int) -> bool:
    """Whether a message can be read at this moment, whatever its name or the index says."""
    position = mailbox.snapshot.position(uid)
    if position is None:
        return False
    try:
        with mailbox.ledger.identity:
            os.close(mailbox.maildrop.open(mailbox.snapshot.places[position]))
    except StoreError:
        return False
    return True


def exchange(mailbox: Mailbox, uid: int, incoming: Incoming, admit: Admit | None = None) -> Uid:
    """Let a finished message appear in its mailbox, and then remove the one it replaces.

    Nothing has happened when this raises: MessageGone, OverQuota, NoSpace, MailboxGone. A crash
    between the two leaves both messages.
    """
    target = incoming._mailbox
    with mailbox.held(), target.held():
        mailbox.check()
        if mailbox.snapshot.position(uid) is None:
            raise MessageGone(str(uid))
        (new,) = commit_all((incoming,), admit)
        try:
            remove(mailbox, (uid,))
        except StoreError as error:
            if _is_there(mailbox, uid):
                with suppress(StoreError):  # then both stay, which loses nothing
                    remove(target, (new,))
                raise
            # Its file is gone, or may be, and the new one is all there is: the index will follow.
            _log.warning("%s: message %d is replaced, but: %s", mailbox.name, uid, error)
        return new
