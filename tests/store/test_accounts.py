"""The accounts of all users."""

from __future__ import annotations

import gc
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.store import account as account_module
from maa.store import accounts as accounts_module
from maa.store.account import Account
from maa.store.accounts import Accounts
from maa.store.errors import MailboxGone, Unavailable
from maa.store.identity import Identity
from maa.store.mailbox import Mailbox
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.user import User
from tests.store.account_cases import Site, deliver, names_of, public_directory

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may take the identities of other users"
)
JOE = User("joe", uid=12345, gid=12346)
ANN = User("ann", uid=12347, gid=12348)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def shared() -> Iterator[Site]:
    """A site whose homes other users can reach and write to."""
    with public_directory() as directory:
        (directory / "home").mkdir()
        (directory / "home").chmod(0o1777)
        yield Site(directory)


def test_an_opened_account_answers_from_memory(site: Site) -> None:
    accounts = site.accounts()
    assert accounts.opened(User("joe")) is None
    account = accounts.open(User("joe"))
    assert accounts.opened(User("joe")) is account
    assert accounts.open(User("joe")) is account


def test_a_user_whose_description_changed_is_opened_anew(site: Site) -> None:
    accounts = site.accounts()
    before = accounts.open(User("joe"))
    other = User("joe", home=str(site.root / "home" / "elsewhere"))
    assert accounts.opened(other) is None
    assert accounts.open(other) is not before
    assert (site.root / "home/elsewhere/Maildir/cur").is_dir()


def test_many_threads_open_one_account_once(site: Site) -> None:
    accounts = site.accounts()
    found: list[Account] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        found.append(accounts.open(User("joe")))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len({id(account) for account in found}) == 1
    assert len(found) == 8


def test_an_account_that_falls_out_lives_while_a_session_has_it(site: Site) -> None:
    accounts = Accounts(
        str(site.root / "state"),
        MailPlaces.parse(
            f"{site.root}/home/{{user}}", "maildir:{home}/Maildir", "maildir:{home}/Maildir"
        ),
        Watcher(),
        kept=1,
    )
    joe = accounts.open(User("joe"))
    accounts.open(User("ann"))
    assert accounts.opened(User("joe")) is joe
    accounts.open(User("ann"))
    database = str(site.root / "state/users/joe/index.db")
    assert database in open_files()
    del joe
    gc.collect()
    assert accounts.opened(User("joe")) is None
    # The next one to open anything closes what nobody has any more.
    accounts.open(User("ann"))
    assert database not in open_files()
    assert names_of(accounts.open(User("joe"))) == ["INBOX"]


def open_files() -> list[str]:
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return links


def test_mailboxes_that_fall_out_live_while_a_session_has_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_module, "MAILBOXES_KEPT", 1)
    account = site.account()
    sent, identity = account.open("Sent"), id(account.open("Trash"))
    account.open("INBOX")
    gc.collect()
    assert account.opened("Sent") is sent
    assert account.opened("Trash") is None or id(account.opened("Trash")) != identity


def test_close_gives_every_file_back(site: Site) -> None:
    accounts = site.accounts()
    accounts.open(User("joe")).open("INBOX")
    accounts.close()
    assert not [link for link in open_files() if str(site.root) in link]


def test_the_state_is_private(site: Site) -> None:
    site.account()
    state = site.root / "state"
    assert state.stat().st_mode & 0o777 == 0o711
    assert (state / "users").stat().st_mode & 0o777 == 0o711
    joe = state / "users" / "joe"
    assert joe.stat().st_mode & 0o777 == 0o700
    assert {"index.db", "cache.db"} <= {path.name for path in joe.iterdir()}
    assert all(path.stat().st_mode & 0o177 == 0 for path in joe.iterdir())
    joe.chmod(0o755)
    site.account()
    assert joe.stat().st_mode & 0o777 == 0o700


def test_state_that_was_made_by_hand_is_used(site: Site) -> None:
    (site.root / "state" / "users").mkdir(parents=True)
    (site.root / "state" / "users").chmod(0o700)
    site.account()
    assert (site.root / "state" / "users").stat().st_mode & 0o777 == 0o711
    # Another process makes a user's directory at the same moment.
    joe = str(site.root / "state" / "users" / "joe")
    accounts_module._make_private(joe, Identity.own(), Identity.own())
    assert names_of(site.account()) == ["INBOX"]


