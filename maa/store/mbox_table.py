"""What is where in an mbox file: kept in memory, remembered on disk, brought up to date cheaply.

A *place* is `KEY:NOTES`: a key for as long as the message lives, and what its Status, X-Status
and X-Keywords fields showed when it was seen last. Keys are digests (R238); of messages that are
alike in every octet that counts, the second has `-1` behind it. Where the file begins with UW's
or Pine's own message, that has the empty place: it is no mail.

While the file only grows, just the new part is read: the last known messages are looked at
again, and some others. Otherwise the whole file is. When there is much to read, that is
done before the file is locked, so that no delivery waits for it: what others may be writing just
then, the last message, is left for the time under the lock.
"""

from __future__ import annotations

import json
import logging
import os
import time
import zlib
from array import array
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from maa.store.maildrop import GRANULARITY_NS
from maa.store.mbox_lines import FROM_OCTETS_MAX, File, date_of, read_at
from maa.store.mbox_split import Message, NotMbox, digest, message_at, split
from maa.store.private import open_private
from maa.store.remote import is_remote_device

FORMAT = 3
_TICK_NS: Final = 100 * 10**6
"""Kernels write times of files by their clock's ticks, of 10 ms at most."""
_HEAD_OCTETS_MAX: Final = 1000
_SAMPLES = 16
_NEWEST = 32
_SAVE_AFTER = 500

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """By what a file is known again: if nothing of this changed, nothing in it did."""

    device: int
    inode: int
    octets: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, descriptor: int) -> Seen:
        """The open file as it is now."""
        found = os.fstat(descriptor)
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def is_settled(self) -> bool:
        """Whether no change from now on can leave the file looking as it looks."""
        # Times of whole seconds: perhaps the file system knows no others.
        tick = _TICK_NS if self.changed_ns % 10**9 else GRANULARITY_NS
        return time.time_ns() - self.changed_ns > tick and not is_remote_device(self.device)


