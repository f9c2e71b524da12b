"""What all mailboxes of one account share: its index and cache, its lock, its identity."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maa.store.cache import open_cache
from maa.store.identity import Identity
from maa.store.index import Cache, Index
from maa.store.snapshot import FlagTable
from maa.store.sqlite import open_index
from maa.store.watch import Watcher


@dataclass(frozen=True, slots=True)
class Ledger:
    """An account's open books."""

    index: Index
    cache: Cache
    table: FlagTable
    lock: threading.RLock
    """One writer at a time; held for the index and for everything that changes a maildrop."""
    identity: Identity
    watcher: Watcher

    @classmethod
    def open(cls, directory: Path, identity: Identity, watcher: Watcher) -> Ledger:
        """Open or make `index.db` and `cache.db`, as the user; Unavailable, NoSpace."""
        with identity:
            index = open_index(directory)
            cache = open_cache(directory, index.get_setting("generation") or "")
            table = FlagTable(index.flag_sets(), index.add_flag_set)
        return cls(index, cache, table, threading.RLock(), identity, watcher)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The account's lock, and the user's identity for this thread."""
        with self.lock, self.identity:
            yield

    def close(self) -> None:
        """Give the files back."""
        with self.held():
            self.index.close()
            self.cache.close()
