"""The contract that every implementation of `maa.store.index.Index` must fulfil."""

import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from maa.store import schema
from maa.store.cache import ITEMS_MAX, open_cache
from maa.store.errors import MailboxGone, Unavailable
from maa.store.index import Adopted, Change, Counters, MailboxRow
from maa.store.sqlite_index import SqliteIndex, open_index


@pytest.fixture
def index(tmp_path: Path) -> SqliteIndex:
    return open_index(tmp_path)


def test_R077_a_mailbox_made_again_has_a_greater_uidvalidity(index: SqliteIndex) -> None:
    first = index.create_mailbox("a")
    second = index.create_mailbox("b")
    index.drop_mailbox(first.id)
    again = index.create_mailbox("a")
    assert first.uidvalidity < second.uidvalidity < again.uidvalidity < 2**31
    assert again.id not in (first.id, second.id)


def test_messages_come_back_by_uid(tmp_path: Path, index: SqliteIndex) -> None:
    row = index.create_mailbox("INBOX")
    number = index.add_flag_set("\\Seen work")
    rows = [(2, b"new/b", 0, 2), (1, b"cur/a:2,S", number, 2)]
    index.apply(row.id, Change(arrivals=rows, counters=Counters(3, 2, 1)))
    index.close()
    index = open_index(tmp_path)
    assert index.messages(row.id) == sorted(rows)
    assert index.counters(row.id) == Counters(3, 2, 1)
    assert dict(index.flag_sets()) == {0: "", number: "\\Seen work"}


def test_a_change_is_all_or_nothing(index: SqliteIndex) -> None:
    row = index.create_mailbox("INBOX")
    good = (1, b"new/a", 0, 2)
    index.apply(row.id, Change(arrivals=[good], counters=Counters(2, 2, 1)))
    twice = Change(arrivals=[(2, b"new/b", 0, 3), good], counters=Counters(3, 3, 1))
    with pytest.raises(Unavailable):
        index.apply(row.id, twice)
    assert index.messages(row.id) == [good]
    assert index.counters(row.id) == Counters(2, 2, 1)


def test_flags_places_and_expunges_are_applied(index: SqliteIndex) -> None:
    row = index.create_mailbox("INBOX")
    rows = [(uid, b"new/%d" % uid, 0, 2) for uid in (1, 2, 3)]
    index.apply(row.id, Change(arrivals=rows, counters=Counters(4, 2, 1)))
    seen = index.add_flag_set("\\Seen")
    index.apply(
        row.id,
        Change(
            flags=[(1, seen)], places=[(1, b"cur/1:2,S")], expunged=[2], counters=Counters(4, 3, 2)
        ),
    )
    assert index.messages(row.id) == [(1, b"cur/1:2,S", seen, 3), rows[2]]
    assert index.counters(row.id) == Counters(4, 3, 2)


def test_R112_subscriptions_need_no_mailbox(index: SqliteIndex) -> None:
    index.subscribe("nowhere")
    index.subscribe("nowhere")
    index.subscribe("Ünïcode")
    index.unsubscribe("never was")
    assert index.subscriptions() == {"nowhere", "Ünïcode"}
    index.unsubscribe("nowhere")
    assert index.subscriptions() == {"Ünïcode"}


def test_renames_are_all_or_nothing(index: SqliteIndex) -> None:
    a, b = index.create_mailbox("a"), index.create_mailbox("b")
    with pytest.raises(Unavailable):
        index.rename_mailboxes([(a.id, "c"), (b.id, "c")])
    assert set(index.mailboxes()) == {"a", "b"}
    index.rename_mailboxes([(a.id, "c"), (b.id, "a")])
    assert {name: row.id for name, row in index.mailboxes().items()} == {"c": a.id, "a": b.id}


def test_an_index_of_a_newer_schema_is_refused(tmp_path: Path, index: SqliteIndex) -> None:
    index.set_setting("schema", "99")
    index.close()
    with pytest.raises(Unavailable, match="schema 99"):
        open_index(tmp_path)


