"""Messages on their way into an mbox; only the last step touches the file.

1. What a client sends is written to `.raw-*`; then that, or another mailbox's messages, to
   `.staged-*`, a small mbox of its own (`maa.store.mbox_staging`), flushed.
2. The index commits the UIDs, with the places the messages will have.
3. `settle`: under the lock the journal notes where the staged file goes, it is appended, the mbox
   is flushed, the note and the staged file go.

A crash after 2 leaves the staged file, and rows without a message: for those `settle` is called
again, and finds it (`_left_behind`). One within 3 is put in order by the journal first.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

from maa.message.flags import Flags
from maa.store.errors import MessageGone
from maa.store.mbox_file import MboxFile, translated
from maa.store.mbox_lines import read_at
from maa.store.mbox_split import NotMbox
from maa.store.mbox_staging import Staged, left_behind, only, pieces, stage


class Appending:
    """What is staged for one mbox, by the places the messages will have."""

    def __init__(self, file: MboxFile) -> None:
        self._file = file
        self._staged: dict[bytes, Staged] = {}

    def arriving(self) -> MboxArriving:
        """Begin to write a new message, beside."""
        with translated(self._file.path):
            self._file.make_folder()
            return MboxArriving(self, f"{self._file.base}.raw-{secrets.token_hex(8)}")

    def stage(self, sources: Iterator[tuple[int, Flags, int]]) -> list[bytes]:
        """Write messages (descriptor, flags, date) beside, durably; the places they will have."""
        file = self._file
        with file.mutex, translated(file.path):
            file.make_folder()
            path = f"{file.base}.staged-{secrets.token_hex(8)}"
            staged = None
            try:
                staged = stage(path, sources, file.mboxrd)
                with suppress(MessageGone), file.opened(write=False):
                    pass  # so that the table knows which keys are free
            except BaseException:
                if staged is not None:
                    staged.forget()
                with suppress(FileNotFoundError):
                    os.unlink(path)
                raise
            taken: set[bytes] = {_key(place) for place in self._staged}
            found = []
            for _, known, notes in staged.messages:
                key = file.table.free_key(known, taken)
                taken.add(key)
                found.append(key + b":" + notes)
            self._staged.update(dict.fromkeys(found, staged))
            return found

    def discard(self, places: Iterable[bytes]) -> None:
        """Drop staged messages."""
        with self._file.mutex:
            for place in places:
                staged = self._staged.pop(place, None)
                if staged is not None:
                    staged.forget()

    def settle(self, places: Iterable[bytes]) -> int:
        """Append the staged messages of these places; how many there were."""
        with self._file.mutex, translated(self._file.path):
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

    def _append(self, staged: Staged, places: Sequence[bytes]) -> None:
        file = self._file
        with file.opened(write=True, create=True) as descriptor:
            before = os.fstat(descriptor)
            offset = before.st_size
            end = read_at(descriptor, max(offset - 3, 0), 3)
            ended = not end or end.endswith((b"\n\n", b"\n\r\n"))
            prefix = b"" if ended else b"\n" if end.endswith(b"\n") else b"\n\n"
            known = file.table.seen
            file.journal.note_append(descriptor, offset, staged.path, prefix)
            file.table.seen = None
            try:
                _write_at(descriptor, offset, prefix, pieces(staged.path))
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, offset)
                file.journal.forget_append()
                raise
            after = os.fstat(descriptor)
            if before.st_atime_ns >= before.st_mtime_ns:
                # What a client puts here is no new mail (R235).
                os.utime(descriptor, ns=(after.st_mtime_ns, after.st_mtime_ns))
            file.table.seen = known
            file.table.appended(descriptor, self._rows(staged, places, offset + len(prefix)))
            file.journal.forget_append()
            for place in places:
                self._staged.pop(place, None)
            staged.forget()

    def _rows(
        self, staged: Staged, places: Sequence[bytes], offset: int
    ) -> list[tuple[int, bytes]]:
        """Start and place of each appended message; its place is that of the index, if it has."""
        left = list(places)
        taken = {_key(place) for place in places}
        rows = []
        for start, known, notes in staged.messages:
            place = _taken_from(left, known)
            if place is None:
                place = self._file.table.free_key(known, taken) + b":" + notes
                taken.add(_key(place))
            rows.append((offset + start, place))
        return rows

    def _left_behind(self, places: Sequence[bytes]) -> list[tuple[Staged, list[bytes]]]:
        """Staged files that a killed process left, with those of the places that are in them."""
        found: list[tuple[Staged, list[bytes]]] = []
        left = list(places)
        file = self._file
        for path in file.beside("staged-") if left else ():
            try:
                staged = left_behind(path, file.mboxrd)
            except (OSError, NotMbox):
                continue
            if staged is None:
                continue
            places_there = [_taken_from(left, known) for _, known, _ in staged.messages]
            ours = [place for place in places_there if place is not None]
            if not ours:
                staged.forget()  # of a client that was never told that it is done
                continue
            if len(ours) < len(places_there):
                # The others are there already, or were not told to anybody.
                chosen = [n for n, place in enumerate(places_there) if place is not None]
                fresh = f"{file.base}.staged-{secrets.token_hex(8)}"
                staged = only(staged, fresh, chosen, file.mboxrd)
            found.append((staged, ours))
        return found

    def sweep(self) -> None:
        """Remove what killed processes staged, once the index has all its messages."""
        file = self._file
        with file.mutex, suppress(OSError):
            for path in file.beside("staged-"):
                with suppress(OSError, NotMbox):
                    staged = left_behind(path, file.mboxrd)
                    if staged is not None:
                        staged.forget()


class MboxArriving:
    """A message being written beside the mbox."""

    def __init__(self, appending: Appending, path: str) -> None:
        """Create the file; OSError."""
        self._appending = appending
        self._path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def write(self, data: bytes) -> None:
        """Add octets."""
        with translated(self._path):
            left = memoryview(data)
            while left:
                left = left[os.write(self._descriptor, left) :]

    def finish(self, flags: Flags, internal_date: int | None) -> bytes:
        """Stage the message; the place it will have after `settle`."""
        date = int(time.time()) if internal_date is None else internal_date
        (place,) = self._appending.stage(iter([(self._descriptor, flags, date)]))
        self.abort()
        return place

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with suppress(FileNotFoundError):
                os.unlink(self._path)


def _key(place: bytes) -> bytes:
    return place.partition(b":")[0]


def _taken_from(left: list[bytes], known: bytes) -> bytes | None:
    """Take the first of some places whose message has this digest; None: none has."""
    place = next((place for place in left if _key(place).partition(b"-")[0] == known), None)
    if place is not None:
        left.remove(place)
    return place


def _write_at(descriptor: int, offset: int, prefix: bytes, rest: Iterable[bytes]) -> None:
    for piece in (prefix, *rest):
        left = memoryview(piece)
        while left:
            written = os.pwrite(descriptor, left, offset)
            offset += written
            left = left[written:]
