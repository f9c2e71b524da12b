"""What is derived from messages, for a whole batch of a FETCH in one pass over each.

What it finds is remembered, so a mailbox goes through here once. Nothing is sent meanwhile, so
very large messages, and those that cannot be read, are left to `maa.imap.opened`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from maa.imap.columns import Batch, Column
from maa.imap.fetch_items import Item
from maa.imap.plan import NOT_READ, Plan
from maa.imap.sections import VALUE_OCTETS_MAX, Content, cache_name, from_cache
from maa.message.octets import Wire, WireBytes
from maa.store.errors import StoreError
from maa.store.mailbox import Mailbox

AT_ONCE: Final = 128
"""Fewer messages are not worth a pass of their own."""
_OCTETS_MAX: Final = 8 << 20

_log = logging.getLogger(__name__)


def filled(mailbox: Mailbox, plan: Plan, batch: Batch, columns: Sequence[Column]) -> list[Column]:
    """The columns with what one pass over the messages tells; may block."""
    lacking = [
        place
        for place, item in enumerate(plan.items)
        if item not in NOT_READ and None in columns[place]
    ]
    uids = [
        uid
        for uid, values in zip(batch.uids, zip(*columns, strict=True), strict=True)
        if any(values[place] is None for place in lacking)
    ]
    found: dict[int, dict[int, bytes]] = {place: {} for place in lacking}
    items = [(plan.items[place], found[place]) for place in lacking]
    while uids:
        opened = _opened(mailbox, plan, uids)
        uids = uids[len(opened) :]
        for uid, wire in opened:
            if isinstance(wire, StoreError):
                continue
            try:
                if wire.size <= _OCTETS_MAX:
                    _derive(uid, wire, items)
            except OSError as error:
                _log.info("message %d is read once more: %s", uid, error)
            finally:
                wire.close()
    full = list(columns)
    for place, values in found.items():
        item = plan.items[place]
        kept_as = cache_name(item)
        assert kept_as is not None  # else the plan would not derive
        if values:
            mailbox.remember(kept_as, values)
        shown = {uid: from_cache(item, value) for uid, value in values.items()}
        full[place] = [
            shown.get(uid) if value is None else value
            for uid, value in zip(batch.uids, columns[place], strict=True)
        ]
    return full


def _derive(uid: int, wire: Wire, items: Sequence[tuple[Item, dict[int, bytes]]]) -> None:
    content = Content(wire)
    for item, values in items:
        value = content.derived(item)
        if len(value) <= VALUE_OCTETS_MAX:
            values[uid] = value


def _opened(
    mailbox: Mailbox, plan: Plan, uids: Sequence[int]
) -> Sequence[tuple[int, Wire | StoreError]]:
    if not plan.head_only:
        return mailbox.read(uids)
    return [
        (uid, head if isinstance(head, StoreError) else WireBytes(head))
        for uid, head in mailbox.heads(uids)
    ]
