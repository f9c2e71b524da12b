"""The beacon: a small file beside the mail that outlives the index (R074-R077, R248, L-15).

It says which UIDVALIDITYs and UIDs were given out. An index that is lost, or that a backup
brought back, lies elsewhere and does not know of the last of them; with the beacon it gives none
of them to other messages.

One record of 64 octets a mailbox, by UIDVALIDITY: the next UID and the mod-sequence of the newest
commit, and the UID below which the reserve ends. A record is written in place *before* the
commit. That is not flushed, for it is to cost a delivery nothing: it outlives a crash of maa, and
the last seconds of it may not outlive a crash of the machine. So the end of the reserve is
flushed before a UID beyond it is given, once in a thousand UIDs: whoever finds the index behind
its record goes on above the reserve. Records of deleted mailboxes stay, for a restored index has
those mailboxes again.

An index that is ahead of the beacon is right: then a backup of the mail was restored, or the
machine crashed. Where the beacon cannot be written, the mail is served all the same.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import stat
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from maa.message.numbers import MAX_NUMBER
from maa.store.index import Counters, Index, MailboxRow

RESERVE: Final = 1000
"""So many UIDs at a time are set aside with one flush."""
DELETED_KEPT: Final = 1000
"""So many deleted mailboxes are remembered at least."""
SKIPPED_MODSEQS: Final = 1 << 20
"""More mod-sequences than are given in the seconds until a record reaches the disk."""
_OCTETS: Final = 64
_OCTETS_MAX: Final = 1 << 24
_HEAD: Final = re.compile(rb"maa beacon 1 ([0-9a-f]{16}) ([0-9]{10})")
_MARK: Final = re.compile(rb"([0-9]{10}) ([0-9]{10}) ([0-9]{10}) ([0-9]{19})")
_PASSING: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ESTALE))
# NONBLOCK: the user could have put a FIFO there.
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """What was given out in the mailbox of one UIDVALIDITY."""

    uidvalidity: int
    reserved: int
    """Greater than every UID ever given out, even if the record is not the newest."""
    uidnext: int
    modseq: int

    @classmethod
    def of(cls, uidvalidity: int, counters: Counters) -> Mark:
        """The first mark of a mailbox."""
        return cls(uidvalidity, 0, 1, 1).reaching(counters)

    def reaching(self, counters: Counters) -> Mark:
        """The mark that also covers these counters."""
        reserved, uidnext = self.reserved, max(self.uidnext, counters.uidnext)
        if uidnext > reserved or not reserved:
            reserved = min(uidnext + RESERVE, MAX_NUMBER)
        modseq = max(self.modseq, counters.highest_modseq)
        return Mark(self.uidvalidity, reserved, uidnext, modseq)

    def ahead_of(self, counters: Counters) -> bool:
        """Whether an index with these counters forgot something."""
        return counters.uidnext < self.uidnext or counters.highest_modseq < self.modseq


def _sealed(text: bytes) -> bytes:
    return (b"%s %08x" % (text, zlib.crc32(text))).ljust(_OCTETS - 1) + b"\n"


def _unsealed(record: bytes, form: re.Pattern[bytes]) -> re.Match[bytes] | None:
    found = form.match(record)
    return found if found is not None and _sealed(found.group()) == record else None


def _packed(mark: Mark) -> bytes:
    return _sealed(
        b"%010d %010d %010d %019d" % (mark.uidvalidity, mark.reserved, mark.uidnext, mark.modseq)
    )


class Beacon:
    """The beacon of one account, used under the account's lock and the user's identity."""

    def __init__(self, path: str) -> None:
        """Read the file, if there is one."""
        self.path = path
        self.generation = ""
        """The name of the index that was used last; '' when that is not known."""
        self.found = True
        self.damaged = False
        self.trouble = ""
        """Why it could not be read at all."""
        self.marks: dict[int, Mark] = {}
        self._greatest = 0
        self._offsets: dict[int, int] = {}
        self._descriptor = -1
        self._end = 0
        self._failed = False
        try:
            self._open()
        except FileNotFoundError:
            self.found = False
        except OSError as error:
            if error.errno in _PASSING:
                # What could be read in a moment is not to be written over.
                self._fail(error)
                return
            self._close()
            self.damaged, self.trouble = True, str(error)

    @property
    def greatest(self) -> int:
        """The greatest UIDVALIDITY ever given out."""
        return max(self._greatest, *self.marks, 0)

    def _open(self) -> None:
        descriptor = os.open(self.path, _FLAGS)
        self._close()
        self._descriptor, self._end = descriptor, 0
        self._offsets.clear()
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is no file")
        self._read_on()

    def _read_on(self) -> None:
        """Read the records that were added, by this process or another."""
        size = os.fstat(self._descriptor).st_size
        data = os.pread(self._descriptor, min(size, _OCTETS_MAX) - self._end, self._end)
        if not self._end:
            head = _unsealed(data[:_OCTETS], _HEAD)
            if head is not None:
                self.generation = head[1].decode("ascii")
                self._greatest = max(self._greatest, int(head[2]))
        whole = len(data) - len(data) % _OCTETS
        for start in range(0 if self._end else _OCTETS, whole, _OCTETS):
            found = _unsealed(data[start : start + _OCTETS], _MARK)
            if found is None:
                self.damaged = True
                continue
            mark = Mark(*map(int, found.groups()))
            self.marks[mark.uidvalidity] = mark
            self._offsets[mark.uidvalidity] = self._end + start
        self.damaged = self.damaged or whole != len(data) or not self.generation
        self._end += whole

    def _fail(self, error: OSError) -> None:
        _log.warning("beacon %s: %s: until it can be used, keep index.db safe", self.path, error)
        self._failed = True
        self._close()

    # --- writing

    def reach(self, uidvalidity: int, counters: Counters) -> None:
        """These numbers are about to be given out; flushed where the reserve ends or begins."""
        known = self.marks.get(uidvalidity)
        if self._failed or (known is not None and known.reaching(counters) == known):
            return
        try:
            self._reach(uidvalidity, counters)
        except OSError as error:
            self._fail(error)

    def given(self, uidvalidity: int) -> Counters | None:
        """Numbers greater than all that were given under a UIDVALIDITY; None: none were."""
        try:
            if self.found:
                self._catch_up()
            known = self._newest(uidvalidity)
        except OSError as error:
            self._fail(error)
            known = self.marks.get(uidvalidity)
        if known is None:
            return None
        return Counters(known.reserved, known.modseq + SKIPPED_MODSEQS, known.reserved)

    def _newest(self, uidvalidity: int) -> Mark | None:
        """The mark as the file has it, for another process may have written it since."""
        known, offset = self.marks.get(uidvalidity), self._offsets.get(uidvalidity)
        if known is None or offset is None or self._descriptor < 0:
            return known
        found = _unsealed(os.pread(self._descriptor, _OCTETS, offset), _MARK)
        return known if found is None else Mark(*map(int, found.groups()))

    def _reach(self, uidvalidity: int, counters: Counters) -> None:
        self._catch_up()
        known = self._newest(uidvalidity)
        offset = self._offsets.get(uidvalidity, self._end)
        mark = Mark.of(uidvalidity, counters) if known is None else known.reaching(counters)
        os.pwrite(self._descriptor, _packed(mark), offset)
        if offset == self._end or known is None or mark.reserved != known.reserved:
            os.fdatasync(self._descriptor)
        self.marks[uidvalidity], self._offsets[uidvalidity] = mark, offset
        self._end = max(self._end, offset + _OCTETS)

    def _catch_up(self) -> None:
        """Have the file open that has this name, with all that was added to it."""
        if self._descriptor >= 0:
            found = os.fstat(self._descriptor)
            if found.st_nlink and found.st_size < self._end + _OCTETS:
                return
            if found.st_nlink:
                self._read_on()
                return
        try:
            self._open()
        except FileNotFoundError:
            self._write(self.generation, self.marks.values())

    def renew(self, generation: str, marks: Iterable[Mark]) -> None:
        """Write the whole file: it is the old one or the new one, whenever a crash comes."""
        if self._failed:
            return
        try:
            self._write(generation, marks)
        except OSError as error:
            self._fail(error)

    def _write(self, generation: str, marks: Iterable[Mark]) -> None:
        kept = list(marks)
        head = b"maa beacon 1 %s %010d" % (generation.encode("ascii"), self.greatest)
        beside = f"{self.path}.{secrets.token_hex(4)}"
        flags = _FLAGS | os.O_CREAT | os.O_EXCL
        descriptor = os.open(beside, flags, 0o600)
        try:
            left = memoryview(_sealed(head) + b"".join(map(_packed, kept)))
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
            os.rename(beside, self.path)
        except BaseException:
            os.unlink(beside)
            raise
        finally:
            os.close(descriptor)
        _flush(os.path.dirname(self.path))
        self.marks.clear()
        self.damaged = False
        self._open()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def close(self) -> None:
        """Give the file back."""
        self._failed = True
        self._close()


def _flush(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def protect(index: Index, path: str, announce: Callable[[int], None]) -> None:
    """Compare an index just opened with its beacon, repair what it forgot, and keep both in step.

    `announce` is told of each mailbox that is about to change. Under the account's lock.
    """
    beacon = Beacon(path)
    generation = index.get_setting("generation") or ""
    rows = list(index.mailboxes().values())
    another = beacon.generation not in ("", generation)
    wanted, forgot = _compared(index, beacon, rows, another)
    if beacon.trouble:
        _log.warning("the beacon %s cannot be read (%s): written anew", path, beacon.trouble)
    elif beacon.damaged:
        _log.warning("the beacon %s was damaged: written anew", path)
    if another and not forgot:
        _log.warning(
            "the index is not the one that the beacon %s knows (lost, damaged or replaced): "
            "UIDVALIDITY goes on above %d",
            path,
            beacon.greatest,
        )
    if forgot or another or int(index.get_setting("uidvalidity") or 0) < beacon.greatest:
        # Ids of mailboxes may come again, so what the cache has of them is not to be believed.
        generation = secrets.token_hex(8)
    if generation != beacon.generation or beacon.damaged or wanted != beacon.marks:
        if rows or beacon.found:
            beacon.renew(generation, _kept(wanted, {row.beacon_mark for row in rows}))
        beacon.generation = generation
    # The beacon is first: a crash here leaves an index that is behind it once more.
    for row in forgot:
        mark = wanted[row.beacon_mark]
        announce(row.id)
        index.skip(row.id, mark.uidnext, mark.modseq)
    index.guard(beacon, generation)


def _compared(
    index: Index, beacon: Beacon, rows: Iterable[MailboxRow], another: bool
) -> tuple[dict[int, Mark], list[MailboxRow]]:
    """What the beacon should say, and the mailboxes of which the index forgot what it says.

    `another` index than the beacon knows may have forgotten anything, whatever its counters say.
    """
    wanted = dict(beacon.marks)
    forgot = []
    for row in rows:
        counters = index.counters(row.id)
        mark = beacon.marks.get(row.beacon_mark) or Mark.of(row.beacon_mark, counters)
        if mark.ahead_of(counters) or (another and row.beacon_mark in beacon.marks):
            forgot.append(row)
            counters = _beyond(mark, counters)
            _log.warning(
                "the index of %r is older than the beacon %s (a backup brought back, or a crash): "
                "UIDs go on at %d",
                row.name,
                beacon.path,
                counters.uidnext,
            )
        wanted[row.beacon_mark] = mark.reaching(counters)
    return wanted, forgot


def _beyond(mark: Mark, counters: Counters) -> Counters:
    """Above all that was given out, though the mark may not be the newest (R075, R176)."""
    modseq = max(mark.modseq, counters.highest_modseq) + SKIPPED_MODSEQS
    uidnext = max(mark.reserved, counters.uidnext)
    return Counters(uidnext, max(modseq, int(time.time())), counters.first_recent)


def _kept(marks: dict[int, Mark], present: set[int]) -> list[Mark]:
    """All present mailboxes' marks and, of those deleted, the newest."""
    deleted = sorted(marks.keys() - present)
    return [marks[value] for value in (*deleted[-DELETED_KEPT:], *sorted(present))]
