"""The file `maildirsize`: its quota is read, and what maa adds and removes is appended."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from maa.limits import Limits, Usage
from maa.message.flags import DELETED, SEEN
from maa.store.account import Account
from maa.store.maildirsize import LONG_OCTETS, Maildirsize, named_octets
from maa.store.snapshot import StoreMode
from store.boxes import tidied
from tests.store.account_cases import Site, deliver, maildir

HEAD = b"1000000S,1000C\n"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def counts(site: Site) -> Path:
    """The file, with nothing counted yet."""
    path = maildir(site.maildir()) / "maildirsize"
    path.write_bytes(HEAD)
    return path


@pytest.fixture
def account(site: Site, counts: Path) -> Account:
    return site.account()


def lines(path: Path) -> list[tuple[int, int]]:
    """The changes that were appended since this was asked last."""
    head, *rest = path.read_bytes().splitlines(keepends=True)
    assert head == HEAD
    assert all(len(line) == 26 and line.endswith(b"\n") for line in rest)
    path.write_bytes(HEAD)
    changes = [tuple(map(int, line.split())) for line in rest]
    return [(octets, messages) for octets, messages in changes]


def append(account: Account, name: str, text: bytes, *flags: str) -> int:
    incoming = account.open(name).incoming()
    incoming.write(text)
    return incoming.commit(frozenset(flags))


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        (b"cur/1.M2P3.host,S=123:2,S", 123),
        (b"new/1.M2P3.host,S=123", 123),
        (b"cur/1.M2P3.host,S=123,W=130:2,", 123),
        (b"cur/1.M2P3.host:2,S", None),
        (b"cur/1.M2P3.host,S=:2,S", None),
        (b"cur/1.M2P3.host,S=12x:2,S", None),
        (b"new/1.host,S=" + b"9" * 40, None),
    ],
)
def test_the_size_in_a_name(name: bytes, octets: int | None) -> None:
    assert named_octets(name) == octets


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        (b"1000S,10C\n 5 1\n", Limits(1000, 10)),
        (b"10C\n", Limits(None, 10)),
        (b"1000S\n-5 -1\ngarbage\n\xff\n", Limits(1000)),
        (b"1000S", Limits(1000)),
        (b"0S,0C\n", Limits()),
        (b"5X,1000S\n", Limits(1000)),
        (b"NOQUOTA\n", Limits()),
        (b"", Limits()),
        (b"-1S\n", Limits()),
        (b"9" * 10_000, Limits()),
    ],
)
def test_the_quota_on_the_first_line(tmp_path: Path, text: bytes, limits: Limits) -> None:
    (tmp_path / "maildirsize").write_bytes(text)
    assert Maildirsize(str(tmp_path)).limits() == limits


@pytest.mark.parametrize("kind", ["none", "fifo", "symlink", "directory"])
def test_what_is_no_file_holds_nobody_up(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "maildirsize"
    other = tmp_path / "other"
    other.write_bytes(HEAD)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(other)
    elif kind == "directory":
        path.mkdir()
    file = Maildirsize(str(tmp_path))
    assert not file.there()
    assert file.limits() == Limits()
    file.add(Usage(1, 1))
    assert other.read_bytes() == HEAD


def test_a_file_that_nobody_counts_anew_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "maildirsize"
    path.write_bytes(HEAD)
    file = Maildirsize(str(tmp_path))
    for _ in range(300):
        file.add(Usage(1, 1))
    assert LONG_OCTETS <= path.stat().st_size < LONG_OCTETS + 26


def test_append_and_expunge_are_noted(account: Account, counts: Path) -> None:
    uid = append(account, "Drafts", b"Subject: x\n\nbody\n")
    assert lines(counts) == [(17, 1)]
    account.open("Drafts").remove([uid])
    assert lines(counts) == [(-17, -1)]


def test_what_an_mda_delivers_is_the_mdas_to_note(
    site: Site, account: Account, counts: Path
) -> None:
    deliver(site.maildir(), b"x" * 100)
    inbox = account.open("INBOX")
    tidied(inbox)
    assert lines(counts) == []
    inbox.remove(list(inbox.snapshot.uids))
    assert lines(counts) == [(-100, -1)]


def test_a_copy_adds_and_a_move_does_not(site: Site, account: Account, counts: Path) -> None:
    for _ in range(2):
        deliver(site.maildir(), b"x" * 100)
    inbox, drafts = account.open("INBOX"), account.open("Drafts")
    uids = list(inbox.snapshot.uids)
    inbox.copy(uids, drafts)
    assert lines(counts) == [(200, 2)]
    inbox.move(uids, drafts)
    assert lines(counts) == []


def test_trash_does_not_count(site: Site, account: Account, counts: Path) -> None:
    deliver(site.maildir(), b"x" * 100)
    inbox, trash = account.open("INBOX"), account.open("Trash")
    (uid,) = inbox.snapshot.uids
    inbox.copy([uid], trash)
    assert lines(counts) == []
    inbox.move([uid], trash)
    assert lines(counts) == [(-100, -1)]
    trash.move([1], inbox)
    assert lines(counts) == [(100, 1)]
    append(account, "Trash", b"x")
    trash.remove(list(trash.snapshot.uids))
    assert lines(counts) == []


def test_what_is_marked_as_deleted_does_not_count(account: Account, counts: Path) -> None:
    drafts = account.open("Drafts")
    uid = append(account, "Drafts", b"x" * 50, SEEN)
    assert lines(counts) == [(50, 1)]
    drafts.store([uid], StoreMode.ADD, frozenset({DELETED}))
    tidied(drafts)
    assert lines(counts) == [(-50, -1)]
    drafts.store([uid], StoreMode.REMOVE, frozenset({SEEN}))
    tidied(drafts)
    assert lines(counts) == []
    drafts.store([uid], StoreMode.REMOVE, frozenset({DELETED}))
    tidied(drafts)
    assert lines(counts) == [(50, 1)]
    drafts.store([uid], StoreMode.ADD, frozenset({DELETED}))
    tidied(drafts)
    drafts.expunge()
    assert lines(counts) == [(-50, -1)]


def test_a_deleted_mailbox_takes_its_messages_along(account: Account, counts: Path) -> None:
    account.create("Work")
    append(account, "Work", b"x" * 50)
    append(account, "Work", b"x" * 60)
    append(account, "Work", b"x" * 70, DELETED)
    assert lines(counts) == [(50, 1), (60, 1)]
    account.delete("Work")
    assert lines(counts) == [(-110, -2)]


def test_a_mailbox_that_becomes_trash_counts_no_more(account: Account, counts: Path) -> None:
    account.create("Work")
    append(account, "Work", b"x" * 50)
    append(account, "Trash", b"x" * 60)
    assert lines(counts) == [(50, 1)]
    account.rename("Trash", "Old")
    assert lines(counts) == [(60, 1)]
    account.rename("Work", "Trash")
    assert lines(counts) == [(-50, -1)]
    account.rename("Old", "New")
    assert lines(counts) == []


def test_a_rename_of_trash_that_a_crash_cut_off_is_finished(
    site: Site, account: Account, counts: Path
) -> None:
    append(account, "Trash", b"x" * 60)
    path = site.maildir() / ".Trash"
    account.ledger.index.set_setting("renaming", json.dumps([["Trash", str(path), "Old"]]))
    path.rename(site.maildir() / ".Old")
    again = site.account()
    assert len(again.open("Old").snapshot) == 1
    assert lines(counts) == []  # the next count mends that


def test_a_file_that_is_not_there_is_not_made(site: Site, counts: Path, account: Account) -> None:
    counts.unlink()
    uid = append(account, "Drafts", b"x")
    account.open("Drafts").remove([uid])
    assert not counts.exists()


def test_a_message_of_ours_says_its_size(site: Site, account: Account) -> None:
    append(account, "Drafts", b"Subject: x\n\n")
    account.open("Drafts").copy([1], account.open("Sent"))
    account.open("Drafts").move([1], account.open("Archive"))
    for folder in (".Sent", ".Archive"):
        (name,) = os.listdir(site.maildir() / folder / "cur")
        assert name.partition(":2,")[0].endswith(",S=12")
    deliver(site.maildir())
    account.open("INBOX").copy([1], account.open("Junk"))
    (name,) = os.listdir(site.maildir() / ".Junk" / "cur")
    assert ",S=" not in name  # nobody looked
