"""A new index from what can be read of others, which may be damaged.

Every row that can be read is kept: a table is read from its beginning up to where it is damaged,
then from its end, then what lies between by halves. Of several files the first that has a
mailbox says what its UIDVALIDITY is; messages come from all that know it under that one, for
there a UID means the same message in each of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard

from maa.message.numbers import MAX_NUMBER
from maa.store.beacon import SKIPPED_MODSEQS
from maa.store.schema import checked_schema
from maa.store.sqlite import Database, Reader
from maa.store.sqlite_index import SqliteIndex

QUERIES_MAX: Final = 200_000
"""For one mailbox: some seconds."""
_KEPT_SETTINGS: Final = ("roles", "uidvalidity")
_MODSEQ_MAX: Final = (1 << 63) - 1
_COUNTERS: Final = {
    "uidnext": MAX_NUMBER, "highest_modseq": _MODSEQ_MAX, "first_recent": MAX_NUMBER,
}  # fmt: skip
_COLUMNS: Final = {
    "setting": {"key", "value"},
    "mailbox": {"id", "name", "uidvalidity", *_COUNTERS, "special_use"},
    "flag_set": {"id", "flags"},
    "message": {"mailbox", "uid", "place", "flag_id", "modseq"},
    "subscription": {"name"},
}
"""What a table must have to be one of ours."""

Row = dict[str, Any]


@dataclass
class Contents:
    """What could be read of one index."""

    path: Path
    tables: dict[str, list[Row]] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    """Tables of which not every row could be read."""

    def rows(self, table: str) -> list[Row]:
        """What was read of a table."""
        return self.tables.get(table, [])


def contents(path: Path) -> Contents:
    """Read all that can be read; NewerIndex, Unavailable when that is nothing."""
    reader = Reader(path)
    try:
        found = Contents(path)
        known, _ = reader.readable("SELECT name FROM sqlite_master WHERE type = 'table'")
        names = [name for (name,) in known if isinstance(name, str) and name.isidentifier()]
        if "setting" in names and reader.readable("SELECT count(*) FROM setting")[1]:
            checked_schema(reader)
        # Mailboxes first: by their ids the rest is looked for.
        for name in sorted(names, key=lambda name: name != "mailbox"):
            _read_table(reader, name, found)
        return found
    finally:
        reader.close()


def _read_table(reader: Reader, name: str, found: Contents) -> None:
    described, _ = reader.readable(f"PRAGMA table_info({name})")
    columns = [column[1] for column in described]
    if not columns or not _COLUMNS.get(name, set()) <= set(columns):
        found.damaged.append(name)
        return
    rows, whole = reader.readable(f"SELECT * FROM {name}")
    if not whole:
        found.damaged.append(name)
        key = "mailbox DESC, uid DESC" if "uid" in columns else f"{columns[0]} DESC"
        rows += reader.readable(f"SELECT * FROM {name} ORDER BY {key}")[0]
        if {"mailbox", "uid"} <= set(columns):
            for row in found.rows("mailbox"):
                rows += _between(reader, name, row["id"], row["uidnext"])
        rows = list(dict.fromkeys(rows))
    found.tables[name] = [dict(zip(columns, row, strict=True)) for row in rows]


def _between(reader: Reader, name: str, mailbox: object, uidnext: object) -> list[Any]:
    """The rows of a mailbox, but those on damaged pages; as many as so many queries find."""
    found: list[Any] = []
    left = [(1, uidnext if _is_number(uidnext, MAX_NUMBER) else MAX_NUMBER)]
    queries = 0
    while left and queries < QUERIES_MAX:
        low, high = left.pop()
        queries += 2
        query = f"SELECT * FROM {name} WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid"
        ascending, whole = reader.readable(query, (mailbox, low, high))
        found += ascending
        if whole:
            continue
        low = ascending[-1][1] + 1 if ascending else low
        descending, _ = reader.readable(query + " DESC", (mailbox, low, high))
        found += descending
        high = descending[-1][1] - 1 if descending else high
        if low < high:
            middle = (low + high) // 2
            left += [(middle + 1, high), (low, middle)]
    return found


@dataclass
class Kept:
    """One mailbox in the new index."""

    name: str
    uidvalidity: int
    messages: int = 0


def write_index(
    target: Path, mailboxes: Sequence[Contents], messages: Sequence[Contents]
) -> list[Kept]:
    """Make the new index; NoSpace, Unavailable.

    `mailboxes`: whose word counts first for a mailbox's UIDVALIDITY; `messages`: the same files,
    in the order in which their word counts for flags.
    """
    database = Database(target, "FULL")
    index = SqliteIndex(database)
    try:
        with database.transaction() as connection:
            writer = _Writer(connection)
            for found in mailboxes:
                writer.take_account(found)
            for found in messages:
                writer.take_messages(found)
            writer.count()
        return list(writer.kept.values())
    finally:
        index.close()


class _Writer:
    """The transaction that fills a new index."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._flags = {"": 0}
        self._ids: dict[int, int] = {}
        """Of the new mailboxes, by what names them in all files: see `_lasting`."""
        self._names: set[str] = set()
        self.kept: dict[int, Kept] = {}
        tables = self._run("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        self._columns = {
            name: {column[1] for column in self._run(f"PRAGMA table_info({name})")}
            for (name,) in tables
        }

    # --- mailboxes

    def take_account(self, found: Contents) -> None:
        """Take over mailboxes, subscriptions and settings that are not there yet."""
        for row in found.rows("setting"):
            if row["key"] in _KEPT_SETTINGS and isinstance(row["value"], str):
                self._setting(row["key"], row["value"])
        for row in found.rows("subscription"):
            if isinstance(row["name"], str):
                self._insert("subscription", row)
        for row in found.rows("mailbox"):
            if isinstance(row["name"], str) and _is_number(row["uidvalidity"], MAX_NUMBER):
                self._mailbox(row)

    def _setting(self, key: str, value: str) -> None:
        if key == "uidvalidity":
            (known,) = self._run("SELECT max(value) FROM setting WHERE key = ?", key).fetchone()
            numbers = [int(text) for text in (value, known or "0") if text.isdecimal()]
            value = str(max(numbers, default=0))
        self._run("INSERT OR REPLACE INTO setting VALUES (?, ?)", key, value)

    def _mailbox(self, row: Row) -> None:
        lasting, name = _lasting(row), row["name"]
        numbers = {
            key: row[key] if _is_number(row[key], most) else 1 for key, most in _COUNTERS.items()
        }
        if lasting in self._ids and name == self.kept[lasting].name:
            self._run(
                "UPDATE mailbox SET uidnext = max(uidnext, ?), highest_modseq ="
                " max(highest_modseq, ?), first_recent = max(first_recent, ?) WHERE id = ?",
                *(*numbers.values(), self._ids[lasting]),
            )
        elif lasting not in self._ids and name not in self._names:
            new = {key: value for key, value in row.items() if key != "id"}
            self._ids[lasting] = self._insert("mailbox", new | numbers)
            self._names.add(name)
            self.kept[lasting] = Kept(name, row["uidvalidity"])

    # --- messages

    def take_messages(self, found: Contents) -> None:
        """Take over the messages of the mailboxes that there are, and what there is of each."""
        lasting = {row["id"]: _lasting(row) for row in found.rows("mailbox")}
        texts = {row["id"]: row["flags"] for row in found.rows("flag_set")}
        for table in sorted(found.tables, key=lambda table: table != "message"):
            if not {"mailbox", "uid"} <= self._columns.get(table, set()):
                continue
            for row in found.rows(table):
                mailbox = self._ids.get(lasting.get(row["mailbox"], 0))
                if mailbox is None or not _is_number(row["uid"], MAX_NUMBER - 1):
                    continue
                new = row | {"mailbox": mailbox}
                if table == "message":
                    if not isinstance(row["place"], bytes):
                        continue
                    new |= {"flag_id": self._number(texts.get(row["flag_id"])), "modseq": 1}
                self._insert(table, new)

    def _number(self, flags: object) -> int:
        text = flags if isinstance(flags, str) else ""
        if text not in self._flags:
            self._flags[text] = self._insert("flag_set", {"flags": text})
        return self._flags[text]

    # --- numbers

    def count(self) -> None:
        """Counters above all that is there; whatever is not is logged as expunged (RFC 7162)."""
        for lasting, mailbox in self._ids.items():
            self._drop_doubles(mailbox)
            rows = self._run("SELECT uid FROM message WHERE mailbox = ? ORDER BY uid", mailbox)
            uids = [row[0] for row in rows]
            counters = "SELECT uidnext, highest_modseq FROM mailbox WHERE id = ?"
            uidnext, modseq = self._run(counters, mailbox).fetchone()
            uidnext = max(uidnext, uids[-1] + 1 if uids else 1)
            modseq = min(modseq + SKIPPED_MODSEQS, _MODSEQ_MAX)
            self._run("UPDATE message SET modseq = ? WHERE mailbox = ?", modseq, mailbox)
            self._run(
                "UPDATE mailbox SET uidnext = ?, highest_modseq = ? WHERE id = ?",
                *(uidnext, modseq, mailbox),
            )
            gone = _gaps(uids, uidnext)
            if gone:
                at = int(time.time())
                self._run("INSERT INTO expunged VALUES (?, ?, ?, ?)", mailbox, modseq, gone, at)
            self._run(
                "UPDATE message SET saved = ? WHERE mailbox = ? AND saved = 0",
                *(int(time.time()), mailbox),  # an index of schema 1 does not know it
            )
            self.kept[lasting].messages = len(uids)

    def _drop_doubles(self, mailbox: int) -> None:
        """Of UIDs that mean one message nobody knows which did: it gets a new one."""
        keys: dict[bytes, list[int]] = {}
        for uid, place in self._run("SELECT uid, place FROM message WHERE mailbox = ?", mailbox):
            # What is before the colon stays, in whichever directory of a Maildir it is.
            key = place.removeprefix(b"new/").removeprefix(b"cur/").partition(b":")[0]
            keys.setdefault(key, []).append(uid)
        for uids in keys.values():
            for uid in uids if len(uids) > 1 else ():
                self._run("DELETE FROM message WHERE mailbox = ? AND uid = ?", mailbox, uid)

    def _insert(self, table: str, row: Row) -> int:
        """Add a row with the columns that both files have, unless there is one like it."""
        columns = sorted(self._columns[table].intersection(row))
        cursor = self._run(
            f"INSERT OR IGNORE INTO {table} ({', '.join(columns)})"
            f" VALUES ({', '.join('?' * len(columns))})",
            *(row[column] for column in columns),
        )
        return int(cursor.lastrowid)

    def _run(self, statement: str, *parameters: object) -> Any:
        return self._connection.execute(statement, parameters)


def _lasting(row: Row) -> int:
    """The number of a mailbox that no other one ever had."""
    number = row.get("mark") or row["uidvalidity"]
    return number if isinstance(number, int) else 0


def _is_number(value: object, most: int) -> TypeGuard[int]:
    return isinstance(value, int) and 1 <= value <= most


def _gaps(uids: Iterable[int], uidnext: int) -> str:
    """The UIDs below `uidnext` that are not there, as a sequence set."""
    ranges = []
    low = 1
    for uid in (*uids, uidnext):
        if uid > low:
            ranges.append(f"{low}:{uid - 1}" if uid - 1 > low else f"{low}")
        low = uid + 1
    return ",".join(ranges)
