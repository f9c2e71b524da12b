"""A Maildir as qmail, Postfix, procmail and maildrop fill it (maildir(5)).

A place is the path below the Maildir, `cur/KEY:2,FLAGS` or `new/KEY`. The key is the file's
base name, which no program changes. Files are never written to once they are delivered.
Whatever is not a regular file (a FIFO, a symlink, a directory) is no message: it is not even
opened, so that it can hold nobody up and lead nowhere.

procmail told to deliver into `Maildir/new`, as if that were an MH folder, makes `msg.INODE` there
and writes afterwards; and the next message may have that inode, and so that name, again (L-23).
Who restores mail by cp(1) writes in place, too. So a file counts as arrived when nobody has it
open for writing, and under a name that may come again the date tells one message from another.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Final

from maa.message.flags import NONE, Flags, from_letters, to_letters
from maa.message.octets import SMALL
from maa.store.directories import flush_directory, rename_exclusively, store_error, translated
from maa.store.errors import MessageGone, StoreError, Unavailable
from maa.store.maildir_arriving import INFO, MaildirArriving, settled_place, unique_name
from maa.store.maildirsize import Share, Weighed, deleted, named_octets, sized, unsized
from maa.store.maildrop import Arrival, Maildrop, Removal, Scan
from maa.store.writers import is_being_written, is_recent, is_whole

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_LINK = (errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP)
# Seconds, and microseconds behind an M, as qmail's successors name deliveries.
_DELIVERED = re.compile(rb"[a-z]+/([0-9]{1,18})\.(?:[^:]*?M([0-9]{1,18}))?")
_LOOKED_AT_MAX: Final = 1000
_log = logging.getLogger(__name__)


class Maildir:
    """`maa.store.maildrop.Maildrop` on a Maildir."""

    only = ""
    verbatim = True

    def __init__(self, path: str, share: Share | None = None) -> None:
        """Use the Maildir at an absolute path; it need not exist yet.

        `share`: other programs may want to be told of what comes and goes.
        """
        self.path = path
        self._share = share
        self._root = os.fsencode(path) + b"/"
        self._written: dict[bytes, int] = {}
        """When files whose names may come again were written, in nanoseconds, by key."""

    @staticmethod
    def create(path: str) -> None:
        """Make the directories that are missing; Unavailable, NoSpace."""
        with translated(path):
            for name in ("", "tmp", "new", "cur"):
                with suppress(FileExistsError):
                    os.mkdir(os.path.join(path, name), 0o700)

    def watched(self) -> Sequence[str]:
        """`new` and `cur`."""
        return (f"{self.path}/new", f"{self.path}/cur")

    def scan(self, arrivals_only: bool = False) -> Scan:
        """List `new`, and `cur` unless only arrivals are asked for."""
        places: list[bytes] = []
        # new before cur: a message that another program moves meanwhile is seen in one at least.
        for name in (b"new",) if arrivals_only else (b"new", b"cur"):
            with translated(self.path), os.scandir(self._root + name) as entries:
                prefix = name + b"/"
                places += [
                    prefix + entry.name
                    for entry in entries
                    if entry.name[0] != 46 and entry.is_file(follow_symlinks=False)
                ]
        return Scan(frozenset(places), within=b"new/" if arrivals_only else b"")

    def key(self, place: bytes) -> bytes:
        """The base name."""
        return place[4:].partition(INFO)[0]

    def flags(self, place: bytes) -> Flags | None:
        """The flags of the suffix's letters; None where there is no suffix."""
        _, found, letters = place.partition(INFO)
        return _shown(letters) if found else None

    def arrival_flags(self, place: bytes) -> Flags:
        """Those of the suffix: no sender names files."""
        return self.flags(place) or NONE

    def order(self, place: bytes) -> float:
        """Microseconds of delivery since the epoch, from the name, else from the file (R074)."""
        named = _DELIVERED.match(place)
        if named is not None:
            return int(named[1]) * 1e6 + int(named[2] or 0)
        try:
            return os.lstat(self._root + place).st_mtime_ns / 1e3
        except OSError:
            return 0.0  # gone again: that its UID comes early harms nobody

    def arrivals(self, places: Sequence[bytes]) -> list[Arrival]:
        """Those that are whole; of one that is being written, closing it gives a hint.

        Of very many it is looked at those alone whose names an MDA did not make: to open the
        others says so as well, and a stat of each would be the largest part of a first SELECT.
        """
        few = len(places) <= _LOOKED_AT_MAX
        found = []
        for place in places:
            named = _DELIVERED.match(place)
            if named is None:
                written = self._written_in_place(place)
                if written is not None:
                    found.append(Arrival(written / 1e3, place, written // 10**9))
            elif not few or self._is_whole(place):
                found.append(Arrival(int(named[1]) * 1e6 + int(named[2] or 0), place, -1))
        return found

    def _is_whole(self, place: bytes) -> bool:
        path = self._root + place
        try:
            return is_whole(path, os.lstat(path), self._root, presumed=False)
        except OSError:
            return True  # gone again: whoever opens it will see

    def _written_in_place(self, place: bytes) -> int | None:
        """When a file was written whose name may come again, in nanoseconds; None: not yet."""
        path = self._root + place
        try:
            status = os.lstat(path)
        except OSError:
            return None  # gone again
        empty = not status.st_size and is_recent(status.st_mtime)
        if empty or not is_whole(path, status, self._root, presumed=True):
            return None
        self._written[self.key(place)] = status.st_mtime_ns
        return status.st_mtime_ns

    def is_another(self, place: bytes, date: int) -> bool:
        """By the time it was written: to the nanosecond where this process saw it come."""
        if _DELIVERED.match(place) is not None:
            return False
        try:
            written = os.lstat(self._root + place).st_mtime_ns
        except OSError:
            return False
        known = self._written.get(self.key(place))
        return date not in (-1, written // 10**9) if known is None else known != written

    def wanted_place(self, place: bytes, flags: Flags) -> bytes:
        """In `cur`, with the flags' letters and whatever else the suffix had (R241)."""
        base, _, info = place[4:].partition(INFO)
        letters, comma, rest = info.partition(b",")
        shown = to_letters(flags, letters.decode("latin-1")).encode("latin-1")
        return b"cur/" + base + INFO + shown + comma + rest

    def rename(self, place: bytes, target: bytes) -> None:
        """Move a message to a free place; MessageGone when it is not there."""
        with translated(self.path):
            rename_exclusively(self._root + place, self._root + target)
        if self._share is not None and deleted(place) != deleted(target):
            octets = self.octets((target,))[0]
            self._share.note(added=[(target, octets)], removed=[(place, octets)])

    def renamed_apart(self, place: bytes, other: bytes) -> bytes:
        """Give a message whose base name another has too one of its own (R244).

        Only where both are there: one that is renamed during a scan is seen twice.
        """
        with translated(self.path):
            one, two = (os.lstat(self._root + each) for each in (place, other))
        if os.path.samestat(one, two):
            raise MessageGone(f"{self.path}: {place!r} and {other!r} are one message")
        target = place[:4] + unique_name() + place[4 + len(self.key(place)) :]
        self.rename(place, target)
        return target

    def open(self, place: bytes) -> int:
        """A descriptor to read a regular file; MessageGone, Unavailable."""
        try:
            descriptor = os.open(self._root + place, _OPEN)
        except OSError as error:
            raise store_error(self.path, error) from error
        status = os.fstat(descriptor)
        fault = "" if stat.S_ISREG(status.st_mode) else "not a regular file"
        if not fault and self._is_unfinished(descriptor, status):
            fault = "still being written"
        if fault:
            os.close(descriptor)
            raise Unavailable(fault)
        return descriptor

    def _is_unfinished(self, descriptor: int, status: os.stat_result) -> bool:
        """Whether its octets are not yet those that the UID will mean (R078)."""
        if not is_recent(status.st_mtime):
            return False
        return is_being_written(descriptor, self._root, presumed=False)

    def contents(
        self, places: Iterable[bytes], octets: int, dates: bool
    ) -> Iterator[tuple[bytes, int]]:
        """Small files, each read from end to end, with four system calls."""
        for place in places:
            try:
                descriptor = os.open(self._root + place, _OPEN)
            except OSError:
                return
            try:
                status = os.fstat(descriptor)
                size = status.st_size
                if size > SMALL or not stat.S_ISREG(status.st_mode):
                    return
                if self._is_unfinished(descriptor, status):
                    return
                # Asking for more than there is costs: that many octets are allocated first.
                data = os.pread(descriptor, size + 1, 0)
            except OSError:
                return
            finally:
                os.close(descriptor)
            if len(data) != size:  # it grew or shrank meanwhile: a delivery in place
                return
            yield data, int(status.st_mtime)
            octets -= size
            if octets <= 0:
                return

    def internal_date(self, descriptor: int) -> int:
        """The file's modification time, which delivery sets and nobody changes (R089)."""
        return int(os.fstat(descriptor).st_mtime)

    def octets(self, places: Sequence[bytes]) -> list[int]:
        """From the name, else from the file."""
        found = []
        for place in places:
            octets = named_octets(place)
            if octets is None:
                try:
                    octets = os.lstat(self._root + place).st_size
                except OSError:
                    octets = -1
            found.append(octets)
        return found

    def whole_octets(self) -> int | None:
        """Each message is a file."""
        return None

    def weighed(self) -> list[Weighed]:
        """Every message with its octets, if anybody else counts them."""
        counted = self._share is not None and self._share.file.there()
        return self._weighed(list(self.scan().places)) if counted else []

    def _weighed(self, places: Sequence[bytes]) -> list[Weighed]:
        """Places with their octets, if anybody else counts them."""
        if self._share is None or not self._share.file.there():
            return []
        return [
            (place, octets)
            for place, octets in zip(places, self.octets(places), strict=True)
            if octets >= 0
        ]

    def remove(self, places: Iterable[bytes]) -> Removal:
        """Remove messages, as many as can be."""
        places = list(places)
        weighed = self._weighed(places)
        removal = self._remove(places)
        if weighed and self._share is not None:
            left = removal.absent | removal.kept
            self._share.note(removed=[one for one in weighed if one[0] not in left])
        return removal

    def _remove(self, places: Iterable[bytes]) -> Removal:
        absent, kept = set(), set()
        last: StoreError | None = None
        for place in places:
            try:
                os.unlink(self._root + place)
            except FileNotFoundError:
                absent.add(place)
            except OSError as error:
                kept.add(place)
                last = store_error(self.path, error)
        return Removal(frozenset(absent), frozenset(kept), last)

    def arriving(self) -> MaildirArriving:
        """Begin to write a new message in `tmp`."""
        return MaildirArriving(self._root)

    def complete(self) -> None:
        """Nothing: `maa.store.leftovers` sees to it, for other programs deliver by way of `tmp`."""

    def settle(self, places: Iterable[bytes]) -> int:
        """Move the files in `tmp` whose names the places have."""
        settled = self._settle(places)
        if settled and self._share is not None:
            self._share.note(added=self._weighed(settled))
        return len(settled)

    def _settle(self, places: Iterable[bytes]) -> list[bytes]:
        settled = []
        for place in places:
            try:
                rename_exclusively(self._waiting(place), self._root + place)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise store_error(self.path, error) from error
            settled.append(place)
        return settled

    def _waiting(self, place: bytes) -> bytes:
        """Where a finished message is until it is settled."""
        return self._root + b"tmp/" + unsized(self.key(place))

    def free_places(
        self, flags: Iterable[Flags], source: Maildrop, places: Sequence[bytes]
    ) -> list[bytes]:
        """Places in `cur` with names of our own, and with the size where the source's has it."""
        return [
            settled_place(sized(unique_name(), named_octets(place)), shown)
            for shown, place in zip(flags, places, strict=True)
        ]

    def adopt(self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
        """Hard links, where both are Maildirs of one disk; else copies."""
        done: list[bytes] = []
        try:
            for place, target in zip(places, targets, strict=True):
                if not (isinstance(source, Maildir) and self._linked(source, place, target)):
                    self._copied(source, place, target)
                done.append(target)
        except StoreError:
            self._remove(done)
            raise
        if self._share is not None:
            self._share.note(added=self._weighed(targets))

    def _linked(self, source: Maildir, place: bytes, target: bytes) -> bool:
        try:
            os.link(source._root + place, self._root + target, follow_symlinks=False)
        except OSError as error:
            if error.errno in _NO_LINK:
                return False
            raise store_error(self.path, error) from error
        return True

    def _copied(self, source: Maildrop, place: bytes, target: bytes) -> None:
        descriptor = source.open(place)
        with os.fdopen(descriptor, "rb") as original:
            copy = MaildirArriving(self._root, unsized(self.key(target)))
            try:
                while block := original.read(1 << 20):
                    copy.write(block)
                copy.finish(NONE, source.internal_date(descriptor))
                self._settle((target,))
            except StoreError:
                copy.abort()
                raise

    def take_over(
        self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]
    ) -> bool:
        """Renames, where both are Maildirs of one disk."""
        if not isinstance(source, Maildir):
            return False
        before = source._weighed(places)
        moves = list(zip(places, targets, strict=True))
        for count, (place, target) in enumerate(moves):
            try:
                rename_exclusively(source._root + place, self._root + target)
            except OSError as error:
                for back, taken in moves[:count]:
                    with translated(self.path):
                        rename_exclusively(self._root + taken, source._root + back)
                if error.errno == errno.EXDEV:
                    return False
                raise store_error(self.path, error) from error
        if before and self._share is not None and source._share is not None:
            where = dict(moves)
            now = [(where[place], octets) for place, octets in before]
            self._share.note_moved(source._share, before, now)
        return True

    def discard(self, places: Iterable[bytes]) -> None:
        """Drop finished messages that were not settled."""
        for place in places:
            with suppress(FileNotFoundError):
                os.unlink(self._waiting(place))

    def stamp(self) -> tuple[int, ...]:
        """The modification times of `new` and `cur`, in nanoseconds."""
        with translated(self.path):
            return tuple(os.stat(self._root + name).st_mtime_ns for name in (b"new", b"cur"))

    def flush(self, arrived: Iterable[bytes] | None = None) -> None:
        """Wait until `new` and `cur`, or those where something arrived, are on the disk."""
        names = (b"new", b"cur") if arrived is None else {place[:3] for place in arrived}
        for name in names:
            flush_directory(self._root + name)


@lru_cache(maxsize=4096)
def _shown(letters: bytes) -> Flags:
    return from_letters(letters.decode("latin-1"))
