"""A user's quota: what counts, what is refused, and what it costs."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from maa.limits import Limits, Usage
from maa.store import census
from maa.store.account import Account
from maa.store.errors import OverQuota
from maa.store.folders import Folders
from maa.user import User
from store.boxes import tidied
from tests.store.account_cases import Site, deliver, maildir


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, quota="10000 octets, 100 messages")


@pytest.fixture
def account(site: Site) -> Account:
    return site.account()


def append(account: Account, name: str, text: bytes) -> int:
    """As APPEND does it."""
    room = account.quota.reserve(len(text))
    try:
        incoming = account.open(name).incoming()
        incoming.write(text)
        try:
            return incoming.commit(admit=room.admit)
        except OverQuota:
            incoming.abort()
            raise
    finally:
        room.release()


def counted(root: Path) -> Usage:
    """What `find` and `ls` say."""
    paths = [root, *(Path(f.path) for f in Folders(str(root)).scan().folders.values())]
    files = [file for path in paths for part in ("cur", "new") for file in (path / part).iterdir()]
    return Usage(sum(file.stat().st_size for file in files), len(files))


def aged(root: Path, seconds: float) -> None:
    """As if all directories had changed last so long ago."""
    then = time.time() - seconds
    for path in (root, *root.glob(".*")):
        for part in ("cur", "new"):
            if (path / part).is_dir():
                os.utime(path / part, (then, then))


class Looks:
    """How many files and directories were asked for their sizes and times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files = self.directories = 0
        lstat, stat = os.lstat, os.stat

        def counting_lstat(*arguments, **more):  # type: ignore[no-untyped-def]
            self.files += 1
            return lstat(*arguments, **more)

        def counting_stat(*arguments, **more):  # type: ignore[no-untyped-def]
            self.directories += 1
            return stat(*arguments, **more)

        monkeypatch.setattr(os, "lstat", counting_lstat)
        monkeypatch.setattr(os, "stat", counting_stat)

    def since(self) -> int:
        files, self.files = self.files, 0
        return files


def test_all_mailboxes_count_together(site: Site, account: Account) -> None:
    assert account.quota.usage() == Usage()
    deliver(site.maildir(), b"x" * 100)
    append(account, "Drafts", b"x" * 50)
    deliver(maildir(site.maildir() / ".Work"), b"x" * 7)
    assert account.quota.usage() == Usage(157, 3) == counted(site.maildir())
    account.open("INBOX").remove([1])
    assert account.quota.usage() == Usage(57, 2)
    account.delete("Work")
    assert account.quota.usage() == Usage(50, 1)


def test_a_message_that_just_fits_gets_in_and_the_next_does_not(account: Account) -> None:
    append(account, "Drafts", b"x" * 9000)
    with pytest.raises(OverQuota):
        account.quota.reserve(1001)
    append(account, "Drafts", b"x" * 1000)
    with pytest.raises(OverQuota):
        account.quota.reserve(1)


def test_room_that_is_being_filled_is_taken(account: Account) -> None:
    first = account.quota.reserve(6000)
    with pytest.raises(OverQuota):
        account.quota.reserve(6000)
    second = account.quota.reserve(4000)
    first.release()
    first.release()
    account.quota.reserve(6000).release()
    second.release()
    account.quota.reserve(10000).release()


