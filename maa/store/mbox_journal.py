"""Changes of an mbox file that a crash cannot leave half done (R234).

An mbox is changed in place, in its inode: others hold it open, and its directory may not be ours
to write to. What is in danger is first written beside it, into the account's state directory.

*Cut*: messages are taken out by moving down what lies behind the first of them. The plan is
written first. Then, window by window: the octets to move are written to one of two window files,
this is flushed, they are written to their place in the mbox, and this is flushed. So whatever
moment a crash comes at, the octets of the mbox or of a window have every message, and the plan
says how to go on. Truncation comes last, after a record of what is to be cut off.

*Append*: what is to be appended is in a file already (`maa.store.mbox`); where it goes is noted
first. After a crash a part of it is taken away again, and the whole is appended anew.

`recover` is called under the write lock before a changed file is trusted. Other programs may have
appended behind what a crash left; that moves with the rest. A file that is not as the plan
says any more was rewritten by somebody else: then the plan is put aside and the log says so.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from maa.store.mbox_lines import read_at
from maa.store.private import open_private, read_private, set_aside

WINDOW: Final = 8 << 20
# The plan's token, number, position, octets, CRC, and whether it is the record of what is cut off.
_HEAD: Final = struct.Struct("<16sQQQI?")
_STALE_OCTETS: Final = 1 << 16
_NOTE_OCTETS_MAX: Final = 64 << 20
"""A plan names every extent that is kept."""
_NOT_OURS: Final = (errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EISDIR)
_MARK_OCTETS: Final = 256
_SECTOR: Final = 512
"""A disk writes so many octets or none."""
_PRIVATE: Final = os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC

Extent = tuple[int, int]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Window:
    """What a window file says."""

    number: int
    position: int
    """Where its octets are in what is moved."""
    data: bytes
    done: bool
    """All is moved; `data` says what is to be cut off: size of the file, CRC of the octets."""


class Journal:
    """The journal of one mbox; every method may raise OSError, and then `recover` is due."""

    def __init__(self, base: str, window: int = WINDOW) -> None:
        """Use files whose paths begin with `base`, on a local disk."""
        self._plan = base + ".plan"
        self._windows = (base + ".window0", base + ".window1")
        self._append = base + ".append"
        self._window = window

    @property
    def pending(self) -> bool:
        """Whether a change was begun and not finished."""
        return os.path.lexists(self._plan) or os.path.lexists(self._append)

    # --- cut

    def cut(self, descriptor: int, holes: Sequence[Extent], alive: Callable[[], None]) -> int:
        """Take ascending extents out of the file; its size then. `alive` is called often."""
        size = os.fstat(descriptor).st_size
        kept = _between(holes, size)
        if kept:
            self._write_plan(descriptor, holes[0][0], kept, size)
            self._move(descriptor, self._read_plan(), None, alive)
        else:
            os.ftruncate(descriptor, holes[0][0])
            os.fsync(descriptor)
        return os.fstat(descriptor).st_size

    def _write_plan(self, descriptor: int, to: int, kept: list[Extent], size: int) -> None:
        plan = {
            "token": os.urandom(16).hex(),
            "inode": os.fstat(descriptor).st_ino,
            "size": size,
            "to": to,
            "kept": kept,
            "marks": _marks(descriptor, to, kept),
        }
        octets = _HEAD.size + min(self._window, sum(stop - start for start, stop in kept))
        for path in self._windows:
            window = os.open(path, os.O_RDWR | _PRIVATE, 0o600)
            try:
                # When the disk is full, now is the time to hear of it.
                os.posix_fallocate(window, 0, octets)
            finally:
                os.close(window)
        write_whole(self._plan, json.dumps(plan).encode("ascii"))

    def _read_plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(read_private(self._plan, _NOTE_OCTETS_MAX))
        return plan

    def _move(
        self,
        descriptor: int,
        plan: dict[str, Any],
        last: tuple[int, int] | None,
        alive: Callable[[], None],
    ) -> None:
        """Carry out a plan, behind the window (number, position behind it) that is in place."""
        kept, to, token = plan["kept"], plan["to"], bytes.fromhex(plan["token"])
        total = sum(stop - start for start, stop in kept)
        number, position = (0, 0) if last is None else last
        buffer = memoryview(bytearray(min(self._window, total - position)))
        while position < total:
            data = buffer[: total - position]
            _read_kept(descriptor, kept, position, data)
            self._write_window(token, number, position, data)
            _write_at(descriptor, to + position, data)
            os.fsync(descriptor)
            position += len(data)
            number += 1
            alive()
        size = os.fstat(descriptor).st_size
        record = b"%d %d" % (size, _stale(descriptor, to + total, size))
        self._write_window(token, number, total, record, done=True)
        os.ftruncate(descriptor, to + total)
        os.fsync(descriptor)
        self._forget_plan()

    def _write_window(
        self,
        token: bytes,
        number: int,
        position: int,
        data: bytes | memoryview,
        done: bool = False,
    ) -> None:
        crc = _crc(number, position, done, data)
        head = _HEAD.pack(token, number, position, len(data), crc, done)
        window = os.open(self._windows[number % 2], os.O_WRONLY | _PRIVATE, 0o600)
        try:
            _write_at(window, _HEAD.size, data)
            _write_at(window, 0, head)
            os.fdatasync(window)
        finally:
            os.close(window)

    def _last_window(self, token: bytes) -> _Window | None:
        """The newest whole window of a plan."""
        newest: _Window | None = None
        for path in self._windows:
            try:
                with os.fdopen(open_private(path), "rb") as file:
                    head = file.read(_HEAD.size)
                    if len(head) < _HEAD.size:
                        continue
                    of, number, position, octets, crc, done = _HEAD.unpack(head)
                    data = file.read(octets) if octets <= self._window else b""
            except OSError:  # not there, or no file
                continue
            whole = len(data) == octets and crc == _crc(number, position, done, data)
            if of == token and whole and (newest is None or number > newest.number):
                newest = _Window(number, position, data, done)
        return newest

    def _forget_plan(self) -> None:
        os.unlink(self._plan)
        for path in self._windows:
            with suppress(FileNotFoundError):
                os.unlink(path)

    # --- append

    def note_append(self, descriptor: int, offset: int, staged: str, prefix: bytes) -> None:
        """`prefix` and the file `staged` are about to be written at `offset`, the end."""
        note = {
            "inode": os.fstat(descriptor).st_ino,
            "offset": offset,
            "staged": os.path.basename(staged),
            "prefix": prefix.decode("ascii"),
        }
        write_whole(self._append, json.dumps(note).encode("ascii"))

    def forget_append(self) -> None:
        """The append is done, or undone."""
        with suppress(FileNotFoundError):
            os.unlink(self._append)

    # --- after a crash

    def recover(self, descriptor: int, path: str, alive: Callable[[], None]) -> None:
        """Bring a file that was left in the middle of a change in order; it is locked."""
        for note, recover in (
            (self._plan, self._recover_cut),
            (self._append, self._recover_append),
        ):
            if os.path.lexists(note):
                try:
                    recover(descriptor, path, alive)
                except (ValueError, KeyError, TypeError) as error:
                    _log.error("%s makes no sense and is put aside: %s", note, error)
                    set_aside(note)
                except OSError as error:
                    if error.errno not in _NOT_OURS:
                        raise
                    _log.error("%s is no file of ours and is put aside", note)
                    set_aside(note)

    def _recover_cut(self, descriptor: int, path: str, alive: Callable[[], None]) -> None:
        plan = self._read_plan()
        found = os.fstat(descriptor)
        last = self._last_window(bytes.fromhex(plan["token"]))
        if last is None:
            self._forget_plan()  # nothing was moved yet, and nobody was told that it was
            return
        to = plan["to"]
        if last.done and found.st_ino == plan["inode"]:
            size, stale = map(int, last.data.split())
            if found.st_size < size or _stale(descriptor, to + last.position, size) != stale:
                self._forget_plan()  # it was truncated, whatever was delivered since
                return
        behind = last.position + (0 if last.done else len(last.data))
        if found.st_ino != plan["inode"] or not _is_as_planned(descriptor, plan, last):
            _log.error("%s was rewritten by another program after a crash of ours", path)
            set_aside(self._plan)
            return
        if found.st_size > plan["size"]:  # delivered since
            plan["kept"].append((plan["size"], found.st_size))
        if not last.done:
            _write_at(descriptor, to + last.position, last.data)
            os.fsync(descriptor)
        self._move(descriptor, plan, (last.number + 1, behind), alive)
        _log.warning("%s: an expunge that a crash interrupted was finished", path)

    def _recover_append(self, descriptor: int, path: str, alive: Callable[[], None]) -> None:
        note = json.loads(read_private(self._append, _NOTE_OCTETS_MAX))
        staged = os.path.join(os.path.dirname(self._append), os.path.basename(note["staged"]))
        offset = note["offset"]
        found = os.fstat(descriptor)
        if found.st_ino == note["inode"] and found.st_size > offset and os.path.exists(staged):
            common, total = _common(descriptor, offset, note["prefix"].encode("ascii"), staged)
            if common == total:
                os.fsync(descriptor)
                os.unlink(staged)
            elif not read_at(descriptor, offset + common, total - common).strip(b"\0"):
                os.ftruncate(descriptor, offset)
                os.fsync(descriptor)
            elif common := _to_line_start(descriptor, offset, common):
                self.cut(descriptor, [(offset, offset + common)], alive)
            _log.warning("%s: an append that a crash interrupted was put in order", path)
        self.forget_append()


def _crc(number: int, position: int, done: bool, data: bytes | memoryview) -> int:
    return zlib.crc32(data, zlib.crc32(b"%d %d %d" % (number, position, done)))


def _stale(descriptor: int, start: int, size: int) -> int:
    """The CRC of the first octets that truncation will cut off."""
    return zlib.crc32(read_at(descriptor, start, min(_STALE_OCTETS, size - start)))


def _between(holes: Sequence[Extent], size: int) -> list[Extent]:
    """What is kept behind the first hole."""
    ends = [*(start for start, _ in holes[1:]), size]
    return [
        (stop, start) for (_, stop), start in zip(holes, ends, strict=True) if stop < start
    ]  # fmt: skip


def _read_kept(
    descriptor: int, kept: Sequence[Sequence[int]], position: int, into: memoryview
) -> None:
    """Read the kept extents from a position as if they were one file."""
    for start, stop in kept:
        if position >= stop - start:
            position -= stop - start
            continue
        while position < stop - start and into:
            here = into[: stop - start - position]
            octets = os.preadv(descriptor, [here], start + position)
            if not octets:
                raise OSError("the mbox became shorter under our lock")
            into = into[octets:]
            position += octets
        position = 0
        if not into:
            break


def _marks(descriptor: int, to: int, kept: Sequence[Sequence[int]]) -> list[int]:
    """By what the plan's file is known again: in front of the first hole, then of each extent."""
    marks = [_mark(descriptor, max(0, to - _MARK_OCTETS), to)]
    return marks + [_mark(descriptor, start, stop) for start, stop in kept]


