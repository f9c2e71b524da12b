"""Conditions of SEARCH that the index decides: mod-sequences, save dates, ObjectIDs.

RFC 7162 §3.1.5, RFC 8514 §4.3, RFC 8474 §6. Only THREADID may read messages, their headers, and
what it found is remembered.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from maa.imap.search_keys import EmailId, Key, Leaf, Modified, Saved, ThreadId
from maa.imap.sections import THREAD
from maa.message.related import thread_id
from maa.store.mailbox import Mailbox
from maa.store.view import View

_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86400

Heads = Callable[[Sequence[int]], Iterator[tuple[int, bytes]]]
"""Of positions those that can be read, with their headers."""


def modified(leaf: Modified, view: View, positions: set[int]) -> set[int]:
    """Messages whose mod-sequence is not less than the one asked for; memory only."""
    if leaf.since <= 1:
        return set(positions)
    return positions.intersection(view.changed_since(leaf.since - 1))


def detailed(
    leaves: Iterable[Leaf], mailbox: Mailbox, uids: Mapping[int, int]
) -> Iterator[tuple[Leaf, set[int]]]:
    """Each condition on save dates and EMAILIDs with its matches; `uids` by position; may block."""
    details = mailbox.details(tuple(uids.values()))
    known = {position: details[uid] for position, uid in uids.items() if uid in details}
    for leaf in leaves:
        if isinstance(leaf, Saved):
            day, holds = leaf.day.toordinal() - _EPOCH, leaf.comparison.holds
            yield leaf, {p for p, row in known.items() if holds(row[0] // _DAY_SECONDS, day)}
        elif isinstance(leaf, EmailId):
            yield leaf, {p for p, row in known.items() if row[1] == leaf.object_id}


def threaded(
    leaves: Iterable[Leaf], mailbox: Mailbox, uids: Mapping[int, int], heads: Heads
) -> Iterator[tuple[Leaf, set[int]]]:
    """Each condition on THREADIDs with its matches; may block."""
    found = mailbox.cached(THREAD, tuple(uids.values()))
    missing = [position for position, uid in uids.items() if uid not in found]
    fresh = {uids[position]: b"(%b)" % thread_id(head) for position, head in heads(missing)}
    if fresh:
        mailbox.remember(THREAD, fresh)
    threads = {position: found.get(uid) or fresh.get(uid) for position, uid in uids.items()}
    for leaf in leaves:
        if isinstance(leaf, ThreadId):
            wanted = b"(%b)" % leaf.object_id.encode("ascii")
            yield leaf, {position for position, thread in threads.items() if thread == wanted}


def asks_modseq(leaves: Iterable[Key]) -> bool:
    """Whether mod-sequences are searched for: then the answer tells one (RFC 7162 §3.1.6)."""
    return any(isinstance(leaf, Modified) for leaf in leaves)


def greatest_modseq(view: View, positions: Sequence[int]) -> int:
    """The mod-sequence to tell of a result that is not empty (R166)."""
    return max(map(view.modseq, positions))
