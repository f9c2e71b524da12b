"""Quick resynchronisation: what happened since a client was here last (RFC 7162 §3.2.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from maa.conversation import SLOW, Step
from maa.imap.fetch import change_lines
from maa.imap.modifiers import Resync
from maa.imap.states import Enabled
from maa.imap.updates import LARGE
from maa.imap.vanished import agreed, vanished_earlier
from maa.message.numbers import Ranges
from maa.store.mailbox import Mailbox
from maa.store.view import View

_RANGES_AT_ONCE: Final = 1000
"""More of them take longer than the reactor may be held (R249)."""


def resynchronised(mailbox: Mailbox, view: View, enabled: Enabled, asked: Resync) -> Iterator[Step]:
    """VANISHED (EARLIER), then FETCH of what changed; behind what SELECT says (R170)."""
    if asked.uidvalidity != mailbox.uidvalidity:
        return  # the client sees that, and nothing it remembers has a meaning
    long = _ranges(asked) > _RANGES_AT_ONCE
    if long:
        yield SLOW
    last = view.snapshot.uidnext - 1
    known: Ranges = [(1, last)] if last else []
    if asked.known is not None:
        known = asked.known.resolved(last)
    # One that was never given comes from another history: then all is told.
    since = asked.modseq if asked.modseq <= view.told_modseq else 0
    certain = 0 if asked.sample is None else agreed(view.uids, *asked.sample)
    yield from vanished_earlier(mailbox, view, known, since, certain)
    if long or (not view.remembers(since) and len(view) > LARGE):
        yield SLOW
    positions: Sequence[int] = view.changed_since(since)
    if positions and asked.known is not None:
        inside = asked.known.positions_of_uids(view.uids)
        chosen = inside if isinstance(inside, range) else frozenset(inside)
        positions = [position for position in positions if position in chosen]
    yield from change_lines(mailbox, view, positions, enabled)


def _ranges(asked: Resync) -> int:
    """How much the client named."""
    known = 0 if asked.known is None else len(asked.known.ranges)
    return known + sum(map(len, asked.sample or ()))
