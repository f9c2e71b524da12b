"""Keeps what was used last alive; what falls out lives on only while somebody else has it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Keeper(Generic[K, V]):
    """Strong references to the values used last; memory only, from any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._kept: OrderedDict[K, V] = OrderedDict()

    def touch(self, key: K, value: V) -> None:
        """This one is the last used; the one used longest ago is let go when there are many."""
        with self._lock:
            # What is let go is freed after the lock: its finalizers may do anything.
            replaced = self._kept.get(key)
            self._kept[key] = value
            self._kept.move_to_end(key)
            dropped = self._kept.popitem(last=False) if len(self._kept) > self.limit else None
        del replaced, dropped

    def drop(self, key: K) -> None:
        """Let it go; one that is not kept is no error."""
        with self._lock:
            dropped = self._kept.pop(key, None)
        del dropped
