"""FETCH and UID FETCH (RFC 3501 §6.4.5, §7.4.2).

Theory of operation
-------------------
Messages are answered in batches. A batch is a few columns (`maa.imap.columns`). When all
columns are full, rows come from one format. What only reading can tell is None in them: then
the batch is answered message by message (`maa.imap.opened`), each opened when its turn comes.
Octets are yielded in pieces of about 64 KiB and large sections are streamed, so the client's
pace sets ours, and memory stays bounded whatever the mailbox holds (R226, R227).

What reading found is remembered when the batch is done. A message that cannot be read has NIL
for its sections and lacks what is derived; the others are answered, and the tagged line is NO
(R159, L-27).
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from maa.conversation import SLOW, Step
from maa.imap import derive, render
from maa.imap.clients import recognised
from maa.imap.columns import (
    Batch,
    Column,
    cached_column,
    detail_columns,
    facts_column,
    flags_column,
    modseq_column,
    read_facts_column,
    uid_column,
)
from maa.imap.commands import Fetch
from maa.imap.enabling import condstore
from maa.imap.fetch_items import Datum, Item, in_rev2
from maa.imap.message_sets import positions_of
from maa.imap.opened import OneByOne
from maa.imap.plan import FACTS, IN_MEMORY, Plan, Progress
from maa.imap.responses import ProtocolError, failure
from maa.imap.states import Answer, Done, Enabled, Selected
from maa.imap.updates import LARGE, rendered
from maa.imap.vanished import vanished_earlier
from maa.message.flags import SEEN, interned
from maa.message.numbers import SAVED
from maa.store.errors import MailboxGone, StoreError
from maa.store.mailbox import Mailbox
from maa.store.snapshot import StoreMode
from maa.store.view import View

_log = logging.getLogger(__name__)


def fetch(state: Selected, command: Fetch) -> Answer:
    """Answer every message the command names (R015, R072)."""
    if command.modifiers.vanished and not state.enabled.qresync:
        raise ProtocolError("VANISHED needs ENABLE QRESYNC")
    if command.asks_modseq:
        state = yield from condstore(state)
    view = state.view
    positions = yield from positions_of(state, command.messages, command.by_uid)
    if command.modifiers.partial is not None:
        positions = command.modifiers.partial.of(positions)
    since = command.modifiers.changed_since
    items = command.items
    if since is not None:
        if command.modifiers.vanished:
            named = state.saved if command.messages is SAVED else command.messages
            known = named.resolved(view.snapshot.uidnext - 1)
            yield from vanished_earlier(state.mailbox, view, known, since)
        positions = yield from _changed(view, positions, since)
        items = (*items, Datum.MODSEQ)  # R165
    if state.enabled.rev2:
        items = in_rev2(items)
    plan = Plan.of(items, command.by_uid)
    if plan.telling:
        state = recognised(state, plan.telling)
        view = state.view
    progress = Progress(plan, view, state.enabled)
    for start in range(0, len(positions), plan.rows):
        some = positions[start : start + plan.rows]
        if plan.sees and not state.read_only:
            yield from _see(state.mailbox, progress, some)
        yield from _answer(state.mailbox, progress, some)
    state = replace(state, view=progress.view)
    if progress.trouble is None:
        return Done(state, b"FETCH completed")
    code, text = failure(progress.trouble)
    return Done(state, text, code, b"NO")


def change_lines(
    mailbox: Mailbox, view: View, positions: Sequence[int], enabled: Enabled
) -> Iterator[Step]:
    """UID, FLAGS and MODSEQ of messages that changed (RFC 7162 §3.2.4)."""
    plan = Plan.of((Datum.UID, Datum.FLAGS, Datum.MODSEQ), by_uid=True)
    progress = Progress(plan, view, enabled)
    for start in range(0, len(positions), plan.rows):
        yield from _answer(mailbox, progress, positions[start : start + plan.rows])


def _changed(
    view: View, positions: Sequence[int], since: int
) -> Generator[Step, None, Sequence[int]]:
    """Those of the positions where something changed (RFC 7162 §3.1.4.1)."""
    if not view.remembers(since) and len(view) > LARGE:
        yield SLOW
    chosen = positions if isinstance(positions, range) else frozenset(positions)
    return [position for position in view.changed_since(since) if position in chosen]


def _see(mailbox: Mailbox, progress: Progress, positions: Sequence[int]) -> Iterator[Step]:
    """Set \\Seen where it is missing, and tell what else happened meanwhile (R087, R068)."""
    view = progress.view
    progress.seen = frozenset()
    unseen = [view.uids[position] for position in positions if SEEN not in view.flags(position)]
    if not unseen:
        return
    yield SLOW
    try:
        stored = mailbox.store(unseen, StoreMode.ADD, interned((SEEN,)))
    except MailboxGone:
        raise
    except StoreError as error:
        # Reading goes on where nothing can be written, as on a full disk.
        _log.warning("%s: \\Seen is not kept: %s", mailbox.name, error)
        return
    progress.seen = stored.changed
    progress.view, updates = view.refresh(expunges=False, mute=stored)
    for update in updates:
        yield from rendered(update, progress.plan.by_uid, False, progress.enabled)


def _answer(mailbox: Mailbox, progress: Progress, positions: Sequence[int]) -> Iterator[Step]:
    """All FETCH responses of one batch."""
    plan = progress.plan
    batch = Batch(progress.view, positions)
    if plan.in_memory:
        columns = [_memory_column(batch, item) for item in plan.items]
        if not any(None in column for column in columns):
            yield b"".join(_rows(progress, batch, columns))
            return
    yield SLOW
    columns = _columns(mailbox, plan, batch)
    if plan.derives and len(positions) >= derive.AT_ONCE and not plan.complete(columns):
        columns = derive.filled(mailbox, plan, batch, columns)
        columns = _with_facts(mailbox, plan, batch, columns)
    if plan.complete(columns):
        yield from render.pieces(_rows(progress, batch, columns))
    else:
        yield from OneByOne(mailbox, progress, batch, columns).answer()


def _memory_column(batch: Batch, item: Item) -> Column:
    if item is Datum.UID:
        return uid_column(batch)
    if item is Datum.FLAGS:
        return flags_column(batch)
    if item is Datum.MODSEQ:
        return modseq_column(batch)
    assert isinstance(item, Datum)
    return facts_column(batch, item)


def _columns(mailbox: Mailbox, plan: Plan, batch: Batch) -> list[Column]:
    """What memory and cache have; sizes and dates are read unless all is read anyway."""
    details = detail_columns(batch, mailbox, plan.items) if plan.details else {}
    columns = [
        _memory_column(batch, item)
        if item in IN_MEMORY
        else details.get(item) or cached_column(batch, item, mailbox)
        for item in plan.items
    ]
    if plan.head_only or plan.complete(columns):
        return _with_facts(mailbox, plan, batch, columns)
    return columns


def _with_facts(
    mailbox: Mailbox, plan: Plan, batch: Batch, columns: Sequence[Column]
) -> list[Column]:
    """With sizes and dates, read where nothing else told them; reading may have, meanwhile."""
    full = list(columns)
    for place, item in enumerate(plan.items):
        if isinstance(item, Datum) and item in FACTS and None in full[place]:
            full[place] = facts_column(batch, item)
            if None in full[place]:
                full[place] = read_facts_column(batch, item, mailbox)
    return full


def _rows(progress: Progress, batch: Batch, columns: Sequence[Column]) -> list[bytes]:
    if not progress.seen and not any(None in column for column in columns):
        template = progress.plan.template
        return [template % values for values in zip(batch.numbers, *columns, strict=True)]
    rows = zip(batch.numbers, batch.uids, zip(*columns, strict=True), strict=True)
    return [progress.row(number, uid, values) for number, uid, values in rows]
