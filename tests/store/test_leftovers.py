import os
import time
from pathlib import Path

import pytest

from maa.store.changing import commit_all
from maa.store.errors import Unavailable
from maa.store.leftovers import OLD_SECONDS, remove_leftovers
from maa.store.maildir import Maildir
from maa.user import User
from tests.store.account_cases import Site


def test_R243_only_old_regular_files_in_tmp_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Maildir.create(str(tmp_path))
    later = time.time() + OLD_SECONDS + 60
    for place in ("tmp/old", "tmp/young", "new/old", "cur/old:2,"):
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / "tmp" / "link").symlink_to(tmp_path / "new" / "old")
    (tmp_path / "tmp" / "dir").mkdir()
    os.utime(tmp_path / "tmp" / "young", (later, later))
    monkeypatch.setattr(time, "time", lambda: later)
    assert remove_leftovers(str(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path / "tmp")) == ["dir", "link", "young"]
    assert (tmp_path / "new" / "old").exists() and (tmp_path / "cur" / "old:2,").exists()


def test_R119_what_is_just_being_appended_with_an_old_date_is_no_leftover(tmp_path: Path) -> None:
    Maildir.create(str(tmp_path))
    waiting = tmp_path / "tmp" / "1.M1.host"
    waiting.write_bytes(b"x")
    os.utime(waiting, (1, 1))
    assert remove_leftovers(str(tmp_path)) == 0 and waiting.exists()


def test_a_missing_tmp_is_no_error(tmp_path: Path) -> None:
    assert remove_leftovers(str(tmp_path / "none")) == 0


def test_R119_what_vanishes_before_it_is_committed_is_not_acknowledged(tmp_path: Path) -> None:
    mailbox = Site(tmp_path).accounts().open(User("joe")).open("INBOX")
    waiting = [mailbox.incoming() for _ in range(2)]
    for incoming in waiting:
        incoming.write(b"Subject: 1\r\n\r\nbody\r\n")
        incoming.finish()
    next((tmp_path / "home" / "joe" / "Maildir" / "tmp").iterdir()).unlink()
    with pytest.raises(Unavailable):
        commit_all(waiting)
    mailbox.sync(whole=True)
    assert len(mailbox.snapshot) == 0
