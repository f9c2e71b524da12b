"""A mailbox at one moment: compact arrays, shared by all sessions, replaced and never changed.

Position p (from 0) in every array is the p-th message by ascending UID. `places`, `sizes` and
`dates` are facts about a message that do not depend on the moment; they are filled in place
as they become known.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from maa.message.flags import DELETED, NONE, SEEN, Flags, interned, is_system
from maa.store.errors import TooManyKeywords
from maa.store.index import Counters, MessageRow

UNKNOWN = -1


class StoreMode(Enum):
    """What STORE does with the flags it is given (RFC 3501 §6.4.6)."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"

    def applied(self, old: Flags, given: Flags) -> Flags:
        """The flags that result from `old`."""
        if self is StoreMode.ADD:
            return interned(old | given)
        if self is StoreMode.REMOVE:
            return interned(old - given)
        return interned(given)


@dataclass(frozen=True, slots=True)
class Stored:
    """What a STORE did."""

    modseq: int
    """The mod-sequence that the changed messages got."""
    changed: frozenset[int]
    """UIDs whose flags are others than before."""
    failed: tuple[int, ...]
    """UIDs not changed because of UNCHANGEDSINCE."""
    mode: StoreMode
    given: Flags

    def explains(self, uid: int, modseq: int, before: Flags, now: Flags) -> bool:
        """Whether nobody else had a part in it: who stored knows the flags by himself (R071)."""
        own = modseq == self.modseq and uid in self.changed
        return own and self.mode.applied(before, self.given) == now


@dataclass(frozen=True, slots=True)
class Unchanged:
    """What a message must meet to be changed (RFC 7162 §3.1.3)."""

    since: int
    """Its mod-sequence is not greater; or, if it is..."""
    told: Snapshot
    """...what the client knows of it is not, and no flag that is given differs (§3.1.12)."""

    def fails(self, now: Snapshot, position: int, mode: StoreMode, given: Flags) -> bool:
        """Whether the message at a position of `now` must stay as it is."""
        if now.modseqs[position] <= self.since:
            return False
        known = self.told.position(now.uids[position])
        if known is None or self.told.modseqs[known] > self.since or mode is StoreMode.REPLACE:
            return True
        return bool((self.told.flags(known) ^ now.flags(position)) & given)


@dataclass(frozen=True, slots=True)
class Copied:
    """What a COPY or MOVE did: sources and targets correspond in order (RFC 4315 §3)."""

    uidvalidity: int
    sources: tuple[int, ...]
    targets: tuple[int, ...]


FLAGS_MAX: Final = 100
"""Of one message."""
KEYWORDS_MAX: Final = 1000
"""Different ones in an account, the flags of the system among them."""


class FlagTable:
    """The flag sets of an account by small number; numbers are given once and stay."""

    def __init__(self, known: Sequence[tuple[int, str]], add: Callable[[str], int]) -> None:
        """Begin with the index's sets; `add` gives a new set its number (and may block)."""
        self.sets: list[Flags] = []
        self._ids: dict[Flags, int] = {}
        self._spelling: dict[str, str] = {}
        self._add = add
        self.learn(known)

    def learn(self, known: Iterable[tuple[int, str]]) -> None:
        """Take in the index's sets: another process may have added some."""
        for number, text in known:
            self._learn(number, interned(text.split()))

    def knows(self, number: int) -> bool:
        """Whether a number's flags are known here."""
        return number < len(self.sets) and self._ids.get(self.sets[number]) == number

    def _learn(self, number: int, flags: Flags) -> None:
        self.sets.extend([NONE] * (number + 1 - len(self.sets)))
        self.sets[number] = flags
        self._ids[flags] = number
        for flag in flags:
            self._spelling.setdefault(flag.lower(), flag)

    def spelled(self, flags: Flags) -> Flags:
        """The flags, each keyword once and as the account first spelled it (R085)."""
        # Two new spellings of one keyword may come together.
        once = {flag.lower(): flag for flag in sorted(flags)}
        return interned(self._spelling.get(key, flag) for key, flag in once.items())

    def check(self, flags: Flags) -> None:
        """TooManyKeywords when a client may not set these: sets and spellings are for ever."""
        if flags in self._ids:
            return
        new = sum(flag.lower() not in self._spelling for flag in flags)
        if len(flags) > FLAGS_MAX or (new and len(self._spelling) + new > KEYWORDS_MAX):
            raise TooManyKeywords

    def admitted(self, known: Flags, wanted: Flags) -> Flags:
        """What another program made of flags; when there are too many keywords, no new ones."""
        try:
            self.check(wanted)
        except TooManyKeywords:
            return interned(flag for flag in wanted if is_system(flag) or flag in known)
        return wanted

    def number(self, flags: Flags) -> int:
        """The number of a flag set; a new one is written to the index."""
        number = self._ids.get(flags)
        if number is None:
            number = self._add(" ".join(sorted(flags)))
            self._learn(number, flags)
        return number