def test_of_several_at_once_only_as_many_get_in_as_fit(account: Account) -> None:
    """The lock decides, whatever was reserved: here nothing is."""
    got_in: list[int] = []
    barrier = threading.Barrier(8)

    def bring(number: int) -> None:
        room = account.quota.admission(account.open("Sent"))
        incoming = account.open("Drafts").incoming()
        incoming.write(b"x" * 3000)
        barrier.wait(30)
        try:
            incoming.commit(admit=room)
            got_in.append(number)
        except OverQuota:
            incoming.abort()

    threads = [threading.Thread(target=bring, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got_in) == 3
    assert account.quota.usage() == Usage(9000, 3)


def test_a_refused_message_leaves_nothing_behind(site: Site, account: Account) -> None:
    incoming = account.open("Drafts").incoming()
    incoming.write(b"x" * 20000)
    with pytest.raises(OverQuota):
        incoming.commit(admit=account.quota.admission(account.open("Drafts")))
    incoming.abort()
    drafts = site.maildir() / ".Drafts"
    assert not [*drafts.glob("tmp/*"), *drafts.glob("cur/*"), *drafts.glob("new/*")]
    assert len(account.open("Drafts").snapshot) == 0


def test_what_an_mda_delivers_counts_though_nobody_has_looked(site: Site) -> None:
    account = site.account()
    account.quota.usage()
    for _ in range(3):
        deliver(site.maildir(), b"x" * 3000)
    with pytest.raises(OverQuota):
        account.quota.reserve(3000)
    deliver(site.maildir(), b"x" * 3000)
    assert account.quota.usage() == Usage(12000, 4)


def test_without_a_quota_nothing_is_counted_nor_reserved(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quota = "none"
    account = site.account()
    target = account.open("Drafts")
    monkeypatch.setattr(census.Census, "usage", lambda _: pytest.fail("it was counted"))
    assert account.quota.unlimited
    assert account.quota.admission(target) is None
    append(account, "Drafts", b"x" * 20000)


def test_without_a_maildirsize_that_is_known_after_one_look(site: Site) -> None:
    site.quota = "maildirsize"
    account = site.account()
    assert not account.quota.unlimited
    assert account.quota.limits() == Limits()
    assert account.quota.unlimited


def test_a_maildirsize_that_comes_changes_or_goes_counts_at_once(site: Site) -> None:
    site.quota = "maildirsize"
    account = site.account()
    assert account.quota.limits() == Limits()
    path = site.maildir() / "maildirsize"
    path.write_bytes(b"1000S,5C\n")
    account.ledger.watcher.drain()
    assert not account.quota.unlimited
    assert account.quota.limits() == Limits(1000, 5)
    (site.maildir() / "tmp" / "x").write_bytes(b"2000S\n")
    (site.maildir() / "tmp" / "x").rename(path)
    assert account.quota.limits() == Limits(2000)
    with pytest.raises(OverQuota):
        account.quota.reserve(2001)
    path.unlink()
    assert account.quota.limits() == Limits()


def test_configured_limits_come_before_those_of_a_maildirsize(site: Site) -> None:
    (maildir(site.maildir()) / "maildirsize").write_bytes(b"1000S,5C\n")
    assert site.account().quota.limits() == Limits(10000, 100)
    joe = User("joe", quota="5 messages")
    assert site.accounts().open(joe).quota.limits() == Limits(None, 5)
    assert site.accounts().open(User("joe", quota="none")).quota.unlimited
    by_file = User("joe", quota="maildirsize")
    assert site.accounts().open(by_file).quota.limits() == Limits(1000, 5)


def test_trash_takes_a_little_more_and_nothing_else_does(site: Site) -> None:
    site.quota = "10 messages"
    account = site.account()
    for _ in range(10):
        append(account, "Drafts", b"x")
    drafts, trash, sent = map(account.open, ("Drafts", "Trash", "Sent"))
    with pytest.raises(OverQuota):
        drafts.copy([1], sent, account.quota.admission(sent))
    drafts.copy([1], trash, account.quota.admission(trash))
    with pytest.raises(OverQuota):
        drafts.copy([2], trash, account.quota.admission(trash))
    drafts.move([2], trash)
    assert account.quota.usage().messages == 11


def test_no_file_is_asked_twice_nor_one_whose_name_tells(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.quota = "10000 octets"
    account = site.account()
    for number in range(50):
        deliver(site.maildir(), b"x" * number)
        deliver(maildir(site.maildir() / ".Work"), b"x" * number)
    (site.maildir() / "new" / "1.M1P1.host,S=5").write_bytes(b"12345")
    total = Usage(2 * sum(range(50)) + 5, 101)
    looks = Looks(monkeypatch)
    assert account.quota.usage() == total
    looks.since()
    for _ in range(3):
        append(account, "Drafts", b"x")
        deliver(site.maildir(), b"yy")
        total += Usage(3, 2)
        assert account.quota.usage() == total
    assert looks.since() < 30  # of 101 messages

    # Neither after a restart.
    account = site.account()
    looks.since()
    assert account.quota.usage() == total
    assert looks.since() < 30


def test_a_start_opens_only_what_changed(site: Site, account: Account) -> None:
    for _ in range(5):
        deliver(site.maildir(), b"x" * 10)
        deliver(maildir(site.maildir() / ".Work"), b"x" * 20)
    aged(site.maildir(), 60)
    assert account.quota.usage() == Usage(150, 10)

    account = site.account()
    assert account.quota.usage() == Usage(150, 10)
    assert account.opened("Work") is None

    deliver(site.maildir() / ".Work", b"x" * 20)
    assert account.quota.usage() == Usage(170, 11)
    # What changed a moment ago may change again, and is kept at hand.
    assert account.opened("Work") is not None


def test_a_change_that_a_time_does_not_show_is_seen(site: Site, account: Account) -> None:
    """R240: of two deliveries within the clock's granularity, the times show one."""
    work = maildir(site.maildir() / ".Work")
    deliver(work, b"x" * 10)
    now = time.time()
    os.utime(work / "new", (now, now))
    account = site.account()
    assert account.quota.usage() == Usage(10, 1)
    deliver(work, b"x" * 10)
    os.utime(work / "new", (now, now))
    assert account.quota.usage() == Usage(20, 2)


def test_a_mailbox_that_cannot_be_read_hinders_no_other(site: Site, account: Account) -> None:
    deliver(maildir(site.maildir() / ".Work"), b"x" * 10)
    aged(site.maildir(), 60)
    assert account.quota.usage() == Usage(10, 1)
    (site.maildir() / ".Work" / "cur").rmdir()
    (site.maildir() / ".Work" / "cur").symlink_to("/nowhere")
    append(account, "Drafts", b"x")


def test_nonsense_in_the_cache_means_counting(site: Site, account: Account) -> None:
    deliver(site.maildir(), b"x" * 10)
    inbox = account.open("INBOX")
    for nonsense in (b"", b"\xff", b"{}", b"[1]", b'["a", 2, 3]', b"null", b"7", b"[1e999, 1, 1]"):
        inbox.remember(census.ITEM, {0: nonsense})
        fresh = site.account()
        assert fresh.quota.usage() == Usage(10, 1)


def test_an_account_goes_when_nobody_has_it(site: Site) -> None:
    """Its quota must not hold it, else its files stay open until the collector comes."""
    import gc
    import weakref

    accounts = site.accounts()
    accounts._kept.limit = 1
    account = accounts.open(User("joe"))
    account.quota.usage()
    gone = weakref.ref(account)
    gc.collect()
    gc.disable()
    try:
        accounts._kept.drop("joe")
        del account
        assert gone() is None
    finally:
        gc.enable()


def test_mbox_files_count_by_their_size(tmp_path: Path) -> None:
    from tests.store.mboxes import append as append_mbox
    from tests.store.mboxes import as_mbox

    site = Site(tmp_path, quota="10000 octets, 100 messages")
    accounts = site.accounts(folders="mbox:{home}/mail")
    account = accounts.open(User("joe"))
    append(account, "Drafts", b"Subject: x\n\nbody\n")
    append(account, "Drafts", b"Subject: y\n\nbody\n")
    path = site.root / "home" / "joe" / "mail" / "Drafts"
    assert account.quota.usage() == Usage(path.stat().st_size, 2)
    append_mbox(path, as_mbox(b"Subject: z\n\nother\n", 27))
    assert account.quota.usage() == Usage(path.stat().st_size, 3)
    account.open("Drafts").remove([1])
    assert account.quota.usage() == Usage(path.stat().st_size, 2)
    again = site.accounts(folders="mbox:{home}/mail").open(User("joe"))
    assert again.quota.usage() == Usage(path.stat().st_size, 2)


def test_flag_changes_change_no_sum(site: Site, account: Account) -> None:
    path = site.maildir() / "new" / deliver(site.maildir(), b"x" * 10)
    assert account.quota.usage() == Usage(10, 1)
    tidied(account.open("INBOX"))
    path = site.maildir() / "cur" / f"{path.name}:2,"
    path.rename(path.with_name(path.name + "S"))
    assert account.quota.usage() == Usage(10, 1)
