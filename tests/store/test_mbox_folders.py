"""Accounts whose mailboxes are mbox files, some or all of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.store.account import Account
from maa.store.accounts import Accounts
from maa.store.errors import (
    CannotChange,
    InvalidName,
    MailboxExists,
    MailboxNotFound,
    NotSelectable,
    Unavailable,
)
from maa.store.locks import take_dotlock
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.user import User
from tests.store.mboxes import append, entry, texts

MBOX = ("mbox:{home}/spool/{user}", "mbox:{home}/mail")


class Home:
    """One user's mail."""

    def __init__(self, root: Path, inbox: str, folders: str) -> None:
        self.root = root
        self.home = root / "home" / "joe"
        (self.home / "spool").mkdir(parents=True)
        self.mail = self.home / "mail"
        self.watcher = Watcher()
        places = MailPlaces.parse(f"{root}/home/{{user}}", inbox, folders)
        self.accounts = Accounts(str(root / "state"), places, self.watcher)

    @property
    def account(self) -> Account:
        return self.accounts.opened(User("joe")) or self.accounts.open(User("joe"))

    def names(self) -> list[str]:
        return [line.name for line in self.account.mailboxes() if not line.use]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path, *MBOX)
    yield home
    home.accounts.close()
    home.watcher.close()


def test_an_account_of_mbox_files(home: Home) -> None:
    account = home.account
    assert account.separator == "/"
    assert home.names() == ["INBOX"]
    assert not (home.home / "spool" / "joe").exists()
    account.create("Work/2026.old")
    assert home.names() == ["INBOX", "Work", "Work/2026.old"]
    assert (home.mail / "Work" / "2026.old").read_bytes() == b""
    with pytest.raises(NotSelectable):
        account.open("Work")
    append(home.home / "spool" / "joe", entry(1) + entry(2))
    inbox = account.open("inbox")
    assert list(inbox.snapshot.uids) == [1, 2]
    inbox.move([1], account.open("Work/2026.old"))
    assert (home.mail / "Work" / "2026.old").read_bytes().startswith(b"From MAILER-DAEMON Thu ")


def test_what_is_no_mailbox_is_not_listed(home: Home) -> None:
    assert home.names() == ["INBOX"]
    (home.mail / "mbox").write_bytes(entry(1))
    for name in ("procmail.log", ".subscriptions", "mbox.lock", ".hidden"):
        (home.mail / name).write_bytes(b"no mail\n")
    (home.mail / "link").symlink_to(home.mail / "mbox")
    os.mkfifo(home.mail / "fifo")
    for part in ("cur", "new", "tmp"):
        (home.mail / "Maildir" / part).mkdir(parents=True)
    (home.mail / "&AOk-t&AOk-").write_bytes(b"")
    assert home.names() == ["INBOX", "mbox", "été"]
    for name in ("link", "fifo", ".hidden", "../joe", "/etc/passwd", "a/.b", "x.lock"):
        with pytest.raises((MailboxNotFound, InvalidName)):
            home.account.open(name)


@pytest.mark.parametrize("name", ["a/.b", ".a", "../x", "a//b", "x.lock", "~x", "/x", "a/../b"])
def test_R096_names_that_no_file_may_have_are_refused(home: Home, name: str) -> None:
    with pytest.raises(InvalidName):
        home.account.create(name)


def test_a_mailbox_that_is_a_file_has_none_below_it(home: Home) -> None:
    home.account.create("Work")
    with pytest.raises(CannotChange):
        home.account.create("Work/a")
    with pytest.raises(MailboxExists):
        home.account.create("Work")


def test_rename_and_delete(home: Home) -> None:
    account = home.account
    account.create("a/b/c")
    account.create("a/d")
    append(home.mail / "a/b/c", entry(1))
    account.subscribe("a/b/c")
    uidvalidity = account.open("a/b/c").uidvalidity
    account.rename("a", "x/y")
    assert home.names() == ["INBOX", "x", "x/y", "x/y/b", "x/y/b/c", "x/y/d"]
    assert not (home.mail / "a").exists()
    moved = account.open("x/y/b/c")
    assert moved.uidvalidity == uidvalidity
    assert len(texts(moved)) == 1
    assert "x/y/b/c" in account.subscriptions()
    account.unsubscribe("x/y/b/c")
    assert "x/y/b/c" not in account.subscriptions()
    account.delete("x/y/b/c")
    account.delete("x/y/d")
    assert home.names() == ["INBOX"]
    assert [name for name in os.listdir(home.mail) if name.startswith(("x", ".maa-trash"))] == []


def test_R102_renaming_inbox_takes_its_mail(home: Home) -> None:
    append(home.home / "spool" / "joe", entry(1) + entry(2))
    home.account.rename("INBOX", "old/mail")
    assert len(texts(home.account.open("old/mail"))) == 2
    assert (home.home / "spool" / "joe").read_bytes() == b""


