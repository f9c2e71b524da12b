"""An mbox file as mail.local, procmail, Postfix and mutt share it (RFC 4155; R229-R238).

Every change other than flags goes into the file that is there, under the site's locks
(`maa.store.locks`), so that other programs see what they are used to. Flags live in the index
alone: the file is not rewritten for them.

Metadata that a message had when it came was perhaps its sender's, and means nothing: only what
other programs change in it later counts, by the three-way merge of `maa.store.reconcile`
(R236, R237). For that, a place (`maa.store.mbox_table`) has the letters of Status and X-Status.

A message is read without a lock while nothing in the file has changed, else under it; and never
served unless it still is the message of that key (R078). What is handed out is a copy, so
no slow reader is in a delivery's way.

Order of writes (R247), where it differs from a Maildir's: what comes in is written to a staging
file in the account's state directory and flushed; the index commits; the staged messages are
appended, the mbox is flushed and the staging file goes. A crash after the commit leaves the
staging file, and `settle` appends it. Removal is `maa.store.mbox_journal`'s, and comes before
the commit.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from maa.message.flags import NONE, Flags
from maa.message.octets import CHUNK, SMALL
from maa.store.errors import LockTimeout, MessageGone, NoSpace, StoreError, Unavailable
from maa.store.locks import Locks, touch_dotlock
from maa.store.maildrop import Maildrop, Removal, Scan
from maa.store.mbox_journal import Journal
from maa.store.mbox_split import Message, NotMbox, arrived, ends_in_line, flags_of, read_at
from maa.store.mbox_staging import Staged, pieces, read_staged, stage
from maa.store.mbox_table import Seen, Table, verified

_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TRIES = 20
_PIECE = 1 << 20
_ABANDONED_SECONDS = 36 * 3600.0

_log = logging.getLogger(__name__)


class Mbox:
    """`maa.store.maildrop.Maildrop` on an mbox file."""

    verbatim = False

    def __init__(self, path: str, state: str, locks: Locks, required: bool = True) -> None:
        """Use the file at an absolute path; `state`: a directory of the user's for ours.

        `required`: that the file is not there means that the mailbox is gone, and not that it
        is empty, as a spool file may be.
        """
        self.path = path
        self.only = os.path.basename(path)
        self._file = os.fsencode(path)
        self._locks = locks
        self._required = required
        self._state = os.path.join(state, "mbox")
        tag = hashlib.blake2b(self._file, digest_size=8).hexdigest()
        self._base = os.path.join(self._state, tag)
        self._journal = Journal(self._base)
        self._table = Table(self._base + ".table")
        self._scan: Scan | None = None
        self._staged: dict[bytes, Staged] = {}
        self._swept = False
        # For the table; short, but for the first look at a file. Nothing is waited for inside
        # but the file's locks.
        self._mutex = threading.RLock()

    @staticmethod
    def create(path: str) -> None:
        """Make an empty mbox; Unavailable, NoSpace."""
        with _translated(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600))

    # --- Maildrop

    def watched(self) -> Sequence[str]:
        """The directory, for the file may be replaced; of its names `only` counts."""
        return (os.path.dirname(self.path) + "/.",)

    def scan(self, arrivals_only: bool = False) -> Scan:
        """Every message; where nothing changed, what was found before."""
        try:
            with self._opened(write=False):
                if self._scan is None:
                    self._scan = Scan(frozenset(filter(None, self._table.places)))
                return self._scan
        except MessageGone:
            if self._required or not self._emptied():
                raise
            return Scan(frozenset())

    def _emptied(self) -> bool:
        """Whether a spool file that is not there was removed, and its disk is still mounted."""
        with self._mutex, _translated(self.path):
            seen = self._table.seen
            try:
                device = os.stat(os.path.dirname(self.path)).st_dev
            except FileNotFoundError:
                device = -1
            if seen is not None and seen.octets and seen.device != device:
                _log.error("%s is gone: is its disk mounted?", self.path)
                raise Unavailable(f"{self.path} is gone")
            self._scan = None
            return True

    def key(self, place: bytes) -> bytes:
        """The digest."""
        return place.partition(b":")[0]

    def flags(self, place: bytes) -> Flags | None:
        """What Status and X-Status show."""
        return flags_of(place.partition(b":")[2])

    def arrival_flags(self, place: bytes) -> Flags:
        """None: what a new message's header says of flags is its sender's word (R236)."""
        return NONE

    def order(self, place: bytes) -> float:
        """The order of the file (R074)."""
        with self._mutex:
            return self._table.position(place) or 0

    def wanted_place(self, place: bytes, flags: Flags) -> bytes:
        """Where it is."""
        return place

    def rename(self, place: bytes, target: bytes) -> None:
        """No message has two places in an mbox."""
        raise MessageGone(f"{self.path}: no such place")

    def renamed_apart(self, place: bytes) -> bytes:
        """No two messages have one key in an mbox."""
        raise MessageGone(f"{self.path}: no such place")

    def open(self, place: bytes) -> int:
        """A copy of the message as clients are to see it; MessageGone, LockTimeout."""
        with self._mutex, _translated(self.path):
            found = self._read_unlocked(place)
            if found is None:
                with self._opened(write=False) as descriptor:
                    found = self._read(descriptor, place)
            if found is None:
                raise MessageGone(f"{self.path}: message {place!r} is not there")
            return found

    def contents(
        self, places: Iterable[bytes], octets: int, dates: bool
    ) -> list[tuple[bytes, int]]:
        """Read with as few calls as there are megabytes, while the file is as it was."""
        with self._mutex, _translated(self.path):
            if self._table.seen is None:
                return []
            try:
                descriptor = self._open(write=False, create=False)
            except OSError:
                return []
            try:
                if Seen.of(descriptor) != self._table.seen:
                    return []
                found = list(self._contents(descriptor, places, octets, dates))
                return found if Seen.of(descriptor) == self._table.seen else []
            finally:
                os.close(descriptor)

    def _contents(
        self, descriptor: int, places: Iterable[bytes], octets: int, dates: bool
    ) -> Iterator[tuple[bytes, int]]:
        block, base = b"", 0
        for place in places:
            position = self._table.position(place)
            if position is None or octets <= 0:
                return
            start, stop = self._table.extent(position)
            if stop - start > SMALL:
                return
            if not base <= start <= stop <= base + len(block):
                block, base = read_at(descriptor, start, max(octets + CHUNK, stop - start)), start
            entry = block[start - base : stop - base]
            message = verified(entry, 0, len(entry), place)
            if message is None:
                return
            octets -= len(entry)
            shown = message.visible_header + entry[message.body_start : message.end]
            ended = shown.endswith(b"\n") or not shown
            yield shown if ended else shown + b"\n", arrived(message) if dates else -1

    def internal_date(self, descriptor: int) -> int:
        """From the copy, where `open` left it (R089)."""
        return int(os.fstat(descriptor).st_mtime)

    def octets(self, places: Sequence[bytes]) -> list[int]:
        """From one From_ line to the next."""
        with self._mutex:
            positions = map(self._table.position, places)
            extents = [(0, -1) if at is None else self._table.extent(at) for at in positions]
            return [stop - start for start, stop in extents]

    def whole_octets(self) -> int | None:
        """The file's size."""
        try:
            return os.lstat(self._file).st_size
        except OSError:
            return 0  # a spool file that is not there is empty

    def remove(self, places: Iterable[bytes]) -> Removal:
        """Cut messages out of the file."""
        places = list(places)
        try:
            with self._opened(write=True) as descriptor:
                positions = {place: self._table.position(place) for place in places}
                found = sorted({at for at in positions.values() if at is not None})
                if found:
                    self._cut(descriptor, found)
        except MessageGone:
            return Removal(frozenset(places), frozenset(), None)
        except StoreError as error:
            return Removal(frozenset(), frozenset(places), error)
        absent = frozenset(place for place, at in positions.items() if at is None)
        return Removal(absent, frozenset(), None)

    def arriving(self) -> MboxArriving:
        """Begin to write a new message, beside."""
        with _translated(self.path):
            self._make_state()
            return MboxArriving(self, f"{self._base}.raw-{secrets.token_hex(8)}")

    def free_places(
        self, flags: Iterable[Flags], source: Maildrop, places: Sequence[bytes]
    ) -> list[bytes]:
        """Stage copies of another maildrop's messages; the places they will have."""

        def sources() -> Iterator[tuple[int, Flags, int]]:
            for shown, place in zip(flags, places, strict=True):
                descriptor = source.open(place)
                try:
                    yield descriptor, shown, source.internal_date(descriptor)
                finally:
                    os.close(descriptor)

        return self.stage(sources())

    def stage(self, sources: Iterator[tuple[int, Flags, int]]) -> list[bytes]:
        """Write messages beside, durably; the places they will have."""
        with self._mutex, _translated(self.path):
            self._make_state()
            path = f"{self._base}.staged-{secrets.token_hex(8)}"
            try:
                staged = stage(path, sources)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(path)
                raise
            try:
                with suppress(MessageGone), self._opened(write=False):
                    pass  # so that the table knows which keys are free
            except StoreError:
                os.unlink(path)
                raise
            taken: set[bytes] = {self.key(place) for place in self._staged}
            found = []
            for _, known, letters in staged.messages:
                key = self._table.free_key(known, taken)
                taken.add(key)
                found.append(key + b":" + letters)
            self._staged.update(dict.fromkeys(found, staged))
            return found

    def settle(self, places: Iterable[bytes]) -> int:
        """Append the staged messages of these places; how many there were."""
        with self._mutex, _translated(self.path):
            wanted: dict[str, tuple[Staged, list[bytes]]] = {}
            unknown = []
            for place in places:
                staged = self._staged.get(place)
                if staged is None:
                    unknown.append(place)
                else:
                    wanted.setdefault(staged.path, (staged, []))[1].append(place)
            settled = 0
            for staged, ours in [*wanted.values(), *self._left_behind(unknown)]:
                self._append(staged, ours)
                settled += len(ours)
            return settled

    def adopt(self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
        """Append what `free_places` staged."""
        self.settle(targets)

    def take_over(
        self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]
    ) -> bool:
        """Never: messages are copied, then removed."""
        return False

    def discard(self, places: Iterable[bytes]) -> None:
        """Drop staged messages."""
        with self._mutex:
            for place in places:
                staged = self._staged.pop(place, None)
                if staged is not None:
                    with suppress(FileNotFoundError):
                        os.unlink(staged.path)

    def stamp(self) -> tuple[int, ...]:
        """The file's modification time and size."""
        with _translated(self.path):
            try:
                found = os.lstat(self._file)
            except FileNotFoundError:
                if self._required:
                    raise
                return (0,)
            return (found.st_mtime_ns, found.st_size, found.st_ino)

    def flush(self, arrived: Iterable[bytes] | None = None) -> None:
        """Nothing: every change has waited for the disk."""

    # --- the file

    @contextmanager
    def _opened(self, write: bool, create: bool = False) -> Iterator[int]:
        """The file, locked, whole, and as the table has it."""
        with self._mutex, _translated(self.path):
            for _ in range(_TRIES):
                descriptor = self._open(write, create)
                try:
                    with self._locks.held(self._file, descriptor, write):
                        if not self._is_named(descriptor):
                            continue  # replaced, as some programs do it
                        if Seen.of(descriptor) != self._table.seen and self._journal.pending:
                            if not write:
                                write = True
                                continue
                            self._recover(descriptor)
                        self._sweep()
                        if self._table.catch_up(descriptor):
                            self._scan = None
                        if not write and Seen.of(descriptor) != self._table.seen:
                            continue  # by a program that makes dotlocks only
                        yield descriptor
                        return
                finally:
                    os.close(descriptor)
            raise LockTimeout(f"{self.path} is replaced again and again")

    def _open(self, write: bool, create: bool) -> int:
        mode = os.O_RDWR if write else os.O_RDONLY
        try:
            # Without O_NOATIME our looking at new mail would make it old for the shell (R235).
            descriptor = os.open(self._file, mode | _FLAGS | os.O_NOATIME)
        except FileNotFoundError:
            if not create or self._required:
                raise
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        except PermissionError:
            descriptor = os.open(self._file, mode | _FLAGS)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise Unavailable(f"{self.path} is not a regular file")
        return descriptor

    def _is_named(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.lstat(self._file), os.fstat(descriptor))
        except FileNotFoundError:
            return False

    def _recover(self, descriptor: int) -> None:
        self._table.seen = None
        times = os.fstat(descriptor)
        self._journal.recover(descriptor, self.path, self._alive)
        os.utime(descriptor, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _alive(self) -> None:
        if "dotlock" in self._locks.order:
            touch_dotlock(self._file)

    # --- reading

    def _read_unlocked(self, place: bytes) -> int | None:
        """The copy, if nothing in the file changed since it was read; None: it is to be locked."""
        if self._table.seen is None:
            return None
        try:
            descriptor = self._open(write=False, create=False)
        except OSError:
            return None
        try:
            if Seen.of(descriptor) != self._table.seen:
                return None
            copy = self._read(descriptor, place)
            if copy is not None and Seen.of(descriptor) != self._table.seen:
                os.close(copy)
                return None
            return copy
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, place: bytes) -> int | None:
        position = self._table.position(place)
        if position is None:
            return None
        message = verified(descriptor, *self._table.extent(position), place)
        return None if message is None else self._copy(descriptor, message)

    def _copy(self, descriptor: int, message: Message) -> int:
        octets = message.end - message.body_start
        # A large one goes to the disk, not to memory; nobody else ever sees it.
        if octets > SMALL:
            self._make_state()
            copy = os.open(self._state, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        else:
            copy = os.memfd_create("maa-message", os.MFD_CLOEXEC)
        try:
            data = message.visible_header
            if octets <= len(message.body):
                data += message.body[:octets]
                octets = 0
            at = message.body_start
            while octets:
                piece = read_at(descriptor, at, min(octets, _PIECE))
                data += piece or _shorter()
                at += len(piece)
                octets -= len(piece)
                if len(data) > _PIECE:
                    _write(copy, data)
                    data = b""
            if data and not data.endswith(b"\n"):
                data += b"\n"
            elif not data and not ends_in_line(descriptor, message):
                data = b"\n"
            _write(copy, data)
            os.lseek(copy, 0, os.SEEK_SET)
            date = arrived(message)
            os.utime(copy, (date, date))
        except BaseException:
            os.close(copy)
            raise
        return copy

    # --- changing

    def _cut(self, descriptor: int, positions: Sequence[int]) -> None:
        holes: list[tuple[int, int]] = []
        for position in positions:
            start, stop = self._table.extent(position)
            if holes and holes[-1][1] == start:
                start = holes.pop()[0]
            holes.append((start, stop))
        times = os.fstat(descriptor)
        self._scan = None
        known = self._table.seen
        try:
            self._table.seen = None
            self._journal.cut(descriptor, holes, self._alive)
        finally:
            os.utime(descriptor, ns=(times.st_atime_ns, times.st_mtime_ns))
        self._table.seen = known
        self._table.removed(descriptor, positions)

    def _append(self, staged: Staged, places: Sequence[bytes]) -> None:
        with self._opened(write=True, create=True) as descriptor:
            before = os.fstat(descriptor)
            offset = before.st_size
            end = read_at(descriptor, max(offset - 3, 0), 3)
            ended = not end or end.endswith((b"\n\n", b"\n\r\n"))
            prefix = b"" if ended else b"\n" if end.endswith(b"\n") else b"\n\n"
            known = self._table.seen
            self._journal.note_append(descriptor, offset, staged.path, prefix)
            self._table.seen = None
            try:
                _write_at(descriptor, offset, prefix, pieces(staged.path))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, offset)
                self._journal.forget_append()
                raise
            after = os.fstat(descriptor)
            if before.st_atime_ns >= before.st_mtime_ns:
                # What a client puts here is no new mail (R235).
                os.utime(descriptor, ns=(after.st_mtime_ns, after.st_mtime_ns))
            self._table.seen = known
            self._scan = None
            self._table.appended(descriptor, self._rows(staged, places, offset + len(prefix)))
            self._journal.forget_append()
            for place in places:
                self._staged.pop(place, None)
            os.unlink(staged.path)

    def _rows(
        self, staged: Staged, places: Sequence[bytes], offset: int
    ) -> list[tuple[int, bytes]]:
        """Start and place of each appended message; its place is that of the index, if it has."""
        left = list(places)
        taken = {self.key(place) for place in places}
        rows = []
        for start, known, letters in staged.messages:
            place = next((p for p in left if self.key(p).partition(b"-")[0] == known), None)
            if place is None:
                place = self._table.free_key(known, taken) + b":" + letters
                taken.add(self.key(place))
            else:
                left.remove(place)
            rows.append((offset + start, place))
        return rows

    def _left_behind(self, places: Sequence[bytes]) -> list[tuple[Staged, list[bytes]]]:
        """Staging files that a killed process left, with those of the places that are in them."""
        found: list[tuple[Staged, list[bytes]]] = []
        left = list(places)
        for path in self._files("staged-") if left else ():
            try:
                staged = read_staged(path)
            except (OSError, NotMbox):
                continue
            ours = []
            for _, known, _ in staged.messages:
                place = next((p for p in left if self.key(p).partition(b"-")[0] == known), None)
                if place is not None:
                    left.remove(place)
                    ours.append(place)
            if ours:
                found.append((staged, ours))
        return found

    def _files(self, kind: str) -> list[str]:
        try:
            names = sorted(os.listdir(self._state))
        except FileNotFoundError:
            return []
        prefix = f"{os.path.basename(self._base)}.{kind}"
        return [os.path.join(self._state, name) for name in names if name.startswith(prefix)]

    def _sweep(self) -> None:
        """Once, remove what processes that were killed long ago left."""
        if self._swept:
            return
        self._swept = True
        self._make_state()
        # For `maa.store.dead_locks`.
        with suppress(FileExistsError):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            note = os.open(self._base + ".path", flags, 0o600)
            try:
                os.write(note, self._file)
            finally:
                os.close(note)
        for path in self._files("raw-"):
            with suppress(FileNotFoundError):
                if time.time() - os.lstat(path).st_mtime > _ABANDONED_SECONDS:
                    os.unlink(path)

    def _make_state(self) -> None:
        with suppress(FileExistsError):
            os.mkdir(self._state, 0o700)


