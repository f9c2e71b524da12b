"""What adopting a mailbox would do: the old server's numbers against those of maa's index.

A pure function. Three cases: maa gave no number in this mailbox yet, and the old server's are
taken; maa has the same UIDVALIDITY, so it was adopted before, and what the old server numbered
since is added; or maa gave numbers of its own, which clients may know, and nothing is taken
unless whoever adopts says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from maa.message.flags import NONE, Flags, interned
from maa.store.adopt.gather import Old
from maa.store.foreign import is_uidl
from maa.store.index import Counters, MailboxRow
from maa.store.maildrop import Maildrop
from maa.store.reconcile import merged

_DERIVED = re.compile(rb"[0-9a-f]{16}")
_NO_COUNTERS = Counters(1, 1, 1)


@dataclass(frozen=True, slots=True)
class Known:
    """What maa's index has of a mailbox."""

    row: MailboxRow | None = None
    counters: Counters = _NO_COUNTERS
    messages: Sequence[tuple[int, bytes, Flags]] = ()
    """(UID, place, flags)"""
    uidls: Mapping[int, bytes] = field(default_factory=dict)

    @property
    def served(self) -> bool:
        """Whether clients may know numbers of it."""
        return self.row is not None and self.counters.uidnext > 1


class Verdict(Enum):
    """What is to be done."""

    NOTHING = "nothing of another server is there"
    SAME = "adopted already"
    TAKE = "to be adopted"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Plan:
    """What adopting one mailbox does."""

    name: str
    old: Old
    verdict: Verdict
    reason: str = ""
    """Why it is refused."""
    uidvalidity: int = 0
    """0: a new one."""
    uidnext: int = 1
    messages: Sequence[tuple[int, bytes, Flags]] = ()
    """(UID, place, flags), ascending."""
    uidls: Mapping[int, bytes] = field(default_factory=dict)
    """POP3 names that differ from what maa would call the messages."""
    present: int = 0
    """Messages in the mailbox."""
    kept: int = 0
    """Those whose UID stays what it was with the old server."""
    named: int = 0
    """Those whose POP3 name stays."""
    keywords: int = 0
    """Those that have keywords of the old server's."""
    notes: tuple[str, ...] = ()


def derived(uidvalidity: int, uid: int) -> bytes:
    """What maa calls a message of which nothing else is known (R211)."""
    return b"%08x%08x" % (uid, uidvalidity)


def planned(
    name: str,
    old: Old,
    known: Known,
    maildrop: Maildrop,
    places: Sequence[bytes],
    given: Counters | None,
    *,
    inbox: bool,
    replace: bool,
) -> Plan:
    """Compare; `places` in order of arrival; `given`: what maa gave under that UIDVALIDITY."""
    return _Planning(name, old, known, maildrop, places, given, inbox, replace).plan()