def _mark(descriptor: int, start: int, stop: int) -> int:
    """The CRC of the first octets of an extent."""
    return zlib.crc32(read_at(descriptor, start, min(_MARK_OCTETS, stop - start)))


def _is_as_planned(descriptor: int, plan: dict[str, Any], last: _Window) -> bool:
    """Whether what was moved and what is to be moved is where it should be."""
    to, marks = plan["to"], plan["marks"]
    if os.fstat(descriptor).st_size < plan["size"]:
        return False
    if _mark(descriptor, max(0, to - _MARK_OCTETS), to) != marks[0]:
        return False
    position = 0
    behind = last.position + (0 if last.done else len(last.data))
    if not last.done and not _is_half_moved(descriptor, plan, last):
        return False
    for (start, stop), mark in zip(plan["kept"], marks[1:], strict=True):
        at = to + position
        if position >= behind:
            if _mark(descriptor, start, stop) != mark:
                return False
        elif position + _MARK_OCTETS <= last.position and (
            _mark(descriptor, at, at + stop - start) != mark
        ):
            return False
        position += stop - start
    return True


def _is_half_moved(descriptor: int, plan: dict[str, Any], last: _Window) -> bool:
    """Whether each octet of the last window is still where it was, or where it goes to.

    Where both are the same place of the file, a sector has either the one or the other.
    """
    to = plan["to"] + last.position
    behind = to + len(last.data)
    position = 0
    for start, stop in plan["kept"]:
        first = max(last.position - position, 0)
        length = min(stop - start, last.position + len(last.data) - position)
        position += stop - start
        if length <= first:
            continue
        at = start + first
        before = last.data[position - (stop - start) + first - last.position :][: length - first]
        found = read_at(descriptor, at, len(before))
        if len(found) < len(before):
            return False
        if found == before:
            continue
        moved = last.data[at - to : at - to + len(before)] if at < behind else b""
        for sector in range(0, len(before), _SECTOR):
            here = slice(sector, min(sector + _SECTOR, len(before)))
            if found[here] != before[here] and not _may_be(found[here], before[here], moved[here]):
                return False
    return True


