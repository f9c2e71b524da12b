"""A batch of a FETCH for which messages must be opened: one after the other, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from maa.conversation import CLOSE, SLOW, Step
from maa.imap import render
from maa.imap.binary import BINARY, Decoded, Measures
from maa.imap.columns import Batch, Column, shown_facts
from maa.imap.fetch_items import Datum, Item, Section
from maa.imap.plan import FACTS, Progress
from maa.imap.sections import (
    STRUCTURE,
    VALUE_OCTETS_MAX,
    Content,
    from_cache,
    packed_parts,
)
from maa.message.decoding import UnknownEncoding
from maa.message.octets import CHUNK, Wire, WireBytes, without_nul
from maa.store.errors import StoreError, Unavailable
from maa.store.mailbox import Mailbox

_HEADS_AT_ONCE: Final = 64
_AHEAD_OCTETS: Final = 4 * render.PIECE_OCTETS
"""Of small messages so much is read before it is sent: changing threads takes time, too."""
_WORK_OCTETS: Final = 2 << 20
"""Of messages in memory so much is looked through before others may have the thread."""

Value = bytes | range | tuple[int, bool, Decoded] | None
"""Octets that are ready, a range of the message, or decoded octets with their `Measure`."""


class OneByOne:
    """The answers of one batch, in order; messages that the columns know fully stay closed."""

    def __init__(
        self, mailbox: Mailbox, progress: Progress, batch: Batch, columns: Sequence[Column]
    ) -> None:
        self._mailbox = mailbox
        self._progress = progress
        self._plan = progress.plan
        self._items = progress.plan.items
        self._batch = batch
        self._rows = list(zip(batch.numbers, batch.uids, zip(*columns, strict=True), strict=True))
        self._wants_parts = any(section and section.path for section in self._plan.sections)
        self._wants_decoded = any(section and section.decoded for section in self._plan.sections)
        self._needed = [uid for _, uid, values in self._rows if self._lacks(values)]
        self._closed = frozenset(batch.uids).difference(self._needed)
        self._opened: list[tuple[int, Wire | StoreError]] = []
        self._structures: dict[int, bytes] = {}
        self._measures = Measures({})
        self._fresh: defaultdict[str, dict[int, bytes]] = defaultdict(dict)
        self._out: list[bytes] = []
        self._octets = 0
        self._work = 0
        """Octets looked through since the last SLOW, at most."""
        self._blocking = True
        """Since the last SLOW nothing was yielded: whatever comes next may block."""

    def answer(self) -> Iterator[Step]:
        """The FETCH responses; goes on from a SLOW."""
        if self._wants_parts:
            self._structures = self._mailbox.cached(STRUCTURE, self._needed)
        if self._wants_decoded:
            self._measures = Measures(self._mailbox.cached(BINARY, self._needed))
        self._learn_facts()
        try:
            for number, uid, values in self._rows:
                if uid in self._closed:
                    self._put(self._progress.row(number, uid, self._with_facts(values, uid)))
                else:
                    yield from self._opening(uid)
                    yield from self._message(number, uid, values, self._opened[0][1])
                    self._close(1)
                if self._octets >= _AHEAD_OCTETS:
                    yield from self._flush()
            yield from self._flush()
        finally:
            self._close(len(self._opened))
        for uid, measures in self._measures.fresh.items():
            self._keep(BINARY, uid, measures)
        if self._fresh:
            yield SLOW
            for item, derived in self._fresh.items():
                self._mailbox.remember(item, derived)

    def _lacks(self, values: Sequence[bytes | None]) -> bool:
        """Whether the message must be read; for size and date alone others see to it."""
        if None not in values:
            return False
        for item, value in zip(self._items, values, strict=True):
            if value is None and item not in FACTS:
                return True
        return False

    # --- messages

    def _opening(self, uid: int) -> Iterator[Step]:
        """Make sure that this message, and some that follow, are open."""
        if self._opened:
            return
        if not self._blocking:
            yield from self._flush()
            yield from self._slow()
        wanted = self._needed[self._needed.index(uid) :]
        if self._progress.plan.head_only:
            heads = self._mailbox.heads(wanted[:_HEADS_AT_ONCE])
            self._opened = [
                (uid, head if isinstance(head, StoreError) else WireBytes(head))
                for uid, head in heads
            ]
        else:
            self._opened = list(self._mailbox.read(wanted))

    def _close(self, count: int) -> None:
        for _, wire in self._opened[:count]:
            if not isinstance(wire, StoreError):
                wire.close()
        del self._opened[:count]

    def _message(
        self, number: int, uid: int, values: Sequence[bytes | None], wire: Wire | StoreError
    ) -> Iterator[Step]:
        if isinstance(wire, StoreError):
            self._progress.failed(uid, wire)
            self._put(self._progress.row(number, uid, self._without_content(values)))
            return
        structure = self._structures.get(uid)
        content = Content(wire, packed_parts(structure))
        in_memory = isinstance(wire, WireBytes) and wire.size * len(self._items) <= _AHEAD_OCTETS
        if self._plan.streams or not in_memory:
            yield from self._item_by_item(number, uid, values, content)
        else:
            full = [
                self._ready(item, kept_as, uid, content) if value is None else value
                for item, kept_as, value in zip(
                    self._items, self._plan.kept_as, values, strict=True
                )
            ]
            self._put(self._progress.row(number, uid, full))
        if content.is_scanned and self._wants_parts:
            self._keep(STRUCTURE, uid, content.structure())

    def _item_by_item(
        self, number: int, uid: int, values: Sequence[bytes | None], content: Content
    ) -> Iterator[Step]:
        """The answer about a message whose sections may be long."""
        wire = content.wire
        on_disk = not isinstance(wire, WireBytes)
        before = b"* %d FETCH (" % number
        plan = self._plan
        columns = (plan.items, plan.names, plan.kept_as, plan.sections, values)
        for item, name, kept_as, section, known in zip(*columns, strict=True):
            # One command may ask for hundreds of sections, each as long as the message.
            if on_disk or self._octets >= _AHEAD_OCTETS or self._work >= _WORK_OCTETS:
                yield from self._flush()
                yield from self._slow()
            value: Value = known
            if value is None:
                self._work += wire.size
            if value is None and section is not None:
                value = self._section(section, uid, content)
            elif value is None:
                value = self._ready(item, kept_as, uid, content)
            if value is None:
                continue
            self._put(b"%b%b " % (before, name))
            before = b" "
            if isinstance(value, range):
                yield from self._stream(uid, wire, value)
            elif isinstance(value, tuple):
                octets, nul, decoded = value
                self._put(render.binary_start(octets, nul))
                yield from self._pieces(uid, decoded.promised(octets), on_disk=True)
            else:
                self._put(value)
        for flags in self._progress.seen_flags(number, uid):
            self._put(b"%b%b" % (before, flags))
            before = b" "
        if before == b" ":
            self._put(b")\r\n")

    def _without_content(self, values: Sequence[bytes | None]) -> list[bytes | None]:
        """NIL for sections that cannot be read (R159)."""
        return [
            b"NIL" if value is None and isinstance(item, Section) and not item.size else value
            for item, value in zip(self._items, values, strict=True)
        ]

    def _learn_facts(self) -> None:
        """Have sizes and dates of the messages that stay closed in memory; may block."""
        closed = [uid for _, uid, values in self._rows if None in values and uid in self._closed]
        if closed:
            self._mailbox.sizes(closed)
            self._mailbox.internal_dates(closed)

    def _with_facts(self, values: Sequence[bytes | None], uid: int) -> Sequence[bytes | None]:
        """The values with size and date of a message that stays closed, from memory."""
        if None not in values:
            return values
        return [
            self._fact(item, uid) if value is None and isinstance(item, Datum) else value
            for item, value in zip(self._items, values, strict=True)
        ]

    def _fact(self, item: Item, uid: int) -> bytes | None:
        """Size or date as far as it is in memory; opening a message makes both known."""
        snapshot = self._mailbox.snapshot
        position = snapshot.position(uid)
        if position is None or item not in FACTS:
            return None
        facts = snapshot.sizes if item is Datum.SIZE else snapshot.dates
        assert isinstance(item, Datum)
        return shown_facts(facts[position : position + 1], item)[0]

    # --- values

    def _ready(self, item: Item, kept_as: str | None, uid: int, content: Content) -> bytes | None:
        """A value that is derived and remembered, a size or a date; None when it isn't known."""
        if kept_as is None:
            return self._fact(item, uid)
        try:
            derived = content.derived(item)
        except OSError as error:
            self._progress.failed(uid, Unavailable(str(error)))
            return None if isinstance(item, Datum) else b"NIL"
        self._keep(kept_as, uid, derived)
        return from_cache(item, derived)

    def _section(self, section: Section, uid: int, content: Content) -> Value:
        """A section's octets as a literal, or their range in the message; NIL if there is none."""
        try:
            if section.decoded:
                return self._binary(section, uid, content)
            found = content.section(section)
        except OSError as error:
            self._progress.failed(uid, Unavailable(str(error)))
            return None if section.size else b"NIL"
        except UnknownEncoding as error:
            self._progress.failed(uid, error)
            return None if section.size else b"NIL"
        if found is None:
            return b"NIL"
        return render.literal(found) if isinstance(found, bytes) else found

    def _binary(self, section: Section, uid: int, content: Content) -> Value:
        """A few decoded octets, or what must be said of many and these; or only their number."""
        found = content.decoded(section)
        if found is None:
            return b"0" if section.size else b"NIL"
        if found.short and not section.size:
            return render.binary(b"".join(found.pieces()))
        octets, nul = found.measured(uid, section.path, self._measures)
        if section.size:
            return b"%d" % octets
        return (octets, nul, found) if octets else b'""'

    def _keep(self, item: str, uid: int, value: bytes) -> None:
        if len(value) <= VALUE_OCTETS_MAX:
            self._fresh[item][uid] = value

    def _stream(self, uid: int, wire: Wire, span: range) -> Iterator[Step]:
        """A range of the message as a literal; of a large file chunk by chunk."""
        if len(span) <= CHUNK and isinstance(wire, WireBytes):
            self._put(render.literal(wire.slice(span.start, span.stop)))
            return
        if not span:
            self._put(render.literal(b""))
            return
        self._put(b"{%d}\r\n" % len(span))
        pieces = map(without_nul, wire.chunks(span.start, span.stop))
        yield from self._pieces(uid, pieces, on_disk=not isinstance(wire, WireBytes))

    def _pieces(self, uid: int, pieces: Iterator[bytes], on_disk: bool) -> Iterator[Step]:
        """The octets of a literal whose length has been said."""
        while True:
            yield from self._flush()
            if on_disk:
                yield from self._slow()
            try:
                piece = next(pieces, None)
            except OSError as error:
                # The literal's length was promised: nothing but the end of the link is true now.
                self._progress.failed(uid, Unavailable(str(error)))
                yield CLOSE
                raise Unavailable(str(error)) from error
            if piece is None:
                return
            self._put(piece)

    # --- octets on their way

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        self._octets += len(data)

    def _flush(self) -> Iterator[bytes]:
        if self._out:
            out, self._out, self._octets = self._out, [], 0
            self._blocking = False
            yield from render.pieces(out)

    def _slow(self) -> Iterator[Step]:
        yield SLOW
        self._blocking = True
        self._work = 0
