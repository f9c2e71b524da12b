"""No UIDVALIDITY and UID name two messages, whatever becomes of the index (R074-R077, R248)."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from maa.message.flags import interned
from maa.store.account import Account
from maa.store.beacon import DELETED_KEPT, RESERVE, SKIPPED_MODSEQS, Beacon, Mark, protect
from maa.store.index import Change, Counters
from maa.store.snapshot import StoreMode
from maa.store.sqlite_index import SqliteIndex, open_index
from maa.user import User
from tests.store.account_cases import Site
from tests.store.crashes import killed_at


class Contents:
    """What each pair of UIDVALIDITY and UID was seen to mean."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], bytes] = {}

    def learn(self, account: Account, name: str = "INBOX") -> list[int]:
        mailbox = account.open(name)
        uids = list(mailbox.snapshot.uids)
        found: list[Any] = []
        while len(found) < len(uids):
            found += mailbox.read(uids[len(found) :])
        for uid, wire in found:
            text = wire.slice(0, wire.size)
            wire.close()
            assert self.known.setdefault((mailbox.uidvalidity, uid), text) == text
        return uids


def append(account: Account, text: str, name: str = "INBOX") -> int:
    incoming = account.open(name).incoming()
    incoming.write(f"Subject: {text}\n\n{text}\n".encode())
    return incoming.commit()


def index_of(site: Site) -> Path:
    return site.root / "state" / "users" / "joe" / "index.db"


def beacon_of(site: Site) -> Path:
    return site.maildir() / "maa-beacon.joe"


def given(site: Site) -> set[tuple[int, int, int]]:
    beacon = Beacon(str(beacon_of(site)))
    assert not beacon.damaged
    return {(mark.uidvalidity, mark.uidnext, mark.modseq) for mark in beacon.marks.values()}


def brought_back(site: Site, backup: Path) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{index_of(site)}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, index_of(site))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def backup(site: Site, tmp_path: Path) -> Path:
    """An index with messages 1 to 3, and a mailbox `old`."""
    account = site.account()
    account.create("old")
    for text in ("one", "two", "three"):
        append(account, text)
    append(account, "old one", "old")
    account.ledger.close()
    return Path(shutil.copy(index_of(site), tmp_path / "backup.db"))