def _may_be(found: bytes, before: bytes, moved: bytes) -> bool:
    """Whether octets are those from before, moved over up to some point or from some point on."""
    same = _alike(found, moved)
    if found[same:] == before[same:]:
        return True
    same = _alike(found, before)
    return found[same : len(moved)] == moved[same:] and found[len(moved) :] == before[len(moved) :]


def _common(descriptor: int, offset: int, prefix: bytes, staged: str) -> tuple[int, int]:
    """How many octets at `offset` are those of prefix and staged file, and how many these are."""
    with os.fdopen(open_private(staged), "rb") as file:
        total = len(prefix) + os.fstat(file.fileno()).st_size
        common = 0
        wanted = prefix
        while wanted or (wanted := file.read(1 << 20)):
            there = read_at(descriptor, offset + common, len(wanted))
            same = _alike(wanted, there)
            common += same
            if same < len(wanted):
                break
            wanted = b""
        return common, total


def _alike(one: bytes, other: bytes) -> int:
    """How many octets two begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[:middle] == other[:middle] else (low, middle - 1)
    return low


def _to_line_start(descriptor: int, offset: int, octets: int) -> int:
    """Fewer octets, when the last line of them may be a From_ line that somebody appended."""
    before = read_at(descriptor, offset, octets)[-1024:]
    line = octets - len(before) + before.rfind(b"\n") + 1
    return line if read_at(descriptor, offset + line, 5) == b"From " else octets


def _write_at(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        offset += written
        left = left[written:]


def write_whole(path: str, data: bytes) -> None:
    """Make or replace a private file so that at every moment it is whole."""
    new = path + ".new"
    descriptor = os.open(new, os.O_WRONLY | os.O_TRUNC | _PRIVATE, 0o600)
    try:
        _write_at(descriptor, 0, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(new, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
