"""Which messages meet a key, for SEARCH, SORT and THREAD (RFC 3501 §6.4.4).

Theory of operation
-------------------
The key's conditions are decided in stages, each dearer than the one before: what memory knows,
sizes and dates, remembered header texts, whole headers, whole messages. A stage decides its
conditions for all messages that are still open; then the key is evaluated for them, which
closes those whose answer no further condition can change. So `UNSEEN BODY x` reads unseen
messages alone, and most searches never read a body. Between batches the search yields, and
ends there when the client is gone (R192).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from maa.conversation import SLOW, Step
from maa.imap import facts
from maa.imap.indexed import detailed, modified, threaded
from maa.imap.inprogress import Working
from maa.imap.message_sets import RANGES_AT_ONCE, matching_positions
from maa.imap.search_keys import (
    All,
    Any,
    EmailId,
    HasFlag,
    InHeader,
    InMessage,
    InSet,
    Key,
    Leaf,
    Measure,
    Measured,
    Modified,
    Not,
    Saved,
    Sent,
    ThreadId,
    measure_of,
)
from maa.imap.sections import STRUCTURE, VALUE_OCTETS_MAX, Content, packed_parts
from maa.imap.states import Selected
from maa.imap.texts import texts
from maa.message.octets import Wire, WireBytes
from maa.message.words import folded
from maa.store.errors import StoreError

Decided = Callable[[Leaf, set[int]], set[int] | None]
"""Of the positions those that meet a condition; None where that is not known yet."""

_log = logging.getLogger(__name__)

_BATCH: Final = 500
_HEADS_AT_ONCE: Final = 32
_READ_AT_ONCE_OCTETS: Final = 1 << 20
"""Of small messages so much is looked at between two yields."""
_AT_ONCE_IN_MEMORY: Final = 50_000
"""Messages times conditions: more of them take longer than the reactor may be held (R249)."""


def matching(state: Selected, key: Key) -> Generator[Step | Working, None, list[int]]:
    """The positions of the messages that meet the key, ascending."""
    job = _Search(state, key)
    yield from job.run()
    return sorted(job.matched)


def leaves(key: Key) -> list[Leaf]:
    """The conditions of a key, each once."""
    found: dict[Leaf, None] = {}
    waiting = [key]
    while waiting:
        match waiting.pop():
            case All(keys) | Any(keys):
                waiting.extend(keys)
            case Not(inner):
                waiting.append(inner)
            case leaf:
                found[leaf] = None
    return list(found)


def evaluated(key: Key, positions: set[int], decided: Decided) -> tuple[set[int], set[int]]:
    """Of the positions: those that match, and those for which that is not decided.

    Recurses as deep as `search_keys.DEPTH_MAX` allows.
    """
    match key:
        case All(keys):
            matched, undecided = positions, set[int]()
            for inner in keys:
                yes, maybe = evaluated(inner, matched | undecided, decided)
                undecided = (undecided & (yes | maybe)) | (matched & maybe)
                matched = matched & yes
            return matched, undecided
        case Any(keys):
            matched, undecided = set(), set()
            for inner in keys:
                yes, maybe = evaluated(inner, positions - matched, decided)
                matched = matched | yes
                undecided = (undecided | maybe) - matched
            return matched, undecided
        case Not(inner):
            yes, maybe = evaluated(inner, positions, decided)
            return positions - yes - maybe, maybe
    found = decided(key, positions)
    return (set(), positions) if found is None else (found, set())


class _Search:
    """One search: what is decided, and what must be looked at for the rest."""

    def __init__(self, state: Selected, key: Key) -> None:
        self.matched: set[int] = set()
        self._state = state
        self._now = state.connection.now()
        self._view = state.view
        self._mailbox = state.mailbox
        self._key = key
        self._leaves = leaves(key)
        self._open: set[int] = set(range(len(state.view)))
        self._truth: dict[Leaf, set[int]] = {}
        """Of conditions that reading decides: the matches."""
        self._passed = self._done = self._goal = 0
        self._measures_of: dict[Measure, dict[int, int | None]] = {}
        """Sizes and dates by position, once they are known."""

    def run(self) -> Iterator[Step | Working]:
        """Decide all messages; the result is in `matched`."""
        many = len(self._open) * len(self._leaves) > _AT_ONCE_IN_MEMORY
        if many or len(self._state.saved.ranges) > RANGES_AT_ONCE:
            yield SLOW
        self._from_memory()
        self._decide()
        stages: tuple[Callable[[list[Leaf]], Iterator[Step | Working]], ...] = (
            self._measures,
            self._details,
            self._threads,
            self._header_texts,
            self._headers,
            self._bodies,
        )
        self._goal = len(self._view) * sum(any(map(kind, self._leaves)) for kind in _KINDS)
        for stage, kind in zip(stages, _KINDS, strict=True):
            wanted = [leaf for leaf in self._leaves if kind(leaf) and not self._is_known(leaf)]
            if self._open and wanted:
                if stage != self._measures:
                    self._truth.update((leaf, set()) for leaf in wanted)
                yield from stage(wanted)
                self._decide()
            if any(map(kind, self._leaves)):
                self._passed += len(self._view)

    def _decide(self) -> None:
        matched, self._open = evaluated(self._key, self._open, self._decided)
        self.matched |= matched

    def _decided(self, leaf: Leaf, positions: set[int]) -> set[int] | None:
        # What memory decides is found anew each time: to keep the matches of each of 1,000
        # conditions would take megabytes a condition.
        match leaf:
            case InSet(numbers, by_uid):
                return positions.intersection(matching_positions(self._state, numbers, by_uid))
            case HasFlag():
                return facts.flagged(leaf, self._view, positions)
            case Modified():
                return modified(leaf, self._view, positions)
        if isinstance(leaf, Measured):
            values = self._measures_of.get(measure_of(leaf))
            if values is None:
                return None
            return facts.measured(leaf, {p: values.get(p) for p in positions}, self._now)
        found = self._truth.get(leaf)
        return None if found is None else found & positions

    def _is_known(self, leaf: Leaf) -> bool:
        if isinstance(leaf, Measured):
            return measure_of(leaf) in self._measures_of
        return leaf in self._truth

    def _unreadable(self, positions: Iterable[int]) -> None:
        """Of a message that cannot be read nothing can be said: it is not found."""
        self._open.difference_update(positions)

    def _batches(self, size: int) -> Iterator[list[int]]:
        ordered = sorted(self._open)
        closed = len(self._view) - len(ordered)
        for start in range(0, len(ordered), size):
            self._done = max(self._done, self._passed + closed + start)
            yield ordered[start : start + size]

    @property
    def _working(self) -> Working:
        """SLOW, with the messages that have gone through a stage, of all in all stages."""
        return Working(self._done, self._goal)

    def _uids(self, positions: Sequence[int]) -> list[int]:
        uids = self._view.uids
        return [uids[position] for position in positions]

    # --- stages

    def _from_memory(self) -> None:
        for measure in _measures_in(self._leaves):
            values = facts.remembered_measures(measure, self._view, self._open)
            if values is not None:
                self._measures_of[measure] = values

    def _measures(self, wanted: Sequence[Leaf]) -> Iterator[Step | Working]:
        for measure in _measures_in(wanted):
            mailbox = self._mailbox
            ask = mailbox.sizes if measure is Measure.SIZE else mailbox.internal_dates
            values = self._measures_of[measure] = {}
            for positions in self._batches(_BATCH):
                yield self._working
                values.update(zip(positions, ask(self._uids(positions)), strict=True))

    def _details(self, wanted: Sequence[Leaf]) -> Iterator[Step | Working]:
        for positions in self._batches(_BATCH):
            yield self._working
            uids = dict(zip(positions, self._uids(positions), strict=True))
            for leaf, matches in detailed(wanted, self._mailbox, uids):
                self._truth[leaf] |= matches

    def _threads(self, wanted: Sequence[Leaf]) -> Iterator[Step | Working]:
        for positions in self._batches(_BATCH):
            yield self._working
            uids = dict(zip(positions, self._uids(positions), strict=True))
            for leaf, matches in threaded(wanted, self._mailbox, uids, self._heads):
                self._truth[leaf] |= matches

    def _header_texts(self, wanted: Sequence[Leaf]) -> Iterator[Step | Working]:
        for positions in self._batches(_BATCH):
            yield self._working
            cached = self._mailbox.cached(facts.HEADER_TEXT, self._uids(positions))
            fresh: dict[int, bytes] = {}
            missing = []
            known = {}
            for position, uid in zip(positions, self._uids(positions), strict=True):
                if uid in cached:
                    known[position] = facts.slots(cached[uid])
                else:
                    missing.append(position)
            self._decide_slots(wanted, known)
            for some in _parts(missing, _HEADS_AT_ONCE):
                texts = {p: facts.header_text(head) for p, head in self._heads(some)}
                self._decide_slots(wanted, {p: facts.slots(text) for p, text in texts.items()})
                fresh.update(
                    (self._view.uids[p], text)
                    for p, text in texts.items()
                    if len(text) <= VALUE_OCTETS_MAX
                )
            if fresh:
                self._mailbox.remember(facts.HEADER_TEXT, fresh)

    def _decide_slots(self, wanted: Sequence[Leaf], texts: dict[int, list[bytes]]) -> None:
        for leaf in wanted:
            if isinstance(leaf, InHeader | Sent):
                self._truth[leaf] |= facts.in_slots(leaf, texts)

    def _heads(self, positions: Sequence[int]) -> Iterator[tuple[int, bytes]]:
        """The headers of those messages that can be read."""
        left = positions
        while left:
            found = self._mailbox.heads(self._uids(left))
            for position, (_, head) in zip(left, found, strict=False):
                if isinstance(head, StoreError):
                    self._unreadable((position,))
                else:
                    yield position, head
            left = left[len(found) :]

    def _headers(self, wanted: Sequence[Leaf]) -> Iterator[Step | Working]:
        for positions in self._batches(_BATCH):
            yield self._working
            for some in _parts(positions, _HEADS_AT_ONCE):
                raw = dict(self._heads(some))
                for leaf in wanted:
                    if isinstance(leaf, InHeader):
                        self._truth[leaf] |= facts.in_headers(leaf, raw)

    def _bodies(self, wanted: Sequence[Leaf]) -> Iterator[Step | Working]:
        needles = [(leaf, folded(leaf.text)) for leaf in wanted if isinstance(leaf, InMessage)]
        for leaf, needle in list(needles):
            if not needle:  # the empty text is everywhere
                self._truth[leaf] |= self._open
        for positions in self._batches(_BATCH):
            yield self._working
            uids = self._uids(positions)
            structures = self._mailbox.cached(STRUCTURE, uids)
            place = dict(zip(uids, positions, strict=True))
            fresh: dict[int, bytes] = {}
            octets = 0
            while uids:
                opened = self._mailbox.read(uids)
                del uids[: len(opened)]
                with _closing(opened) as readable:
                    for uid, wire in readable:
                        octets += wire.size
                        structure = yield from self._body(
                            place[uid], wire, structures.get(uid), needles
                        )
                        if structure is not None and len(structure) <= VALUE_OCTETS_MAX:
                            fresh[uid] = structure
                    read = {uid for uid, _ in readable}
                self._unreadable(place[uid] for uid, _ in opened if uid not in read)
                if octets >= _READ_AT_ONCE_OCTETS:
                    octets = 0
                    yield self._working
            if fresh:
                self._mailbox.remember(STRUCTURE, fresh)

    def _body(
        self,
        position: int,
        wire: Wire,
        structure: bytes | None,
        needles: Sequence[tuple[InMessage, str]],
    ) -> Generator[Step | Working, None, bytes | None]:
        """Look for texts in one message; its structure, if it was not known."""
        content = Content(wire, packed_parts(structure))
        left = list(needles)
        try:
            for text, in_header in texts(content, any(leaf.with_header for leaf, _ in needles)):
                found = [
                    (leaf, needle)
                    for leaf, needle in left
                    if (leaf.with_header or not in_header) and needle in text
                ]
                for pair in found:
                    self._truth[pair[0]].add(position)
                    left.remove(pair)
                if not left:
                    break
                if not isinstance(wire, WireBytes):
                    yield self._working
            return content.structure() if content.is_scanned else None
        except OSError as error:
            _log.warning("a message cannot be searched: %s", error)
            self._unreadable((position,))
            return None


@contextmanager
def _closing(
    opened: Sequence[tuple[int, Wire | StoreError]],
) -> Iterator[list[tuple[int, Wire]]]:
    """The messages that could be opened, closed at the end."""
    readable = [(uid, wire) for uid, wire in opened if not isinstance(wire, StoreError)]
    try:
        yield readable
    finally:
        for _, wire in readable:
            wire.close()


def _parts(positions: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _measures_in(leaves: Iterable[Leaf]) -> dict[Measure, None]:
    return dict.fromkeys(measure_of(leaf) for leaf in leaves if isinstance(leaf, Measured))


def _is_measure(leaf: Leaf) -> bool:
    return isinstance(leaf, Measured)


def _is_slot(leaf: Leaf) -> bool:
    """Whether the remembered header text decides it."""
    return isinstance(leaf, Sent) or (isinstance(leaf, InHeader) and leaf.name in facts.SLOTS)


def _is_header(leaf: Leaf) -> bool:
    return isinstance(leaf, InHeader) and leaf.name not in facts.SLOTS


def _is_text(leaf: Leaf) -> bool:
    return isinstance(leaf, InMessage)


def _is_detail(leaf: Leaf) -> bool:
    return isinstance(leaf, Saved | EmailId)


def _is_thread(leaf: Leaf) -> bool:
    return isinstance(leaf, ThreadId)


_KINDS: Final = (_is_measure, _is_detail, _is_thread, _is_slot, _is_header, _is_text)
"""Which conditions each stage decides, in the order of the stages."""
