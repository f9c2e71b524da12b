"""Following the disk: what other programs did in a maildrop becomes commits of ours.

Freshness
---------
`quiet` says whether nothing happened: the directories are watched and no event came that was not
our own. Where nothing can be watched, `catch_up` compares directory times instead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from maa.message.flags import NONE, Flags
from maa.store.errors import MessageGone
from maa.store.hints import ALL, DELIVERED, Hints
from maa.store.maildrop import GRANULARITY_NS, Maildrop
from maa.store.page import Page
from maa.store.reconcile import Differences, merged, reconcile

_log = logging.getLogger(__name__)


class Disk:
    """One mailbox's maildrop, compared with its page."""

    def __init__(self, page: Page, maildrop: Maildrop, went_stale: Callable[[], None]) -> None:
        """`went_stale` is called when something happens, on any thread."""
        self._page = page
        self._maildrop = maildrop
        self._hints = Hints(page.ledger.watcher, maildrop.watched(), went_stale, maildrop.only)
        self._stamp: tuple[int, ...] = ()
        self._explained: set[bytes] = set()
        """Where other processes' commits explain a hint."""

    @property
    def watched(self) -> bool:
        """Whether hints come at all."""
        return self._hints.watched

    def quiet(self) -> bool:
        """Whether nothing happened since `catch_up`; memory only."""
        return self._hints.quiet()

    def expect(self, places: Iterable[bytes]) -> None:
        """Each of these places is about to change by our own hand: its event says nothing new."""
        self._hints.expect(places)

    def doubt(self) -> None:
        """Something is not where it should be: look at everything next time."""
        self._hints.put_back(ALL)

    def explain(self, places: frozenset[bytes]) -> None:
        """Here another process of ours changed something, which the index has."""
        self._explained |= places

    def watch(self) -> None:
        """Have hints from now on, where that can be."""
        self._hints.watch()

    def catch_up(self, whole: bool) -> Sequence[int]:
        """Commit what happened, with the ledger held; UIDs whose files have yet to be renamed.

        `whole`: list everything, whatever was seen. MessageGone when the maildrop is not there.
        """
        hints = self._hints.taken(self._explained)
        self._explained.clear()
        try:
            return self._catch_up(hints, whole)
        except BaseException:
            self._hints.put_back(hints)
            raise

    def _catch_up(self, hints: int, whole: bool) -> Sequence[int]:
        watched = self._hints.watched
        stamp: tuple[int, ...] = ()
        if not watched:
            stamp = self._maildrop.stamp()
            settled = time.time_ns() - max(stamp, default=0) > GRANULARITY_NS
            if stamp == self._stamp and not whole:
                return ()
            self._stamp = stamp if settled else ()
        elif not hints and not whole:
            return ()
        delivered = watched and hints == DELIVERED and not whole
        scan = self._maildrop.scan(arrivals_only=delivered)
        differences = reconcile(scan, self._page.snapshot.places, self._maildrop.key)
        if differences.missing:  # gone, or elsewhere by now
            differences = self._confirmed(differences)
        return self._take(differences)

    def _confirmed(self, seen: Differences) -> Differences:
        """Believe that messages are missing only when a second scan misses them too (R240)."""
        places, name = self._page.snapshot.places, self._page.row.name
        settled = self._maildrop.settle(places[position] for position in seen.missing)
        if settled:
            _log.warning("%s: %d messages that a crash left were settled", name, settled)
        again = reconcile(self._maildrop.scan(), places, self._maildrop.key)
        missing = sorted(set(seen.missing).intersection(again.missing))
        if len(missing) != len(again.missing):
            self.doubt()
        return replace(again, missing=missing)

    def _take(self, differences: Differences) -> Sequence[int]:
        """Let the index follow the maildrop."""
        snapshot, table = self._page.snapshot, self._page.ledger.table
        untidy: list[int] = []
        flags: list[tuple[int, int]] = []
        places: list[tuple[int, bytes]] = []
        again = {place: snapshot.flag_ids[p] for p, place in differences.rearranged.items()}
        for position, place in differences.moved:
            uid, known = snapshot.uids[position], snapshot.flags(position)
            before, shown = self._shown(snapshot.places[position]), self._shown(place)
            now = table.admitted(known, merged(known, before, shown))
            if place in again:
                again[place] = table.number(now)
                continue
            places.append((uid, place))
            if now != known:
                flags.append((uid, table.number(now)))
            if now != (shown or NONE):
                untidy.append(uid)
        rows = self._arrivals(differences, again)
        expunged = [snapshot.uids[position] for position in differences.missing]
        if expunged:
            name = self._page.row.name
            _log.info("%s: %d messages were removed by another program", name, len(expunged))
        if again:
            name = self._page.row.name
            _log.info("%s: another program rearranged it: %d new UIDs", name, len(again))
            expunged = sorted({*expunged, *map(snapshot.uids.__getitem__, differences.rearranged)})
        uids = self._page.commit(rows, flags, places, expunged)
        untidy += [uid for uid, (place, _) in zip(uids, rows, strict=True) if place[:4] == b"new/"]
        return untidy

    def _shown(self, place: bytes) -> Flags | None:
        """What a place shows, keywords as the account spells them; None: it cannot show flags."""
        flags = self._maildrop.flags(place)
        return flags and self._page.ledger.table.spelled(flags)

    def _arrivals(
        self, differences: Differences, again: Mapping[bytes, int]
    ) -> list[tuple[bytes, int]]:
        """Place and flag id of each message that gets a UID, in order of arrival (R074).

        `again`: those of messages that had one, and are in another order now (R238).
        """
        maildrop, table = self._maildrop, self._page.ledger.table
        arrivals = list(differences.arrivals)
        for place in differences.doubles:
            try:
                arrivals.append(self._apart(place))
            except MessageGone:
                continue  # it was one message in the middle of a rename
        shown_by = {place: maildrop.arrival_flags(place) for place in arrivals}
        numbers = {shown: table.number(shown) for shown in set(shown_by.values())}
        rows = [(place, numbers[shown]) for place, shown in shown_by.items()] + [*again.items()]
        rows.sort()
        rows.sort(key=lambda row: maildrop.order(row[0]))
        return rows

    def _apart(self, place: bytes) -> bytes:
        target = self._maildrop.renamed_apart(place)
        name = self._page.row.name
        _log.warning("%s: two messages were named %r: one is now %r", name, place, target)
        return target
