"""One session's numbering: the messages as its client was told of them (RFC 3501 §2.3.1.2).

A view never changes by itself. `refresh` compares it with the mailbox's newest snapshot and
gives a new view with what the client is to be told, in the order in which to tell it. While
a client may not be told of expunges (R061), the messages concerned keep their numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from maa.message.flags import RECENT, Flags, interned
from maa.store.snapshot import Snapshot, Stored


@dataclass(frozen=True, slots=True)
class Expunged:
    """Messages are gone."""

    numbers: Sequence[int]
    """Sequence numbers in the order to send them, each lowering the later ones (R063)."""
    uids: Sequence[int]


@dataclass(frozen=True, slots=True)
class KeywordsChanged:
    """A keyword came into use (R055)."""

    keywords: frozenset[str]


@dataclass(frozen=True, slots=True)
class Arrived:
    """Messages arrived."""

    exists: int
    recent: int


@dataclass(frozen=True, slots=True)
class FlagsChanged:
    """Flags were changed, by anybody."""

    rows: Sequence[tuple[int, int, Flags, int]]
    """(sequence number, UID, flags with \\Recent, mod-sequence)"""


Update = Expunged | KeywordsChanged | Arrived | FlagsChanged


@dataclass(frozen=True, slots=True)
class RecentSet:
    """The UIDs that are recent for one session, as ranges [low, high)."""

    spans: tuple[tuple[int, int], ...] = ()

    def __contains__(self, uid: int) -> bool:
        """Whether a UID is recent."""
        return any(low <= uid < high for low, high in self.spans)

    def count(self, uids: Sequence[int]) -> int:
        """How many of the ascending UIDs are recent."""
        return sum(bisect_left(uids, high) - bisect_left(uids, low) for low, high in self.spans)

    def plus(self, span: tuple[int, int]) -> RecentSet:
        """With one more range."""
        return self if span[0] >= span[1] else RecentSet((*self.spans, span))


class Source(Protocol):
    """What a view asks of its mailbox; memory only."""

    @property
    def snapshot(self) -> Snapshot:
        """The newest state."""

    def changed_since(self, modseq: int) -> Sequence[int]:
        """UIDs with a greater mod-sequence, ascending; some may have arrived, or be gone."""

    def remembers(self, modseq: int) -> bool:
        """Whether `changed_since` need not look at every message."""

    def recent_span(self, claim: bool) -> tuple[int, int]:
        """The UIDs [low, high) that nobody has claimed as recent; with `claim` nobody else can."""


@dataclass(frozen=True, slots=True)
class View:
    """One session's numbering of a mailbox."""

    source: Source
    uids: Sequence[int]
    """The UID at each position; sequence number = position + 1."""
    snapshot: Snapshot
    """What flags are read from."""
    recent: RecentSet
    claims: bool
    """Whether what is recent here is so for no other session (SELECT; not EXAMINE: R053)."""
    told_modseq: int
    """The client was told of every change up to this mod-sequence (RFC 7162 §3.2; R167)."""
    gone: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    """Expunged, but the client does not know: UID to last flag id and mod-sequence."""
    knows_recent: bool = True
    """The client is told of \\Recent."""
    holds_news: bool = False
    """Arrivals and expunges are told only when `refresh` is asked for `news` (Q-1)."""

    @classmethod
    def of(cls, source: Source, claims: bool) -> View:
        """The numbering with which a session begins."""
        recent = RecentSet().plus(source.recent_span(claims))
        snapshot = source.snapshot
        return cls(source, snapshot.uids, snapshot, recent, claims, snapshot.highest_modseq)

    def without_recent(self) -> View:
        """The same for a client that knows nothing of \\Recent (RFC 9051 App. E)."""
        return replace(self, recent=RecentSet(), knows_recent=False)

    def __len__(self) -> int:
        """EXISTS as the client knows it."""
        return len(self.uids)

    @property
    def aligned(self) -> bool:
        """Whether every position is the same in `snapshot`."""
        return not self.gone

    @property
    def stale(self) -> bool:
        """Whether `refresh(expunges=True)` would have something to say."""
        return bool(self.gone) or self.source.snapshot is not self.snapshot

    @property
    def recent_count(self) -> int:
        """RECENT as the client knows it."""
        return self.recent.count(self.uids)

    def index(self, position: int) -> int | None:
        """The position in `snapshot`; None when the message is gone."""
        return self.snapshot.position(self.uids[position]) if self.gone else position

    def flags(self, position: int) -> Flags:
        """The message's flags with \\Recent; the last known ones of a message that is gone."""
        uid = self.uids[position]
        index = self.index(position)
        number = self.gone[uid][0] if index is None else self.snapshot.flag_ids[index]
        return self.shown(uid, self.snapshot.table.sets[number])

    def modseq(self, position: int) -> int:
        """The message's mod-sequence; the last known one of a message that is gone."""
        index = self.index(position)
        return self.gone[self.uids[position]][1] if index is None else self.snapshot.modseqs[index]

    def position(self, uid: int) -> int | None:
        """Where a UID stands, or None."""
        position = bisect_left(self.uids, uid)
        return position if position < len(self.uids) and self.uids[position] == uid else None

    def remembers(self, modseq: int) -> bool:
        """Whether `changed_since` need not look at every message."""
        return modseq >= self.snapshot.highest_modseq or self.source.remembers(modseq)

    def changed_since(self, modseq: int) -> Sequence[int]:
        """Positions of messages with a greater mod-sequence, ascending."""
        if modseq >= self.snapshot.highest_modseq:
            return ()
        if not self.gone and not self.source.remembers(modseq):
            modseqs = self.snapshot.modseqs
            return [position for position, at in enumerate(modseqs) if at > modseq]
        positions = map(self.position, self.source.changed_since(modseq))
        # Of what is newer than the snapshot the client hears when it is told of changes.
        return [p for p in positions if p is not None and self.modseq(p) > modseq]

    def shown(self, uid: int, flags: Flags) -> Flags:
        """The flags with \\Recent where this session has it."""
        return interned(flags | {RECENT}) if self.recent.spans and uid in self.recent else flags

    def refresh(
        self, expunges: bool, mute: Stored | None = None, news: bool = False
    ) -> tuple[View, list[Update]]:
        """Catch up with the mailbox; flag changes that are all `mute`'s are not told (R071)."""
        newest, old = self.source.snapshot, self.snapshot
        new = newest
        if self.holds_news and not news:
            expunges, new = False, newest.before(old.uidnext)
        if new is old and not (expunges and self.gone):
            return self, []
        updates: list[Update] = []
        gone = {**self.gone, **_vanished(old, new)}
        if gone and expunges:
            updates.append(_expunged(self.uids, gone))
            gone = {}
        arrivals = new.uids[bisect_left(new.uids, old.uidnext) :]
        uids: Sequence[int] = [*self.uids, *arrivals] if gone else new.uids
        recent = self.recent
        if arrivals:
            low, high = self.source.recent_span(self.claims)
            if self.knows_recent:
                recent = recent.plus((max(low, arrivals[0]), high))
        # What is held back is one of the changes since then.
        told = self.told_modseq if gone or new is not newest else new.highest_modseq
        view = replace(self, uids=uids, snapshot=new, recent=recent, told_modseq=told, gone=gone)
        if not new.keywords <= old.keywords:
            updates.append(KeywordsChanged(new.keywords | old.keywords))
        if arrivals:
            updates.append(Arrived(len(uids), view.recent_count))
        if changed := view._changed_flags(old, mute):
            updates.append(FlagsChanged(changed))
        return view, updates

    def _changed_flags(
        self, old: Snapshot, mute: Stored | None
    ) -> list[tuple[int, int, Flags, int]]:
        new = self.snapshot
        if new.highest_modseq == old.highest_modseq:
            return []
        rows = []
        for uid in self.source.changed_since(old.highest_modseq):
            index = new.position(uid)
            if index is None or uid >= old.uidnext:
                continue
            modseq, flags = new.modseqs[index], new.flags(index)
            before = old.position(uid) if mute else None
            if mute and before is not None and mute.explains(uid, modseq, old.flags(before), flags):
                continue
            number = 1 + (bisect_left(self.uids, uid) if self.gone else index)
            rows.append((number, uid, self.shown(uid, flags), modseq))
        return rows


def _vanished(old: Snapshot, new: Snapshot) -> dict[int, tuple[int, int]]:
    """UIDs of `old` that `new` lacks, with their last flag ids and mod-sequences."""
    if bisect_left(new.uids, old.uidnext) == len(old.uids):
        return {}
    left = set(old.uids).difference(new.uids)
    places = {uid: bisect_left(old.uids, uid) for uid in left}
    return {uid: (old.flag_ids[place], old.modseqs[place]) for uid, place in places.items()}


def _expunged(uids: Sequence[int], gone: Iterable[int]) -> Expunged:
    missing = sorted(gone)
    numbers = [bisect_left(uids, uid) + 1 - before for before, uid in enumerate(missing)]
    return Expunged(numbers, missing)