@dataclass(slots=True)
class _Derived:
    """What is counted once a snapshot, when it is first asked for."""

    first_unseen: int | None = None
    first_unseen_known: bool = False
    keywords: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One mailbox at one moment."""

    uidvalidity: int
    counters: Counters
    table: FlagTable
    uids: array[int]
    flag_ids: array[int]
    modseqs: array[int]
    places: list[bytes]
    sizes: array[int]
    """RFC822.SIZE, octets as sent; -1 unknown."""
    dates: array[int]
    """INTERNALDATE, seconds since the epoch; -1 unknown."""
    histogram: Mapping[int, int]
    """How many messages have each flag id."""
    _derived: _Derived = field(default_factory=_Derived, compare=False)

    @classmethod
    def of(
        cls, uidvalidity: int, counters: Counters, table: FlagTable, rows: Sequence[MessageRow]
    ) -> Snapshot:
        """The state that an index holds; sizes and dates unknown."""
        uids, places, numbers, modseqs = zip(*rows, strict=True) if rows else ((), (), (), ())
        unknown = array("q", [UNKNOWN]) * len(rows)
        return cls(
            uidvalidity,
            counters,
            table,
            array("I", uids),
            array("I", numbers),
            array("Q", modseqs),
            list(places),
            unknown,
            unknown[:],
            dict(Counter(numbers)),
        )

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.uids)

    @property
    def uidnext(self) -> int:
        """Greater than every UID ever given out."""
        return self.counters.uidnext

    @property
    def highest_modseq(self) -> int:
        """The mod-sequence of the newest change."""
        return self.counters.highest_modseq

    @property
    def flag_sets(self) -> list[Flags]:
        """Flag sets by flag id."""
        return self.table.sets

    def position(self, uid: int) -> int | None:
        """Where a UID stands, or None."""
        position = bisect_left(self.uids, uid)
        found = position < len(self.uids) and self.uids[position] == uid
        return position if found else None

    def flags(self, position: int) -> Flags:
        """The flags of the message at a position, without \\Recent."""
        return self.table.sets[self.flag_ids[position]]

    def with_flag(self, flag: str) -> int:
        """How many messages have a flag."""
        sets = self.table.sets
        return sum(count for number, count in self.histogram.items() if flag in sets[number])

    @property
    def unseen(self) -> int:
        """How many messages lack \\Seen."""
        return len(self.uids) - self.with_flag(SEEN)

    @property
    def deleted(self) -> int:
        """How many messages have \\Deleted."""
        return self.with_flag(DELETED)

    @property
    def first_unseen(self) -> int | None:
        """The position of the first message without \\Seen."""
        derived = self._derived
        if not derived.first_unseen_known:
            sets = self.table.sets
            lacking = {number for number in self.histogram if SEEN not in sets[number]}
            positions = (p for p, number in enumerate(self.flag_ids) if number in lacking)
            derived.first_unseen = next(positions, None) if lacking else None
            derived.first_unseen_known = True
        return derived.first_unseen

    @property
    def keywords(self) -> frozenset[str]:
        """The keywords in use, system flags left out."""
        if self._derived.keywords is None:
            sets = self.table.sets
            used = frozenset[str]().union(
                *(sets[n] for n, count in self.histogram.items() if count)
            )
            self._derived.keywords = frozenset(flag for flag in used if not flag.startswith("\\"))
        return self._derived.keywords

    def changed(self, flags: Sequence[tuple[int, int]], counters: Counters) -> Snapshot:
        """After messages, given as (UID, new flag id), got other flags."""
        flag_ids, modseqs = self.flag_ids[:], self.modseqs[:]
        histogram = dict(self.histogram)
        modseq = counters.highest_modseq
        for uid, number in flags:
            position = bisect_left(self.uids, uid)
            histogram[flag_ids[position]] -= 1
            histogram[number] = histogram.get(number, 0) + 1
            flag_ids[position] = number
            modseqs[position] = modseq
        return replace(
            self, counters=counters, flag_ids=flag_ids, modseqs=modseqs,
            histogram=histogram, _derived=_Derived(),
        )  # fmt: skip

    def following(self, rows: Sequence[MessageRow], counters: Counters) -> Snapshot:
        """After another process changed known messages to what these rows say."""
        flag_ids, modseqs = self.flag_ids[:], self.modseqs[:]
        histogram = dict(self.histogram)
        for uid, place, number, modseq in rows:
            position = bisect_left(self.uids, uid)
            histogram[flag_ids[position]] -= 1
            histogram[number] = histogram.get(number, 0) + 1
            flag_ids[position], modseqs[position] = number, modseq
            self.places[position] = place
        return replace(
            self, counters=counters, flag_ids=flag_ids, modseqs=modseqs,
            histogram=histogram, _derived=_Derived(),
        )  # fmt: skip

    def counting(self, counters: Counters) -> Snapshot:
        """With other counters and nothing else changed."""
        return replace(self, counters=counters)

    def extended(self, rows: Sequence[MessageRow], counters: Counters) -> Snapshot:
        """After messages arrived."""
        more = Snapshot.of(self.uidvalidity, counters, self.table, rows)
        histogram = dict(self.histogram)
        for number, count in more.histogram.items():
            histogram[number] = histogram.get(number, 0) + count
        return Snapshot(
            self.uidvalidity, counters, self.table,
            self.uids + more.uids, self.flag_ids + more.flag_ids, self.modseqs + more.modseqs,
            self.places + more.places, self.sizes + more.sizes, self.dates + more.dates,
            histogram,
        )  # fmt: skip

    def before(self, uid: int) -> Snapshot:
        """Without the messages from a UID on, as if none of them had arrived yet."""
        end = bisect_left(self.uids, uid)
        if end == len(self.uids):
            return self
        counters = replace(self.counters, uidnext=uid)
        flag_ids = self.flag_ids[:end]
        return Snapshot(
            self.uidvalidity, counters, self.table,
            self.uids[:end], flag_ids, self.modseqs[:end],
            self.places[:end], self.sizes[:end], self.dates[:end], dict(Counter(flag_ids)),
        )  # fmt: skip

    def without(self, uids: frozenset[int], counters: Counters) -> Snapshot:
        """After messages were expunged."""
        kept = [p for p, uid in enumerate(self.uids) if uid not in uids]
        flag_ids = array("I", map(self.flag_ids.__getitem__, kept))
        return Snapshot(
            self.uidvalidity, counters, self.table,
            array("I", map(self.uids.__getitem__, kept)), flag_ids,
            array("Q", map(self.modseqs.__getitem__, kept)),
            [self.places[p] for p in kept],
            array("q", map(self.sizes.__getitem__, kept)),
            array("q", map(self.dates.__getitem__, kept)),
            {number: flag_ids.count(number) for number in set(flag_ids)},
        )  # fmt: skip