def test_R248_an_index_brought_back_gives_no_uid_again(
    site: Site, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    contents = Contents()
    account = site.account()
    contents.learn(account)
    assert [append(account, text) for text in ("four", "five")] == [4, 5]
    highest = account.open("INBOX").snapshot.highest_modseq
    contents.learn(account)
    account.open("INBOX").remove([2, 5])
    account.ledger.close()
    brought_back(site, backup)
    account = site.account()
    # 1 and 3 are what they were; 4 is a message that the old index does not know.
    uids = contents.learn(account)
    assert uids[:2] == [1, 3]
    assert len(uids) == 3
    assert uids[2] > RESERVE
    assert append(account, "six") == uids[2] + 1
    contents.learn(account)
    snapshot = account.open("INBOX").snapshot
    # Whoever knew the mailbox asks for what changed since: everything did (R176).
    assert min(snapshot.modseqs) > highest
    assert len([line for line in caplog.messages if "is older than the beacon" in line]) == 1
    caplog.clear()
    account.ledger.close()
    account = site.account()
    assert append(account, "seven") == uids[2] + 2
    assert caplog.messages == []


def test_R248_what_changed_unseen_is_logged_as_expunged(site: Site, backup: Path) -> None:
    account = site.account()
    append(account, "four")
    account.ledger.close()
    brought_back(site, backup)
    account = site.account()
    row = account.ledger.index.mailboxes()["INBOX"]
    assert isinstance(account.ledger.index, SqliteIndex)
    (gone,) = account.ledger.index._db.rows("SELECT modseq, uids FROM expunged")
    assert gone[1].startswith("4:")
    assert gone[0] > SKIPPED_MODSEQS
    assert account.ledger.index.counters(row.id).highest_modseq >= gone[0]


def test_R248_mailboxes_of_an_index_brought_back(site: Site, backup: Path) -> None:
    """One deleted and made again since keeps its row, but none of its UIDs mean others."""
    contents = Contents()
    account = site.account()
    contents.learn(account, "old")
    append(account, "old two", "old")
    contents.learn(account, "old")
    account.delete("old")
    account.create("old")
    append(account, "another", "old")
    contents.learn(account, "old")
    account.create("new")
    append(account, "new one", "new")
    contents.learn(account, "new")
    account.ledger.close()
    brought_back(site, backup)
    account = site.account()
    for name in ("old", "new"):
        contents.learn(account, name)
        append(account, f"later in {name}", name)
        contents.learn(account, name)


def test_R176_a_lost_change_of_flags_is_no_reason_to_miss_one(site: Site, backup: Path) -> None:
    account = site.account()
    told = account.open("INBOX").store([1], StoreMode.ADD, interned(["\\Seen"])).modseq
    account.ledger.close()
    brought_back(site, backup)
    snapshot = site.account().open("INBOX").snapshot
    assert list(snapshot.uids) == [1, 2, 3]
    assert min(snapshot.modseqs) > told


@pytest.mark.parametrize("damage", ["removed", "empty", "nonsense", "half"])
def test_R076_a_lost_index_has_greater_uidvalidities_within_the_same_second(
    site: Site, backup: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = Contents()
    account = site.account()
    contents.learn(account)
    # As if mailboxes had been made so fast that the counter ran ahead of the clock.
    later = account.ledger.index.create_mailbox("ahead").uidvalidity
    account.ledger.close()
    monkeypatch.setattr(time, "time", lambda: later - 100.0)
    path = index_of(site)
    if damage == "removed":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "nonsense":
        path.write_bytes(b"nonsense" * 1000)
    else:
        path.write_bytes(path.read_bytes()[:4096])
    account = site.account()
    assert account.open("INBOX").uidvalidity > later
    assert len(contents.learn(account)) == 3


def test_an_index_damaged_at_work_locks_nobody_out(site: Site, backup: Path) -> None:
    contents = Contents()
    accounts = site.accounts()
    account = accounts.open(User("joe"))
    contents.learn(account)
    with index_of(site).open("r+b") as file:
        file.write(b"\xff" * index_of(site).stat().st_size)
    account.ledger.close()  # it has pages in memory: another worker has not
    account = site.account()
    assert len(contents.learn(account)) == 3
    # This process hears of it at the next login.
    assert accounts.opened(User("joe")) is None
    again = accounts.open(User("joe"))
    assert again.open("INBOX").uidvalidity == account.open("INBOX").uidvalidity
    assert len(list(index_of(site).parent.glob("index.db.damaged-*[0-9]"))) == 1
    append(again, "four")
    contents.learn(again)
    contents.learn(account)


def test_a_beacon_that_is_lost_or_damaged_is_written_anew(
    site: Site, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text, known = beacon_of(site).read_bytes(), given(site)
    for harm in (b"", text[:-10], b"x" * 200, text.replace(b"1", b"2"), None):
        if harm is None:
            beacon_of(site).unlink()
        else:
            beacon_of(site).write_bytes(harm)
        caplog.clear()
        account = site.account()
        assert account.open("INBOX").snapshot.uidnext == 4
        account.ledger.close()
        assert given(site) == known
        assert caplog.messages == (
            [] if harm is None else [f"the beacon {beacon_of(site)} was damaged: written anew"]
        )


def test_a_beacon_that_is_no_file_is_replaced(
    site: Site, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for make in (os.mkfifo, lambda path: os.symlink("/etc/passwd", path)):
        beacon_of(site).unlink()
        make(beacon_of(site))
        caplog.clear()
        site.account().ledger.close()
        assert not beacon_of(site).is_symlink()
        assert beacon_of(site).is_file()
        assert f"the beacon {beacon_of(site)} cannot be read (" in caplog.text


def test_a_beacon_that_cannot_be_read_just_now_is_left_as_it_is(
    site: Site, backup: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, really = beacon_of(site).read_bytes(), os.open

    def failing(path: str, *arguments: int) -> int:
        if path == str(beacon_of(site)):
            raise OSError(errno.EMFILE, "Too many open files", path)
        return really(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr("maa.store.beacon.os.open", failing)
        account = site.account()
        assert append(account, "four") == 4
        account.ledger.close()
    assert "Too many open files" in caplog.text
    assert beacon_of(site).read_bytes() == text


def test_mail_is_served_where_no_beacon_can_be_written(
    site: Site, backup: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beacon_of(site).unlink()
    beacon_of(site).mkdir()
    account = site.account()
    assert append(account, "four") == 4
    assert "keep index.db safe" in caplog.text


def test_a_deleted_beacon_is_back_with_the_next_message(site: Site, backup: Path) -> None:
    account = site.account()
    beacon_of(site).unlink()
    append(account, "four")
    assert b" 0000000005 " in beacon_of(site).read_bytes()
    account.ledger.close()
    brought_back(site, backup)
    assert append(site.account(), "five") > RESERVE


def test_an_index_that_is_ahead_of_the_beacon_is_right(site: Site, backup: Path) -> None:
    """The mail was brought back from a backup, and the beacon with it."""
    text = beacon_of(site).read_bytes()
    account = site.account()
    append(account, "four")
    account.ledger.close()
    beacon_of(site).write_bytes(text)
    assert append(site.account(), "five") == 5


def test_the_beacon_among_mbox_files_is_no_mailbox(site: Site) -> None:
    account = site.accounts("mbox:{home}/mail").open(User("joe"))
    account.create("box")
    root = site.root / "home" / "joe" / "mail"
    assert (root / ".maa-beacon.joe").is_file()
    assert not any("beacon" in line.name for line in account.mailboxes())


def test_two_processes_write_one_beacon(site: Site, backup: Path) -> None:
    one, other = site.account(), site.account()
    for turn in range(4):
        append((one, other)[turn % 2], f"turn {turn}")
        (one, other)[turn % 2].create(f"box{turn}")
    beacon = Beacon(str(beacon_of(site)))
    index = one.ledger.index
    rows = index.mailboxes().values()
    assert not beacon.damaged
    assert {row.uidvalidity for row in rows} == set(beacon.marks)
    for row in rows:
        counters, mark = index.counters(row.id), beacon.marks[row.uidvalidity]
        assert (mark.uidnext, mark.modseq) == (counters.uidnext, counters.highest_modseq)
        assert mark.reserved > mark.uidnext


def test_a_process_at_work_follows_a_repair_of_another(site: Site, backup: Path) -> None:
    one = site.account()
    row = one.ledger.index.mailboxes()["INBOX"]
    one.open("INBOX")
    # What a process leaves that is killed before its commit.
    with one.ledger.held():
        Beacon(str(beacon_of(site))).reach(row.uidvalidity, Counters(5, 6, 1))
    other = site.account()
    uid = append(other, "four")
    assert uid > RESERVE
    assert append(one, "five") == uid + 1


def test_killed_at_any_write_no_uid_means_two_messages(site: Site, tmp_path: Path) -> None:
    for number in range(1, 200):
        site = Site(tmp_path / str(number))
        account = site.account()
        append(account, "one")
        contents = Contents()
        contents.learn(account)
        account.ledger.close()

        def work(site: Site = site) -> None:
            account = site.account()
            append(account, "two")
            account.create("made")
            append(account, "three", "made")

        killed = killed_at(number, work)
        # A killed one's index, a lost one and again one that is at work.
        for lost in (False, True, False):
            if lost:
                for path in index_of(site).parent.glob("index.db*"):
                    path.unlink()
            account = site.account()
            for line in account.mailboxes():
                contents.learn(account, line.name)
                append(account, f"later {lost}", line.name)
                contents.learn(account, line.name)
            account.ledger.close()
        if not killed:
            return
    pytest.fail("never came through")


# --- the file


def test_the_reserve_is_flushed_before_it_ends_and_no_oftener(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = open_index(tmp_path)
    protect(index, str(tmp_path / "beacon"), lambda _: None)
    row = index.create_mailbox("INBOX")
    flushes = []
    flush = os.fdatasync

    def counted(descriptor: int) -> None:
        flushes.append(descriptor)
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    for uid in range(1, 2 * RESERVE + 10):
        change = Change(counters=Counters(uid + 1, uid + 1, 1), durable=False)
        index.apply(row.id, change)
        mark = Beacon(str(tmp_path / "beacon")).marks[row.uidvalidity] if uid % 97 == 0 else None
        assert mark is None or (mark.uidnext == uid + 1 <= mark.reserved)
    assert len(flushes) == 2


def test_records_of_deleted_mailboxes_are_kept_but_not_all(tmp_path: Path) -> None:
    path = str(tmp_path / "beacon")
    index = open_index(tmp_path)
    protect(index, path, lambda _: None)
    row = index.create_mailbox("INBOX")
    old = [Mark.of(value, Counters(7, 7, 1)) for value in range(1, DELETED_KEPT + 501)]
    beacon = Beacon(path)
    beacon.renew("0" * 16, [*old, *beacon.marks.values()])
    protect(index, path, lambda _: None)
    kept = Beacon(path).marks
    assert set(kept) == {row.uidvalidity, *range(501, DELETED_KEPT + 501)}


def test_a_beacon_that_was_torn_counts_only_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "beacon"
    beacon = Beacon(str(path))
    beacon.renew("0" * 16, [Mark.of(value, Counters(2, 2, 1)) for value in (5, 6, 7)])
    beacon.close()
    data = path.read_bytes()
    assert len(data) == 4 * 64
    for place in range(64, len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        found = Beacon(str(path))
        assert found.damaged
        assert len(found.marks) == 2
        assert found.greatest == 7 or place >= 3 * 64
        found.close()
