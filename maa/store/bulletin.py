"""Which messages a process changed in the index, for the other processes that have it open.

Whoever is about to commit appends a line to the account's file `bulletin`: the mailbox's id and
the UIDs, as in `7 3:9,12`, or `7 *` for whatever there is. The line comes *before* the commit,
and both under the account's lock between processes (`maa.store.shared`); who has seen the line
and then gets the lock finds the commit done, or its writer dead.

So a look at the file's length, which needs no lock, tells whether what is in memory is what the
index has, and the lines tell which rows to read again: the cost of following is that of the
change. The file is no journal: nothing is lost with it but a reading of everything. It is
replaced when it has become long; who sees that it was reads everything again.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final
from weakref import WeakMethod

from maa.message.numbers import MAX_NUMBER, NumberSet, written
from maa.store.errors import NoSpace, Unavailable
from maa.store.hold import OPEN_FLAGS
from maa.store.watch import Watch, Watcher

LONG: Final = 1 << 20
MANY: Final = 10_000
"""Of so many messages the rows are read again one by one; of more, all are."""
LINES: Final = 1000
"""So many lines about a mailbox are remembered; of more, only that there were many."""
EVERYTHING: Final = b"*"
# UIDs of at most ten digits: MAX_NUMBER is checked when they are read.
_LINE: Final = re.compile(rb"^([0-9]{1,18}) (\*|[1-9][0-9:,]*)$", re.MULTILINE)

_log = logging.getLogger(__name__)


class Bulletin:
    """The file `bulletin` of one account; from any thread."""

    def __init__(self, path: str, watcher: Watcher | None) -> None:
        """`watcher`, if any, is asked to say when there is news. `ready` comes first."""
        self._path = path
        self._watcher = watcher
        self._watch: Watch | None = None
        self._descriptor = -1
        self._lost = True
        self._read = 0
        self._lock = threading.Lock()
        self._marks: dict[int, WeakMethod[Callable[[], None]]] = {}
        self._news: dict[int, list[bytes]] = {}

    # --- memory only

    def drain(self) -> None:
        """Take in what other processes wrote, and tell the mailboxes concerned."""
        with self._lock:
            told = self._drain()
        self._tell(told)

    def _tell(self, told: Iterable[int]) -> None:
        for mailbox_id in told:
            mark = self._marks.get(mailbox_id)
            method = None if mark is None else mark()
            if method is not None:
                method()

    def has_news(self, mailbox_id: int) -> bool:
        """Whether another process changed a mailbox since `taken`."""
        self.drain()
        return mailbox_id in self._news

    def _drain(self) -> Sequence[int]:
        """With the lock; which mailboxes have news and had none."""
        if self._lost:
            return ()
        found = os.fstat(self._descriptor)
        more = found.st_size - self._read
        if found.st_nlink and not more:
            return ()
        # The file belongs to the user, who may have done anything to it.
        if not found.st_nlink or not 0 < more < 2 * LONG:
            self._lost = True
            return self._everything()
        data = os.pread(self._descriptor, more, self._read)
        data = data[: data.rfind(b"\n") + 1]  # the rest is just being written
        self._read += len(data)
        lines = _LINE.findall(data)
        if len(lines) != data.count(b"\n"):
            return self._everything()
        told = []
        for number, uids in lines:
            mailbox_id = int(number)
            mark = self._marks.get(mailbox_id)
            if mark is None:
                continue
            if mark() is None:  # nobody has that mailbox open any more
                del self._marks[mailbox_id]
                self._news.pop(mailbox_id, None)
                continue
            if mailbox_id not in self._news:
                told.append(mailbox_id)
            news = self._news.setdefault(mailbox_id, [])
            news.append(uids if len(news) < LINES else EVERYTHING)
            del news[LINES + 1 :]
        return told

    def _everything(self) -> Sequence[int]:
        told = [mailbox_id for mailbox_id in self._marks if mailbox_id not in self._news]
        self._news = {mailbox_id: [EVERYTHING] for mailbox_id in self._marks}
        return told

    # --- with the account's lock, and the user's identity

    def ready(self) -> None:
        """Open the file, anew when it was replaced; Unavailable."""
        if self._lost:
            self._open()

    def _open(self) -> None:
        try:
            descriptor = os.open(self._path, OPEN_FLAGS | os.O_APPEND, 0o600)
        except OSError as error:
            raise Unavailable(f"cannot open {self._path}: {error}") from error
        if self._watcher is not None:
            if self._watch is not None:
                self._watcher.remove(self._watch)
            self._watch = self._watcher.add_file(self._path, self._changed)
        with self._lock:
            before, self._descriptor = self._descriptor, descriptor
            self._read = os.fstat(descriptor).st_size
            self._lost = False
            self._everything()
        if before >= 0:
            os.close(before)

    def _changed(self, name: str) -> None:
        self.drain()

    def follow(self, mailbox_id: int, mark: Callable[[], None]) -> None:
        """From now on there is news of this mailbox: `mark` is called, on any thread."""
        with self._lock:
            told = self._drain()
            self._marks[mailbox_id] = WeakMethod(mark)
            self._news.pop(mailbox_id, None)
        self._tell(told)

    def taken(self, mailbox_id: int) -> set[int] | None:
        """The UIDs that others changed since it was asked; None: whatever there is."""
        with self._lock:
            told = self._drain()
            pieces = self._news.pop(mailbox_id, ())
        self._tell(other for other in told if other != mailbox_id)
        uids: set[int] = set()
        for piece in pieces:
            if piece == EVERYTHING or not _add(uids, piece):
                return None
        return uids

    def put_back(self, mailbox_id: int) -> None:
        """What was `taken` could not be followed: read everything next time."""
        with self._lock:
            self._news[mailbox_id] = [EVERYTHING]

    def post(self, mailbox_id: int, uids: Iterable[int] | None) -> None:
        """These messages (None: all) are about to change in the index; NoSpace, Unavailable."""
        text = EVERYTHING if uids is None else written(sorted(set(uids)))
        if not text:
            return
        line = b"%d %s\n" % (mailbox_id, text)
        with self._lock:
            told = self._drain()
            try:
                whole = not self._lost and os.write(self._descriptor, line) == len(line)
            except OSError as error:
                _log.warning("%s: %s", self._path, error)
                whole = False
            if whole:
                self._read += len(line)
        self._tell(told)
        if not whole or self._read >= LONG:
            self._replace()

    def _replace(self) -> None:
        """Begin a new file: the old one's end tells everybody to read everything again."""
        with self._lock:
            own = self._news
        try:
            os.unlink(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise NoSpace(f"{self._path}: {error}") from error
        self._open()
        with self._lock:
            self._news = own  # what this process did itself is no news to it

    def close(self) -> None:
        """Give the file back."""
        if self._watcher is not None and self._watch is not None:
            self._watcher.remove(self._watch)
        with self._lock:
            self._lost = True
            descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _add(uids: set[int], text: bytes) -> bool:
    """Add a sequence-set to the UIDs, if it is not too long for that to be worth it."""
    try:
        ranges = NumberSet.parse(text).resolved(MAX_NUMBER)
    except ValueError:
        return False
    for low, high in ranges:
        if high - low > MANY or len(uids) > MANY:
            return False
        uids.update(range(low, high + 1))
    return True