@dataclass(slots=True)
class _Planning:
    name: str
    old: Old
    known: Known
    maildrop: Maildrop
    places: Sequence[bytes]
    given: Counters | None
    inbox: bool
    replace: bool
    present: dict[bytes, bytes] = field(default_factory=dict)
    numbered: dict[bytes, tuple[int, bytes, Flags]] = field(default_factory=dict)
    """What the index has, by key."""

    def plan(self) -> Plan:
        key = self.maildrop.key
        for place in self.places:
            self.present.setdefault(key(place), place)
        self.numbered = {key(row[1]): row for row in self.known.messages}
        if not self.old.uidvalidity and not self.old.uidls and not self.old.keywords:
            return Plan(self.name, self.old, Verdict.NOTHING, notes=self.old.notes)
        uids, uidnext, trouble = self._uids()
        uidvalidity = self.old.uidvalidity or (self.known.row.uidvalidity if self.known.row else 0)
        uidls, named, notes = self._uidls(uidvalidity, uids)
        trouble = trouble or self._renamed(uidvalidity, uids, uidls)
        verdict = Verdict.TAKE
        if trouble and not self.replace:
            verdict = Verdict.REFUSED
        elif not trouble and self._is_same(uidvalidity, uids, uidls):
            verdict = Verdict.SAME
        ordered = sorted((uid, key) for key, uid in uids.items())
        return Plan(
            self.name,
            self.old,
            verdict,
            trouble if verdict is Verdict.REFUSED else "",
            uidvalidity,
            uidnext,
            [(uid, self._place(key), self._flags(key)) for uid, key in ordered],
            uidls,
            len(self.present),
            sum(self.old.uids.get(key) == uids.get(key) for key in self.present if key in uids),
            named,
            len(self.old.keywords.keys() & self.present.keys()),
            (*self.old.notes, *notes),
        )

    # --- UIDs

    def _uids(self) -> tuple[dict[bytes, int], int, str]:
        """UIDs by key, the next one, and what speaks against them."""
        if not self.old.uidvalidity:
            return (*self._arrivals(), "")
        row = self.known.row
        if row is None or row.uidvalidity != self.old.uidvalidity:
            trouble = ""
            if self.known.served and row is not None:
                trouble = (
                    f"maa has served it under UIDVALIDITY {row.uidvalidity} and given "
                    f"{self.known.counters.uidnext - 1} UIDs, which clients may know"
                )
            return (*self._taken(), trouble)
        trouble = self._contradictions()
        if trouble:
            return (*self._taken(), trouble)
        return (*self._added(), "")

    def _taken(self) -> tuple[dict[bytes, int], int]:
        """The old server's numbers; messages that only maa knows get new ones behind those."""
        uids = {key: uid for key in self.present if (uid := self.old.uids.get(key)) is not None}
        following = max(self.old.uidnext, self.given.uidnext if self.given else 1)
        row = self.known.row
        if row is not None and row.uidvalidity == self.old.uidvalidity:
            following = max(self.old.uidnext, self.known.counters.uidnext)
        for key in self.numbered:
            if key in self.present and key not in uids:
                uids[key] = following
                following += 1
        return uids, following

    def _added(self) -> tuple[dict[bytes, int], int]:
        """What maa has, and what the old server numbered since."""
        uids = {key: row[0] for key, row in self.numbered.items()}
        following = self.known.counters.uidnext
        for key in self.present:
            uid = self.old.uids.get(key, 0)
            # A lower one was removed through maa, and the message came back (R079).
            if key not in uids and uid >= following:
                uids[key] = uid
        return uids, max(following, self.old.uidnext)

    def _arrivals(self) -> tuple[dict[bytes, int], int]:
        """Without numbers of the old server's: maa's, and new ones in order of arrival."""
        uids = {key: row[0] for key, row in self.numbered.items()}
        following = self.known.counters.uidnext
        for key in self.present:
            if key not in uids:
                uids[key] = following
                following += 1
        return uids, following

    def _contradictions(self) -> str:
        meant = {row[0]: key for key, row in self.numbered.items()}
        wrong = 0
        for key, uid in self.old.uids.items():
            row = self.numbered.get(key)
            wrong += (row is not None and row[0] != uid) or meant.get(uid, key) != key
        if not wrong:
            return ""
        return (
            f"maa and the old server gave {wrong} UIDs to different messages since it was adopted"
        )

    def _is_same(
        self, uidvalidity: int, uids: Mapping[bytes, int], uidls: Mapping[int, bytes]
    ) -> bool:
        row = self.known.row
        if row is None or row.uidvalidity != uidvalidity or dict(self.known.uidls) != dict(uidls):
            return False
        more = uids.keys() - self.numbered.keys()
        if self.old.uidvalidity:
            # UIDs that the old server gave since to messages that are gone are not to be given.
            return not more and self.old.uidnext <= self.known.counters.uidnext
        # Else they are what the next sync numbers anyway.
        return self.known.served and more.isdisjoint(self.old.uidls)

    # --- POP3 names

    def _uidls(
        self, uidvalidity: int, uids: Mapping[bytes, int]
    ) -> tuple[dict[int, bytes], int, list[str]]:
        """Names to be kept, how many of all messages keep theirs, and what is dropped."""
        kept: dict[int, bytes] = {}
        used: set[bytes] = set()
        named = double = unusable = 0
        if not self.inbox:
            return kept, 0, []
        for key, uid in sorted(uids.items(), key=lambda row: row[1]):
            name = self.old.uidls.get(key)
            if name is None:
                continue
            if name == derived(uidvalidity, uid):
                named += 1
            elif not is_uidl(name) or _may_be_derived(name, uidvalidity):
                unusable += 1
                continue
            elif name in used:
                double += 1
                continue
            else:
                kept[uid] = name
                named += 1
            used.add(name)
        for key, uid in uids.items():
            # What maa called it stays, whatever becomes of UIDVALIDITY (R211).
            name = self._given_name(key)
            if name is None or uid in kept or key in self.old.uidls:
                continue
            if name not in used and not _may_be_derived(name, uidvalidity):
                kept[uid] = name
                used.add(name)
        notes = [f"{unusable} POP3 names cannot be used"] if unusable else []
        notes += (
            [f"{double} messages had the POP3 name of another: they get new ones"] if double else []
        )
        return kept, named, notes

    def _given_name(self, key: bytes) -> bytes | None:
        """The POP3 name that maa gave a message."""
        known = self.numbered.get(key)
        if known is None or self.known.row is None:
            return None
        return self.known.uidls.get(known[0]) or derived(self.known.row.uidvalidity, known[0])

    def _renamed(
        self, uidvalidity: int, uids: Mapping[bytes, int], uidls: Mapping[int, bytes]
    ) -> str:
        """Whether messages would lose the POP3 names that maa gave them."""
        if not self.inbox:
            return ""
        others = 0
        for key, uid in uids.items():
            given = self._given_name(key)
            name = uidls.get(uid) or derived(uidvalidity, uid)
            others += given is not None and given != name
        if not others:
            return ""
        return f"{others} messages would get other POP3 names than those maa gave"

    # --- flags

    def _place(self, key: bytes) -> bytes:
        # A message that the index has and the maildrop has not is left to the next sync.
        return self.present.get(key) or self.numbered[key][1]

    def _flags(self, key: bytes) -> Flags:
        place = self._place(key)
        known, row = self.numbered.get(key), self.known.row
        if known is None:
            flags = self.maildrop.arrival_flags(place)
        else:
            shown = self.maildrop.flags
            flags = merged(known[2], shown(known[1]), shown(place))
            if row is not None and row.uidvalidity == self.old.uidvalidity:
                return flags  # what the old server had was taken when it was adopted first
        return interned(
            flags | self.old.flags.get(key, NONE) | self.old.keywords.get(key, frozenset())
        )


def _may_be_derived(name: bytes, uidvalidity: int) -> bool:
    """Whether it is what maa would call another message, now or some day."""
    return _DERIVED.fullmatch(name) is not None and int(name[8:], 16) == uidvalidity
