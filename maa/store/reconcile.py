"""What a scan of the maildrop says against what the index knows: a pure function.

Both sides are compared by place; only where they differ do keys matter. A message whose key
is at another place has moved there, and its flags are merged three ways: what the place
showed when the index last saw it, what it shows now, and what clients set meanwhile.

A maildrop that is one file has an order, and UIDs ascend in it. When another program rearranges
the file, what is behind the first message that is new or would descend gets new UIDs (R238).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from maa.message.flags import NONE, Flags, interned
from maa.store.maildrop import Scan

Key = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Differences:
    """How a scan differs from what is known."""

    arrivals: Sequence[bytes]
    """Places of messages that are new, unordered."""
    moved: Sequence[tuple[int, bytes]]
    """(position, place now) of messages that are elsewhere."""
    missing: Sequence[int]
    """Positions of messages that were not seen: suspect, until seen missing twice (R240)."""
    doubles: Sequence[bytes]
    """Places whose key another message has that is still at its own place (R244)."""
    rearranged: Mapping[int, bytes] = field(default_factory=dict)
    """Place now, by position, of messages that need a new UID to be in order (R238)."""


def reconcile(found: Scan, known: Sequence[bytes], key: Key) -> Differences:
    """Compare; `known` are the places by position."""
    if found.ordered:
        places = list(found.places)
        if places[: len(known)] == known:  # the usual case, and a fast one
            return Differences(places[len(known) :], (), (), ())
    differences = _compared(found, frozenset(found.places), known, key)
    if found.rearranged:
        return replace(differences, rearranged=_descending(found.places, known, key))
    return differences


def _descending(places: Iterable[bytes], known: Sequence[bytes], key: Key) -> dict[int, bytes]:
    """Known messages behind the first that is new or whose UID descends."""
    positions = {key(place): position for position, place in enumerate(known)}
    last, in_order = -1, True
    again: dict[int, bytes] = {}
    for place in places:
        position = positions.get(key(place), -1)
        in_order = in_order and position > last
        last = position
        if not in_order and position >= 0:
            again[position] = place
    return again


def _compared(
    found: Scan, places: frozenset[bytes], known: Sequence[bytes], key: Key
) -> Differences:
    if found.within:
        listed = len(found.within)
        known = [place if place[:listed] == found.within else b"" for place in known]
    expected = frozenset(known) - {b""}
    strange = places - expected
    absent = expected - places
    if not absent and not strange:
        return Differences((), (), (), ())
    missing = {key(place): p for p, place in enumerate(known) if place in absent}
    present = set(map(key, places & expected)) if strange else set()
    arriving = {key(place): place for place in strange}
    moved = [(missing.pop(k), arriving.pop(k)) for k in list(missing) if k in arriving]
    arrivals = [place for k, place in arriving.items() if k not in present]
    one_each = set(arrivals).union(place for _, place in moved)
    return Differences(arrivals, moved, sorted(missing.values()), sorted(strange - one_each))


def merged(known: Flags, before: Flags | None, now: Flags | None) -> Flags:
    """Three-way merge: what another program changed in the place, applied to the index's flags.

    `before` and `now` are what the place showed and shows; None where it cannot show flags.
    """
    if now is None:
        return known
    then = NONE if before is None else before
    return interned((known | (now - then)) - (then - now))
