"""One mailbox: a maildrop and what the index knows of it, joined.

Order of writes, so that kill -9 between any two of them loses nothing (R247)
-----------------------------------------------------------------------------
* *A message comes in* (APPEND): it is written and flushed beside the mailbox, the index commits
  its UID, then it is moved to its place and the directory flushed; only then is the client
  told. A crash after the commit leaves a row whose file still waits in `tmp`: the next scan
  finds the row's message missing and settles it.
* *Messages are brought from another mailbox* (COPY, MOVE): the index commits their UIDs and
  places, then the files are linked or renamed to those places. A crash between leaves rows
  without files, which the next scan expunges; a message being moved is always in one of the two
  mailboxes, with a row there.
* *A message is expunged*: the file goes first, the commit follows. A crash between leaves a
  row without a file, which the next scan expunges.
* *Flags change*: the index commits, the reply is sent, and the file is renamed behind it
  (`tidy`). A crash between leaves an old file name; the three-way merge knows that nobody
  changed it, and the index's flags stay.

Freshness
---------
`fresh` says whether `snapshot` may be trusted: both directories are watched and no event came
that was not our own. Where nothing can be watched, `sync` compares directory times instead.
"""

from __future__ import annotations

import logging
import threading
import time
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

from maa.message.flags import NONE, Flags
from maa.store import changing, following, reading
from maa.store.errors import MailboxGone, MessageGone, NoSpace, StoreError
from maa.store.hints import ALL, DELIVERED, Hints
from maa.store.index import Change, Counters, MailboxRow
from maa.store.ledger import Ledger
from maa.store.maildrop import Maildrop
from maa.store.reconcile import Differences, merged, reconcile
from maa.store.snapshot import Copied, Snapshot, Stored, StoreMode
from maa.store.view import View

_CHANGES_KEPT = 256
_TIDY_AT_ONCE = 200
# A directory changed within this time may change again without its time showing it (R240).
_GRANULARITY_NS = 2 * 10**9

_log = logging.getLogger(__name__)


