"""Maildir++ folders on disk."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from maa.store import folders as folders_module
from maa.store.errors import CannotChange, MailboxNotFound, NoSpace, Unavailable
from maa.store.folders import Folders, disk_errors
from tests.store.account_cases import maildir


def names_in(root: Path) -> list[str]:
    return sorted(folder.name for folder in Folders(str(root)).scan().folders.values())


def test_R245_a_folder_is_one_only_with_cur_new_and_tmp(tmp_path: Path) -> None:
    maildir(tmp_path / ".Work")
    (tmp_path / ".git" / "cur").mkdir(parents=True)
    (tmp_path / ".file").touch()
    maildir(tmp_path / "plain")
    assert names_in(tmp_path) == ["Work"]


def test_a_symlink_is_no_folder(tmp_path: Path) -> None:
    maildir(tmp_path / "elsewhere" / ".Secret")
    (tmp_path / ".Link").symlink_to(tmp_path / "elsewhere" / ".Secret")
    maildir(tmp_path / ".Half")
    (tmp_path / ".Half" / "cur").rmdir()
    (tmp_path / ".Half" / "cur").symlink_to(tmp_path / "elsewhere" / ".Secret" / "cur")
    assert names_in(tmp_path) == []


def test_R114_other_programs_files_are_hidden(tmp_path: Path) -> None:
    for name in ("dovecot-uidlist", ".subscriptions", "courierimapsubscribed", ".maa"):
        (tmp_path / name).touch()
    maildir(tmp_path / "..DOVECOT-TRASHED")
    maildir(tmp_path / ".INBOX")
    assert names_in(tmp_path) == []


def test_a_directory_that_may_become_a_folder_is_looked_at_again(tmp_path: Path) -> None:
    (tmp_path / ".Soon").mkdir()
    assert Folders(str(tmp_path)).scan().unfinished
    long_ago = time.time() - 86400
    os.utime(tmp_path / ".Soon", (long_ago, long_ago))
    assert not Folders(str(tmp_path)).scan().unfinished


def test_of_two_directories_for_one_name_the_usual_spelling_counts(tmp_path: Path) -> None:
    for directory in (".Entwürfe", ".Entw&APw-rfe", ".Entwu&Awg-rfe"):
        maildir(tmp_path / directory)
    found = Folders(str(tmp_path)).scan().folders
    assert [folder.path for folder in found.values()] == [str(tmp_path / ".Entwu&Awg-rfe")]


def test_a_new_folder_is_private_and_whole(tmp_path: Path) -> None:
    Folders(str(tmp_path)).make("Büro.2024")
    made = tmp_path / ".B&APw-ro.2024"
    assert sorted(os.listdir(made)) == ["cur", "maildirfolder", "new", "tmp"]
    assert all((made / part).stat().st_mode & 0o777 == 0o700 for part in ("", "cur", "new", "tmp"))
    assert (made / "maildirfolder").stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [made.name]


@pytest.mark.parametrize("kind", ["file", "full directory", "folder", "symlink"])
def test_what_is_in_the_way_stays(tmp_path: Path, kind: str) -> None:
    folders = Folders(str(tmp_path))
    folders.make("Old")
    target = tmp_path / ".Work"
    if kind == "file":
        target.write_text("x")
    elif kind == "symlink":
        target.symlink_to(tmp_path / ".Old")
    else:
        maildir(target)
    before = target.lstat()
    with pytest.raises(CannotChange):
        folders.check_free("Work")
    with pytest.raises(CannotChange):
        folders.make("Work")
    with pytest.raises(CannotChange):
        folders.rename(str(tmp_path / ".Old"), "Work")
    assert target.lstat().st_ino == before.st_ino
    assert sorted(os.listdir(tmp_path)) == [".Old", ".Work"]


def test_deleting_takes_the_folder_away_at_once(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path))
    folders.make("Work")
    (tmp_path / ".Work" / "new" / "1").write_text("x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (tmp_path / ".Work" / "cur" / "link").symlink_to(outside)
    (folder,) = folders.scan().folders.values()
    trash = folders.trash(folder)
    assert names_in(tmp_path) == []
    folders.discard(trash)
    folders.discard(trash)
    assert os.listdir(tmp_path) == ["outside"]
    assert os.listdir(outside) == ["kept"]
    with pytest.raises(MailboxNotFound):
        folders.trash(folder)


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    folders = Folders(str(tmp_path))
    maildir(tmp_path / "..maa-trash-1")
    maildir(tmp_path / "..maa-new-1")
    maildir(tmp_path / "..maa-new-2")
    long_ago = time.time() - 86400
    os.utime(tmp_path / "..maa-new-1", (long_ago, long_ago))
    folders.make("Work")
    folders.sweep()
    # The other may be in the making at this moment.
    assert sorted(os.listdir(tmp_path)) == ["..maa-new-2", ".Work"]


def test_what_cannot_be_removed_now_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "..maa-trash-1").touch()
    Folders(str(tmp_path)).discard(str(tmp_path / "..maa-trash-1"))
    assert "cannot remove" in caplog.text


def test_a_missing_directory_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Folders(str(tmp_path / "missing")).scan()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_space(tmp_path: Path, code: int) -> None:
    with pytest.raises(NoSpace), disk_errors("x"):
        raise OSError(code, os.strerror(code))


def test_what_cannot_be_renamed_is_unavailable(tmp_path: Path) -> None:
    maildir(tmp_path / ".Work")
    with pytest.raises(Unavailable):
        Folders(str(tmp_path)).rename(str(tmp_path / ".Work"), "x" * 300)
    assert names_in(tmp_path) == ["Work"]


def test_a_folder_that_goes_away_meanwhile_is_no_folder(tmp_path: Path) -> None:
    assert not folders_module._is_maildir(str(tmp_path / "gone"))
    assert folders_module._is_recent(str(tmp_path / "gone"))
