"""`maa rebuild`: an account's index made anew of what can be read of it, and of backups.

Beside a running server: the account is locked while the new index takes the old one's place, and
sessions that know the old one end (`Ledger.held`). The old one stays beside it. The new index has
a generation of its own, so the beacon (`maa.store.beacon`) moves its UIDs and mod-sequences
beyond all that were given, and the cache is emptied.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from maa.store.directories import flush_directory
from maa.store.errors import NewerIndex, StoreError, Unavailable
from maa.store.identity import Identity
from maa.store.salvage import Contents, Kept, contents, write_index
from maa.store.shared import Shared

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rebuilt:
    """What became of an index."""

    kept: Sequence[Kept]
    remarks: Sequence[str]
    """What could not be read, and of which file."""
    aside: Path | None
    """Where the old index is now."""


def rebuild(state: Path, identity: Identity, sources: Sequence[Path], spare: Path) -> Rebuilt:
    """Replace the index of the account in `state`, an existing directory; StoreError.

    `sources`: backups, whose UIDVALIDITYs count before those of the present index. `spare`: the
    server's own copy, for when there is nothing else.
    """
    index = state / "index.db"
    remarks: list[str] = []
    given = [_read(path, Identity.own(), remarks, named=True) for path in sources]
    backups = [found for found in given if found is not None]
    with identity, Shared(str(state / "shared"), neighbours=True):
        present = _read(index, identity, remarks)
        if present is None and not backups:
            present = _read(spare, identity, remarks)
        known = [present] if present is not None else []
        if not known and not backups:
            remarks.append("no index can be read: mailboxes get a greater UIDVALIDITY, new UIDs")
        new = state / f"index.db.new-{secrets.token_hex(4)}"
        try:
            kept = write_index(new, [*backups, *known], [*known, *backups])
            aside = _put_aside(index)
            os.rename(new, index)
            flush_directory(os.fsencode(state))
        finally:
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.unlink(f"{new}{suffix}")
    _log.warning("index %s was made anew", index)
    return Rebuilt(kept, remarks, aside)


def _read(
    path: Path, identity: Identity, remarks: list[str], *, named: bool = False
) -> Contents | None:
    """What is in an index; None when that is nothing. A file that was `named` has to be one."""
    with identity:
        if not named and not (path.exists() and path.stat().st_size):
            return None
        try:
            found = contents(path)
        except NewerIndex:
            raise
        except StoreError as error:
            if named:
                raise
            remarks.append(f"{path}: {error}")
            return None
    if not found.rows("mailbox"):
        if named:
            raise Unavailable(f"{path}: nothing in it can be read")
        remarks.append(f"{path}: nothing in it can be read")
        return None
    remarks += [f"{path}: the table {table} is damaged" for table in found.damaged]
    return found


def _put_aside(index: Path) -> Path | None:
    if not index.exists() or not index.stat().st_size:
        return None
    aside = index.with_name(f"index.db.replaced-{int(time.time())}")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}x")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(f"{index}{suffix}", f"{aside}{suffix}")
    return aside
