"""The sort keys of many messages at once: from memory, from the cache, or read (RFC 5256 §3).

A column has one number for each position, and comparing these numbers is comparing the keys:
seconds, octets, or of texts the rank. Columns of a whole mailbox are kept in its `Memo`, so that
sorting it again neither opens messages nor asks the cache.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import Final

from maa.conversation import SLOW, Step
from maa.imap.sort_keys import REFERENCES, SORT_KEYS, SortKeys, derived, sort_keys
from maa.imap.states import Selected
from maa.store.errors import StoreError
from maa.store.mailbox import Mailbox
from maa.store.snapshot import UNKNOWN

Column = Sequence[int] | Mapping[int, int]
Take = Callable[[int, bytes], None]

_BATCH: Final = 1000
_AT_ONCE_IN_MEMORY: Final = 20_000


class SortKey(Enum):
    """What a criterion sorts by; the values are those of the grammar (RFC 5256 §5, RFC 5957 §5)."""

    ARRIVAL = b"ARRIVAL"
    CC = b"CC"
    DATE = b"DATE"
    FROM = b"FROM"
    SIZE = b"SIZE"
    SUBJECT = b"SUBJECT"
    TO = b"TO"
    DISPLAYFROM = b"DISPLAYFROM"
    DISPLAYTO = b"DISPLAYTO"


_FACTS: Final = (SortKey.ARRIVAL, SortKey.SIZE)
_TEXTS: Final[dict[SortKey, Callable[[SortKeys], bytes]]] = {
    SortKey.CC: attrgetter("cc"),
    SortKey.FROM: attrgetter("from_"),
    SortKey.SUBJECT: attrgetter("subject"),
    SortKey.TO: attrgetter("to"),
    SortKey.DISPLAYFROM: attrgetter("display_from"),
    SortKey.DISPLAYTO: attrgetter("display_to"),
}


def columns(
    state: Selected, keys: Collection[SortKey], positions: Sequence[int]
) -> Generator[Step, None, dict[SortKey, Column]]:
    """A column for each key, for these ascending positions at least."""
    view, memo = state.view, state.mailbox.memo
    if not view.aligned or 2 * len(positions) < len(view):
        return {**(yield from _values(state, keys, positions))}
    found: dict[SortKey, Column] = {}
    for key in keys:
        known = memo.get(view.uids, key.name)
        if isinstance(known, array):
            found[key] = known
    missing = [key for key in keys if key not in found]
    values = yield from _values(state, missing, range(len(view)))
    for key, column in values.items():
        numbers = array("q", map(column.__getitem__, range(len(view))))
        found[key] = numbers
        if UNKNOWN not in numbers:  # what could not be read may be another time
            memo.keep(view.uids, key.name, numbers)
    return found


def _values(
    state: Selected, keys: Collection[SortKey], positions: Sequence[int]
) -> Generator[Step, None, dict[SortKey, dict[int, int]]]:
    """Columns just for these positions; `UNKNOWN` for what cannot be read."""
    found: dict[SortKey, dict[int, int]] = {}
    for key in keys:
        if key in _FACTS:
            found[key] = yield from facts(state, key, positions)
    of_headers = [key for key in keys if key not in _FACTS]
    if of_headers:
        found |= yield from _of_headers(state, of_headers, positions)
    for column in found.values():
        if len(column) < len(positions):
            column.update({p: UNKNOWN for p in positions if p not in column})
    return found


def _of_headers(
    state: Selected, keys: Iterable[SortKey], positions: Sequence[int]
) -> Generator[Step, None, dict[SortKey, dict[int, int]]]:
    texts: dict[SortKey, dict[int, bytes]] = {key: {} for key in keys if key in _TEXTS}
    dates: dict[int, int] = {}
    undated: list[int] = []

    def take(position: int, value: bytes) -> None:
        kept = sort_keys(value)
        for key, column in texts.items():
            column[position] = _TEXTS[key](kept)
        if kept.date:
            dates[position] = int(kept.date)
        else:
            undated.append(position)

    yield from each(state, SORT_KEYS, positions, take)
    found = {key: _ranks(column) for key, column in texts.items()}
    if SortKey.DATE in keys:
        if undated:
            dates.update((yield from facts(state, SortKey.ARRIVAL, undated)))
        found[SortKey.DATE] = dates
    return found


def _ranks(texts: Mapping[int, bytes]) -> dict[int, int]:
    rank = {text: place for place, text in enumerate(sorted(set(texts.values())))}
    return {position: rank[text] for position, text in texts.items()}


def facts(
    state: Selected, key: SortKey, positions: Sequence[int]
) -> Generator[Step, None, dict[int, int]]:
    """Sizes, or internal dates as seconds, of those messages that can be read."""
    snapshot, mailbox = state.view.snapshot, state.mailbox
    if state.view.aligned:
        known = snapshot.sizes if key is SortKey.SIZE else snapshot.dates
        if UNKNOWN not in known:
            if len(positions) > _AT_ONCE_IN_MEMORY:
                yield SLOW
            return {position: known[position] for position in positions}
    ask = mailbox.sizes if key is SortKey.SIZE else mailbox.internal_dates
    found: dict[int, int] = {}
    for some in _batches(positions):
        yield SLOW
        values = ask([state.view.uids[position] for position in some])
        pairs = zip(some, values, strict=True)
        found.update((position, value) for position, value in pairs if value is not None)
    return found


def each(state: Selected, item: str, positions: Sequence[int], take: Take) -> Iterator[Step]:
    """Give `take` what is remembered under the item of each message, derived where it is not.

    Messages that cannot be read are passed over.
    """
    uids, mailbox = state.view.uids, state.mailbox
    for some in _batches(positions):
        yield SLOW
        wanted = [uids[position] for position in some]
        known = mailbox.cached(item, wanted)
        if len(known) < len(wanted):
            missing = [uid for uid in wanted if uid not in known]
            known |= yield from _derived(mailbox, item, missing)
        for position, uid in zip(some, wanted, strict=True):
            if uid in known:
                take(position, known[uid])


def _derived(
    mailbox: Mailbox, item: str, uids: Sequence[int]
) -> Generator[Step, None, dict[int, bytes]]:
    """Read headers, remember both items of each, and give one of them."""
    fresh: dict[str, dict[int, bytes]] = {SORT_KEYS: {}, REFERENCES: {}}
    while uids:
        heads = mailbox.heads(uids)
        uids = uids[len(heads) :]
        for uid, head in heads:
            if not isinstance(head, StoreError):
                fresh[SORT_KEYS][uid], fresh[REFERENCES][uid] = derived(head)
        yield SLOW
    for kind, values in fresh.items():
        mailbox.remember(kind, values)
    return fresh[item]


def _batches(positions: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), _BATCH):
        yield positions[start : start + _BATCH]
