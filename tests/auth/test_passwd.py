"""`maa passwd`: what an administrator does with the password file."""

from __future__ import annotations

import getpass
import io
import os
import sys
from pathlib import Path

import pytest

from maa.auth.app_passwords import AppPasswords
from maa.auth.password_edit import Fields, NoSuchUser, delete, set_password
from maa.auth.password_file import PasswordFile
from maa.cli import main
from maa.user import User


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passwd"


def maa(path: Path, *words: str, password: str = "") -> int:
    before, sys.stdin = sys.stdin, io.StringIO(password + "\n" if password else "")
    try:
        return main(["passwd", "--file", str(path), "--stdin", *words])
    finally:
        sys.stdin = before


def test_a_user_is_added_changed_checked_and_deleted(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maa(path, "joe", password="secret") == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert maa(path, "joe", "--check", password="secret") == 0
    assert maa(path, "joe", "--check", password="wrong") == 1
    assert "does not fit" in capsys.readouterr().err
    assert maa(path, "joe", password="other") == 0
    assert maa(path, "joe", "--check", password="other") == 0
    assert maa(path, "--delete", "joe") == 0
    assert path.read_bytes() == b""
    assert maa(path, "--delete", "joe") == 1
    assert maa(path, "joe", "--check", password="other") == 1
    assert "no user joe" in capsys.readouterr().err


def test_fields_are_set_and_kept(path: Path) -> None:
    assert maa(path, "joe", "--uid", "5", "--home", "/home/joe", password="secret") == 0
    assert maa(path, "joe", "--gid", "6", "--inbox", "maildir:/m", password="other") == 0
    found = PasswordFile(str(path)).check("joe", b"other", "imap")
    assert found == User("joe", 5, 6, "/home/joe", "maildir:/m")
    before = path.read_text()
    assert maa(path, "joe", "--keep", "--inbox", "") == 0
    assert path.read_text() == before.replace("::inbox=maildir:/m", "")
    assert maa(path, "ann", "--keep", "--uid", "5") == 1


def test_every_scheme_can_be_chosen(path: Path) -> None:
    for scheme in ("plain", "SHA512-CRYPT", "crypt", "BLF-CRYPT", "PBKDF2"):
        assert maa(path, "joe", "--scheme", scheme, password="secret") == 0
        assert path.read_text().startswith(f"joe:{{{scheme.upper()}}}")
        assert maa(path, "joe", "--check", password="secret") == 0


@pytest.mark.parametrize(
    "words",
    [
        ("../joe",),
        ("joe", "--home", "relative"),
        ("joe", "--home", "/a:b"),
        ("joe", "--inbox", "maildir:/a b"),
        ("joe", "--uid", "-1"),
        ("joe", "--uid", "4294967295"),
        ("joe", "--folders", "maildir:/x\ny"),
    ],
)
def test_what_would_damage_the_file_is_refused(path: Path, words: tuple[str, ...]) -> None:
    path.write_text("ann:{PLAIN}x\n")
    assert maa(path, *words, password="secret") == 1
    assert path.read_text() == "ann:{PLAIN}x\n"


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_an_empty_or_endless_password_is_refused(path: Path, password: str) -> None:
    assert maa(path, "joe", password=password) == 1
    assert not path.exists()


def test_a_clear_password_with_a_colon_is_refused(path: Path) -> None:
    assert maa(path, "joe", "--scheme", "PLAIN", password="a:b") == 1
    assert maa(path, "joe", password="a:b") == 0
    assert maa(path, "joe", "--check", password="a:b") == 0


def test_R034_bcrypt_refuses_what_it_would_cut(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maa(path, "joe", "--scheme", "BLF-CRYPT", password="x" * 73) == 1
    assert "72 octets" in capsys.readouterr().err


def test_two_different_passwords_change_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(("secret", "secert"))
    monkeypatch.setattr(getpass, "getpass", lambda prompt: next(typed))
    assert main(["passwd", "--file", str(path), "joe"]) == 1
    assert not path.exists()
    typed = iter(("secret", "secret"))
    assert main(["passwd", "--file", str(path), "joe"]) == 0
    assert maa(path, "joe", "--check", password="secret") == 0


def test_other_lines_comments_mode_and_owner_stay(path: Path) -> None:
    path.write_bytes(b"# ours\n\nann:{PLAIN}x:1:2\r\nbad line\njoe:{PLAIN}a\n\xff\n")
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    set_password(str(path), "joe", "{PLAIN}b", Fields())
    after = path.stat()
    assert path.read_bytes() == b"# ours\n\nann:{PLAIN}x:1:2\r\nbad line\njoe:{PLAIN}b\n\xff\n"
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_ino != before.st_ino
    assert os.listdir(path.parent) == ["passwd"]


def test_a_link_is_followed_and_stays(path: Path, tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.write_text("joe:{PLAIN}a\n")
    path.symlink_to(real)
    set_password(str(path), "ann", "{PLAIN}b", Fields())
    assert path.is_symlink()
    assert real.read_text() == "joe:{PLAIN}a\nann:{PLAIN}b\n"


def test_delete_of_an_unknown_user_leaves_the_file_alone(path: Path) -> None:
    path.write_text("joe:{PLAIN}a\njoe2:{PLAIN}a\n")
    before = path.stat().st_mtime_ns
    with pytest.raises(NoSuchUser):
        delete(str(path), "jo")
    assert path.stat().st_mtime_ns == before
    delete(str(path), "joe")
    assert path.read_text() == "joe2:{PLAIN}a\n"


def test_the_file_named_in_the_configuration_is_used(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "maa.toml"
    config.write_text(f'listen.imap = ["tcp:143"]\n[auth]\npassword-file.path = "{path}"\n')
    path.write_text("joe:{PLAIN}a\n")
    assert main(["passwd", "--config", str(config), "--delete", "joe"]) == 0
    assert path.read_text() == ""
    assert main(["passwd", "--config", str(tmp_path / "none"), "--delete", "joe"]) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_the_server_can_read(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, apps = tmp_path / "maa.toml", tmp_path / "apps"
    config.write_text(
        f'run_as = "daemon"\nlisten.imap = ["tcp:143"]\nstate = "{tmp_path}/state"\n'
        f'[auth]\npassword-file.path = "{path}"\napp-passwords.path = "{apps}"\n'
    )
    monkeypatch.setattr(sys, "stdin", io.StringIO("secret\n"))
    assert main(["passwd", "--config", str(config), "--stdin", "joe"]) == 0
    assert main(["passwd", "--config", str(config), "--app", "phone", "joe"]) == 0
    for file in (path, apps):
        assert (file.group(), file.owner()) == ("daemon", "root")
        assert file.stat().st_mode & 0o7777 == 0o640
    # What the administrator has settled stays.
    os.chown(path, 0, 0)
    path.chmod(0o644)
    assert main(["passwd", "--config", str(config), "--keep", "--home", "/home", "joe"]) == 0
    assert (path.group(), path.stat().st_mode & 0o7777) == ("root", 0o644)


def test_a_quota_is_set_and_a_wrong_one_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maa(path, "joe", "--quota", "1 GiB, 100 messages", password="secret") == 0
    assert PasswordFile(str(path)).find("joe") == User("joe", quota="1GiB,100messages")
    assert maa(path, "joe", "--keep", "--quota", "plenty") == 1
    assert "'plenty' is no quota" in capsys.readouterr().err
    assert maa(path, "joe", "--keep", "--quota", "") == 0
    assert PasswordFile(str(path)).find("joe") == User("joe")


def test_app_passwords_are_made_listed_and_revoked(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "maa.toml"
    config.write_text(
        f'state = "{tmp_path}/state"\nlisten.imap = ["tcp:143"]\n'
        f'[auth]\npassword-file.path = "{path}"\napp-passwords.path = "{tmp_path}/apps"\n'
        f'names.local_hosts = "{tmp_path}/hosts"\n'
    )
    (tmp_path / "hosts").write_text("example.org\n")
    path.write_text("joe:{PLAIN}a\n")
    where = ["passwd", "--config", str(config)]
    assert main([*where, "--app", "my phone", "joe"]) == 0
    shown = capsys.readouterr().out.splitlines()[-1]
    apps = AppPasswords(str(tmp_path / "apps"), str(tmp_path / "state/app-passwords"))
    assert apps.device("joe", shown.encode()) == "my phone"
    assert main([*where, "--apps", "joe"]) == 0
    out = capsys.readouterr().out
    assert "my phone: made " in out and "never used" in out and shown not in out
    apps.note_use("joe", "my phone", "192.0.2.7")
    assert main([*where, "--apps", "joe"]) == 0
    assert "from 192.0.2.7" in capsys.readouterr().out
    assert main([*where, "--app", "my phone", "--revoke", "joe"]) == 0
    assert main([*where, "--apps", "joe"]) == 0
    assert "no app passwords" in capsys.readouterr().out
    # By any of its names it is the account's; and it goes with its user.
    assert main([*where, "--app", "tablet", "joe@Example.org"]) == 0
    assert [one.device for one in apps.listed("joe")] == ["tablet"]
    assert main([*where, "--delete", "joe"]) == 0
    assert "with 1 devices" in capsys.readouterr().out
    assert apps.listed("joe") == ()
    path.write_text("joe:{PLAIN}a\n")
    for wrong in (
        ["--app", "my phone", "--revoke", "joe"],
        ["--revoke", "joe"],
        ["--app", "x", "ann"],
        ["--app", "a:b", "joe"],
        ["--app", "x", "../joe"],
    ):
        assert main([*where, *wrong]) == 1
        assert capsys.readouterr().err.startswith("maa passwd: ")


def test_restrictions_are_set_and_wrong_ones_refused(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert maa(path, "joe", "--protocols", "imap", "--expires", "2027-01-31", password="x") == 0
    user = PasswordFile(str(path)).find("joe")
    assert user is not None and user.restrictions is not None
    assert user.restrictions.services == {"imap"}
    for wrong in (("--allow-nets", "all"), ("--protocols", "smtp"), ("--expires", "soon")):
        assert maa(path, "joe", "--keep", *wrong) == 1
        assert capsys.readouterr().err
    assert maa(path, "joe", "--keep", "--protocols", "", "--expires", "") == 0
    assert PasswordFile(str(path)).find("joe") == User("joe")
