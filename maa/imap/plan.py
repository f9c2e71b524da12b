"""What one FETCH takes: its items in the order of the answer, and how to go about them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from maa.imap import render
from maa.imap.fetch_items import Datum, Item, Section
from maa.imap.responses import flag_list
from maa.imap.sections import cache_name, needs_head_only
from maa.imap.states import Enabled
from maa.message.decoding import UnknownEncoding
from maa.quirks import TELLING_FIELDS
from maa.store.errors import MessageGone, StoreError
from maa.store.view import View

_log = logging.getLogger(__name__)

_ROWS_IN_MEMORY: Final = 1000
_ROWS_CACHED: Final = 500
_ROWS_READ: Final = 100
"""Messages of a batch: few where \\Seen is set, which is done before the batch is sent."""
FACTS: Final = frozenset((Datum.INTERNALDATE, Datum.SIZE))
DETAILS: Final = frozenset((Datum.SAVEDATE, Datum.EMAILID))
"""What the index has and nobody keeps in memory; no reading would tell it."""
NOT_READ: Final = FACTS | DETAILS
IN_MEMORY: Final = FACTS | {Datum.UID, Datum.FLAGS, Datum.MODSEQ}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a FETCH asks of each message, and what that takes."""

    items: tuple[Item, ...]
    """Each once, in the order asked for (Q-8, R132)."""
    by_uid: bool
    sees: bool
    """Reading sets \\Seen (R087)."""
    rows: int
    """Messages in a batch."""
    in_memory: bool
    """Nothing needs more than what a mailbox has in memory."""
    head_only: bool
    """What must be read is in the header."""
    details: bool
    """Something must be asked of the index."""
    derives: bool
    """All that must be read is remembered, so one pass over the messages tells it."""
    names: tuple[bytes, ...]
    """What the answer to each item is called."""
    kept_as: tuple[str | None, ...]
    """Under which name each is remembered."""
    sections: tuple[Section | None, ...]
    """Those that are not remembered: they may be long, and are sent as they are read."""
    streams: bool
    """There are such."""
    template: bytes
    telling: frozenset[bytes]
    """Header fields that one client alone asks for."""

    @classmethod
    def of(cls, asked: tuple[Item, ...], by_uid: bool) -> Plan:
        """UID FETCH answers the UID, first unless asked for elsewhere (R072, Q-8)."""
        short = sum(len(item.name) for item in asked) <= _REMEMBERED_OCTETS
        return _remembered(asked, by_uid) if short else cls._made(asked, by_uid)

    @classmethod
    def _made(cls, asked: tuple[Item, ...], by_uid: bool) -> Plan:
        if by_uid and Datum.UID not in asked:
            asked = (Datum.UID, *asked)
        sees = any(isinstance(item, Section) and not item.peek for item in asked)
        once = dict.fromkeys(
            replace(item, peek=True) if isinstance(item, Section) else item for item in asked
        )
        items = tuple(once)
        in_memory = IN_MEMORY.issuperset(items)
        kept_as = tuple(cache_name(item) for item in items)
        sections = tuple(
            item if isinstance(item, Section) and kept is None else None
            for item, kept in zip(items, kept_as, strict=True)
        )
        streams = any(sections)
        names = tuple(item.answered_as if isinstance(item, Datum) else item.name for item in items)
        fields = frozenset(f for item in items if isinstance(item, Section) for f in item.fields)
        return cls(
            items,
            by_uid,
            sees,
            _ROWS_IN_MEMORY if in_memory else _ROWS_READ if streams or sees else _ROWS_CACHED,
            in_memory,
            all(needs_head_only(item) for item in items if item not in IN_MEMORY | DETAILS),
            not DETAILS.isdisjoint(items),
            not (streams or (IN_MEMORY | DETAILS).issuperset(items)),
            names,
            kept_as,
            sections,
            streams,
            render.template(names),
            frozenset(TELLING_FIELDS & fields),
        )

    def complete(self, columns: Sequence[Sequence[bytes | None]]) -> bool:
        """Whether no message needs to be opened; sizes and dates alone are no reason to."""
        for item, column in zip(self.items, columns, strict=True):
            if None in column and item not in FACTS:
                return False
        return True


# Clients ask the same again and again, often of one message.
_remembered = lru_cache(maxsize=64)(Plan._made)
_REMEMBERED_OCTETS: Final = 1000


@dataclass(slots=True)
class Progress:
    """How far one FETCH has come: what it answers from, and what went wrong."""

    plan: Plan
    view: View
    enabled: Enabled
    seen: frozenset[int] = frozenset()
    """UIDs of the present batch that got \\Seen by this FETCH."""
    trouble: StoreError | UnknownEncoding | None = field(default=None)

    def row(self, number: int, uid: int, values: Sequence[bytes | None]) -> bytes:
        """One answer without the values that are not known."""
        if not self.seen and None not in values:
            return self.plan.template % (number, *values)
        pairs = [
            b"%b %b" % (name, value)
            for name, value in zip(self.plan.names, values, strict=True)
            if value is not None
        ]
        pairs += self.seen_flags(number, uid)
        return b"* %d FETCH (%b)\r\n" % (number, b" ".join(pairs)) if pairs else b""

    def seen_flags(self, number: int, uid: int) -> list[bytes]:
        """FLAGS, where this FETCH changed them and they were not asked for (R158).

        With CONDSTORE also UID and MODSEQ, as in all that tells of changes (RFC 7162 §3.2.4).
        """
        if uid not in self.seen:
            return []
        told = {
            Datum.UID: b"%d" % uid,
            Datum.FLAGS: flag_list(self.view.flags(number - 1)),
            Datum.MODSEQ: b"(%d)" % self.view.modseq(number - 1),
        }
        if not self.enabled.condstore:
            told = {Datum.FLAGS: told[Datum.FLAGS]}
        items = self.plan.items
        return [b"%b %b" % (item.value, told[item]) for item in told if item not in items]

    def failed(self, uid: int, error: StoreError | UnknownEncoding) -> None:
        """Note that a message could not be read; the command will end with NO (L-27)."""
        if not isinstance(error, MessageGone | UnknownEncoding):
            _log.warning("message %d cannot be read: %s", uid, error)
        if self.trouble is None or isinstance(self.trouble, MessageGone):
            self.trouble = error