def test_an_index_of_an_older_schema_is_brought_forward_step_by_step(
    tmp_path: Path, index: SqliteIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = index.create_mailbox("INBOX")
    index.close()
    now = schema.SCHEMA
    monkeypatch.setattr(schema, "SCHEMA", now + 2)
    steps = {now: "CREATE TABLE more (a);", now + 1: "INSERT INTO more VALUES (7);"}
    monkeypatch.setattr(schema, "MIGRATIONS", steps)
    migrated = open_index(tmp_path)
    assert migrated.mailboxes() == {"INBOX": row}
    assert migrated.get_setting("schema") == str(now + 2)
    migrated.close()
    with sqlite3.connect(tmp_path / "index.db") as connection:
        assert connection.execute("SELECT a FROM more").fetchall() == [(7,)]


def test_an_index_of_schema_1_becomes_todays(tmp_path: Path) -> None:
    tables = {
        "setting": "key TEXT PRIMARY KEY, value TEXT NOT NULL",
        "mailbox": "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE,"
        " uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL, highest_modseq INTEGER NOT NULL,"
        " first_recent INTEGER NOT NULL, special_use TEXT",
        "flag_set": "id INTEGER PRIMARY KEY, flags TEXT NOT NULL UNIQUE",
        "message": "mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, place BLOB NOT NULL,"
        " flag_id INTEGER NOT NULL, modseq INTEGER NOT NULL, PRIMARY KEY (mailbox, uid)",
        "expunged": "mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uids TEXT NOT NULL,"
        " at INTEGER NOT NULL, PRIMARY KEY (mailbox, modseq)",
        "subscription": "name TEXT PRIMARY KEY",
    }
    with sqlite3.connect(tmp_path / "index.db") as connection:
        for name, columns in tables.items():
            connection.execute(f"CREATE TABLE {name} ({columns})")
        connection.execute("INSERT INTO setting VALUES ('schema', '1'), ('generation', 'ab')")
        connection.execute("INSERT INTO flag_set VALUES (0, '')")
        connection.execute("INSERT INTO mailbox VALUES (7, 'INBOX', 99, 4, 5, 1, NULL)")
        connection.execute("INSERT INTO message VALUES (7, 1, x'6162', 0, 3)")
        connection.execute("INSERT INTO expunged VALUES (7, 5, '2:3', 0)")
    connection.close()
    index = open_index(tmp_path)
    assert index.mailboxes()["INBOX"] == MailboxRow(7, "INBOX", 99, None)
    assert index.messages(7) == [(1, b"ab", 0, 3)]
    ((uid, saved, email_id),) = index.details(7, [1])
    assert (uid, email_id) == (1, None) and abs(saved - time.time()) < 60
    assert index.expunged(7, 0, 5) == [b"2:3"] and index.last_expunge(7) == 5
    index.apply(7, Change(arrivals=[(4, b"c", 0, 6)], email_ids=[(4, "M1-2")]))
    assert index.details(7, [4, 5])[0][2] == "M1-2"


def test_a_migration_that_fails_leaves_the_index_as_it_was(
    tmp_path: Path, index: SqliteIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.create_mailbox("INBOX")
    index.close()
    with monkeypatch.context() as patched:
        now = schema.SCHEMA
        patched.setattr(schema, "SCHEMA", now + 1)
        patched.setattr(schema, "MIGRATIONS", {now: "CREATE TABLE more (a); SELECT nonsense;"})
        with pytest.raises(Unavailable):
            open_index(tmp_path)
    assert set(open_index(tmp_path).mailboxes()) == {"INBOX"}


def test_a_file_that_is_no_database_is_kept_and_a_new_index_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index.db").write_bytes(b"not a database" * 1000)
    index = open_index(tmp_path)
    assert index.mailboxes() == {}
    (aside,) = tmp_path.glob("index.db.damaged-*[0-9]")
    assert aside.read_bytes().startswith(b"not a database")
    assert f"kept as {aside}" in caplog.text
    index.create_mailbox("a")
    index.close()
    assert set(open_index(tmp_path).mailboxes()) == {"a"}


def test_damage_found_at_work_sets_the_index_aside(tmp_path: Path, index: SqliteIndex) -> None:
    row = index.create_mailbox("INBOX")
    rows = [(uid, b"new/%d" % uid * 20, 0, 2) for uid in range(1, 2000)]
    index.apply(row.id, Change(arrivals=rows, counters=Counters(2000, 2, 1)))
    index.close()
    size = (tmp_path / "index.db").stat().st_size
    with (tmp_path / "index.db").open("r+b") as file:
        file.seek(40_000)
        file.write(b"\xff" * (size - 40_000))
    one, other = open_index(tmp_path), open_index(tmp_path)
    with pytest.raises(Unavailable):
        one.messages(row.id)
    assert not (tmp_path / "index.db").exists()
    new = open_index(tmp_path)
    new.create_mailbox("new")
    with pytest.raises(Unavailable):
        other.messages(row.id)
    # Neither takes anything of the new one away, though their names are the same.
    one.close()
    other.close()
    new.create_mailbox("newer")
    new.close()
    assert set(open_index(tmp_path).mailboxes()) == {"new", "newer"}
    assert len(list(tmp_path.glob("index.db.damaged-*[0-9]"))) == 1


def test_the_cache_remembers_by_item_and_uid(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, "g")
    cache.put(1, "envelope/1", {uid: b"%d" % uid for uid in range(1, 2000)})
    assert cache.get(1, "envelope/1", [3, 5, 1999, 2500]) == {3: b"3", 5: b"5", 1999: b"1999"}
    assert cache.get(1, "envelope/1", range(10, 13)) == {10: b"10", 11: b"11", 12: b"12"}
    assert cache.get(1, "envelope/2", [3]) == {}
    assert cache.get(2, "envelope/1", [3]) == {}


def test_the_cache_forgets_messages_and_mailboxes(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, "g")
    cache.put(1, "a/1", {1: b"1", 2: b"2", 3: b"3"})
    cache.put_facts(1, [(1, 10, 100), (2, 20, -1), (3, -1, 300)])
    cache.put_facts(1, [(2, -1, 200), (3, 30, -1)])
    assert cache.facts(1) == [(1, 10, 100), (2, 20, 200), (3, 30, 300)]
    cache.forget(1, [1, 3])
    assert cache.get(1, "a/1", [1, 2, 3]) == {2: b"2"}
    assert cache.facts(1) == [(2, 20, 200)]
    cache.forget(1, None)
    assert cache.get(1, "a/1", [2]) == {} and cache.facts(1) == []


def test_the_cache_keeps_a_bounded_number_of_items(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, "g")
    cache.put(1, "envelope/1", {1: b"x"})
    for number in range(ITEMS_MAX + 5):
        cache.put(1, f"fields/1:{number}", {1: b"x"})
    kept = [n for n in range(ITEMS_MAX + 5) if cache.get(1, f"fields/1:{n}", [1])]
    assert kept == list(range(6, ITEMS_MAX + 5))
    assert cache.get(1, "envelope/1", [1])


def test_the_cache_of_another_generation_is_emptied(tmp_path: Path) -> None:
    cache = open_cache(tmp_path, "one")
    cache.put(1, "a/1", {1: b"1"})
    cache.close()
    again = open_cache(tmp_path, "one")
    assert again.get(1, "a/1", [1]) == {1: b"1"}
    again.close()
    assert open_cache(tmp_path, "two").get(1, "a/1", [1]) == {}


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "cache.db").write_bytes(b"damaged" * 5000)
    cache = open_cache(tmp_path, "g")
    cache.put(1, "a/1", {1: b"1"})
    assert cache.get(1, "a/1", [1]) == {1: b"1"}


@pytest.mark.parametrize("number", [1, 2])
def test_an_older_schema_gets_the_tables_of_todays(tmp_path: Path, number: int) -> None:
    old = Path(__file__).parent.joinpath(f"schemas/{number}.sql").read_text()
    with sqlite3.connect(tmp_path / "index.db") as connection:
        connection.executescript(
            old + f"INSERT INTO setting VALUES ('schema', '{number}');"
            "INSERT INTO setting VALUES ('generation', '0123456789abcdef');"
            "INSERT INTO flag_set VALUES (0, '');"
            "INSERT INTO mailbox (id, name, uidvalidity, uidnext, highest_modseq, first_recent)"
            " VALUES (3, 'INBOX', 77, 9, 5, 9);"
            "INSERT INTO message (mailbox, uid, place, flag_id, modseq)"
            " VALUES (3, 8, CAST('new/a' AS BLOB), 0, 4);"
        )
    connection.close()
    index = open_index(tmp_path)
    row = index.mailboxes()["INBOX"]
    assert (row.id, row.uidvalidity, row.beacon_mark) == (3, 77, 77)
    assert index.messages(3) == [(8, b"new/a", 0, 4)] and index.uidls(3) == {}
    assert index.create_mailbox("a").uidvalidity > 77
    index.close()
    # A new index has the same tables and columns.
    (tmp_path / "new").mkdir()
    open_index(tmp_path / "new").close()
    shapes = []
    for path in (tmp_path / "index.db", tmp_path / "new/index.db"):
        with sqlite3.connect(path) as connection:
            tables = [r[0] for r in connection.execute("SELECT name FROM sqlite_master")]
            shapes.append(
                {t: connection.execute(f"PRAGMA table_info({t})").fetchall() for t in tables}
            )
        connection.close()
    assert shapes[0] == shapes[1]


def test_R210_a_mailbox_cannot_have_a_pop3_name_twice(index: SqliteIndex) -> None:
    row = index.create_mailbox("INBOX", "\\Sent")
    messages = [(uid, b"new/%d" % uid, 0, 7) for uid in (1, 2)]
    double = Adopted(
        "INBOX", row.id, 77, False, messages, [(1, b"x"), (2, b"x")], Counters(3, 7, 3)
    )
    with pytest.raises(Unavailable):
        index.adopt_mailbox(double)
    assert index.mailboxes() == {"INBOX": row}
    new = index.adopt_mailbox(replace(double, uidls=[(1, b"x"), (2, b"y")]))
    assert (new.uidvalidity, new.use) == (77, "\\Sent") and new.id != row.id
    assert index.uidls(new.id) == {1: b"x", 2: b"y"} and index.messages(new.id) == messages
    with pytest.raises(MailboxGone):
        index.counters(row.id)
    index.apply(new.id, Change(expunged=[1], counters=Counters(3, 8, 3)))
    assert index.uidls(new.id) == {2: b"y"}
    index.drop_mailbox(new.id)
    assert index.uidls(new.id) == {}


def test_R077_an_adopted_mailbox_with_anothers_uidvalidity_is_told_apart(
    index: SqliteIndex,
) -> None:
    drafts = index.create_mailbox("Drafts")
    inbox = index.create_mailbox("INBOX")
    same = Adopted("INBOX", inbox.id, drafts.uidvalidity, False, [], [], Counters(4, 7, 4))
    new = index.adopt_mailbox(same)
    assert new.uidvalidity == drafts.uidvalidity
    assert new.beacon_mark not in (0, drafts.beacon_mark, inbox.beacon_mark)
    assert new.object_id != drafts.object_id
