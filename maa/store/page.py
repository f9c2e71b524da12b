"""A mailbox's page in its account's ledger: the newest snapshot, and the commits that replace it.

Every commit goes through `commit`: it is announced to the other processes (`maa.store.bulletin`),
made in the index, and published to this process's sessions as a new snapshot. What other
processes commit is taken in by `follow`. Both under the ledger.
"""

from __future__ import annotations

import logging
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from maa.store.errors import MailboxGone, StoreError
from maa.store.following import followed
from maa.store.history import History
from maa.store.index import Change, Counters, MailboxRow
from maa.store.ledger import Ledger
from maa.store.recent import Recent
from maa.store.snapshot import Snapshot

EXPUNGES_KEPT: Final = 10_000
"""Of so many expunges of a mailbox it is known which messages went when (R175)."""
EXPUNGES_KEPT_SECONDS: Final = 182 * 86400
PRUNED_EACH: Final = 1000
"""After so many expunges, and when the mailbox is read, old ones are dropped."""

Fact = tuple[int, int, int]
"""(UID, size as sent, internal date), -1 for what is not known."""


_log = logging.getLogger(__name__)


class Page:
    """What this process knows of one mailbox."""

    def __init__(self, row: MailboxRow, ledger: Ledger) -> None:
        """Nothing is known yet: `load` first."""
        self.row = row
        self.ledger = ledger
        self.loaded = False
        self.gone = False
        """The mailbox was deleted or renamed away."""
        self.recent = Recent(ledger.shared, row.id, row.uidvalidity)
        self.history = History(1)
        self.uidls: dict[int, bytes] = {}
        """POP3 names that are not made of numbers; those of messages that are gone, too."""
        self.last_expunge = 0
        """The mod-sequence of the newest expunge, or a greater one."""
        self._expunges = 0
        self.snapshot = Snapshot.of(row.uidvalidity, Counters(1, 1, 1), ledger.table, ())
        self.listeners: frozenset[Callable[[], None]] = frozenset()
        """Called, on any thread, whenever there is a new snapshot, or never will be another."""

    def check(self) -> None:
        """MailboxGone, when nothing may be done here any more (R058)."""
        if self.gone:
            raise MailboxGone(self.row.name)

    def retire(self) -> None:
        """The mailbox was deleted or renamed away: whoever waits for changes is to hear of it."""
        self.gone = True
        self._tell()

    def _tell(self) -> None:
        for callback in self.listeners:
            callback()

    # --- with the ledger held

    def load(self, went_stale: Callable[[], None]) -> None:
        """Read the mailbox from the index; `went_stale` hears of other processes' commits."""
        self.ledger.bulletin.follow(self.row.id, went_stale)
        index, table = self.ledger.index, self.ledger.table
        counters = index.counters(self.row.id)
        # Another process may have added some since the account was opened.
        table.learn(index.flag_sets())
        messages = index.messages(self.row.id)
        self.snapshot = Snapshot.of(self.row.uidvalidity, counters, table, messages)
        self.history = History(counters.highest_modseq)
        self._prune()
        self.uidls = index.uidls(self.row.id)
        self.last_expunge = index.last_expunge(self.row.id)
        self.recent.known(counters.first_recent)
        facts = self.ledger.cache.facts(self.row.id)
        if array("I", [row[0] for row in facts]) == self.snapshot.uids:
            self.snapshot.sizes[:] = array("q", [row[1] for row in facts])
            self.snapshot.dates[:] = array("q", [row[2] for row in facts])
        else:
            self.fill(facts)
        self.loaded = True

    def follow(self) -> frozenset[bytes]:
        """Take in what other processes committed; the places where they changed something."""
        bulletin = self.ledger.bulletin
        uids = bulletin.taken(self.row.id)
        if uids is not None and not uids:
            return frozenset()
        old = self.snapshot
        try:
            now = followed(self.row, self.ledger, old, uids)
        except MailboxGone:
            self.retire()
            raise
        except BaseException:
            bulletin.put_back(self.row.id)
            raise
        self.recent.known(now.snapshot.counters.first_recent)
        self.history.add(now.changes)
        if now.expunged:
            self.last_expunge = now.snapshot.highest_modseq
        self.snapshot = now.snapshot
        if old.uidnext < self.snapshot.uidnext:
            self.fill(self.ledger.cache.facts(self.row.id, old.uidnext))
        if self.snapshot is not old:
            self._tell()
        return now.places

    def commit(
        self,
        arrivals: Sequence[tuple[bytes, int]] = (),
        flags: Sequence[tuple[int, int]] = (),
        places: Sequence[tuple[int, bytes]] = (),
        expunged: Sequence[int] = (),
        files: Callable[[], None] | None = None,
        email_ids: Sequence[str] = (),
    ) -> Sequence[int]:
        """One transaction and the snapshot after it; the UIDs given to the arrivals.

        `files` brings the arrivals' files to their places; when it raises, they are undone.
        `email_ids`: of each arrival, where they are copies of other messages.
        """
        self.check()
        old = self.snapshot
        visible = bool(arrivals or flags or expunged)
        if not visible and not places:
            return ()
        modseq = old.highest_modseq
        if visible:
            # Never one that was given before, though a crash of the machine may have undone the
            # last changes of flags: it takes longer than they did (R160, R176).
            modseq = max(modseq + 1, int(time.time()))
        uids = range(old.uidnext, old.uidnext + len(arrivals))
        rows = [
            (uid, place, number, modseq)
            for uid, (place, number) in zip(uids, arrivals, strict=True)
        ]
        counters = Counters(uids.stop, modseq, self.recent.first)
        durable = bool(arrivals or expunged)
        copies = tuple(zip(uids, email_ids, strict=True)) if email_ids else ()
        change = Change(rows, flags, places, expunged, counters, durable, copies)
        self._apply(change)
        if files is not None:
            try:
                files()
            except BaseException:
                # Whether that can be undone or not, these UIDs were given.
                self.snapshot = old.counting(counters)
                self.last_expunge = modseq
                self._undo(Change(expunged=uids, counters=counters))
                raise
        if visible:
            self.history.add([(modseq, [*(uid for uid, _ in flags), *uids])])
        self._publish(change, visible)
        return uids

    def _undo(self, change: Change) -> None:
        """Take back what was committed; if that cannot be done now, it is when all is read anew."""
        try:
            self._apply(change)
        except StoreError as error:
            count, name = len(change.expunged), self.row.name
            _log.warning("%s: %d messages are without files: %s", name, count, error)
            self.loaded = False

    def note(self, places: Sequence[tuple[int, bytes]]) -> None:
        """Nothing that a client can see: files have other names, \\Recent was claimed."""
        counters = self.snapshot.counters
        counters = Counters(counters.uidnext, counters.highest_modseq, self.recent.first)
        self._apply(Change(places=places, counters=counters, durable=False))

    def _apply(self, change: Change) -> None:
        """One transaction, announced to the other processes before it is made."""
        uids = {row[0] for some in (change.arrivals, change.flags, change.places) for row in some}
        self.ledger.bulletin.post(self.row.id, uids.union(change.expunged))
        self.ledger.index.apply(self.row.id, change)

    def _prune(self) -> None:
        """Drop old expunges; no command fails because it cannot be done."""
        before = int(time.time()) - EXPUNGES_KEPT_SECONDS
        with suppress(StoreError):  # logged where it was raised
            self.ledger.index.prune(self.row.id, EXPUNGES_KEPT, before)

    def _publish(self, change: Change, visible: bool) -> None:
        old, counters = self.snapshot, change.counters
        new = old.changed(change.flags, counters) if change.flags else old
        for uid, place in change.places:
            position = new.position(uid)
            if position is not None:
                new.places[position] = place
        if change.expunged:
            self.last_expunge = counters.highest_modseq
            self._expunges += 1
            if not self._expunges % PRUNED_EACH:
                self._prune()
            new = new.without(frozenset(change.expunged), counters)
            self.ledger.cache.forget(self.row.id, change.expunged)
        if change.arrivals:
            new = new.extended(change.arrivals, counters)
        if visible:
            self.snapshot = new
            self._tell()

    # --- from any thread

    def fill(self, facts: Iterable[Fact]) -> None:
        """Have sizes and dates in memory; two threads that fill the same write the same."""
        snapshot = self.snapshot
        for uid, size, date in facts:
            position = snapshot.position(uid)
            if position is not None:
                if size >= 0:
                    snapshot.sizes[position] = size
                if date != -1:
                    snapshot.dates[position] = date
