"""Whether anybody else changed a mailbox's directories since they were last read.

Hints come from `maa.store.watch` by directory and name. Those that our own renames cause are
expected beforehand and say nothing new; a delivery touches only the first directory, `new`,
so that not everything need be listed again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final
from weakref import WeakMethod

from maa.store.watch import Watch, Watcher

DELIVERED: Final = 1
"""Something happened where an MDA delivers."""
CHANGED: Final = 2
"""Something happened elsewhere."""
ALL: Final = DELIVERED | CHANGED
_OWN_AT_ONCE = 2000


class Hints:
    """The hints for one mailbox; memory only, but for `watch`."""

    def __init__(
        self,
        watcher: Watcher,
        directories: Sequence[str],
        went_stale: Callable[[], None],
        only: str = "",
    ) -> None:
        """`went_stale`, a method, is called when the first hint comes, on any thread.

        `only`: what happens to other names in the directories says nothing.
        """
        self._only = only
        self._watcher = watcher
        self._directories = directories
        # Weak: who is told usually holds this object, and is not to wait for the collector.
        self._went_stale = WeakMethod(went_stale)
        self._prefixes = [os.fsencode(os.path.basename(path)) + b"/" for path in directories]
        self._watches: list[Watch | None] = []
        self._own: dict[bytes, int] = {}
        self._own_lock = threading.Lock()
        self._seen = ALL
        # Where, and how often, as far as it is known.
        self._strange: dict[bytes, int] | None = None

    @property
    def watched(self) -> bool:
        """Whether hints come at all; where they do not, nothing remembered is trusted."""
        watches = self._watches
        return bool(watches) and all(watch is not None and watch.live for watch in watches)

    def quiet(self) -> bool:
        """Whether nothing happened since `taken`."""
        if not self.watched:
            return False
        self._watcher.drain()
        return not self._seen

    def watch(self) -> None:
        """Watch the directories, if they are not watched yet."""
        if self.watched:
            return
        for watch in self._watches:
            if watch is not None:
                self._watcher.remove(watch)
        self._watches = [
            self._watcher.add(path, mark)
            for path, mark in zip(
                self._directories,
                (self._mark_delivered, self._mark_changed)[-len(self._directories) :],
                strict=True,
            )
        ]
        self.put_back(ALL)

    def taken(self, explained: Collection[bytes] = ()) -> int:
        """What happened so far; from now on only later hints count.

        `explained` are places where another process of ours changed something, once each.
        """
        self._watcher.drain()
        with self._own_lock:
            seen, self._seen = self._seen, 0
            strange, self._strange = self._strange, {}
        if strange and all(n == 1 and place in explained for place, n in strange.items()):
            return 0
        return seen

    def put_back(self, seen: int) -> None:
        """What was `taken` is still to be looked at."""
        if seen:
            with self._own_lock:
                self._seen |= seen
                self._strange = None

    def doubt(self) -> None:
        """What was expected may never come, and is not to stand for what comes instead."""
        with self._own_lock:
            self._own.clear()
        self.put_back(ALL)

    def expect(self, places: Iterable[bytes]) -> None:
        """Each of these places is about to change by our own hand."""
        if not self.watched:
            return
        if len(self._own) > _OWN_AT_ONCE:
            self._watcher.drain()  # before the kernel's queue overflows
        with self._own_lock:
            for place in places:
                self._own[place] = self._own.get(place, 0) + 1

    def _mark_delivered(self, name: str) -> None:
        self._mark(DELIVERED, self._prefixes[0] + os.fsencode(name) if name else b"")

    def _mark_changed(self, name: str) -> None:
        if not self._only or name in ("", self._only):
            self._mark(CHANGED, self._prefixes[-1] + os.fsencode(name) if name else b"")

    def _mark(self, what: int, place: bytes) -> None:
        if not place:
            what = ALL
        elif place in self._own:
            with self._own_lock:
                left = self._own.pop(place, 0) - 1
                if left > 0:
                    self._own[place] = left
            return
        with self._own_lock:
            before, self._seen = self._seen, self._seen | what
            if not place or len(self._strange or ()) > _OWN_AT_ONCE:
                self._strange = None
            elif self._strange is not None:
                self._strange[place] = self._strange.get(place, 0) + 1
        if not before:
            tell = self._went_stale()
            if tell is not None:
                tell()
