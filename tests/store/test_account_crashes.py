"""Creating, renaming and deleting under kill -9: nothing is lost, no UID means two messages.

A child process does the work and dies, without any cleaning up, at its first system call of a
kind, then at its second, and so on, until one child comes through.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maa.store.account import Account
from maa.store.errors import StoreError
from maa.user import User
from tests.store.account_cases import Site, deliver, names_of

MEMORY = Path("/dev/shm")
EVENTS = ("os.mkdir", "os.rename", "os.rmdir", "os.remove", "shutil.rmtree")
FINISHED = 17
KILLED = 9


@pytest.fixture
def quick_path(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: kill -9 takes nothing from the page cache."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


def in_child(begin: Callable[[], Any], number: int, work: Callable[[Any], Any]) -> int:
    """How a child ends that dies at the `number`th call of its work."""
    child = os.fork()
    if child == 0:
        try:
            given = begin()
            die_at(number)
            work(given)
            os._exit(FINISHED)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(number: int) -> None:
    left = number

    def hook(event: str, arguments: object) -> None:
        nonlocal left
        if event in EVENTS:
            if left == 0:
                os._exit(KILLED)
            left -= 1

    sys.addaudithook(hook)


def crashes(tmp_path: Path, work: Callable[[Account], None]) -> Iterator[Site]:
    """A site after each crash; the last one is that of a child that came through."""
    for number in range(100):
        site = Site(tmp_path / str(number))
        account = site.account()
        for name in ("a", "a.b"):
            account.create(name)
            deliver(site.maildir() / f".{name}")
            deliver(site.maildir() / f".{name}")
            account.open(name)
        account.ledger.close()
        code = in_child(site.account, number, work)
        assert code in (KILLED, FINISHED)
        yield site
        if code == FINISHED:
            assert number > 0
            return
    pytest.fail("never came through")


def messages(account: Account) -> dict[str, tuple[int, list[int]]]:
    found = {}
    for line in account.mailboxes():
        if line.selectable:
            mailbox = account.open(line.name)
            found[line.name] = (mailbox.uidvalidity, list(mailbox.snapshot.uids))
    return found


def left_over(site: Site) -> list[str]:
    return [name for name in os.listdir(site.maildir()) if name.startswith("..maa-trash-")]


def test_R102_a_killed_rename_is_finished_with_all_uids(quick_path: Path) -> None:
    for site in crashes(quick_path, lambda account: account.rename("a", "x.y")):
        account = site.account()
        names = names_of(account)
        assert names in (["INBOX", "a", "a.b"], ["INBOX", "(x)", "x.y", "x.y.b"])
        kept = [uids for name, (_, uids) in messages(account).items() if name[0] in "ax"]
        assert kept == [[1, 2], [1, 2]]
    assert "x.y.b" in names


def test_R077_a_killed_delete_never_repeats_a_uid(quick_path: Path) -> None:
    for site in crashes(quick_path, lambda account: account.delete("a")):
        account = site.account()
        assert left_over(site) == []
        found = messages(account)
        assert found["a.b"][1] == [1, 2]
        if "a" in found:
            assert found["a"][1] == [1, 2]
            account.delete("a")
        account.create("a")
        deliver(site.maildir() / ".a")
        # Every UIDVALIDITY given before the crash is smaller than that of a mailbox made after.
        assert account.open("a").uidvalidity > found["a.b"][0]


def test_a_killed_create_leaves_all_or_nothing(quick_path: Path) -> None:
    for site in crashes(quick_path, lambda account: account.create("new.one")):
        account = site.account()
        if "new.one" not in names_of(account):
            account.create("new.one")
        assert names_of(account) == ["INBOX", "a", "a.b", "(new)", "new.one"]
        assert messages(account)["new.one"][1] == []


def test_a_killed_first_login_is_completed(quick_path: Path) -> None:
    for number in range(100):
        site = Site(quick_path / str(number))
        code = in_child(site.accounts, number, lambda accounts: accounts.open(User("joe")))
        account = site.account()
        uses = [line.use for line in account.mailboxes() if line.use]
        assert sorted(uses) == ["\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash"]
        assert len(account.subscriptions()) == 6
        if code == FINISHED:
            return
    pytest.fail("never came through")


def test_two_processes_change_one_account(quick_path: Path) -> None:
    """Each makes, renames and deletes its own and the common mailboxes; all stays whole."""
    site = Site(quick_path)
    site.account().ledger.close()
    children = []
    for number in range(2):
        child = os.fork()
        if child == 0:
            try:
                os._exit(busy(site, number))
            finally:
                os._exit(1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert codes == [0, 0]
    account = site.account()
    assert [name for name in names_of(account) if name.startswith("own")] == ["own0", "own1"]
    uidvalidities = [uidvalidity for uidvalidity, _ in messages(account).values()]
    assert len(uidvalidities) == len(set(uidvalidities))


def busy(site: Site, number: int) -> int:
    account = site.account()
    for turn in range(15):
        for act in (
            lambda: account.create("common.x"),
            lambda: account.rename("common", f"moved{number}"),
            lambda: account.delete(f"moved{number}.x"),
        ):
            try:
                act()
            except StoreError as error:
                if "index" in str(error):
                    return 2
        account.create(f"own{number}-{turn}")
        account.open(f"own{number}-{turn}").incoming().commit()
        account.delete(f"own{number}-{turn}")
    account.create(f"own{number}")
    return 0
