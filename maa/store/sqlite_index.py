"""The index on SQLite: `index.db`, precious, in WAL mode (docs/on-disk-format.md)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from maa.message.numbers import written
from maa.store.errors import MailboxGone, Unavailable
from maa.store.index import (
    Adopted,
    Change,
    Counters,
    DetailRow,
    Guard,
    MailboxRow,
    MessageRow,
)
from maa.store.schema import migrate
from maa.store.sqlite import Connection, Database

UIDVALIDITY_MAX = 2**31 - 1


def open_index(directory: Path, lost: Callable[[Path], object] = bool) -> SqliteIndex:
    """The index in an account's state directory, made when there is none or it is damaged.

    `lost` may put another in its place before.
    """
    path = directory / "index.db"
    try:
        if not path.exists() or not path.stat().st_size:
            lost(path)
        return SqliteIndex(Database(path, "NORMAL", precious=True))
    except Unavailable:
        if path.exists():  # not set aside
            raise
        lost(path)
        return SqliteIndex(Database(path, "NORMAL", precious=True))


class SqliteIndex:
    """`maa.store.index.Index` on SQLite."""

    def __init__(self, database: Database) -> None:
        """Use a database, creating or migrating its schema; Unavailable when it is newer."""
        self._db = database
        self._guard: Guard | None = None
        self._marks: dict[int, set[int]] = {}
        try:
            migrate(database)
            self._learn_marks()
            self.flag_sets()  # so that what is damaged is found out now
        except BaseException:
            database.close()
            raise

    def mailboxes(self) -> dict[str, MailboxRow]:
        """Every mailbox by name."""
        rows = self._db.rows(
            "SELECT id, name, uidvalidity, special_use, coalesce(mark, 0) FROM mailbox"
        )
        return {row[1]: MailboxRow(*row) for row in rows}

    def create_mailbox(self, name: str, use: str | None = None) -> MailboxRow:
        """A new mailbox with a UIDVALIDITY greater than every earlier one's (R077)."""
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            value = self._next_uidvalidity(connection)
            if self._guard is not None:
                self._guard.reach(value, Counters(1, 1, 1))
            return _insert_mailbox(connection, name, value, use, None, Counters(1, 1, 1))

    def _next_uidvalidity(self, connection: Connection) -> int:
        last = int(_setting(connection, "uidvalidity") or 0)
        # Seconds since the epoch, so that an index lost with its beacon still leads to a
        # greater one (R076, L-16).
        if self._guard is not None:
            last = max(last, self._guard.greatest)
        value = max(last + 1, min(int(time.time()), UIDVALIDITY_MAX))
        _set_setting(connection, "uidvalidity", str(value))
        return value

    def adopt_mailbox(self, adopted: Adopted) -> MailboxRow:
        """A mailbox with given numbers, in place of the one that has its name.

        It gets an id of its own: whoever has the old one open finds it gone (R058). If another
        one has its UIDVALIDITY, perhaps of the same second, the beacon tells them apart by a mark.
        """
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            last = max(adopted.uidvalidity, adopted.above)
            if int(_setting(connection, "uidvalidity") or 0) < last:
                _set_setting(connection, "uidvalidity", str(last))
            use, mark = None, None
            if adopted.replaces is not None:
                query = "SELECT special_use, uidvalidity, mark FROM mailbox WHERE id = ?"
                use, before, mark = connection.execute(query, (adopted.replaces,)).fetchone()
                mark = mark if before == adopted.uidvalidity else None
                _drop(connection, adopted.replaces)
            query = "SELECT 1 FROM mailbox WHERE ?1 IN (uidvalidity, mark)"
            taken = connection.execute(query, (adopted.uidvalidity,)).fetchone()
            if (adopted.shared or taken) and mark is None:
                mark = self._next_uidvalidity(connection)
            if self._guard is not None:
                for number in filter(None, (adopted.uidvalidity, mark)):
                    self._guard.reach(number, adopted.counters)
            row = _insert_mailbox(
                connection, adopted.name, adopted.uidvalidity, use, mark, adopted.counters
            )
            _insert_adopted(connection, row.id, adopted)
            return row

    def given(self, uidvalidity: int) -> Counters | None:
        """Numbers greater than all that maa gave under a UIDVALIDITY; None: none that it knows."""
        return None if self._guard is None else self._guard.given(uidvalidity)

    def rename_mailboxes(self, names: Sequence[tuple[int, str]]) -> None:
        """Give mailboxes new names, all or none.

        One that shares its UIDVALIDITY with another gets its own, lest it come under a name that
        another one had with the same (R077).
        """
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            connection.executemany(
                "UPDATE mailbox SET name = ?, uidvalidity = coalesce(mark, uidvalidity),"
                " mark = NULL WHERE id = ?",
                [(name, id_) for id_, name in names],
            )

    def drop_mailbox(self, mailbox_id: int) -> None:
        """Forget a mailbox and all that is known of its messages."""
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            _drop(connection, mailbox_id)

    def set_use(self, mailbox_id: int, use: str | None) -> None:
        """Set or clear the special use."""
        with self._db.transaction() as connection:
            connection.execute("UPDATE mailbox SET special_use = ? WHERE id = ?", (use, mailbox_id))

    def subscriptions(self) -> frozenset[str]:
        """The subscribed names, whether or not such mailboxes exist."""
        return frozenset(row[0] for row in self._db.rows("SELECT name FROM subscription"))

    def subscribe(self, name: str) -> None:
        """Add a subscription; one that is there stays."""
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO subscription VALUES (?)", (name,))

    def unsubscribe(self, name: str) -> None:
        """Remove a subscription, if it is there."""
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            connection.execute("DELETE FROM subscription WHERE name = ?", (name,))

    def get_setting(self, key: str) -> str | None:
        """A remembered fact about the account."""
        rows = self._db.rows("SELECT value FROM setting WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    def set_setting(self, key: str, value: str) -> None:
        """Remember a fact about the account."""
        with self._db.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, value))

    def flag_sets(self) -> list[tuple[int, str]]:
        """Every flag set ever used: its id and its flags, blank-separated."""
        return self._db.rows("SELECT id, flags FROM flag_set ORDER BY id")

    def add_flag_set(self, flags: str) -> int:
        """The id of a flag set, made when it is new."""
        with self._db.transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO flag_set (flags) VALUES (?)", (flags,))
            row = connection.execute("SELECT id FROM flag_set WHERE flags = ?", (flags,)).fetchone()
            return int(row[0])

    def counters(self, mailbox_id: int) -> Counters:
        """The counters of a mailbox; MailboxGone."""
        rows = self._db.rows(
            "SELECT uidnext, highest_modseq, first_recent FROM mailbox WHERE id = ?", (mailbox_id,)
        )
        if not rows:
            raise MailboxGone(f"{self._db.path}: mailbox {mailbox_id} is not in the index")
        return Counters(*rows[0])

    def messages(self, mailbox_id: int, uids: Sequence[int] | None = None) -> list[MessageRow]:
        """Messages by ascending UID: all, or those there are of ascending `uids`."""
        return self._messages("uid, place, flag_id, modseq", mailbox_id, uids)

    def details(self, mailbox_id: int, uids: Sequence[int]) -> list[DetailRow]:
        """What is seldom asked of messages, of those there are of ascending `uids`."""
        return self._messages("uid, saved, email_id", mailbox_id, uids)

    def _messages(self, columns: str, mailbox_id: int, uids: Sequence[int] | None) -> list[Any]:
        query = f"SELECT {columns} FROM message WHERE mailbox = ?"
        if uids is None:
            return self._db.rows(f"{query} ORDER BY uid", (mailbox_id,))
        rows: list[Any] = []
        for start in range(0, len(uids), 500):
            some = uids[start : start + 500]
            marks = ",".join("?" * len(some))
            rows += self._db.rows(f"{query} AND uid IN ({marks}) ORDER BY uid", (mailbox_id, *some))
        return rows

    def uidls(self, mailbox_id: int) -> dict[int, bytes]:
        """By UID the POP3 names that are not made of UID and UIDVALIDITY."""
        return dict(self._db.rows("SELECT uid, uidl FROM uidl WHERE mailbox = ?", (mailbox_id,)))

    def apply(self, mailbox_id: int, change: Change) -> None:
        """Carry out a change, all or nothing."""
        self._db.synchronous("FULL" if change.durable else "NORMAL")
        counters = change.counters
        with self._db.transaction() as connection:
            if self._guard is not None:
                for mark in self._marks_of(mailbox_id):
                    self._guard.reach(mark, counters)
            if change.arrivals:
                now = int(time.time())
                connection.executemany(
                    "INSERT INTO message (mailbox, uid, place, flag_id, modseq, saved)"
                    f" VALUES ({mailbox_id}, ?, ?, ?, ?, {now})",
                    change.arrivals,
                )
            if change.email_ids:
                connection.executemany(
                    f"UPDATE message SET email_id = ? WHERE mailbox = {mailbox_id} AND uid = ?",
                    [(email_id, uid) for uid, email_id in change.email_ids],
                )
            if change.flags:
                connection.executemany(
                    "UPDATE message SET flag_id = ?, modseq = ? WHERE mailbox = ? AND uid = ?",
                    [(fid, counters.highest_modseq, mailbox_id, uid) for uid, fid in change.flags],
                )
            if change.places:
                connection.executemany(
                    "UPDATE message SET place = ? WHERE mailbox = ? AND uid = ?",
                    [(place, mailbox_id, uid) for uid, place in change.places],
                )
            if change.expunged:
                _expunge(connection, mailbox_id, change.expunged, counters.highest_modseq)
            connection.execute(
                # They only grow, whatever this process believes (R075).
                "UPDATE mailbox SET uidnext = max(uidnext, ?), highest_modseq ="
                " max(highest_modseq, ?), first_recent = max(first_recent, ?) WHERE id = ?",
                (counters.uidnext, counters.highest_modseq, counters.first_recent, mailbox_id),
            )

    def _marks_of(self, mailbox_id: int) -> set[int]:
        """Under which numbers the beacon is to hear of a mailbox: its mark, and UIDVALIDITY."""
        if mailbox_id not in self._marks:  # another process made it
            self._learn_marks()
        return self._marks.get(mailbox_id, set())

    def _learn_marks(self) -> None:
        self._marks = {
            row.id: {row.beacon_mark, row.uidvalidity} for row in self.mailboxes().values()
        }

    def expunged(self, mailbox_id: int, since: int, until: int) -> Sequence[bytes] | None:
        """Sets of UIDs that were expunged with a mod-sequence above `since`, up to `until`.

        None: the log does not reach so far back (R172, R175).
        """
        query = "SELECT forgotten_modseq FROM mailbox WHERE id = ?"
        forgotten = self._db.rows(query, (mailbox_id,))
        if not forgotten or since < forgotten[0][0]:
            return None
        rows = self._db.rows(
            "SELECT uids FROM expunged WHERE mailbox = ? AND modseq > ? AND modseq <= ?",
            (mailbox_id, since, until),
        )
        return [row[0].encode("ascii") for row in rows]

    def last_expunge(self, mailbox_id: int) -> int:
        """The mod-sequence of the newest expunge, also one that the log has no more; or 0."""
        query = (
            "SELECT max(forgotten_modseq, coalesce((SELECT max(modseq) FROM expunged"
            " WHERE mailbox = ?1), 0)) FROM mailbox WHERE id = ?1"
        )
        rows = self._db.rows(query, (mailbox_id,))
        return int(rows[0][0]) if rows else 0

    def prune(self, mailbox_id: int, kept: int, before: int) -> None:
        """Drop expunges from before that time, in seconds, and all but the newest `kept`."""
        # No older row is kept than one that is dropped, though the clock may have been set back.
        query = (
            "SELECT max(coalesce((SELECT max(modseq) FROM expunged WHERE mailbox = ?1 AND at < ?2),"
            " 0), coalesce((SELECT modseq FROM expunged WHERE mailbox = ?1"
            " ORDER BY modseq DESC LIMIT 1 OFFSET ?3), 0))"
        )
        ((last,),) = self._db.rows(query, (mailbox_id, before, kept))
        if not last:
            return
        with self._db.transaction() as connection:
            connection.execute(
                "DELETE FROM expunged WHERE mailbox = ? AND modseq <= ?", (mailbox_id, last)
            )
            connection.execute(
                "UPDATE mailbox SET forgotten_modseq = max(forgotten_modseq, ?) WHERE id = ?",
                (last, mailbox_id),
            )

    def skip(self, mailbox_id: int, uidnext: int, modseq: int) -> None:
        """Never give the numbers below; every message is as if it changed just now (R176)."""
        before = self.counters(mailbox_id).uidnext
        self._db.synchronous("FULL")
        with self._db.transaction() as connection:
            connection.execute(
                "UPDATE mailbox SET uidnext = max(uidnext, ?), highest_modseq ="
                " max(highest_modseq, ?) WHERE id = ?",
                (uidnext, modseq, mailbox_id),
            )
            connection.execute(
                "UPDATE message SET modseq = ? WHERE mailbox = ?", (modseq, mailbox_id)
            )
            if before < uidnext:  # what was under these UIDs is under others now
                _log_expunged(connection, mailbox_id, range(before, uidnext), modseq)

    def guard(self, guard: Guard, generation: str) -> None:
        """From now on `guard` hears of every number before it is given; take this generation."""
        self._guard = guard
        last = int(self.get_setting("uidvalidity") or 0)
        with self._db.transaction() as connection:
            for key, value in (
                ("generation", generation),
                ("uidvalidity", str(max(last, guard.greatest))),
            ):
                connection.execute(
                    "INSERT OR REPLACE INTO setting SELECT ?1, ?2 WHERE NOT EXISTS"
                    " (SELECT 1 FROM setting WHERE key = ?1 AND value = ?2)",
                    (key, value),
                )

    def replaced(self) -> bool:
        """Whether another file has the index's name by now, or none."""
        try:
            return os.stat(self._db.path).st_ino != self._db.inode
        except FileNotFoundError:
            return True

    def close(self) -> None:
        """Give the files back."""
        if self._guard is not None:
            self._guard.close()
        self._db.close()


