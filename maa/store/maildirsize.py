"""The file `maildirsize` of a Maildir++: the owner's quota, and what those who keep to it count.

maildrop, deliverquota and Courier refuse deliveries by it (README.maildirquota of theirs). Its
first line is the quota, `10000000S,1000C`; each further one is a change, octets and messages,
and the sum of them is what is there. Whoever adds or removes messages appends a line. When the
file is 5,120 octets long, or the sum is above the quota, they count anew and replace it.

maa reads the quota, where the configuration leaves it to the file, and appends lines for what
its clients add and remove, so that the others' sums stay right. It never makes, rewrites or
removes the file, and does not need the sums: it counts for itself (`maa.store.census`).

As the others do by default, the folder Trash and messages whose names have the letter T (marked
as deleted) count for nothing here. All of it is between programs that trust each other: a line
is lost when a process is killed in between, and the next count mends that.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Iterable
from typing import Final

from maa.limits import Limits, Usage

NAME: Final = "maildirsize"
LONG_OCTETS: Final = 5120
"""A file of this length is counted anew by whoever reads it."""
_TRASH: Final = "/.Trash"
_QUOTA: Final = re.compile(rb"([0-9]{1,18})([A-Z])")
_SIZE: Final = re.compile(rb",S=([0-9]{1,15})(?=[,:]|\Z)")
_LAST_SIZE: Final = re.compile(rb",S=[0-9]+\Z")
_FLAGS: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_log = logging.getLogger(__name__)


def named_octets(place: bytes) -> int | None:
    """Octets of a message as the name of its file has them, `...,S=1234`; None: it has not."""
    found = _SIZE.search(place)
    return None if found is None else int(found[1])


def sized(key: bytes, octets: int | None) -> bytes:
    """A name with the size of the message, as Maildir++ has it, so that nobody need look."""
    return key if octets is None else b"%b,S=%d" % (key, octets)


def unsized(key: bytes) -> bytes:
    """A name without it: so we call a message in `tmp`, where its size is not known yet."""
    return _LAST_SIZE.sub(b"", key)


class Maildirsize:
    """The file in one Maildir++, by the path of that Maildir. Used as its owner; may block."""

    def __init__(self, root: str) -> None:
        self._path = os.path.join(root, NAME)

    def there(self) -> bool:
        """Whether anybody counts here."""
        try:
            return stat.S_ISREG(os.lstat(self._path).st_mode)
        except OSError:
            return False

    def limits(self) -> Limits:
        """The quota on the first line; no limits where there is no such file or line."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            return Limits()
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
            return Limits()
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Limits()
            line = os.read(descriptor, LONG_OCTETS).partition(b"\n")[0]
        finally:
            os.close(descriptor)
        found: dict[bytes, int] = {}
        for part in line.split(b","):
            match = _QUOTA.fullmatch(part.strip())
            if match is not None:  # other kinds are none of ours
                found[match[2]] = int(match[1])
        # To the others 0 is no limit.
        return Limits(found.get(b"S") or None, found.get(b"C") or None)

    def add(self, change: Usage) -> None:
        """Append what was added (or, negative, removed); whatever fails is the next count's."""
        if change == Usage():
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | _FLAGS)
        except FileNotFoundError:
            return
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
            return
        try:
            found = os.fstat(descriptor)
            # One that nobody counts anew any more is not to grow for ever.
            if stat.S_ISREG(found.st_mode) and found.st_size < LONG_OCTETS:
                os.write(descriptor, b"%12d %12d\n" % (change.octets, change.messages))
        except OSError as error:
            _log.warning("%s: %s", self._path, error)
        finally:
            os.close(descriptor)


Weighed = tuple[bytes, int]
"""A message: its place, and its octets."""


class Share:
    """What one Maildir's messages add to the `maildirsize` of its Maildir++."""

    def __init__(self, maildir: str, root: str) -> None:
        """`root`: the Maildir++ in which this Maildir is a folder, or which it is itself."""
        self.file = Maildirsize(root)
        self._root = root
        self.counts = maildir != root + _TRASH
        """Whether anything in this Maildir counts at all."""

    def note(self, added: Iterable[Weighed] = (), removed: Iterable[Weighed] = ()) -> None:
        """Messages came or went by our hand."""
        self.file.add(self._weight(added) - self._weight(removed))

    def note_moved(self, source: Share, before: Iterable[Weighed], now: Iterable[Weighed]) -> None:
        """Messages came from another Maildir, perhaps of the same Maildir++."""
        if source._root != self._root:
            source.note(removed=before)
            self.note(added=now)
        else:
            self.file.add(self._weight(now) - source._weight(before))

    def _weight(self, messages: Iterable[Weighed]) -> Usage:
        counted = [octets for place, octets in messages if self.counts and not deleted(place)]
        return Usage(sum(counted), len(counted))


def deleted(place: bytes) -> bool:
    """Whether the file's name says that the message is marked as deleted."""
    return b"T" in place.partition(b":2,")[2].partition(b",")[0]
