"""Following the disk: what other programs did in a maildrop becomes commits of ours.

Freshness
---------
`quiet` says whether nothing happened: the directories are watched, no event came that was not our
own, and nobody is just following one. Where nothing can be watched, `catch_up` compares directory
times instead.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from maa.message.flags import NONE, Flags
from maa.store.errors import MessageGone, NoSpace
from maa.store.hints import ALL, DELIVERED, Hints
from maa.store.maildrop import GRANULARITY_NS, Arrival, Maildrop
from maa.store.page import Fact, Page
from maa.store.reconcile import Differences, merged, reconcile

_LOOKS = 5

FollowUp = tuple[Sequence[int], Sequence[Fact]]
"""UIDs whose files have yet to be renamed, and what was learned of new messages."""

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
        self._catching_up = False
        self._short_of_room = False

    @property
    def watched(self) -> bool:
        """Whether hints come, and could be followed."""
        return self._hints.watched and not self._short_of_room

    def quiet(self) -> bool:
        """Whether nothing happened since `catch_up`; memory only."""
        # In this order: who catches up has taken the hints.
        return self._hints.quiet() and not self._catching_up

    def expect(self, places: Iterable[bytes]) -> None:
        """Each of these places is about to change by our own hand: its event says nothing new."""
        self._hints.expect(places)

    def doubt(self) -> None:
        """Something is not where it should be: look at everything next time."""
        self._hints.doubt()
        self._stamp = ()

    def explain(self, places: frozenset[bytes]) -> None:
        """Here another process of ours changed something, which the index has."""
        self._explained |= places

    def watch(self) -> None:
        """Have hints from now on, where that can be."""
        self._hints.watch()

    def catch_up(self, whole: bool) -> FollowUp:
        """Commit what happened, with the ledger held; what is left to do.

        `whole`: list everything, whatever was seen. MessageGone when the maildrop is not there.
        """
        self._catching_up = True
        hints = self._hints.taken(self._explained)
        self._explained.clear()
        complained, self._short_of_room = self._short_of_room, False
        try:
            return self._catch_up(hints, whole)
        except NoSpace as error:
            # What is known can be read all the same; the rest is looked for again.
            self._hints.put_back(hints or ALL)
            self._stamp = ()
            self._short_of_room = True
            if not complained:
                _log.error("%s: new mail cannot be shown: %s", self._page.row.name, error)
            return (), ()
        except BaseException:
            self._hints.put_back(hints)
            self._stamp = ()
            raise
        finally:
            self._catching_up = False

    def _catch_up(self, hints: int, whole: bool) -> FollowUp:
        watched = self._hints.watched
        stamp: tuple[int, ...] = ()
        if not watched:
            stamp = self._maildrop.stamp()
            settled = time.time_ns() - max(stamp, default=0) > GRANULARITY_NS
            if stamp == self._stamp and not whole:
                return (), ()
            self._stamp = stamp if settled else ()
        elif not hints and not whole:
            return (), ()
        delivered = watched and hints == DELIVERED and not whole
        scan = self._maildrop.scan(arrivals_only=delivered)
        differences = reconcile(scan, self._page.snapshot.places, self._maildrop.key)
        if differences.missing:  # gone, or elsewhere by now
            differences = self._confirmed(differences)
        else:
            self._maildrop.complete()
        return self._take(differences)

    def _confirmed(self, seen: Differences) -> Differences:
        """Believe that messages are missing only when a second scan misses them too (R240).

        A scan may pass over a file that is renamed meanwhile, so the directories must have stood
        still during the second; where they never do, nothing is missing yet.
        """
        places, name = self._page.snapshot.places, self._page.row.name
        settled = self._maildrop.settle(places[position] for position in seen.missing)
        if settled:
            _log.warning("%s: %d messages that a crash left were settled", name, settled)
        suspects = set(seen.missing)
        for _ in range(_LOOKS):
            stamp = self._maildrop.stamp()
            again = reconcile(self._maildrop.scan(), places, self._maildrop.key)
            suspects &= set(again.missing)
            if not suspects or self._maildrop.stamp() == stamp:
                break
        else:
            suspects = set()
        if len(suspects) != len(again.missing):
            self.doubt()
            self._stamp = ()
        return replace(again, missing=sorted(suspects))

    def _take(self, differences: Differences) -> FollowUp:
        """Let the index follow the maildrop."""
        snapshot, table = self._page.snapshot, self._page.ledger.table
        missing = list(differences.missing)
        replacing: list[bytes] = []
        untidy: list[int] = []
        flags: list[tuple[int, int]] = []
        places: list[tuple[int, bytes]] = []
        again = {place: snapshot.flag_ids[p] for p, place in differences.rearranged.items()}
        for position, place in differences.moved:
            if self._is_another(position, place):
                missing.append(position)
                replacing.append(place)
                continue
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
        arrivals = self._arrivals(differences, replacing)
        rows = self._rows(arrivals, again)
        expunged = [snapshot.uids[position] for position in sorted(missing)]
        if expunged:
            name = self._page.row.name
            _log.info("%s: %d messages were removed by another program", name, len(expunged))
        if again:
            name = self._page.row.name
            _log.info("%s: another program rearranged it: %d new UIDs", name, len(again))
            expunged = sorted({*expunged, *map(snapshot.uids.__getitem__, differences.rearranged)})
        uids = self._page.commit(rows, flags, places, expunged)
        untidy += [uid for uid, (place, _) in zip(uids, rows, strict=True) if place[:4] == b"new/"]
        dates = {arrival.place: arrival.date for arrival in arrivals if arrival.date != -1}
        facts = [
            (uid, -1, dates[place])
            for uid, (place, _) in zip(uids, rows, strict=True)
            if place in dates
        ] if dates else []  # fmt: skip
        return untidy, facts

    def _shown(self, place: bytes) -> Flags | None:
        """What a place shows, keywords as the account spells them; None: it cannot show flags."""
        flags = self._maildrop.flags(place)
        return flags and self._page.ledger.table.spelled(flags)

    def _is_another(self, position: int, place: bytes) -> bool:
        """Whether a message has the key of one that is gone (L-23)."""
        another = self._maildrop.is_another(place, self._page.snapshot.dates[position])
        if another:
            _log.warning("%s: %r is the name of another message now", self._page.row.name, place)
        return another

    def _arrivals(self, differences: Differences, replacing: Sequence[bytes]) -> list[Arrival]:
        """New messages that are whole; `replacing`: those under the names of others."""
        come = [*differences.arrivals, *replacing]
        found = self._maildrop.arrivals(come)
        if len(found) < len(come):  # there will be a hint, or else a next look
            self._stamp = ()
        apart = self._apart(differences)
        return [*found, *self._maildrop.arrivals(apart)] if apart else found

    def _rows(
        self, arrivals: Sequence[Arrival], again: Mapping[bytes, int]
    ) -> list[tuple[bytes, int]]:
        """Place and flag id of each message that gets a UID, in order of arrival (R074).

        `again`: those of messages that had one, and are in another order now (R238).
        """
        maildrop, table = self._maildrop, self._page.ledger.table
        shown = [maildrop.arrival_flags(arrival.place) for arrival in arrivals]
        numbers = {flags: table.number(flags) for flags in set(shown)}
        rows = [
            (order, place, numbers[flags])
            for (order, place, _), flags in zip(arrivals, shown, strict=True)
        ]
        rows += [(maildrop.order(place), place, number) for place, number in again.items()]
        rows.sort()
        return [(place, number) for _, place, number in rows]

    def _apart(self, differences: Differences) -> list[bytes]:
        """Messages whose key another one has get a key of their own; their places (R244)."""
        found: list[bytes] = []
        if not differences.doubles:
            return found
        key, name = self._maildrop.key, self._page.row.name
        moved = (place for _, place in differences.moved)
        there = [*self._page.snapshot.places, *differences.arrivals, *moved]
        others = {key(place): place for place in there}
        for place in differences.doubles:
            try:
                target = self._maildrop.renamed_apart(place, others[key(place)])
            except MessageGone:
                continue  # it was one message in the middle of a rename
            _log.warning("%s: two messages were named %r: one is now %r", name, place, target)
            found.append(target)
        return found
