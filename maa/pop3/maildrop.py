"""What a POP3 session knows of its mailbox: fixed at login, and marked by DELE (RFC 1939 §5).

Messages are numbered 1 to n from one view of the mailbox, which is never refreshed (R202). Sizes
come from the index; the first session that meets a new message reads it once, to learn its
size and whether its header has an end (Q-5): of messages that were looked at, up to which UID,
one short note is kept in the cache and in memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from maa.conversation import SLOW, Step
from maa.message.octets import HEADER_OCTETS_MAX, Wire, WireBytes
from maa.pop3.sending import BLANK_LINE_OCTETS, counted_octets, counted_octets_of
from maa.pop3.wire import Mistake, Refused
from maa.store.errors import MessageGone, StoreError

if TYPE_CHECKING:
    from maa.store.mailbox import Mailbox

AHEAD_OCTETS: Final = 256 * 1024
"""RETR of one message after the other: how much is read at once, in one visit to a thread."""
AT_ONCE: Final = 256
_NOTE: Final = "pop3-unended/1"
_NOTE_UID: Final = 0
"""No message has this UID: under it the cache keeps the note for the mailbox as a whole."""


@dataclass(frozen=True, slots=True)
class _Note:
    """Which headers have no blank line behind them."""

    upto: int = 0
    """Messages up to this UID were looked at."""
    unended: frozenset[int] = frozenset()

    def pack(self) -> bytes:
        return b" ".join(b"%d" % uid for uid in (self.upto, *sorted(self.unended)))

    @classmethod
    def unpack(cls, data: bytes) -> _Note:
        upto, *unended = map(int, data.split())
        return cls(upto, frozenset(unended))


# Derived data of mailboxes in memory, shared by all sessions; gone when its mailbox is.
_notes: WeakKeyDictionary[Mailbox, _Note] = WeakKeyDictionary()


class Maildrop:
    """One session's messages."""

    def __init__(self, mailbox: Mailbox) -> None:
        """The messages there are now."""
        self.mailbox = mailbox
        self.view = mailbox.view(claim_recent=False)
        self.uids = self.view.uids
        self.deleted: set[int] = set()
        """Positions marked by DELE."""
        self.sent: set[int] = set()
        """Positions that RETR sent."""
        self._sizes: array[int] | None = None
        self._gone: set[int] = set()
        self._ahead: dict[int, Wire | StoreError] = {}
        self._next = 0

    def position(self, number: int) -> int:
        """The position of a message number; Refused when there is none, or it is deleted."""
        if not 1 <= number <= len(self.uids):
            raise Mistake("no such message")
        if number - 1 in self.deleted:
            raise Refused("the message is marked as deleted")
        return number - 1

    # Sizes

    def sizes(self) -> Generator[Step, None, array[int]]:
        """Octets of each message as RETR sends them, without stuffing and final dot (R203)."""
        if self._sizes is not None:
            return self._sizes
        sizes = array("q", self.view.snapshot.sizes)
        note = _notes.get(self.mailbox)
        if note is None:
            yield SLOW
            kept = self.mailbox.cached(_NOTE, (_NOTE_UID,)).get(_NOTE_UID)
            note = _notes[self.mailbox] = _Note.unpack(kept) if kept else _Note()
        if len(self.uids) and (note.upto < self.uids[-1] or -1 in sizes):
            note = yield from self._looked(sizes, note)
        for uid in note.unended:
            position = self.view.snapshot.position(uid)
            if position is not None:
                sizes[position] += BLANK_LINE_OCTETS
        self._sizes = sizes
        return sizes

    def _looked(self, sizes: array[int], note: _Note) -> Generator[Step, None, _Note]:
        """Fill in what is unknown, reading each message once; a header only where that does."""
        positions = range(len(self.uids))
        unread = [p for p in positions if sizes[p] < 0]
        unlooked = [p for p in positions if sizes[p] >= 0 and self.uids[p] > note.upto]
        unended: set[int] = set()
        at = 0
        while at < len(unread):
            yield SLOW
            found = self.mailbox.read([self.uids[p] for p in unread[at : at + AT_ONCE]])
            for position, (uid, wire) in zip(unread[at:], found, strict=False):
                if isinstance(wire, StoreError):
                    sizes[position] = 0
                    continue
                sizes[position] = wire.size
                if counted_octets_of(wire):
                    unended.add(uid)
                wire.close()
            at += len(found)
        at = 0
        while at < len(unlooked):
            yield SLOW
            heads = self.mailbox.heads([self.uids[p] for p in unlooked[at : at + AT_ONCE]])
            for uid, head in heads:
                whole = not isinstance(head, StoreError) and len(head) < HEADER_OCTETS_MAX
                if whole and counted_octets(head):  # type: ignore[arg-type]  # not an error
                    unended.add(uid)
            at += len(heads)
        yield SLOW
        alive = (uid for uid in note.unended if self.mailbox.snapshot.position(uid) is not None)
        note = _Note(max(note.upto, self.uids[-1]), frozenset(alive) | unended)
        self.mailbox.remember(_NOTE, {_NOTE_UID: note.pack()})
        _notes[self.mailbox] = note
        return note

    # Messages

    def read(self, position: int) -> Generator[Step, None, Wire]:
        """The message; close it. Whoever asks for one after the other finds the next read."""
        in_order = position == self._next
        self._next = position + 1
        found = self._ahead.pop(position, None)
        if found is None:
            self._drop_ahead()
            yield SLOW
            self._read_ahead(position, in_order)
            found = self._ahead.pop(position)
        if isinstance(found, StoreError):
            raise self._failed(position, found)
        return found

    def head(self, position: int) -> Generator[Step, None, bytes]:
        """The header, and no more read than that (Q-40)."""
        yield SLOW
        ((_, head),) = self.mailbox.heads([self.uids[position]])
        if isinstance(head, StoreError):
            raise self._failed(position, head)
        return head

    def _read_ahead(self, position: int, in_order: bool) -> None:
        wanted = [position]
        if in_order:
            rest = range(position + 1, min(position + AT_ONCE, len(self.uids)))
            wanted += [p for p in rest if p not in self.deleted]
        octets = at = 0
        while at < len(wanted) and octets < AHEAD_OCTETS:
            found = self.mailbox.read([self.uids[p] for p in wanted[at:]])
            for place, (_, wire) in zip(wanted[at:], found, strict=False):
                self._ahead[place] = wire
                # An open file, or a failure, is enough for now.
                octets += wire.size if isinstance(wire, WireBytes) else AHEAD_OCTETS
            at += len(found)

    def _failed(self, position: int, error: StoreError) -> StoreError:
        if isinstance(error, MessageGone):
            if position in self._gone:
                # Asked again and again otherwise: some clients never give up.
                return Vanished(str(error))
            self._gone.add(position)
        return error

    def _drop_ahead(self) -> None:
        for wire in self._ahead.values():
            if not isinstance(wire, StoreError):
                wire.close()
        self._ahead.clear()

    def close(self) -> None:
        """Give open files back."""
        self._drop_ahead()


class Vanished(MessageGone):
    """A message that the client was told is gone, and asks for again (Q-38)."""