def _setting(connection: Connection, key: str) -> str | None:
    row = connection.execute("SELECT value FROM setting WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def _set_setting(connection: Connection, key: str, value: str) -> None:
    connection.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (key, value))


def _insert_mailbox(
    connection: Connection,
    name: str,
    uidvalidity: int,
    use: str | None,
    mark: int | None,
    counters: Counters,
) -> MailboxRow:
    cursor = connection.execute(
        "INSERT INTO mailbox (name, uidvalidity, uidnext, highest_modseq, first_recent,"
        " special_use, mark) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (name, uidvalidity, *astuple(counters), use, mark),
    )
    return MailboxRow(int(cursor.lastrowid or 0), name, uidvalidity, use, mark or 0)


def _insert_adopted(connection: Connection, mailbox_id: int, adopted: Adopted) -> None:
    connection.executemany(
        "INSERT INTO message (mailbox, uid, place, flag_id, modseq, saved)"
        f" VALUES ({mailbox_id}, ?, ?, ?, ?, {int(time.time())})",
        adopted.messages,
    )
    connection.executemany(
        f"UPDATE message SET saved = ?, email_id = ? WHERE mailbox = {mailbox_id} AND uid = ?",
        [(saved, email_id, uid) for uid, saved, email_id in adopted.details],
    )
    connection.executemany(f"INSERT INTO uidl VALUES ({mailbox_id}, ?, ?)", adopted.uidls)
    # What was expunged before, nobody knows here (R172, R175).
    connection.execute(
        "UPDATE mailbox SET forgotten_modseq = highest_modseq WHERE id = ?", (mailbox_id,)
    )


def _drop(connection: Connection, mailbox_id: int) -> None:
    for table, column in (
        ("message", "mailbox"),
        ("expunged", "mailbox"),
        ("uidl", "mailbox"),
        ("mailbox", "id"),
    ):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (mailbox_id,))


def _expunge(connection: Connection, mailbox_id: int, uids: Sequence[int], modseq: int) -> None:
    connection.executemany(
        "DELETE FROM message WHERE mailbox = ? AND uid = ?", [(mailbox_id, uid) for uid in uids]
    )
    if connection.execute("SELECT 1 FROM uidl WHERE mailbox = ?", (mailbox_id,)).fetchone():
        connection.executemany(
            "DELETE FROM uidl WHERE mailbox = ? AND uid = ?", [(mailbox_id, uid) for uid in uids]
        )
    _log_expunged(connection, mailbox_id, sorted(uids), modseq)


def _log_expunged(
    connection: Connection, mailbox_id: int, uids: Sequence[int], modseq: int
) -> None:
    connection.execute(
        "INSERT INTO expunged VALUES (?, ?, ?, ?)",
        (mailbox_id, modseq, written(uids).decode("ascii"), int(time.time())),
    )
