"""What a scan of the maildrop says against what the index knows: a pure function.

Both sides are compared by place; only where they differ do keys matter. A message whose key
is at another place has moved there, and its flags are merged three ways: what the place
showed when the index last saw it, what it shows now, and what clients set meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


def reconcile(found: Scan, known: Sequence[bytes], key: Key) -> Differences:
    """Compare; `known` are the places by position."""
    if found.within:
        listed = len(found.within)
        known = [place if place[:listed] == found.within else b"" for place in known]
    expected = frozenset(known) - {b""}
    strange = found.places - expected
    absent = expected - found.places
    if not absent and not strange:
        return Differences((), (), (), ())
    missing = {key(place): p for p, place in enumerate(known) if place in absent}
    present = set(map(key, found.places & expected)) if strange else set()
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