def test_R253_no_state_for_an_unusable_name(site: Site) -> None:
    for name in ("../joe", "..", "a/b", ""):
        with pytest.raises(Unavailable):
            site.accounts().open(User(name))
    assert not (site.root / "state").exists()


def test_state_that_is_a_symlink_is_refused(site: Site) -> None:
    (site.root / "state" / "users").mkdir(parents=True)
    (site.root / "elsewhere").mkdir()
    (site.root / "state" / "users" / "joe").symlink_to(site.root / "elsewhere")
    with pytest.raises(Unavailable):
        site.account()
    assert os.listdir(site.root / "elsewhere") == []


@needs_root
def test_R253_all_of_a_users_files_belong_to_the_user(shared: Site) -> None:
    accounts = shared.accounts()
    account = accounts.open(JOE)
    account.create("Work")
    account.open("Work").incoming().commit()
    account.hold_maildrop().release()
    for top in (shared.root / "home" / "joe", shared.root / "state" / "users" / "joe"):
        for path in (top, *top.rglob("*")):
            found = path.lstat()
            assert (found.st_uid, found.st_gid) == (12345, 12346), path
            assert found.st_mode & 0o077 == 0, path
    assert (shared.root / "state" / "users").stat().st_uid == 0


@needs_root
def test_R253_a_user_reaches_no_other_users_mail(shared: Site) -> None:
    accounts = shared.accounts()
    accounts.open(JOE).create("Secret")
    secret = shared.maildir("joe") / ".Secret"
    ann = accounts.open(ANN)
    deliver(shared.maildir("ann"))
    (shared.maildir("ann") / ".Joe").symlink_to(secret)
    assert names_of(ann) == ["INBOX"]
    with pytest.raises(Unavailable):
        accounts.open(User("ann", uid=12347, gid=12348, inbox=f"maildir:{shared.maildir('joe')}"))
    (shared.root / "home" / "ann" / "link").symlink_to(shared.maildir("joe"))
    link = f"maildir:{shared.root}/home/ann/link"
    with pytest.raises(Unavailable):
        accounts.open(User("ann", uid=12347, gid=12348, inbox=link))


@needs_root
def test_a_mailbox_that_cannot_be_made_leaves_nothing(shared: Site) -> None:
    accounts = shared.accounts()
    account = accounts.open(JOE)
    os.chown(shared.maildir("joe"), 0, 0)
    shared.maildir("joe").chmod(0o755)
    with pytest.raises(Unavailable):
        account.create("Work")
    assert "Work" not in account.ledger.index.mailboxes()
    os.chown(shared.maildir("joe"), 12345, 12346)
    account.create("Work")
    assert names_of(account) == ["INBOX", "Work"]


@needs_root
def test_state_of_another_uid_is_refused(shared: Site) -> None:
    shared.accounts().open(JOE)
    with pytest.raises(Unavailable):
        shared.accounts().open(User("joe", uid=12347, gid=12348))


def test_an_index_removed_under_the_server_is_opened_anew(site: Site) -> None:
    accounts = site.accounts()
    account: Account | None = accounts.open(User("joe"))
    assert account is not None
    inbox: Mailbox | None = account.open("INBOX")
    assert inbox is not None
    assert accounts.opened(User("joe")) is account
    shutil.rmtree(site.root / "state/users/joe")
    assert accounts.opened(User("joe")) is None
    again = accounts.open(User("joe"))
    assert again is not account and accounts.opened(User("joe")) is again
    with pytest.raises(MailboxGone):
        inbox.sync()
    deliver(site.maildir())
    assert len(again.open("INBOX").snapshot) == 1
    # What was open of it is given back at the next opening, though its directory is gone.
    account = inbox = None
    gc.collect()
    shutil.rmtree(site.root / "state/users/joe")
    assert len(accounts.open(User("joe")).open("INBOX").snapshot) == 1
    assert (site.root / "state/users/joe/index.db").exists()
