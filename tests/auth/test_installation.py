"""maa.auth.installation: one secret for all processes."""

from __future__ import annotations

import os
from pathlib import Path

from maa.auth.installation import secret


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    found = secret(state)
    assert len(found) == 32
    assert secret(state) == found
    assert os.listdir(state) == ["auth-secret"]
    assert os.stat(tmp_path / "state/auth-secret").st_mode & 0o777 == 0o600


def test_a_torn_secret_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "auth-secret").write_bytes(b"torn")
    found = secret(str(tmp_path))
    assert len(found) == 32 and secret(str(tmp_path)) == found


def test_without_a_folder_a_secret_of_this_process_serves(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert len(secret(str(tmp_path / "file"))) == 32
