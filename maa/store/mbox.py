"""An mbox file as mail.local, procmail, Postfix and mutt share it (RFC 4155; R229-R238).

Every change other than flags goes into the file that is there, under the site's locks
(`maa.store.locks`), so that other programs see what they are used to. Flags live in the index
alone: the file is not rewritten for them.

Metadata that a message had when it came was perhaps its sender's, and means nothing: only what
other programs change in it later counts, by the three-way merge of `maa.store.reconcile`
(R236, R237). For that, a message's place has the notes that it had when it was seen last.

The parts, from the bottom: `mbox_lines` (From_ lines and quoting), `mbox_notes` (what programs
note in headers), `mbox_split` (where messages begin and end), `mbox_table` (what is where, kept up
cheaply), `mbox_journal` (changes that a crash cannot leave half done), `mbox_file` (all this under
the locks), `mbox_reading` (copies for clients), `mbox_staging`, `mbox_appending` (what comes in).

Order of writes (R247), where it differs from a Maildir's: what comes in is staged, durably; the
index commits; the staged messages are appended. Removal comes before the commit, as with a
Maildir, and is `mbox_journal`'s.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from maa.message.flags import NONE, Flags
from maa.store.errors import MessageGone, StoreError, Unavailable
from maa.store.locks import Locks
from maa.store.maildrop import Arrival, Maildrop, Removal, Scan
from maa.store.mbox_appending import Appending, MboxArriving
from maa.store.mbox_file import FLAGS, MboxFile, translated
from maa.store.mbox_notes import flags_of
from maa.store.mbox_reading import open_copy, read_many, read_notes

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Mbox:
    """`maa.store.maildrop.Maildrop` on an mbox file."""

    verbatim = False

    def __init__(
        self, path: str, state: str, locks: Locks, required: bool = True, mboxrd: bool = False
    ) -> None:
        """Use the file at an absolute path; `state`: a directory of the user's for ours.

        `required`: that the file is not there means that the mailbox is gone, and not that it
        is empty, as a spool file may be. `mboxrd`: lines like `>From ` are quoted ones.
        """
        self.path = path
        self.only = os.path.basename(path)
        self._file = MboxFile(path, state, locks, required=required, mboxrd=mboxrd)
        self._appending = Appending(self._file)

    @staticmethod
    def create(path: str) -> None:
        """Make an empty mbox; Unavailable, NoSpace."""
        with translated(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o600))

    # --- what is there

    @property
    def unfinished(self) -> bool:
        """Whether a crash left a change to be finished by the next use of the mailbox."""
        return self._file.unfinished

    @property
    def half_changed(self) -> bool:
        """Whether the file itself is in the middle of a change that a crash interrupted."""
        return self._file.journal.pending

    def watched(self) -> Sequence[str]:
        """The directory, for the file may be replaced; of its names `only` counts."""
        return (os.path.dirname(self.path) + "/.",)

    def stamp(self) -> tuple[int, ...]:
        """The file's modification time and size."""
        with translated(self.path):
            try:
                found = os.lstat(self.path)
            except FileNotFoundError:
                if self._file.required:
                    raise
                return (0,)
            return (found.st_mtime_ns, found.st_size, found.st_ino)

    def scan(self, arrivals_only: bool = False) -> Scan:
        """Every message, in the order of the file."""
        try:
            with self._file.opened(write=False):
                table = self._file.table
                return Scan(table.mail(), ordered=True, rearranged=table.rearranged)
        except MessageGone:
            if self._file.required:
                raise
            self._check_mounted()
            return Scan((), ordered=True)

    def _check_mounted(self) -> None:
        """A spool file that is not there was removed; or is its disk not mounted? Unavailable."""
        with self._file.mutex, translated(self.path):
            seen = self._file.table.last_seen()
            try:
                device = os.stat(os.path.dirname(self.path)).st_dev
            except FileNotFoundError:
                device = -1
            if seen is not None and seen.octets and seen.device != device:
                _log.error("%s is gone: is its disk mounted?", self.path)
                raise Unavailable(f"{self.path} is gone")

    def key(self, place: bytes) -> bytes:
        """The digest."""
        return place.partition(b":")[0]

    def flags(self, place: bytes) -> Flags | None:
        """What Status, X-Status and X-Keywords show."""
        return flags_of(place.partition(b":")[2])

    def arrival_flags(self, place: bytes) -> Flags:
        """None: what a new message's header says of flags is its sender's word (R236)."""
        return NONE

    def order(self, place: bytes) -> float:
        """The order of the file (R074)."""
        with self._file.mutex:
            return self._file.table.position(place) or 0

    def arrivals(self, places: Sequence[bytes]) -> list[Arrival]:
        """All: they were seen under the lock, and no other message has the same digest."""
        with self._file.mutex:
            position = self._file.table.position
            return [Arrival(position(place) or 0, place, -1) for place in places]

    # --- places are what the file says, and nobody renames a message

    def is_another(self, place: bytes, date: int) -> bool:
        """Never."""
        return False

    def wanted_place(self, place: bytes, flags: Flags) -> bytes:
        """Where it is."""
        return place

    def rename(self, place: bytes, target: bytes) -> None:
        """No message has two places in an mbox."""
        raise MessageGone(f"{self.path}: no such place")

    def renamed_apart(self, place: bytes, other: bytes) -> bytes:
        """No two messages have one key in an mbox."""
        raise MessageGone(f"{self.path}: no such place")

    # --- reading

    def open(self, place: bytes) -> int:
        """A copy of the message as clients are to see it; MessageGone, LockTimeout."""
        return open_copy(self._file, place)

    def contents(
        self, places: Iterable[bytes], octets: int, dates: bool
    ) -> list[tuple[bytes, int]]:
        """Read with as few calls as there are megabytes, while the file is as it was."""
        return read_many(self._file, places, octets, dates)

    def noted(self, parse: Callable[[bytes], T]) -> list[tuple[bytes, T]]:
        """What `parse` makes of each header as it is in the file, in its order, with the place.

        UW's own message in front, which is no mail, has the empty place.
        """
        return read_notes(self._file, parse)

    def internal_date(self, descriptor: int) -> int:
        """From the copy, where `open` left it (R089)."""
        return int(os.fstat(descriptor).st_mtime)

    def octets(self, places: Sequence[bytes]) -> list[int]:
        """From one From_ line to the next."""
        return self._file.octets(places)

    def whole_octets(self) -> int | None:
        """The file's size."""
        return self._file.size()

    # --- changing

    def remove(self, places: Iterable[bytes]) -> Removal:
        """Cut messages out of the file, all at once."""
        places = list(places)
        try:
            with self._file.opened(write=True) as descriptor:
                positions, found = self._positions(places)
                # Of a file that grew not all was looked at again.
                if not self._file.table.is_true(descriptor, found):
                    self._file.table.reread(descriptor)
                    positions, found = self._positions(places)
                if found:
                    self._file.cut(descriptor, found)
        except MessageGone:
            return Removal(frozenset(places), frozenset(), None)
        except StoreError as error:
            return Removal(frozenset(), frozenset(places), error)
        absent = frozenset(place for place, at in positions.items() if at is None)
        return Removal(absent, frozenset(), None)

    def _positions(self, places: Sequence[bytes]) -> tuple[dict[bytes, int | None], list[int]]:
        """Where messages are in the order of the file; and, ascending, of those that are there."""
        positions = {place: self._file.table.position(place) for place in places}
        return positions, sorted({at for at in positions.values() if at is not None})

    def arriving(self) -> MboxArriving:
        """Begin to write a new message, beside."""
        return self._appending.arriving()

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

        return self._appending.stage(sources())

    def settle(self, places: Iterable[bytes]) -> int:
        """Append the staged messages of these places; how many there were."""
        return self._appending.settle(places)

    def adopt(self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
        """Append what `free_places` staged."""
        self._appending.settle(targets)

    def take_over(
        self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]
    ) -> bool:
        """Never: messages are copied, then removed."""
        return False

    def complete(self) -> None:
        """Remove what killed processes staged: else it might come for another, alike, one day."""
        self._appending.sweep()

    def discard(self, places: Iterable[bytes]) -> None:
        """Drop staged messages."""
        self._appending.discard(places)

    def flush(self, arrived: Iterable[bytes] | None = None) -> None:
        """Nothing: every change has waited for the disk."""
