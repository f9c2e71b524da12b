"""VANISHED (EARLIER): which of the messages a client knows are gone (RFC 7162 §3.2.10.1).

The log of expunges answers that. Where it does not reach far enough back, all UIDs are meant that
the client may know and no message has (R172).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from maa.conversation import SLOW, Step
from maa.message.numbers import Ranges, common, without, written_ranges
from maa.store.mailbox import Mailbox
from maa.store.view import View

_RANGES_AT_ONCE = 1000


def vanished_earlier(
    mailbox: Mailbox, view: View, known: Ranges, since: int, certain: int = 0
) -> Iterator[Step]:
    """VANISHED (EARLIER) of the known UIDs that went since a mod-sequence (R172, R174).

    What the client has still to be told as VANISHED is no part of it. `certain`: up to this UID
    the client knows what is gone.
    """
    if not known or not mailbox.expunged_after(since):
        return
    yield SLOW
    gone = mailbox.expunged(since, view.told_modseq)
    if gone is None:
        last = view.snapshot.uidnext - 1
        found = without(common(known, [(certain + 1, last)]), view.uids)
    else:
        found = common(known, gone)
    for start in range(0, len(found), _RANGES_AT_ONCE):
        some = found[start : start + _RANGES_AT_ONCE]
        yield b"* VANISHED (EARLIER) %b\r\n" % written_ranges(some)


def agreed(uids: Sequence[int], numbers: Ranges, known: Ranges) -> int:
    """The greatest UID that has the sequence number the client remembers, or 0 (R173)."""
    greatest = 0
    for first, uid, count in _pairs(numbers, known):
        # A run of UIDs for a run of numbers: UID less number is the same in all of it, and
        # in the mailbox it never falls.
        start, stop = first - 1, min(first - 1 + count, len(uids))
        shift = uid - first
        place = bisect_right(
            range(start, stop), shift, key=lambda position: uids[position] - position - 1
        )
        position = start + place - 1
        if place and uids[position] - position - 1 == shift:
            greatest = uids[position]
    return greatest


def _pairs(numbers: Ranges, known: Ranges) -> Iterator[tuple[int, int, int]]:
    """(number, UID, how many of both in a row); both sets have as many members."""
    rest = list(reversed(known))
    for low, high in numbers:
        while low <= high:
            first, last = rest.pop()
            count = min(high - low, last - first) + 1
            yield low, first, count
            low += count
            if first + count <= last:
                rest.append((first + count, last))
