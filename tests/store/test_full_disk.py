"""What a transaction leaves that fails at an awkward moment, as on a full disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from maa.store.cache import SqliteCache
from maa.store.errors import NoSpace, StoreError, Unavailable
from maa.store.index import Change
from maa.store.sqlite import Database
from maa.store.sqlite_index import SqliteIndex
from tests.store.account_cases import Site
from tests.store.boxes import Boxes
from tests.store.test_beacon import append, index_of


def test_a_commit_that_fails_leaves_no_transaction_open(tmp_path: Path) -> None:
    database = Database(tmp_path / "some.db", "FULL")
    database.script(
        "PRAGMA foreign_keys = ON; CREATE TABLE one (id INTEGER PRIMARY KEY);"
        "CREATE TABLE other (one REFERENCES one (id) DEFERRABLE INITIALLY DEFERRED);"
    )
    with pytest.raises(Unavailable), database.transaction() as connection:
        connection.execute("INSERT INTO other VALUES (7)")  # COMMIT finds the fault
    with database.transaction() as connection:
        connection.execute("INSERT INTO one VALUES (1)")
    assert database.rows("SELECT * FROM one") == [(1,)]
    assert database.rows("SELECT * FROM other") == []


@pytest.mark.parametrize("full", [False, True])
def test_R075_uids_of_messages_that_never_came_are_not_given_again(
    tmp_path: Path, full: bool
) -> None:
    """`full`: not even the taking back can be committed."""
    boxes = Boxes(tmp_path)
    mailbox = boxes.mailbox()
    mailbox.sync()
    index = boxes.ledger.index
    assert isinstance(index, SqliteIndex)

    def files() -> None:
        if full:
            index._db.rows("PRAGMA query_only = ON")
        raise NoSpace("no room for the files")

    with pytest.raises(NoSpace):
        mailbox.commit(arrivals=[(b"cur/a:2,", 0), (b"cur/b:2,", 0)], files=files)
    index._db.rows("PRAGMA query_only = OFF")
    assert list(mailbox.snapshot.uids) == []
    assert mailbox.incoming().commit() == 3
    assert list(mailbox.sync(whole=True).uids) == [3]
    assert [row[0] for row in index.messages(mailbox.row.id)] == [3]


def test_no_command_fails_because_the_cache_is_full(tmp_path: Path) -> None:
    boxes = Boxes(tmp_path)
    mailbox = boxes.mailbox()
    mailbox.sync()
    uids = [mailbox.incoming().commit() for _ in range(3)]
    cache = boxes.ledger.cache
    assert isinstance(cache, SqliteCache)
    cache._db.rows("PRAGMA query_only = ON")
    mailbox.remember("envelope/1", {uids[0]: b"NIL"})
    mailbox.tidy()
    assert mailbox.remove(uids[:1]) == (uids[0],)
    # Memory and index are of one mind, so the next change does not fail either.
    assert mailbox.remove(uids[1:2]) == (uids[1],)
    cache._db.rows("PRAGMA query_only = OFF")
    assert mailbox.cached("envelope/1", uids) == {}
    assert list(mailbox.sync(whole=True).uids) == uids[2:]


@pytest.mark.parametrize("way", ["remove", "move"])
def test_a_message_whose_file_alone_could_be_removed_is_gone_at_the_next_look(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = Boxes(tmp_path)
    mailbox, other = boxes.mailbox(), boxes.mailbox("other")
    for box in (mailbox, other):
        box.sync()
    uid = mailbox.incoming().commit()
    apply = boxes.ledger.index.apply

    def full(mailbox_id: int, change: Change) -> None:
        if change.expunged:
            raise NoSpace("the index cannot grow")
        apply(mailbox_id, change)

    with monkeypatch.context() as patched:
        patched.setattr(boxes.ledger.index, "apply", full)
        with pytest.raises(NoSpace):
            mailbox.remove([uid]) if way == "remove" else mailbox.move([uid], other)
    assert not mailbox.fresh()
    assert list(mailbox.sync().uids) == []
    assert len(other.sync().uids) == (way == "move")


def test_a_state_that_cannot_be_written_refuses_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory in the way stands for a read-only file system, which root would not feel."""
    site = Site(tmp_path)
    account = site.account()
    append(account, "one")
    account.ledger.close()
    shared = index_of(site).parent / "shared"
    shared.unlink()
    shared.mkdir()
    with pytest.raises(StoreError):
        site.account()
    assert str(shared) in caplog.text
    shared.rmdir()
    account = site.account()
    assert list(account.open("INBOX").snapshot.uids) == [1]


def test_a_lost_directory_of_the_state_is_made_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    append(site.account(), "one")
    shutil.rmtree(site.root / "state")
    account = site.account()
    assert len(account.open("INBOX").snapshot.uids) == 1
    assert os.path.isdir(index_of(site).parent)
