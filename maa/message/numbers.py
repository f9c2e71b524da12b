"""The numbers of IMAP: each its own type, and sets of them as clients write them."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType

Uid = NewType("Uid", int)
"""Unsigned 32 bit, ascending in order of arrival, never reused (RFC 3501 §2.3.1.1)."""
SequenceNumber = NewType("SequenceNumber", int)
"""1 to EXISTS, one session's own numbering (RFC 3501 §2.3.1.2)."""
UidValidity = NewType("UidValidity", int)
ModSeq = NewType("ModSeq", int)
"""Unsigned 63 bit, at least 1 (RFC 7162 §3.1)."""

MAX_NUMBER = 2**32 - 1
MAX_MOD_SEQUENCE = 2**63 - 1
_SET = re.compile(
    rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?"
    rb"(?:,(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?)*"
)


@dataclass(frozen=True, slots=True)
class NumberSet:
    """A sequence-set as ranges, never expanded (RFC 3501 §9; R014); `None` stands for `*`."""

    ranges: tuple[tuple[int | None, int | None], ...]

    @classmethod
    def parse(cls, text: bytes) -> NumberSet:
        """Read `2,4:7,9:*`; ValueError when it is no sequence-set or a number needs > 32 bit."""
        if _SET.fullmatch(text) is None:
            raise ValueError("not a sequence set")
        ranges = []
        for element in text.split(b","):
            first, _, last = element.partition(b":")
            low = None if first == b"*" else int(first)
            high = low if not last else None if last == b"*" else int(last)
            if max(low or 1, high or 1) > MAX_NUMBER:
                raise ValueError("number too large")
            ranges.append((low, high))
        return cls(tuple(ranges))

    def resolved(self, largest: int) -> list[tuple[int, int]]:
        """The set as ascending, disjoint, inclusive ranges, with `*` as `largest`."""
        pairs = sorted(
            (min(a, b), max(a, b))
            for a, b in (
                (largest if low is None else low, largest if high is None else high)
                for low, high in self.ranges
            )
        )
        merged: list[tuple[int, int]] = []
        for low, high in pairs:
            if merged and low <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], high))
            else:
                merged.append((low, high))
        return merged

    def positions_of_uids(self, uids: Sequence[int]) -> Sequence[int]:
        """Positions (from 0) in the ascending `uids` that the set names; others are ignored."""
        if not uids:
            return ()
        spans = [
            range(bisect_left(uids, low), bisect_right(uids, high))
            for low, high in self.resolved(uids[-1])
        ]
        return _joined(spans)

    def positions_of_numbers(self, exists: int) -> Sequence[int]:
        """Positions (from 0) of sequence numbers; ValueError when one exceeds EXISTS (R015)."""
        pairs = self.resolved(exists)
        if not exists or pairs[0][0] < 1 or pairs[-1][1] > exists:
            raise ValueError("no such message")
        return _joined([range(low - 1, high) for low, high in pairs])


class Saved(Enum):
    """`$`, the messages that a SEARCH saved (RFC 5182 §2.1)."""

    SAVED = "$"


SAVED: Final = Saved.SAVED
NOTHING: Final = NumberSet(())
MessageSet = NumberSet | Saved


def _joined(spans: list[range]) -> Sequence[int]:
    spans = [span for span in spans if len(span)]
    if len(spans) == 1:
        return spans[0]
    return [position for span in spans for position in span]


Ranges = Sequence[tuple[int, int]]
"""Ascending, disjoint and inclusive: what a set means once `*` is resolved."""


def common(some: Ranges, others: Ranges) -> list[tuple[int, int]]:
    """What is in both."""
    found: list[tuple[int, int]] = []
    place = 0
    for low, high in some:
        while place < len(others) and others[place][1] < low:
            place += 1
        at = place
        while at < len(others) and others[at][0] <= high:
            found.append((max(low, others[at][0]), min(high, others[at][1])))
            at += 1
        place = max(place, at - 1)
    return found


def without(ranges: Ranges, numbers: Sequence[int]) -> list[tuple[int, int]]:
    """What is in the ranges but not among the ascending numbers."""
    found: list[tuple[int, int]] = []
    for low, high in ranges:
        for number in numbers[bisect_left(numbers, low) : bisect_right(numbers, high)]:
            if low < number:
                found.append((low, number - 1))
            low = number + 1
        if low <= high:
            found.append((low, high))
    return found


def written_ranges(ranges: Ranges) -> bytes:
    """Ranges as a sequence-set."""
    return b",".join(
        [b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in ranges]
    )


def written(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as a sequence-set, `1:3,5`; order is kept and runs are joined."""
    parts: list[bytes] = []
    low = high = 0
    for number in numbers:
        if low and number == high + 1:
            high = number
            continue
        if low:
            parts.append(b"%d" % low if low == high else b"%d:%d" % (low, high))
        low = high = number
    if low:
        parts.append(b"%d" % low if low == high else b"%d:%d" % (low, high))
    return b",".join(parts)
