"""Keeping up with what other processes committed to a mailbox: see `maa.store.bulletin`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from maa.store.errors import MailboxGone
from maa.store.index import Counters, MailboxRow, MessageRow
from maa.store.ledger import Ledger
from maa.store.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Followed:
    """A mailbox after other processes' commits."""

    snapshot: Snapshot
    changes: Sequence[tuple[int, Sequence[int]]]
    """(mod-sequence, UIDs that got it, as arrivals or with other flags), ascending."""
    expunged: bool
    """Some may have been expunged."""
    places: frozenset[bytes]
    """Where something came, went or was renamed; not where only the index changed."""


def followed(
    mailbox: MailboxRow, ledger: Ledger, old: Snapshot, uids: Collection[int] | None
) -> Followed:
    """What the index has by now, where only these UIDs (None: any) can differ; MailboxGone.

    The ledger is held. Places are the index's: whoever renames a message tells the index
    before anybody else can look, so their flags are merged by nobody twice.
    """
    index = ledger.index
    if uids is None:
        row = index.mailboxes().get(mailbox.name)
        if row is None or row.id != mailbox.id:
            raise MailboxGone(mailbox.name)
    counters = index.counters(mailbox.id)
    rows = index.messages(mailbox.id, None if uids is None else sorted(uids))
    if not all(map(ledger.table.knows, {number for _, _, number, _ in rows})):
        ledger.table.learn(index.flag_sets())
    present = {row[0] for row in rows}
    asked = old.uids if uids is None else uids
    # One that came and went between two looks was known to other processes' clients.
    expunged = uids is None or len(present) < len(uids)
    gone = {uid for uid in asked if uid not in present and old.position(uid) is not None}
    arrivals = [row for row in rows if row[0] >= old.uidnext]
    changed = [row for row in rows if _differs(row, old)]
    places = _places_touched(old, changed, gone).union(row[1] for row in arrivals)
    new, by_modseq = _with_changes(old, changed, counters)
    if gone:
        new = new.without(frozenset(gone), counters)
    if arrivals:
        new = new.extended(arrivals, counters)
        for uid, _, _, modseq in arrivals:
            by_modseq.setdefault(modseq, []).append(uid)
    if new.counters != counters:
        new = new.counting(counters)
    return Followed(new, sorted(by_modseq.items()), expunged, places)


def _places_touched(
    old: Snapshot, changed: Sequence[MessageRow], gone: Collection[int]
) -> frozenset[bytes]:
    places = set()
    for uid, place, _, _ in changed:
        position = old.position(uid)
        if position is not None and old.places[position] != place:
            places |= {old.places[position], place}
    for uid in gone:
        position = old.position(uid)
        if position is not None:
            places.add(old.places[position])
    return frozenset(places)


def _differs(row: MessageRow, old: Snapshot) -> bool:
    uid, place, number, modseq = row
    position = old.position(uid)
    if position is None:
        return False
    known = (old.places[position], old.flag_ids[position], old.modseqs[position])
    return known != (place, number, modseq)


def _with_changes(
    old: Snapshot, changed: Sequence[MessageRow], counters: Counters
) -> tuple[Snapshot, dict[int, list[int]]]:
    """The snapshot with other flags and places, and the UIDs by their new mod-sequence."""
    by_modseq: dict[int, list[int]] = {}
    for uid, place, _, modseq in changed:
        position = old.position(uid)
        assert position is not None  # `_differs` found it
        if modseq == old.modseqs[position]:
            old.places[position] = place  # nothing that a client can see
        else:
            by_modseq.setdefault(modseq, []).append(uid)
    if not by_modseq:
        return old, {}
    return old.following(changed, counters), by_modseq
