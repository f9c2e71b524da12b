"""Copies of an index, and the one that the server keeps beside the mail (L-15, R076, R248)."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from pathlib import Path

import pytest

from maa.store.account import Account
from maa.store.beacon import RESERVE
from maa.store.errors import LockTimeout, MailboxGone, NewerIndex, Unavailable
from maa.store.identity import Identity
from maa.store.spare import SPARE_SECONDS, bring_back, copy_index, index_fault, keep_spare
from maa.store.sqlite import Database
from maa.user import User
from tests.store.account_cases import Site, public_directory
from tests.store.test_beacon import Contents, append, index_of


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def spare_of(site: Site) -> Path:
    return site.maildir() / "maa-index.joe"


def with_spare(site: Site) -> tuple[Account, Contents]:
    """An account with messages 1 and 2 that its spare knows."""
    account, contents = site.account(), Contents()
    append(account, "one")
    append(account, "two")
    contents.learn(account)
    account.keep_spare()
    assert spare_of(site).is_file()
    return account, contents


@pytest.mark.parametrize("loss", ["index", "state", "nonsense", "half"])
def test_R076_a_lost_index_begins_with_the_spare(
    site: Site, loss: str, caplog: pytest.LogCaptureFixture
) -> None:
    account, contents = with_spare(site)
    account.subscribe("somewhere")  # the spare does not know it
    validity = account.open("INBOX").uidvalidity
    assert append(account, "three") == 3
    contents.learn(account)
    account.ledger.close()
    path = index_of(site)
    if loss == "index":
        path.unlink()
    elif loss == "state":
        shutil.rmtree(path.parent)
    elif loss == "nonsense":
        path.write_bytes(b"nonsense" * 1000)
    else:
        path.write_bytes(path.read_bytes()[:4096])
    account = site.account()
    assert account.open("INBOX").uidvalidity == validity
    uids = contents.learn(account)
    assert uids[:2] == [1, 2]
    assert uids[2] > RESERVE
    assert append(account, "four") == uids[2] + 1
    assert "is in its place" in caplog.text


def test_R074_a_spare_that_seems_to_be_the_newest_is_not_believed(site: Site) -> None:
    """The machine crashed: what the beacon was told in the last seconds is lost, too."""
    account, contents = with_spare(site)
    beacon = site.maildir() / "maa-beacon.joe"
    told = beacon.read_bytes()
    append(account, "three")
    contents.learn(account)
    account.open("INBOX").remove([3])
    account.ledger.close()
    beacon.write_bytes(told)
    index_of(site).unlink()
    account = site.account()
    assert contents.learn(account) == [1, 2]
    append(account, "another")
    assert contents.learn(account)[2] > RESERVE


def test_a_spare_is_made_when_the_index_changed_and_the_old_one_is_old(site: Site) -> None:
    account, _ = with_spare(site)
    index, identity = index_of(site), Identity.own()
    first = spare_of(site).stat().st_ino
    append(account, "three")
    assert not keep_spare(index, spare_of(site), identity)
    before = time.time() - SPARE_SECONDS - 1
    os.utime(spare_of(site), (before, before))
    assert keep_spare(index, spare_of(site), identity)
    assert spare_of(site).stat().st_ino != first
    assert spare_of(site).stat().st_mode & 0o777 == 0o600
    after = time.time() + 1
    os.utime(spare_of(site), (after, after))
    assert not keep_spare(index, spare_of(site), identity)
    assert sorted(path.name for path in site.maildir().glob("maa-*")) == [
        "maa-beacon.joe",
        "maa-index.joe",
    ]


def test_the_server_keeps_spares_of_accounts_that_are_open(site: Site) -> None:
    accounts = site.accounts()
    append(accounts.open(User("joe")), "one")
    append(accounts.open(User("ann")), "one")
    accounts.keep_spares()
    assert spare_of(site).is_file()
    assert (site.maildir("ann") / "maa-index.ann").is_file()


@pytest.mark.parametrize("thing", ["directory", "fifo", "symlink", "damaged", "no index"])
def test_what_is_no_whole_spare_is_not_used(
    site: Site, thing: str, caplog: pytest.LogCaptureFixture
) -> None:
    account, contents = with_spare(site)
    account.ledger.close()
    spare = spare_of(site)
    data = spare.read_bytes()
    spare.unlink()
    if thing == "directory":
        spare.mkdir()
    elif thing == "fifo":
        os.mkfifo(spare)
    elif thing == "symlink":
        (site.root / "elsewhere").write_bytes(data)
        spare.symlink_to(site.root / "elsewhere")
    elif thing == "damaged":
        spare.write_bytes(data[: len(data) // 2])
    else:
        Database(spare, "FULL").close()
    index_of(site).unlink()
    account = site.account()
    assert len(contents.learn(account)) == 2
    assert ("cannot be used" in caplog.text) == (thing in ("damaged", "no index"))


def test_a_spare_that_cannot_be_written_harms_nobody(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    account = site.account()
    spare_of(site).mkdir()
    (spare_of(site) / "something").touch()
    os.utime(spare_of(site), (1, 1))
    append(account, "one")
    account.keep_spare()
    assert "no copy of the index beside the mail" in caplog.text
    assert append(account, "two") == 2
    assert sorted(path.name for path in site.maildir().glob("maa-index*")) == ["maa-index.joe"]


def test_two_copies_at_once_and_one_that_was_never_finished(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    account = site.account()
    append(account, "one")
    beside = spare_of(site).with_name("maa-index.joe.new")
    beside.touch()
    assert not keep_spare(index_of(site), spare_of(site), Identity.own())
    assert caplog.messages == []
    with pytest.raises(LockTimeout):
        copy_index(index_of(site), spare_of(site), Identity.own(), Identity.own())
    before = time.time() - 3600
    os.utime(beside, (before, before))
    assert keep_spare(index_of(site), spare_of(site), Identity.own())
    assert not beside.exists()


def test_a_stale_wal_is_not_taken_for_that_of_the_spare(site: Site) -> None:
    account, _ = with_spare(site)
    append(account, "three")
    index = index_of(site)
    wal = Path(f"{index}-wal").read_bytes()
    assert wal
    account.ledger.close()
    index.unlink()
    Path(f"{index}-wal").write_bytes(wal)
    assert bring_back(spare_of(site), index)
    assert not Path(f"{index}-wal").exists()
    assert index_fault(index) == ""


def test_what_uses_an_index_that_was_replaced_is_ended(site: Site) -> None:
    accounts = site.accounts()
    account = accounts.open(User("joe"))
    mailbox = account.open("INBOX")
    append(account, "one")
    copy_index(index_of(site), site.root / "copy.db", Identity.own(), Identity.own())
    (site.root / "copy.db").rename(index_of(site))
    with pytest.raises(MailboxGone):
        mailbox.incoming().commit()
    with pytest.raises(MailboxGone):
        account.create("new")
    again = accounts.open(User("joe"))
    assert again is not account
    assert append(again, "two") >= 2


def test_a_backup_is_whole_while_others_write(site: Site) -> None:
    account = site.account()
    for number in range(5):
        append(account, f"message {number}")
        target = site.root / "backup.db"
        copy_index(index_of(site), target, Identity.own(), Identity.own())
        assert index_fault(target) == ""
        with sqlite3.connect(target) as copy:
            assert copy.execute("SELECT count(*) FROM message").fetchall() == [(number + 1,)]
    assert sorted(path.name for path in site.root.iterdir()) == ["backup.db", "home", "state"]


def test_a_backup_that_fails_leaves_the_last_one(site: Site) -> None:
    account = site.account()
    append(account, "one")
    target = site.root / "backup.db"
    copy_index(index_of(site), target, Identity.own(), Identity.own())
    before = target.read_bytes()
    account.ledger.close()
    index_of(site).write_bytes(b"x" * 5000)
    with pytest.raises(Unavailable):
        copy_index(index_of(site), target, Identity.own(), Identity.own())
    assert target.read_bytes() == before


@pytest.mark.skipif(os.getuid() != 0, reason="takes the identity of another user")
def test_a_backup_is_read_as_the_user_and_belongs_to_the_operator() -> None:
    with public_directory() as root:
        site = Site(root)
        (root / "home").mkdir(mode=0o755)
        home = root / "home" / "joe"
        home.mkdir()
        os.chown(home, 61234, 61234)
        user = User("joe", uid=61234, gid=61234)
        append(site.accounts().open(user), "one")
        vault = root / "vault"
        vault.mkdir(mode=0o700)
        identity = Identity.of(user)
        copy_index(index_of(site), vault / "joe.db", identity, Identity.own())
        assert (vault / "joe.db").stat().st_uid == 0
        assert (vault / "joe.db").stat().st_mode & 0o777 == 0o600
        assert index_fault(vault / "joe.db") == ""


def test_an_index_of_a_newer_maa_is_left_alone_wherever_it_is(site: Site) -> None:
    account, _ = with_spare(site)
    account.ledger.close()
    with sqlite3.connect(spare_of(site)) as connection:
        connection.execute("UPDATE setting SET value = '99' WHERE key = 'schema'")
    index_of(site).unlink()
    with pytest.raises(NewerIndex):
        site.account()
