"""Octets on the disk of one open mailbox, kept up with its snapshots.

Of each message they are asked once: of its name, of what the cache remembers, or of its file. What
comes or goes later, by whomever, shows in the next snapshot: so the sum is always that of the
messages there are, and never drifts.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final

from maa.limits import Usage
from maa.message.flags import DELETED
from maa.store.maildirsize import named_octets
from maa.store.snapshot import UNKNOWN, Snapshot

if TYPE_CHECKING:
    from maa.store.mailbox import Mailbox

ITEM: Final = "octets/1"
"""Cache item: octets of a message whose name does not tell, eight octets big-endian."""
_AT_ONCE: Final = 1000


class Tally:
    """The sum for one mailbox. Takes no lock that others hold for long; may block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uids: array[int] = array("I")
        self._octets: array[int] = array("q")
        self._usage = Usage()
        self._whole = False
        """Nothing was unknown when it was counted."""

    def usage(self, mailbox: Mailbox) -> Usage:
        """What is in the mailbox as it was last synced."""
        whole = mailbox.maildrop.whole_octets()
        if whole is not None:
            return Usage(whole, len(mailbox.snapshot))
        with self._lock:
            snapshot = mailbox.snapshot
            if snapshot.uids is not self._uids or not self._whole:
                self._follow(mailbox, snapshot)
            return self._usage

    def _follow(self, mailbox: Mailbox, snapshot: Snapshot) -> None:
        before, uids = self._uids, snapshot.uids
        count = len(before)
        if uids[:count] == before:  # nothing but arrivals, most often
            octets = self._octets + array("q", [UNKNOWN]) * (len(uids) - count)
        else:
            known = dict(zip(before, self._octets, strict=True))
            octets = array("q", map(known.get, uids, repeat(UNKNOWN)))
        if UNKNOWN in octets:
            unknown = [at for at, number in enumerate(octets) if number == UNKNOWN]
            for at, number in zip(unknown, _found(mailbox, snapshot, unknown), strict=True):
                octets[at] = number
        # Those that vanished meanwhile are looked for again where they are by then.
        missing = octets.count(UNKNOWN)
        self._whole = not missing
        self._uids, self._octets = uids, octets
        self._usage = Usage(sum(octets) - missing * UNKNOWN, len(uids))


def _found(mailbox: Mailbox, snapshot: Snapshot, positions: Sequence[int]) -> list[int]:
    """Octets of the messages at these positions; UNKNOWN of those that are not where they were."""
    named = [named_octets(snapshot.places[at]) for at in positions]
    silent = [at for at, octets in zip(positions, named, strict=True) if octets is None]
    looked = iter(_looked_up(mailbox, snapshot, silent) if silent else ())
    return [next(looked) if octets is None else octets for octets in named]


def _looked_up(mailbox: Mailbox, snapshot: Snapshot, positions: Sequence[int]) -> list[int]:
    uids = [snapshot.uids[at] for at in positions]
    remembered = mailbox.cached(ITEM, uids)
    octets = [
        int.from_bytes(remembered.get(uid, b"")) if uid in remembered else UNKNOWN for uid in uids
    ]
    missing = [number for number, found in enumerate(octets) if found == UNKNOWN]
    news: dict[int, bytes] = {}
    for some in _batches(missing):
        places = [snapshot.places[positions[number]] for number in some]
        with mailbox.ledger.identity:
            found = mailbox.maildrop.octets(places)
        for number, size in zip(some, found, strict=True):
            octets[number] = size
            if size != UNKNOWN:
                news[uids[number]] = size.to_bytes(8)
    if news:
        mailbox.remember(ITEM, news)
    return octets


def _batches(numbers: Sequence[int]) -> Iterable[Sequence[int]]:
    return (numbers[start : start + _AT_ONCE] for start in range(0, len(numbers), _AT_ONCE))


def taken_by(mailbox: Mailbox, uid: int) -> Usage:
    """What one message takes on the disk; nothing, if it is not there."""
    position = mailbox.snapshot.position(uid)
    if position is None:
        return Usage()
    with mailbox.ledger.identity:
        (octets,) = mailbox.maildrop.octets([mailbox.snapshot.places[position]])
    return Usage() if octets == UNKNOWN else Usage(octets, 1)


def deleted_octets(mailbox: Mailbox, snapshot: Snapshot) -> int:
    """Octets on the disk of the messages with \\Deleted: what EXPUNGE would free."""
    sets = snapshot.flag_sets
    chosen = {number for number in snapshot.histogram if DELETED in sets[number]}
    places = [
        place
        for place, number in zip(snapshot.places, snapshot.flag_ids, strict=True)
        if number in chosen
    ]
    with mailbox.ledger.identity:
        return sum(octets for octets in mailbox.maildrop.octets(places) if octets != UNKNOWN)