class Table:
    """The messages of one mbox in the order of the file; the file is locked while it changes."""

    def __init__(self, saved: str, mboxrd: bool) -> None:
        """`saved`: where it is remembered; that may be lost at any time."""
        self._saved = saved
        self.mboxrd = mboxrd
        self._unsaved = 0
        self.seen: Seen | None = None
        """The file to which all this applies; None: not known."""
        self.proven = False
        """Whether each place is that of what is in the file, as long as the file is as `seen`."""
        self.starts: array[int] = array("q")
        self.places: list[bytes] = []
        self._rearranged = False
        self._told = False
        self._by_key: dict[bytes, int] | None = {}
        """Made when it is first asked for: who only lists the messages needs none."""
        self._alike: dict[bytes, int] = {}
        self._earlier: dict[bytes, list[bytes]] = {}
        """While all is read anew: the keys that alike messages had, in the order of the file."""
        self._spare = b""
        """The key of a message that was read ahead and is to be read again."""
        self._ahead: Seen | None = None
        """As the file was when it was read ahead, if that is enough for `proven`."""

    @property
    def _positions(self) -> dict[bytes, int]:
        if self._by_key is None:
            keys = [place.partition(b":")[0] for place in self.places]
            self._by_key = {key: position for position, key in enumerate(keys)}
        return self._by_key

    def mail(self) -> list[bytes]:
        """The places of all messages, in the order of the file."""
        return self.places[1:] if self.places[:1] == [b""] else self.places[:]

    @property
    def rearranged(self) -> bool:
        """Whether messages are in another order than before (R238); told until the next change."""
        self._told = True
        return self._rearranged

    def position(self, place: bytes) -> int | None:
        """Where in the order of the file a message is, whatever its notes are now."""
        return self._positions.get(place.partition(b":")[0])

    def extent(self, position: int) -> tuple[int, int]:
        """From the message's From_ line to the next."""
        after = position + 1
        seen = 0 if self.seen is None else self.seen.octets
        return self.starts[position], self.starts[after] if after < len(self.starts) else seen

    def free_key(self, known: bytes, taken: Container[bytes] = ()) -> bytes:
        """A key for one more message with this digest; not one of those `taken`."""
        alike = self._alike.get(known, 0)
        while (
            key := known + b"-%d" % alike if alike else known
        ) in self._positions or key in taken:
            alike += 1
        return key

    # --- keeping up

    def unread(self, descriptor: int) -> int:
        """How many octets `catch_up` would have to read, about."""
        now = Seen.of(descriptor)
        return now.octets - self._known(descriptor, now)

    def _known(self, descriptor: int, now: Seen) -> int:
        """How many octets of the file are as the table has them, or as one on disk has them.

        The latter is perhaps another process's of ours, which has just changed the file.
        """
        for load in (self.seen is None, True):
            if load:
                self._load()
            if now == self.seen:
                return now.octets
            if self.seen is not None and self._only_grew(descriptor, self.seen, now):
                return self.seen.octets
        return 0

    def last_seen(self) -> Seen | None:
        """The file as it was seen last, perhaps before this process began; None: not known."""
        if self.seen is None:
            self._load()
        return self.seen

    def is_true(self, descriptor: int, positions: Iterable[int]) -> bool:
        """Whether these messages, and those behind them, are where the table has them."""
        looked = {at for position in positions for at in (position, position + 1)}
        return self.proven or all(
            self._is_as_known(descriptor, at, self.extent(at)[1])
            for at in sorted(looked)
            if at < len(self.places)
        )

    def read_ahead(self, descriptor: int) -> None:
        """Read what is new without a lock, but for the last message. NotMbox."""
        self.catch_up(descriptor, whole=False)

    def reread(self, descriptor: int) -> None:
        """Read all of the file, for something in it is not as it should be. NotMbox."""
        self.seen = Seen(0, 0, 0, 0, 0)
        with suppress(FileNotFoundError):
            os.unlink(self._saved)
        self.catch_up(descriptor)

    def catch_up(self, descriptor: int, whole: bool = True) -> bool:
        """Read what is new in the file; whether anything was. NotMbox."""
        now = Seen.of(descriptor)
        if now == self.seen:
            return False
        if self._told:
            self._rearranged = self._told = False
        grown = self._known(descriptor, now) > 0
        if now == self.seen:
            return True
        known_octets = self.seen.octets if self.seen is not None else 0
        start, key = self._without_last() if grown else (0, None)
        before: dict[bytes, int] = {}
        if not grown:
            before = self._positions
            self._earlier = _alike(before)
            self._clear()
        count = len(self.places)
        self.seen = None  # until it is whole again
        # Of a file that grew nobody looks at all again.
        self.proven = whole and (now == self._ahead or (not grown and now.is_settled()))
        self._ahead = now if not whole and not grown and now.is_settled() else None
        for begin, end in self._read_anew(descriptor, start, known_octets, now.octets):
            for message in split(descriptor, begin, end):
                self._add(descriptor, message, key)
                key = None
        self._earlier = {}
        if not whole and len(self.places) > 1:
            start, self._spare = self._without_last()
            now = replace(now, octets=start)
        self.seen = now
        if not grown and _is_rearranged(before, self._positions):
            self._rearranged = True
        self._unsaved += len(self.places) - count if grown else _SAVE_AFTER + 1
        if whole and self._unsaved > _SAVE_AFTER:
            self.save()
        return True

    @staticmethod
    def _read_anew(descriptor: int, start: int, known: int, stop: int) -> list[tuple[int, int]]:
        """What is to be split. A message that was whole does not grow over a new From_ line.

        Its Content-Length may say so: its sender wrote that before the next one was delivered.
        """
        if (
            start < known < stop
            and date_of(read_at(descriptor, known, FROM_OCTETS_MAX)) is not None
        ):
            return [(start, known), (known, stop)]
        return [(start, stop)]

    def _only_grew(self, descriptor: int, seen: Seen, now: Seen) -> bool:
        """Whether the file is what it was, with something behind it."""
        if not self.places or (seen.device, seen.inode) != (now.device, now.inode):
            return False
        if now.octets <= seen.octets:
            return False
        if not self._is_as_known(descriptor, len(self.places) - 1, now.octets):
            return False
        return all(
            self._is_as_known(descriptor, position, self.extent(position)[1])
            for position in self._samples()
        )

    def _samples(self) -> Iterable[int]:
        """Which ones are looked at again: the newest, which programs change most, and others."""
        last = len(self.places) - 1
        step = max(1, last // _SAMPLES)
        newest = max(0, last - _NEWEST)
        return (*range(newest, last), *range(int.from_bytes(os.urandom(2)) % step, newest, step))

    def _is_as_known(self, descriptor: int, position: int, stop: int) -> bool:
        """Whether a message is where it was, with the notes that it had."""
        place = self.places[position]
        try:
            if stop == self.extent(position)[1]:
                message = message_at(descriptor, self.starts[position], stop)
            else:
                message = next(split(descriptor, self.starts[position], stop))
        except NotMbox:
            return False
        if not place:
            return message.is_pseudo
        known, _, notes = place.partition(b":")
        same = digest(descriptor, message, self.mboxrd) == known.partition(b"-")[0]
        return same and message.notes == notes

    def _clear(self) -> None:
        self.starts = array("q")
        self.places = []
        self._by_key = {}
        self._alike = {}

    def _without_last(self) -> tuple[int, bytes]:
        """Forget the last message, which is read again with what follows; its start and key."""
        key = self.places.pop().partition(b":")[0]
        if self._by_key is not None:
            self._by_key.pop(key, None)
        return self.starts.pop(), key

    def _add(self, descriptor: int, message: Message, key: bytes | None) -> None:
        if message.start == 0 and message.is_pseudo:
            self._append(message.start, b"")
            return
        if key is None:
            known = digest(descriptor, message, self.mboxrd)
            earlier = self._earlier.get(known)
            if earlier:
                key = earlier.pop(0)
            spare = self._spare.partition(b"-")[0] == known and self._spare not in self._positions
            key = key or (self._spare if spare else self.free_key(known))
        self._append(message.start, key + b":" + message.notes)

    def _append(self, start: int, place: bytes) -> None:
        key = place.partition(b":")[0]
        if b"-" in key:
            known, _, alike = key.partition(b"-")
            self._alike[known] = max(self._alike.get(known, 0), int(alike) + 1)
        if self._by_key is not None:
            self._by_key[key] = len(self.places)
        self.places.append(place)
        self.starts.append(start)

    def _fill(self, starts: array[int], places: list[bytes]) -> None:
        self._clear()
        self.starts, self.places = starts, places
        self._by_key = None

    # --- our own changes

    def appended(self, descriptor: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """Messages (start, place) were added at the end by our own hand."""
        for start, place in rows:
            self._append(start, place)
        self.seen = Seen.of(descriptor)
        self.proven = False
        self._unsaved += len(rows)
        if self._unsaved > _SAVE_AFTER:
            self.save()

    def removed(self, descriptor: int, positions: Sequence[int]) -> None:
        """Messages were cut out of the file by our own hand; ascending positions."""
        gone = set(positions)
        starts, places = array("q"), []
        moved = 0
        for position, (start, place) in enumerate(zip(self.starts, self.places, strict=True)):
            if position in gone:
                moved += self.extent(position)[1] - start
            else:
                starts.append(start - moved)
                places.append(place)
        self._fill(starts, places)
        self.seen = Seen.of(descriptor)
        self.proven = False
        self.save()

    # --- remembered on disk

    @property
    def _form(self) -> int:
        """Says what the keys are of, too."""
        return -FORMAT if self.mboxrd else FORMAT

    def save(self) -> None:
        """Remember it; when that cannot be done, the file will be read again."""
        if self.seen is None:
            return
        self._unsaved = 0
        seen = self.seen
        head = [self._form, seen.device, seen.inode, seen.octets, seen.modified_ns, seen.changed_ns]
        new = self._saved + ".new"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
                starts, places = self.starts.tobytes(), b"\n".join(self.places)
                crc = zlib.crc32(places, zlib.crc32(starts))
                head += [len(self.places), crc]
                file.write(json.dumps(head).encode("ascii") + b"\n" + starts + places)
            os.replace(new, self._saved)
        except FileNotFoundError:
            return  # another process was faster: what it wrote is there
        except OSError as error:
            _log.warning("%s cannot be written: %s", self._saved, error)

    def _load(self) -> None:
        with suppress(OSError, ValueError, TypeError):
            with os.fdopen(open_private(self._saved), "rb") as file:
                form, *known, count, crc = json.loads(file.readline(_HEAD_OCTETS_MAX))
                starts = file.read(8 * min(count, os.fstat(file.fileno()).st_size))
                rest = file.read()
            places = rest.split(b"\n") if count else []
            if form != self._form or crc != zlib.crc32(rest, zlib.crc32(starts)):
                return
            if len(starts) != 8 * count or len(places) != count:
                return
            self._fill(array("q", starts), places)
            self.seen = Seen(*known)
            self.proven = False


def _alike(before: dict[bytes, int]) -> dict[bytes, list[bytes]]:
    """By digest the keys, in order, where not each message has its digest alone."""
    found: dict[bytes, list[bytes]] = {key.partition(b"-")[0]: [] for key in before if b"-" in key}
    if found:
        for key in sorted(before, key=before.__getitem__):
            known = key.partition(b"-")[0]
            if known in found:
                found[known].append(key)
    return found


def _is_rearranged(before: dict[bytes, int], now: dict[bytes, int]) -> bool:
    """Whether what both have is in another order; both are in their own order."""
    old = [before[key] for key in now if key in before] if before else []
    return any(map(int.__gt__, old, old[1:]))


def verified(
    file: File, start: int, stop: int, place: bytes, mboxrd: bool, proven: bool = False
) -> Message | None:
    """The message at its place; None when another is there. `proven`: `Table.proven`."""
    try:
        message = message_at(file, start, stop)
    except ValueError:
        return None
    known = place.partition(b":")[0].partition(b"-")[0]
    return message if proven or digest(file, message, mboxrd) == known else None
