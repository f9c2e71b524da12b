"""What is where in an mbox file: kept in memory, remembered on disk, brought up to date cheaply.

A *place* is `KEY:LETTERS`: a key for as long as the message lives, and what its Status and
X-Status fields showed when it was seen last. Keys are digests (R238); of messages that are
alike in every octet that counts, the second has `-1` behind it. Where the file begins with UW's
or Pine's own message, that has the empty place: it is no mail.

While the file only grows, just the new part is read: the last known message is looked at again,
and some others where they were. Otherwise the whole file is.
"""

from __future__ import annotations

import json
import logging
import os
import zlib
from array import array
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass

from maa.store.mbox_split import File, Message, NotMbox, digest, message_at, read_at, split

FORMAT = 2
_SAMPLES = 16
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


class Table:
    """The messages of one mbox in the order of the file; the file is locked while it changes."""

    def __init__(self, saved: str) -> None:
        """`saved`: where it is remembered; that may be lost at any time."""
        self._saved = saved
        self._unsaved = 0
        self.seen: Seen | None = None
        """The file to which all this applies; None: not known."""
        self.starts: array[int] = array("q")
        self.places: list[bytes] = []
        self._positions: dict[bytes, int] = {}
        self._alike: dict[bytes, int] = {}

    def position(self, place: bytes) -> int | None:
        """Where in the order of the file a message is, whatever its letters are now."""
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

    def catch_up(self, descriptor: int) -> bool:
        """Read what is new in the file; whether anything was. NotMbox."""
        now = Seen.of(descriptor)
        if now == self.seen:
            return False
        if self.seen is None:
            self._load()
        if now == self.seen:
            return True
        grown = self._only_grew(descriptor, now)
        start, key = self._without_last() if grown else (0, None)
        if not grown:
            self._clear()
        count = len(self.places)
        self.seen = None  # until it is whole again
        for message in split(descriptor, start, now.octets):
            self._add(descriptor, message, key)
            key = None
        self.seen = now
        self._unsaved += len(self.places) - count
        if not grown or self._unsaved > _SAVE_AFTER:
            self.save()
        return True

    def _only_grew(self, descriptor: int, now: Seen) -> bool:
        """Whether the file is what it was, with something behind it."""
        seen = self.seen
        if seen is None or not self.places or (seen.device, seen.inode) != (now.device, now.inode):
            return False
        if now.octets <= seen.octets:
            return False
        step = max(1, len(self.starts) // _SAMPLES)
        if any(read_at(descriptor, start, 5) != b"From " for start in self.starts[::step]):
            return False
        try:
            message = next(split(descriptor, self.starts[-1], now.octets))
        except NotMbox:
            return False
        place = self.places[-1]
        if not place:
            return message.is_pseudo
        known, _, letters = place.partition(b":")
        same = digest(descriptor, message) == known.partition(b"-")[0]
        return same and message.letters == letters

    def _clear(self) -> None:
        self.starts = array("q")
        self.places = []
        self._positions = {}
        self._alike = {}

    def _without_last(self) -> tuple[int, bytes]:
        """Forget the last message, which is read again with what follows; its start and key."""
        key = self.places.pop().partition(b":")[0]
        self._positions.pop(key, None)
        return self.starts.pop(), key

    def _add(self, descriptor: int, message: Message, key: bytes | None) -> None:
        if message.start == 0 and message.is_pseudo:
            self._append(message.start, b"")
            return
        if key is None:
            key = self.free_key(digest(descriptor, message))
        self._append(message.start, key + b":" + message.letters)

    def _append(self, start: int, place: bytes) -> None:
        key = place.partition(b":")[0]
        if b"-" in key:
            known, _, alike = key.partition(b"-")
            self._alike[known] = max(self._alike.get(known, 0), int(alike) + 1)
        self._positions[key] = len(self.places)
        self.places.append(place)
        self.starts.append(start)

    def _fill(self, starts: array[int], places: list[bytes]) -> None:
        self._clear()
        self.starts, self.places = starts, places
        keys = [place.partition(b":")[0] for place in places]
        self._positions = {key: position for position, key in enumerate(keys)}

    # --- our own changes

    def appended(self, descriptor: int, rows: Sequence[tuple[int, bytes]]) -> None:
        """Messages (start, place) were added at the end by our own hand."""
        for start, place in rows:
            self._append(start, place)
        self.seen = Seen.of(descriptor)
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
        self.save()

    # --- remembered on disk

    def save(self) -> None:
        """Remember it; when that cannot be done, the file will be read again."""
        if self.seen is None:
            return
        self._unsaved = 0
        seen = self.seen
        head = [FORMAT, seen.device, seen.inode, seen.octets, seen.modified_ns, seen.changed_ns]
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
            with open(self._saved, "rb") as file:
                form, *known, count, crc = json.loads(file.readline())
                starts, rest = file.read(8 * count), file.read()
            places = rest.split(b"\n") if count else []
            if form != FORMAT or crc != zlib.crc32(rest, zlib.crc32(starts)):
                return
            if len(starts) != 8 * count or len(places) != count:
                return
            self._fill(array("q", starts), places)
            self.seen = Seen(*known)


def verified(file: File, start: int, stop: int, place: bytes) -> Message | None:
    """The message at its place; None when another is there."""
    try:
        message = message_at(file, start, stop)
    except ValueError:
        return None
    known = place.partition(b":")[0].partition(b"-")[0]
    return message if digest(file, message) == known else None
