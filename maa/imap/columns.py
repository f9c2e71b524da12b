"""Values of FETCH items for a batch of messages, a column for each item.

A column has one value for each message of the batch, as octets ready to send, or None where
it isn't known without reading the message. Flags, dates and sizes come from the snapshot in
memory; what is derived from messages comes from the mailbox's cache.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from maa.imap.fetch_items import Datum, Item
from maa.imap.responses import flag_list
from maa.imap.sections import cache_name, from_cache
from maa.message.dates import internal
from maa.message.flags import RECENT
from maa.store.mailbox import Mailbox
from maa.store.snapshot import UNKNOWN
from maa.store.view import View

Column = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some messages of a view, ascending."""

    view: View
    positions: Sequence[int]

    @property
    def numbers(self) -> Sequence[int]:
        """Their sequence numbers."""
        return [position + 1 for position in self.positions]

    @property
    def uids(self) -> Sequence[int]:
        """Their UIDs."""
        return self._of(self.view.uids)

    def _of(self, values: Sequence[int]) -> Sequence[int]:
        """The messages' values of an array in which the view's positions are valid."""
        positions = self.positions
        if isinstance(positions, range):
            return values[positions.start : positions.stop]
        return [values[position] for position in positions]

    def facts(self, datum: Datum) -> Sequence[int]:
        """Sizes or dates as far as they are in memory, else `UNKNOWN`."""
        snapshot = self.view.snapshot
        values = snapshot.sizes if datum is Datum.SIZE else snapshot.dates
        if self.view.aligned:
            return self._of(values)
        indexes = [self.view.index(position) for position in self.positions]
        return [UNKNOWN if index is None else values[index] for index in indexes]


def uid_column(batch: Batch) -> Column:
    """UIDs in decimal."""
    return [b"%d" % uid for uid in batch.uids]


def flags_column(batch: Batch) -> Column:
    """Flag lists; messages with equal flags share one."""
    view, positions = batch.view, batch.positions
    recent = _recent(batch) if view.recent.spans else False
    if recent is None or not view.aligned:
        return [flag_list(view.flags(position)) for position in positions]
    flag_ids = batch._of(view.snapshot.flag_ids)
    sets = view.snapshot.table.sets
    shared = {
        number: flag_list(sets[number] | {RECENT} if recent else sets[number])
        for number in set(flag_ids)
    }
    return list(map(shared.__getitem__, flag_ids))


def modseq_column(batch: Batch) -> Column:
    """Mod-sequences; messages that changed at once share one (RFC 7162 §3.1.4.2)."""
    view = batch.view
    if view.aligned:
        modseqs = batch._of(view.snapshot.modseqs)
    else:
        modseqs = [view.modseq(position) for position in batch.positions]
    shared = {modseq: b"(%d)" % modseq for modseq in set(modseqs)}
    return list(map(shared.__getitem__, modseqs))


def _recent(batch: Batch) -> bool | None:
    """Whether all messages of the batch are recent, or none is; None: some are."""
    uids = batch.uids
    count = batch.view.recent.count(uids)
    return None if 0 < count < len(uids) else count > 0


def facts_column(batch: Batch, datum: Datum) -> Column:
    """INTERNALDATE or RFC822.SIZE, from memory alone."""
    return shown_facts(batch.facts(datum), datum)


def read_facts_column(batch: Batch, datum: Datum, mailbox: Mailbox) -> Column:
    """INTERNALDATE or RFC822.SIZE, read from disk where they are not known; may block."""
    uids = batch.uids
    ask = mailbox.sizes if datum is Datum.SIZE else mailbox.internal_dates
    return shown_facts([UNKNOWN if fact is None else fact for fact in ask(uids)], datum)


def shown_facts(facts: Sequence[int], datum: Datum) -> Column:
    """Numbers as the wire has them; unknown ones stay None."""
    if datum is Datum.SIZE:
        return [None if size == UNKNOWN else b"%d" % size for size in facts]
    return [None if date == UNKNOWN else internal(date) for date in facts]


def detail_columns(batch: Batch, mailbox: Mailbox, items: Collection[Item]) -> dict[Item, Column]:
    """SAVEDATE and EMAILID from the index, as far as they are asked for; may block."""
    details = mailbox.details(batch.uids)
    found = list(map(details.get, batch.uids))
    columns: dict[Item, Column] = {
        Datum.SAVEDATE: [None if row is None else internal(row[0]) for row in found],
        Datum.EMAILID: [None if row is None else b"(%b)" % row[1].encode("ascii") for row in found],
    }
    return {item: column for item, column in columns.items() if item in items}


def cached_column(batch: Batch, item: Item, mailbox: Mailbox) -> Column:
    """What is remembered of the messages under an item; may block."""
    name = cache_name(item)
    if name is None:
        return [None] * len(batch.positions)
    uids = batch.uids
    found = mailbox.cached(name, uids)
    column = list(map(found.get, uids))
    if item is Datum.ENVELOPE:
        return column
    if item is Datum.LAZY_PREVIEW:
        return [b"NIL" if value is None else value for value in column]
    return [None if value is None else from_cache(item, value) for value in column]