class MboxArriving:
    """A message being written beside the mbox."""

    def __init__(self, mbox: Mbox, path: str) -> None:
        """Create the file; OSError."""
        self._mbox = mbox
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> None:
        """Add octets."""
        with _translated(self._path):
            _write(self._descriptor, data)

    def finish(self, flags: Flags, internal_date: int | None) -> bytes:
        """Stage the message; the place it will have after `settle`."""
        date = int(time.time()) if internal_date is None else internal_date
        (place,) = self._mbox.stage(iter([(self._descriptor, flags, date)]))
        self.abort()
        return place

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with suppress(FileNotFoundError):
                os.unlink(self._path)


def _shorter() -> bytes:
    raise OSError(errno.EIO, "the mbox became shorter")


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _write_at(descriptor: int, offset: int, prefix: bytes, rest: Iterable[bytes]) -> None:
    for piece in (prefix, *rest):
        left = memoryview(piece)
        while left:
            written = os.pwrite(descriptor, left, offset)
            offset += written
            left = left[written:]


@contextmanager
def _translated(path: str) -> Iterator[None]:
    """Turn the system's errors into the store's."""
    try:
        yield
    except NotMbox as error:
        _log.error("%s is not an mbox: %s", path, error)
        raise Unavailable(f"{path} is not an mbox") from error
    except FileNotFoundError as error:
        raise MessageGone(f"{path}: not there") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace(f"{path}: {error.strerror}") from error
        _log.error("mbox %s: %s", path, error)
        raise Unavailable(f"{path}: {error.strerror}") from error
