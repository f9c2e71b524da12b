"""What all mailboxes of one account share: its index and cache, its lock, its identity."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from maa.store.beacon import protect
from maa.store.bulletin import Bulletin
from maa.store.cache import open_cache
from maa.store.errors import MailboxGone
from maa.store.identity import Identity
from maa.store.index import Cache, Index
from maa.store.shared import Shared
from maa.store.snapshot import FlagTable
from maa.store.spare import bring_back
from maa.store.sqlite_index import open_index
from maa.store.watch import Watcher


@dataclass(frozen=True, slots=True)
class Ledger:
    """An account's open books."""

    index: Index
    cache: Cache
    table: FlagTable
    lock: threading.RLock
    """One writer at a time; held for the index and for everything that changes a maildrop."""
    shared: Shared
    """The same among processes."""
    bulletin: Bulletin
    """What other processes change."""
    identity: Identity
    watcher: Watcher

    @classmethod
    def open(
        cls,
        directory: Path,
        identity: Identity,
        watcher: Watcher,
        *,
        neighbours: bool = False,
        beacon: str = "",
        spare: str = "",
    ) -> Ledger:
        """Open or make `index.db` and `cache.db`, as the user; Unavailable, NoSpace.

        `neighbours`: other processes have the account too, so its watchers hear of them at once.
        `beacon`: the path of the file beside the mail that the index is compared with; `spare`:
        that of the copy which an index that is lost begins with.
        """
        with identity:
            shared = Shared(str(directory / "shared"), neighbours)
            bulletin = Bulletin(str(directory / "bulletin"), watcher if neighbours else None)
            try:
                with shared:  # two processes may open a new account at once
                    index = open_index(
                        directory, lambda path: bool(spare) and bring_back(Path(spare), path)
                    )
                    if beacon:
                        bulletin.ready()
                        protect(index, beacon, lambda mailbox_id: bulletin.post(mailbox_id, None))
                    cache = open_cache(directory, index.get_setting("generation") or "")
                    table = FlagTable(index.flag_sets(), index.add_flag_set)
            except BaseException:
                bulletin.close()
                shared.close()
                raise
        return cls(index, cache, table, threading.RLock(), shared, bulletin, identity, watcher)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The account's lock, here and among all processes, and the user's identity.

        MailboxGone when the index is not the one on the disk any more.
        """
        with self.lock, self.identity, self.shared:
            if self.index.replaced():
                # What is written to it now nobody would ever read again.
                raise MailboxGone("the index was removed or replaced")
            self.bulletin.ready()
            yield

    def close(self) -> None:
        """Give the files back, which may not be there any more."""
        with self.lock, self.identity:
            self.index.close()
            self.cache.close()
        self.bulletin.close()
        self.shared.close()