def test_folders_that_other_programs_make_and_remove_are_seen(home: Home) -> None:
    assert home.names() == ["INBOX"]
    (home.mail / "sub").mkdir()
    (home.mail / "sub" / "box").write_bytes(entry(1))
    assert home.names() == ["INBOX", "sub", "sub/box"]
    (home.mail / "sub" / "other").write_bytes(b"")
    assert home.names() == ["INBOX", "sub", "sub/box", "sub/other"]
    (home.mail / "sub" / "box").unlink()
    assert home.names() == ["INBOX", "sub", "sub/other"]


def test_a_replaced_file_is_the_same_mailbox(home: Home) -> None:
    home.account.create("box")
    append(home.mail / "box", entry(1))
    mailbox = home.account.open("box")
    before = texts(mailbox)
    (home.mail / "new").write_bytes((home.mail / "box").read_bytes() + entry(2))
    (home.mail / "new").rename(home.mail / "box")
    assert home.account.open("box") is mailbox
    assert mailbox.sync() and texts(mailbox)[1] == before[1]
    assert list(mailbox.snapshot.uids) == [1, 2]


@pytest.mark.parametrize(
    ("inbox", "folders", "separator"),
    [
        ("mbox:{home}/spool/{user}", "maildir:{home}/Maildir", "."),
        ("maildir:{home}/Maildir", "mbox:{home}/mail", "/"),
    ],
)
def test_mail_moves_between_an_mbox_and_a_maildir_and_back(
    tmp_path: Path, inbox: str, folders: str, separator: str
) -> None:
    home = Home(tmp_path, inbox, folders)
    account = home.account
    assert account.separator == separator
    incoming = account.open("INBOX").incoming()
    incoming.write(b"Subject: x\r\n\r\nbody\r\n\r\nFrom here on\r\n")
    incoming.commit(frozenset({"\\Seen", "$Label"}), 1_700_000_000)
    account.create("Work")
    work = account.open("Work")
    before = texts(account.open("INBOX"))
    assert account.open("INBOX").move([1], work).targets == (1,)
    assert texts(work) == before
    assert work.internal_dates([1]) == [1_700_000_000]
    assert work.snapshot.flags(0) == {"\\Seen", "$Label"}
    assert work.move([1], account.open("INBOX")).targets == (2,)
    assert list(texts(account.open("INBOX")).values()) == list(before.values())
    assert account.open("INBOX").snapshot.flags(0) == {"\\Seen", "$Label"}
    home.accounts.close()
    home.watcher.close()


def test_an_inbox_in_the_folders_directory_is_inbox_alone(tmp_path: Path) -> None:
    home = Home(tmp_path, "mbox:{home}/mail/incoming", "mbox:{home}/mail")
    home.mail.mkdir()
    append(home.mail / "incoming", entry(1))
    assert home.names() == ["INBOX"]
    assert len(texts(home.account.open("INBOX"))) == 1
    home.accounts.close()
    home.watcher.close()


def test_hints_tell_of_deliveries_and_of_no_other_users(home: Home) -> None:
    spool = home.home / "spool"
    append(spool / "joe", entry(1))
    inbox = home.account.open("INBOX")
    if not inbox.watched:
        pytest.skip("no inotify")
    assert inbox.fresh()
    append(spool / "ann", entry(1))
    assert inbox.fresh()
    append(spool / "joe", entry(2))
    assert not inbox.fresh()
    assert list(home.account.open("INBOX").snapshot.uids) == [1, 2]


def test_L22_a_start_removes_the_locks_that_a_killed_process_left(home: Home) -> None:
    spool = home.home / "spool" / "joe"
    append(spool, entry(1))
    home.account.open("INBOX")
    child = os.fork()
    if not child:
        take_dotlock(os.fsencode(spool))
        take_dotlock(os.fsencode(home.mail / "other"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    home.accounts.drop_dead_locks()
    assert os.listdir(spool.parent) == ["joe"]
    assert (home.mail / "other.lock").exists()  # a mailbox that maa never had open
    assert take_dotlock(os.fsencode(spool))
    home.accounts.drop_dead_locks()
    assert Path(f"{spool}.lock").exists()


def test_a_spool_that_is_gone_is_not_an_empty_one(home: Home) -> None:
    append(home.home / "spool" / "joe", entry(1))
    assert len(home.account.open("INBOX").snapshot.uids) == 1
    (home.home / "spool").rename(home.home / "elsewhere")
    with pytest.raises(Unavailable):
        home.account.open("INBOX").sync(whole=True)
    (home.home / "elsewhere").rename(home.home / "spool")
    assert list(home.account.open("INBOX").sync(whole=True).uids) == [1]
