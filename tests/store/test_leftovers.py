import os
import time
from pathlib import Path

from maa.store.leftovers import OLD_SECONDS, remove_leftovers
from maa.store.maildir import Maildir


def test_R243_only_old_regular_files_in_tmp_are_removed(tmp_path: Path) -> None:
    Maildir.create(str(tmp_path))
    old = time.time() - OLD_SECONDS - 60
    for place in ("tmp/old", "tmp/young", "new/old", "cur/old:2,"):
        (tmp_path / place).write_bytes(b"x")
    (tmp_path / "tmp" / "link").symlink_to(tmp_path / "new" / "old")
    (tmp_path / "tmp" / "dir").mkdir()
    for name in ("tmp/old", "new/old", "cur/old:2,", "tmp/dir"):
        os.utime(tmp_path / name, (old, old))
    assert remove_leftovers(str(tmp_path)) == 1
    assert sorted(os.listdir(tmp_path / "tmp")) == ["dir", "link", "young"]
    assert (tmp_path / "new" / "old").exists() and (tmp_path / "cur" / "old:2,").exists()


def test_a_missing_tmp_is_no_error(tmp_path: Path) -> None:
    assert remove_leftovers(str(tmp_path / "none")) == 0
