"""`cache.db`: what can be derived from the messages again, kept because that takes time.

It never waits for the disk and may be deleted at any time. What cannot be written, as on a full
disk, is logged by `Database` and derived again next time: nobody's command fails for it. It
belongs to one generation of the index: after the index was made anew, mailbox ids mean other
mailboxes, and it is emptied.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from maa.store.errors import StoreError, Unavailable
from maa.store.sqlite import Database

FORMAT = "1"
ITEMS_MAX = 64
"""Names of items kept for an account; clients choose header field sets, so it is bounded."""

_SCHEMA = """
BEGIN IMMEDIATE;
DROP TABLE IF EXISTS setting; DROP TABLE IF EXISTS item;
DROP TABLE IF EXISTS derived; DROP TABLE IF EXISTS fact;
CREATE TABLE setting (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE item (             -- what kinds of values there are
    id   INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE   -- with a version: 'envelope/1'
);
-- Another process may still know the ids of before: they are to mean nothing else now.
INSERT INTO sqlite_sequence VALUES ('item', abs(random() % 1000000000) * 1000);
CREATE TABLE derived (          -- a value of a kind for a message
    mailbox INTEGER NOT NULL, item INTEGER NOT NULL, uid INTEGER NOT NULL, value BLOB NOT NULL,
    PRIMARY KEY (mailbox, item, uid)
) WITHOUT ROWID;
CREATE TABLE fact (             -- -1: not known
    mailbox INTEGER NOT NULL, uid INTEGER NOT NULL,
    size    INTEGER NOT NULL,   -- RFC822.SIZE: octets as sent
    date    INTEGER NOT NULL,   -- INTERNALDATE: seconds since the epoch
    PRIMARY KEY (mailbox, uid)
) WITHOUT ROWID;
COMMIT;
"""

_log = logging.getLogger(__name__)


def open_cache(directory: Path, generation: str) -> SqliteCache:
    """The cache in an account's state directory; a damaged one is replaced by an empty one."""
    path = directory / "cache.db"
    try:
        return SqliteCache(Database(path, "OFF"), generation)
    except Unavailable as error:
        _log.warning("cache %s is damaged and is made anew: %s", path, error)
        for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
            (directory / name).unlink(missing_ok=True)
        return SqliteCache(Database(path, "OFF"), generation)


class SqliteCache:
    """`maa.store.index.Cache` on SQLite, with a lock of its own."""

    def __init__(self, database: Database, generation: str) -> None:
        """Use a database, emptying it when it belongs to another generation of the index."""
        self._db = database
        self._lock = threading.Lock()
        self._items: dict[str, int] = {}
        stamp = f"{FORMAT} {generation}"
        known = self._db.rows("SELECT 1 FROM sqlite_master WHERE name = 'setting'")
        if not known or self._db.rows("SELECT value FROM setting WHERE key = 'of'") != [(stamp,)]:
            self._db.script(_SCHEMA)
            with self._db.transaction() as connection:
                connection.execute("INSERT INTO setting VALUES ('of', ?)", (stamp,))
        self._items = dict(self._db.rows("SELECT name, id FROM item"))

    def get(self, mailbox_id: int, item: str, uids: Sequence[int]) -> dict[int, bytes]:
        """What is remembered under `item` of these messages (ascending UIDs)."""
        with self._lock:
            item_id = self._items.get(item)
            if item_id is None or not uids:
                return {}
            where = "SELECT uid, value FROM derived WHERE mailbox = ? AND item = ? AND uid"
            low, high = uids[0], uids[-1]
            if high - low < 4 * len(uids):
                found = dict(
                    self._db.rows(f"{where} BETWEEN ? AND ?", (mailbox_id, item_id, low, high))
                )
                if len(found) <= len(uids) == high - low + 1:
                    return found
                return {uid: found[uid] for uid in uids if uid in found}
            found = {}
            for start in range(0, len(uids), 500):
                some = uids[start : start + 500]
                marks = ",".join("?" * len(some))
                found.update(self._db.rows(f"{where} IN ({marks})", (mailbox_id, item_id, *some)))
            return found

    def put(self, mailbox_id: int, item: str, values: Mapping[int, bytes]) -> None:
        """Remember derived values."""
        with suppress(StoreError), self._lock:
            item_id = self._items.get(item) or self._new_item(item)
            with self._db.transaction() as connection:
                connection.executemany(
                    f"INSERT OR REPLACE INTO derived VALUES ({mailbox_id}, {item_id}, ?, ?)",
                    values.items(),
                )

    def _new_item(self, item: str) -> int:
        with self._db.transaction() as connection:
            if len(self._items) >= ITEMS_MAX:
                # The oldest set of fields that a client chose goes; it can be derived again.
                chosen = [pair for pair in self._items.items() if ":" in pair[0]]
                name, old = min(chosen or self._items.items(), key=lambda pair: pair[1])
                connection.execute("DELETE FROM derived WHERE item = ?", (old,))
                connection.execute("DELETE FROM item WHERE id = ?", (old,))
                del self._items[name]
            connection.execute("INSERT OR IGNORE INTO item (name) VALUES (?)", (item,))
            row = connection.execute("SELECT id FROM item WHERE name = ?", (item,)).fetchone()
        self._items[item] = int(row[0])
        return int(row[0])

    def facts(self, mailbox_id: int, since: int = 0) -> list[tuple[int, int, int]]:
        """(UID, size as sent, internal date) where they are known, from UID `since`; -1 unknown."""
        with self._lock:
            return self._db.rows(
                "SELECT uid, size, date FROM fact WHERE mailbox = ? AND uid >= ? ORDER BY uid",
                (mailbox_id, since),
            )

    def put_facts(self, mailbox_id: int, rows: Iterable[tuple[int, int, int]]) -> None:
        """Remember sizes and internal dates; -1 leaves the remembered one."""
        with suppress(StoreError), self._lock, self._db.transaction() as connection:
            connection.executemany(
                f"INSERT INTO fact VALUES ({mailbox_id}, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " size = max(size, excluded.size),"
                " date = CASE WHEN excluded.date = -1 THEN date ELSE excluded.date END",
                rows,
            )

    def forget(self, mailbox_id: int, uids: Sequence[int] | None) -> None:
        """Drop what is known of these messages, or of the whole mailbox."""
        with suppress(StoreError), self._lock, self._db.transaction() as connection:
            if uids is None:
                connection.execute("DELETE FROM derived WHERE mailbox = ?", (mailbox_id,))
                connection.execute("DELETE FROM fact WHERE mailbox = ?", (mailbox_id,))
                return
            for low, high in _runs(uids):
                span = (mailbox_id, low, high)
                connection.execute(
                    "DELETE FROM derived WHERE mailbox = ? AND uid BETWEEN ? AND ?"
                    " AND item IN (SELECT id FROM item)",
                    span,
                )
                connection.execute(
                    "DELETE FROM fact WHERE mailbox = ? AND uid BETWEEN ? AND ?", span
                )

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            try:
                self._db.close()
            except StoreError as error:
                _log.warning("cache %s: %s", self._db.path, error)


def _runs(uids: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending UIDs as inclusive ranges; what lies between two neighbours must be gone too."""
    runs: list[tuple[int, int]] = []
    for uid in sorted(uids):
        if runs and uid == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], uid)
        else:
            runs.append((uid, uid))
    return runs