class Mailbox:
    """A mailbox, shared by all sessions of this process."""

    on_stale: ClassVar[Callable[[Mailbox], None] | None] = None
    """Called once when a mailbox with listeners goes stale, on any thread; must not block."""
    on_untidy: ClassVar[Callable[[Mailbox], None] | None] = None
    """Called when there is work for `tidy`, on any thread; must not block."""

    def __init__(self, row: MailboxRow, maildrop: Maildrop, ledger: Ledger) -> None:
        """A mailbox not read yet: `sync` first."""
        self.row = row
        self.maildrop = maildrop
        self.ledger = ledger
        self.gone = False
        """The mailbox was deleted or renamed away: nothing more may be done with it."""
        self._hints = Hints(ledger.watcher, maildrop.watched(), self._went_stale, maildrop.only)
        self._stamp: tuple[int, ...] = ()
        self._loaded = False
        self._explained: set[bytes] = set()
        """Where other processes' commits explain a hint."""
        self._untidy: set[int] = set()
        self._facts_due: list[tuple[int, int, int]] = []
        self._first_recent = 1
        self._recent_lock = threading.Lock()
        self._recent_told = False
        self._changes: deque[tuple[int, Sequence[int]]] = deque(maxlen=_CHANGES_KEPT)
        self._listeners: set[Callable[[], None]] = set()
        self.snapshot = Snapshot.of(row.uidvalidity, Counters(1, 1, 1), ledger.table, ())

    @property
    def name(self) -> str:
        """The name under which the account has it."""
        return self.row.name

    @property
    def uidvalidity(self) -> int:
        """UIDVALIDITY (RFC 3501 §2.3.1.1)."""
        return self.row.uidvalidity

    # --- memory only

    def fresh(self) -> bool:
        """Whether nothing happened on disk since `snapshot`."""
        if not self._loaded or self.gone or not self._hints.quiet():
            return False
        return not self.ledger.bulletin.has_news(self.row.id)

    @property
    def watched(self) -> bool:
        """Whether hints come; where not, somebody must look from time to time (R246)."""
        return self._hints.watched

    def view(self, claim_recent: bool) -> View:
        """A session's numbering of the present snapshot."""
        return View.of(self, claim_recent)

    def listen(self, callback: Callable[[], None]) -> None:
        """Call back, on any thread, whenever there is a new snapshot."""
        self._listeners = self._listeners | {callback}

    def unlisten(self, callback: Callable[[], None]) -> None:
        """Call back no more."""
        self._listeners = self._listeners - {callback}

    @property
    def listened(self) -> bool:
        """Whether anybody waits for changes."""
        return bool(self._listeners)

    def changed_since(self, modseq: int) -> Sequence[int]:
        """UIDs with a greater mod-sequence, ascending."""
        changes = list(self._changes)
        if changes and changes[0][0] <= modseq + 1:
            return sorted({uid for at, uids in changes if at > modseq for uid in uids})
        snapshot = self.snapshot
        return [snapshot.uids[p] for p, at in enumerate(snapshot.modseqs) if at > modseq]

    @property
    def recent_unclaimed(self) -> int:
        """How many messages no session was told of as recent; nobody is told by asking (R116)."""
        uids = self.snapshot.uids
        return len(uids) - bisect_left(uids, self._lowest_recent())

    def _lowest_recent(self) -> int:
        if self._first_recent < self.snapshot.uidnext:
            told = self.ledger.shared.first_recent(self.row.id, self.uidvalidity)
            self._first_recent = max(self._first_recent, told)
        return self._first_recent

    def recent_span(self, claim: bool) -> tuple[int, int]:
        """The UIDs [low, high) not yet recent for anybody; `claim`: now they are taken (R081)."""
        with self._recent_lock:
            low, high = self._lowest_recent(), self.snapshot.uidnext
            if not claim or low >= high:
                return low, high
            # Another process may be faster: then what is left is nothing.
            low = self.ledger.shared.claim_recent(self.row.id, self.uidvalidity, low, high)
            self._first_recent = max(low, high)
            self._recent_told = True
        self._untidied()
        return low, high

    def uidls(self, uids: Sequence[int]) -> list[bytes]:
        """UIDLs (RFC 1939 §7; R211)."""
        validity = b"%08x" % self.uidvalidity
        return [b"%08x" % uid + validity for uid in uids]

    def retire(self) -> None:
        """The mailbox was deleted or renamed away: whoever waits for changes is to hear of it."""
        self.gone = True
        for callback in self._listeners:
            callback()

    # --- keeping up with the disk

    def sync(self, whole: bool = False) -> Snapshot:
        """Catch up with what other programs did; `whole`: list everything, whatever was seen."""
        with self.held():
            self.check()
            self._hints.watch()
            if not self._loaded:
                self._load()
            hints = self._hints.taken(self._explained)
            self._explained.clear()
            try:
                self._catch_up(hints, whole)
            except BaseException as error:
                self._hints.put_back(hints)
                if isinstance(error, MessageGone):  # the directory itself is not there
                    raise MailboxGone(self.name) from None
                raise
            return self.snapshot

    def _catch_up(self, hints: int, whole: bool) -> None:
        watched = self._hints.watched
        stamp: tuple[int, ...] = ()
        if not watched:
            stamp = self.maildrop.stamp()
            settled = time.time_ns() - max(stamp, default=0) > _GRANULARITY_NS
            if stamp == self._stamp and not whole:
                return
            self._stamp = stamp if settled else ()
        elif not hints and not whole:
            return
        delivered = watched and hints == DELIVERED and not whole
        scan = self.maildrop.scan(arrivals_only=delivered)
        differences = reconcile(scan, self.snapshot.places, self.maildrop.key)
        if differences.missing:  # gone, or elsewhere by now
            differences = self._confirmed(differences)
        self._take(differences)

    def _confirmed(self, seen: Differences) -> Differences:
        """Believe that messages are missing only when a second scan misses them too (R240)."""
        places = self.snapshot.places
        settled = self.maildrop.settle(places[position] for position in seen.missing)
        if settled:
            _log.warning("%s: %d messages that a crash left were settled", self.name, settled)
        again = reconcile(self.maildrop.scan(), places, self.maildrop.key)
        missing = sorted(set(seen.missing).intersection(again.missing))
        if len(missing) != len(again.missing):
            self._hints.put_back(ALL)
        return replace(again, missing=missing)

    def _take(self, differences: Differences) -> None:
        """Let the index follow the maildrop."""
        snapshot, table = self.snapshot, self.ledger.table
        arrivals = list(differences.arrivals)
        for place in differences.doubles:
            try:
                arrivals.append(self._apart(place))
            except MessageGone:
                continue  # it was one message in the middle of a rename
        flags: list[tuple[int, int]] = []
        places: list[tuple[int, bytes]] = []
        for position, place in differences.moved:
            uid, before = snapshot.uids[position], snapshot.places[position]
            places.append((uid, place))
            known = snapshot.flags(position)
            shown = self.maildrop.flags(place)
            now = merged(known, self.maildrop.flags(before), shown)
            if now != known:
                flags.append((uid, table.number(now)))
            if now != (shown or NONE):
                self._untidy.add(uid)
        arrivals.sort()
        arrivals.sort(key=self.maildrop.order)
        shown_by = [self.maildrop.arrival_flags(place) for place in arrivals]
        numbers = {shown: table.number(shown) for shown in set(shown_by)}
        rows = list(zip(arrivals, map(numbers.__getitem__, shown_by), strict=True))
        expunged = [snapshot.uids[position] for position in differences.missing]
        if expunged:
            _log.info("%s: %d messages were removed by another program", self.name, len(expunged))
        uids = self.commit(rows, flags, places, expunged)
        waiting = [uid for uid, (place, _) in zip(uids, rows, strict=True) if place[:4] == b"new/"]
        if waiting:
            self.untidy(waiting)

    def _apart(self, place: bytes) -> bytes:
        target = self.maildrop.renamed_apart(place)
        _log.warning("%s: two messages were named %r: one is now %r", self.name, place, target)
        return target

    @contextmanager
    def held(self) -> Iterator[None]:
        """The ledger, with `snapshot` as all processes left the index; MailboxGone."""
        with self.ledger.held():
            if self._loaded and not self.gone:
                self._follow()
            yield

    def _follow(self) -> None:
        """Take in what other processes committed."""
        bulletin = self.ledger.bulletin
        uids = bulletin.taken(self.row.id)
        if uids is not None and not uids:
            return
        old = self.snapshot
        try:
            now = following.followed(self.row, self.ledger, old, uids)
        except MailboxGone:
            self.retire()
            raise
        except BaseException:
            bulletin.put_back(self.row.id)
            raise
        self._explained |= now.places
        self._untidy.difference_update(now.expunged)
        self._first_recent = max(self._first_recent, now.snapshot.counters.first_recent)
        self._changes.extend(now.flagged)
        self.snapshot = now.snapshot
        if old.uidnext < self.snapshot.uidnext:
            self._fill(self.ledger.cache.facts(self.row.id, old.uidnext))
        if self.snapshot is not old:
            for callback in self._listeners:
                callback()

    def _load(self) -> None:
        self.ledger.bulletin.follow(self.row.id, self._went_stale)
        index = self.ledger.index
        counters = index.counters(self.row.id)
        # Another process may have added some since the account was opened.
        self.ledger.table.learn(index.flag_sets())
        self.snapshot = Snapshot.of(
            self.uidvalidity, counters, self.ledger.table, index.messages(self.row.id)
        )
        self._first_recent = counters.first_recent
        facts = self.ledger.cache.facts(self.row.id)
        if array("I", [row[0] for row in facts]) == self.snapshot.uids:
            self.snapshot.sizes[:] = array("q", [row[1] for row in facts])
            self.snapshot.dates[:] = array("q", [row[2] for row in facts])
        else:
            self._fill(facts)
        self._loaded = True

    def _went_stale(self) -> None:
        if self._listeners and Mailbox.on_stale is not None:
            Mailbox.on_stale(self)

    # --- for maa.store.reading and maa.store.changing, with the ledger held

    def expect(self, places: Iterable[bytes]) -> None:
        """Each of these places is about to change by our own hand: its event says nothing new."""
        self._hints.expect(places)

    def commit(
        self,
        arrivals: Sequence[tuple[bytes, int]] = (),
        flags: Sequence[tuple[int, int]] = (),
        places: Sequence[tuple[int, bytes]] = (),
        expunged: Sequence[int] = (),
        files: Callable[[], None] | None = None,
    ) -> Sequence[int]:
        """One transaction and the snapshot after it; the UIDs given to the arrivals.

        `files` brings the arrivals' files to their places; when it raises, they are undone.
        """
        self.check()
        old = self.snapshot
        visible = bool(arrivals or flags or expunged)
        if not visible and not places:
            return ()
        modseq = old.highest_modseq + visible
        uids = range(old.uidnext, old.uidnext + len(arrivals))
        rows = [
            (uid, place, number, modseq)
            for uid, (place, number) in zip(uids, arrivals, strict=True)
        ]
        counters = Counters(uids.stop, modseq, self._first_recent)
        durable = bool(arrivals or expunged)
        change = Change(rows, flags, places, expunged, counters, durable)
        self._apply(change)
        if files is not None:
            try:
                files()
            except BaseException:
                undone = Change(expunged=uids, counters=counters)
                self._apply(undone)
                self.snapshot = old.counting(counters)
                raise
        if visible:
            self._changes.append((modseq, [uid for uid, _ in flags]))
        self._publish(change, visible)
        return uids

    def _apply(self, change: Change) -> None:
        """One transaction, announced to the other processes before it is made."""
        uids = {row[0] for some in (change.arrivals, change.flags, change.places) for row in some}
        self.ledger.bulletin.post(self.row.id, uids.union(change.expunged))
        self.ledger.index.apply(self.row.id, change)

    def _publish(self, change: Change, visible: bool) -> None:
        old, counters = self.snapshot, change.counters
        new = old.changed(change.flags, counters) if change.flags else old
        for uid, place in change.places:
            position = new.position(uid)
            if position is not None:
                new.places[position] = place
        if change.expunged:
            new = new.without(frozenset(change.expunged), counters)
            self.ledger.cache.forget(self.row.id, change.expunged)
            self._untidy.difference_update(change.expunged)
        if change.arrivals:
            new = new.extended(change.arrivals, counters)
        if visible:
            self.snapshot = new
            for callback in self._listeners:
                callback()

    def learn(self, facts: Sequence[tuple[int, int, int]]) -> None:
        """Remember (UID, size, date), -1 for what is not known: in memory now, on disk soon.

        Takes no lock: two threads that learn the same write the same.
        """
        self._fill(facts)
        self._facts_due += facts
        if len(self._facts_due) == len(facts):
            self._untidied()

    def _fill(self, facts: Iterable[tuple[int, int, int]]) -> None:
        snapshot = self.snapshot
        for uid, size, date in facts:
            position = snapshot.position(uid)
            if position is not None:
                if size >= 0:
                    snapshot.sizes[position] = size
                if date != -1:
                    snapshot.dates[position] = date

    def untidy(self, uids: Iterable[int]) -> None:
        """The files of these messages are not yet named as their flags say."""
        self._untidy.update(uids)
        self._untidied()

    def _untidied(self) -> None:
        if Mailbox.on_untidy is not None:
            Mailbox.on_untidy(self)

    def tidy(self) -> bool:
        """Do some of what was put off until after the reply; whether more is left."""
        with self.held():
            if self.gone or not self._loaded:
                return False
            some = [self._untidy.pop() for _ in range(min(_TIDY_AT_ONCE, len(self._untidy)))]
            moved = []
            for uid in some:
                position = self.snapshot.position(uid)
                if position is not None:
                    moved += self._renamed(uid, position)
            due, self._facts_due = self._facts_due, []
            if due:
                self.ledger.cache.put_facts(self.row.id, due)
            told, self._recent_told = self._recent_told, False
            if moved or told:
                counters = self.snapshot.counters
                counters = Counters(counters.uidnext, counters.highest_modseq, self._first_recent)
                self._apply(Change(places=moved, counters=counters, durable=False))
            return bool(self._untidy)

    def _renamed(self, uid: int, position: int) -> list[tuple[int, bytes]]:
        place = self.snapshot.places[position]
        target = self.maildrop.wanted_place(place, self.snapshot.flags(position))
        if target == place:
            return []
        self.expect((place, target))
        try:
            self.maildrop.rename(place, target)
        except MessageGone:
            self._hints.put_back(ALL)  # another program was faster: the next sync will see
            return []
        except NoSpace as error:
            _log.warning("%s: flags stay in the index only: %s", self.name, error)
            return []
        except StoreError:
            return []  # logged where it was raised; the index has the flags (R239)
        self.snapshot.places[position] = target
        return [(uid, target)]

    def check(self) -> None:
        """MailboxGone, when nothing may be done here any more (R058)."""
        if self.gone:
            raise MailboxGone(self.name)

    # --- reading: maa.store.reading

    def read(self, uids: Sequence[int]) -> list[reading.Opened]:
        """Open the leading messages, about 256 KiB worth and at least one; close each Wire."""
        return reading.read(self, uids)

    def heads(self, uids: Sequence[int]) -> list[reading.Head]:
        """The headers as sent of the leading messages, at most 256."""
        return reading.heads(self, uids)

    def sizes(self, uids: Sequence[int]) -> list[int | None]:
        """RFC822.SIZE of each; None when the message can't be read."""
        return reading.sizes(self, uids)

    def internal_dates(self, uids: Sequence[int]) -> list[int | None]:
        """INTERNALDATE of each, in seconds since the epoch; None when it can't be read."""
        return reading.internal_dates(self, uids)

    def cached(self, item: str, uids: Sequence[int]) -> dict[int, bytes]:
        """Derived values remembered under `item` of these messages (ascending UIDs)."""
        with self.ledger.identity:
            return self.ledger.cache.get(self.row.id, item, uids)

    def remember(self, item: str, values: Mapping[int, bytes]) -> None:
        """Remember derived values; `item` carries a version."""
        with self.ledger.identity:
            self.ledger.cache.put(self.row.id, item, values)

    # --- changing: maa.store.changing

    def store(
        self, uids: Sequence[int], mode: StoreMode, flags: Flags, unchanged_since: int | None = None
    ) -> Stored:
        """STORE (RFC 3501 §6.4.6); messages that are gone are passed over."""
        return changing.store(self, uids, mode, flags, unchanged_since)

    def expunge(self, uids: Sequence[int] | None = None) -> tuple[int, ...]:
        """Remove those with \\Deleted, of `uids` or of all; the UIDs removed."""
        return changing.expunge(self, uids)

    def remove(self, uids: Sequence[int]) -> tuple[int, ...]:
        """Remove messages whatever their flags; the UIDs removed."""
        return changing.remove(self, uids)

    def copy(self, uids: Sequence[int], target: Mailbox) -> Copied:
        """COPY, all or nothing (R125); MessageGone when one is not there any more."""
        return changing.copy(self, uids, target)

    def move(self, uids: Sequence[int], target: Mailbox) -> Copied:
        """MOVE (RFC 6851): what was copied is removed here."""
        return changing.move(self, uids, target)

    def incoming(self) -> changing.Incoming:
        """Begin to write a new message into this mailbox."""
        return changing.Incoming(self)
