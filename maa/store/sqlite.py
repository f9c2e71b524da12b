"""SQLite files, their transactions, and their errors in the store's words.

Only this module knows SQLite. One connection an account and file, used under the account's lock
by whichever worker thread holds it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from maa.store.errors import LockTimeout, NoSpace, StoreError, Unavailable

Connection: TypeAlias = sqlite3.Connection
BUSY_SECONDS = 10.0
_DAMAGES = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_log = logging.getLogger(__name__)


class Database:
    """One SQLite file, its transactions, and its errors in the store's words."""

    def __init__(self, path: Path, synchronous: str, *, precious: bool = False) -> None:
        """Open or create the file; Unavailable when it can't be, or is no database.

        `precious`: what is damaged is set aside and kept, for the next `open` to begin anew.
        """
        self.path = path
        self.inode = _made(path) if precious else 0
        """Of a precious file."""
        self._synchronous = ""
        with self.translated():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA wal_autocheckpoint=2000")
            self.synchronous(synchronous)

    def synchronous(self, level: str) -> None:
        """How commits wait for the disk from now on: OFF, NORMAL or FULL."""
        if level != self._synchronous:
            self._connection.execute(f"PRAGMA synchronous={level}")
            self._synchronous = level

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into the store's."""
        try:
            yield
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith(_DAMAGES):
                self._set_aside()
            raise _store_error(self.path, error) from error

    def _set_aside(self) -> None:
        """Keep a damaged file under another name, that the user is not locked out for ever."""
        try:
            if not self.inode or os.stat(self.path).st_ino != self.inode:
                return  # a cache; or another process was faster, and there is a new index
            aside = f"{self.path}.damaged-{int(time.time())}"
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.rename(f"{self.path}{suffix}", f"{aside}{suffix}")
        except OSError as error:
            _log.error("index %s is damaged and cannot be set aside: %s", self.path, error)
            return
        _log.error("index %s is damaged: kept as %s; a new one is begun", self.path, aside)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: committed whole, or rolled back when anything is raised."""
        with self.translated():
            # IMMEDIATE: a deferred transaction that turns to writing may get SQLITE_BUSY at once.
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # On a full disk SQLite may have done it by itself, or not.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self.translated():
            return self._connection.execute(query, parameters).fetchall()

    def script(self, text: str) -> None:
        """Run statements that create the schema."""
        with self.translated():
            self._connection.executescript(text)

    def copy_to(self, path: Path) -> None:
        """Write a compact copy, as of one moment, to an empty file; NoSpace, Unavailable."""
        with self.translated():
            self._connection.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Give the file back."""
        with self.translated():
            self._connection.close()


class Reader(Database):
    """A SQLite file that is only read, perhaps damaged, perhaps in use by others."""

    def __init__(self, path: Path) -> None:
        """Open the file; Unavailable."""
        self.path = path
        self.inode = 0
        with self.translated():
            self._connection = sqlite3.connect(
                f"file:{quote(str(path))}?mode=ro", timeout=BUSY_SECONDS, uri=True
            )
            # The file is its user's, who may have put anything there.
            self._connection.execute("PRAGMA trusted_schema=OFF")

    def readable(self, query: str, parameters: Sequence[Any] = ()) -> tuple[list[Any], bool]:
        """The rows up to where the file is damaged, and whether these are all."""
        rows: list[Any] = []
        try:
            rows.extend(self._connection.execute(query, parameters))
        except (sqlite3.DatabaseError, OverflowError):
            return rows, False
        return rows, True


def _store_error(path: Path, error: sqlite3.Error) -> StoreError:
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL":
        _log.warning("index %s: the disk is full", path)
        return NoSpace(f"{path}: the disk is full")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LockTimeout(f"{path}: another process holds the index")
    _log.error("index %s: %s (%s)", path, error, name or "no code")
    return Unavailable(f"{path}: {error}")


def _made(path: Path) -> int:
    """The inode of a file, made when there is none."""
    # No file that is there may be opened: closing it would drop SQLite's locks.
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return os.stat(path).st_ino
