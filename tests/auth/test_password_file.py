"""maa.auth.password_file: lines, faults, and changes while it is in use."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import pytest

from maa.auth.errors import AuthUnavailable, BadCredentials, Disabled
from maa.auth.new_hashes import new_hash
from maa.auth.password_edit import exchange_password
from maa.auth.password_file import PasswordFile
from maa.auth.password_line import Fault, parsed
from maa.user import User


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passwd"


def written(path: Path, text: str) -> PasswordFile:
    path.write_text(text)
    path.chmod(0o600)
    return PasswordFile(str(path))


def test_a_whole_line_gives_the_whole_user(path: Path) -> None:
    source = written(
        path,
        "joe@example.org:{PLAIN}secret:1000:100:Joe:/home/joe:/bin/sh:"
        "inbox=mbox:/var/mail/joe folders=maildir:/home/joe/Maildir\n",
    )
    assert source.faults() == ()
    assert source.check("joe@example.org", b"secret", "imap") == User(
        "joe@example.org", 1000, 100, "/home/joe", "mbox:/var/mail/joe", "maildir:/home/joe/Maildir"
    )


def test_a_short_line_is_enough(path: Path) -> None:
    source = written(path, "# users\n\njoe:{PLAIN}secret\r\n")
    assert source.check("joe", b"secret", "imap") == User("joe")
    assert source.find("joe") == User("joe")
    assert source.find("ann") is None


def test_an_unknown_user_is_left_to_the_next_source(path: Path) -> None:
    assert written(path, "joe:{PLAIN}secret\n").check("ann", b"secret", "imap") is None
    assert written(path, "").check("ann", b"secret", "imap") is None


def test_a_wrong_password_is_refused(path: Path) -> None:
    source = written(path, "joe:{PLAIN}secret\n")
    for wrong in (b"", b"secre", b"secrets", b"Secret"):
        with pytest.raises(BadCredentials):
            source.check("joe", wrong, "imap")


def test_a_locked_user_has_no_password(path: Path) -> None:
    source = written(path, "a:*\nb:!\nc:!!\n")
    assert source.faults() == ()
    for name in "abc":
        for password in (b"", b"*", b"!", b"x"):
            with pytest.raises(BadCredentials):
                source.check(name, password, "imap")


def test_a_user_who_may_not_log_in_hears_so_only_with_the_password(path: Path) -> None:
    source = written(path, "joe:{PLAIN}secret::::::nologin\nann:!{PLAIN}secret\n")
    for name in ("joe", "ann"):
        with pytest.raises(Disabled):
            source.check(name, b"secret", "imap")
        with pytest.raises(BadCredentials):
            source.check(name, b"wrong", "imap")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("joe", "no password"),
        ("joe:", "no password"),
        ("joe:secret", "{PLAIN}"),
        ("joe:{RPA}x", "unknown scheme {RPA}"),
        ("joe:{PLAIN}x:one", "is no uid or gid"),
        ("joe:{PLAIN}x:1:-1", "is no uid or gid"),
        ("joe:{PLAIN}x:1:4294967295", "no uid or gid"),
        ("joe:{PLAIN}x:1:1::home/joe", "no absolute path"),
        ("joe:{PLAIN}se:secret", "no uid or gid"),
        ("joe:{PLAIN}a:1:1:b:part", "no absolute path"),
        ("joe:{PLAIN}a:1:1:b:/c:d:part", "not key=value"),
        ("joe:{PLAIN}x::::::inbox", "not key=value"),
        ("joe:{PLAIN}x::::::inbox=", "not key=value"),
    ],
)
def test_a_damaged_line_is_reported_and_stops_its_user_only(
    path: Path, line: str, fault: str
) -> None:
    source = written(path, f"ann:{{PLAIN}}x\n{line}\nbob:{{PLAIN}}x\n")
    (found,) = source.faults()
    assert found.line == 2
    assert fault in found.text
    assert "secret" not in found.text and "part" not in found.text  # of a password with colons
    assert source.check("ann", b"x", "imap") == User("ann")
    assert source.check("bob", b"x", "imap") == User("bob")
    with pytest.raises(AuthUnavailable, match="line 2"):
        source.check("joe", b"x", "imap")


@pytest.mark.parametrize("name", ["", "../joe", "a/b", "jöe", "a b", ".joe", "x" * 256])
def test_R253_a_name_that_could_leave_its_directory_is_no_user(path: Path, name: str) -> None:
    source = written(path, f"{name}:{{PLAIN}}x\n")
    assert [fault.line for fault in source.faults()] == [1]
    assert source.check(name, b"x", "imap") is None


def test_the_first_of_two_lines_counts(path: Path) -> None:
    source = written(path, "joe:{PLAIN}a\njoe:{PLAIN}b\n")
    assert source.faults() == (Fault(2, "joe is there already"),)
    assert source.check("joe", b"a", "imap") == User("joe")


def test_an_unknown_key_is_reported_and_ignored(path: Path) -> None:
    source = written(path, "joe:{PLAIN}x::::::userdb_quota_rule=*:storage=1G\n")
    (found,) = source.faults()
    assert "userdb_quota_rule" in found.text
    assert source.check("joe", b"x", "imap") == User("joe")


def test_a_change_shows_at_once(path: Path) -> None:
    source = written(path, "joe:{PLAIN}a\n")
    for password in (b"b", b"c", b"d"):
        assert source.check("joe", b"a", "imap") == User("joe")
        # As an editor does, in place, with the same size and maybe within one clock tick.
        path.write_text(f"joe:{{PLAIN}}{password.decode()}\n")
        assert source.check("joe", password, "imap") == User("joe")
        path.write_text("joe:{PLAIN}a\n")


def test_the_stamp_changes_with_the_file(path: Path, tmp_path: Path) -> None:
    source = written(path, "joe:{PLAIN}a\n")
    before = source.stamp()
    assert source.stamp() == before
    other = tmp_path / "other"
    other.write_text("joe:{PLAIN}b\n")
    other.rename(path)
    assert source.stamp() != before
    path.unlink()
    assert source.stamp() != before


def test_R251_a_missing_file_is_no_wrong_password(path: Path) -> None:
    source = PasswordFile(str(path))
    with pytest.raises(AuthUnavailable):
        source.check("joe", b"x", "imap")
    assert source.faults()[0].line == 0
    written(path, "joe:{PLAIN}x\n")
    assert source.check("joe", b"x", "imap") == User("joe")


def test_a_directory_or_fifo_does_not_hang(path: Path) -> None:
    path.mkdir()
    with pytest.raises(AuthUnavailable):
        PasswordFile(str(path)).check("joe", b"x", "imap")
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(AuthUnavailable):
        PasswordFile(str(path)).check("joe", b"x", "imap")


def test_permissions_for_everybody_are_reported(path: Path) -> None:
    source = written(path, "joe:{PLAIN}x\n")
    path.chmod(0o646)
    texts = [fault.text for fault in source.faults()]
    assert any("o-r" in text for text in texts)
    assert any("go-w" in text for text in texts)


def test_octets_that_are_no_utf8_do_no_harm(path: Path) -> None:
    path.write_bytes(b"\xff:{PLAIN}x\njoe:{PLAIN}caf\xe9\n")
    path.chmod(0o600)
    source = PasswordFile(str(path))
    assert source.check("joe", b"caf\xe9", "imap") == User("joe")


def test_no_line_raises_anything_but_its_fault() -> None:
    for line in (":", "::::::::", "joe:{", "joe:{}", "joe:$", "joe:$$$", "joe:{SSHA}=", "\0:x"):
        entry, faults = parsed(line, 3)
        assert faults and faults[0].line == 3
        assert entry is None or entry.fault is not None


def test_R033_an_unknown_user_takes_as_long_as_a_known_one(path: Path) -> None:
    stored = new_hash(b"secret", "ARGON2ID")
    source = written(path, f"joe:{stored}\n")

    def seconds(name: str) -> float:
        begun = time.perf_counter()
        try:
            assert source.check(name, b"wrong", "imap") is None
        except BadCredentials:
            assert name == "joe"
        return time.perf_counter() - begun

    seconds("joe")
    known = statistics.median(seconds("joe") for _ in range(5))
    unknown = statistics.median(seconds("ann") for _ in range(5))
    # An answer without a hash would come in a hundredth of the time.
    assert known / 3 < unknown < known * 3


def test_a_quota_is_the_users_own(path: Path) -> None:
    source = written(path, "joe:{PLAIN}x::::::quota=1GiB,100C\nann:{PLAIN}x::::::quota=none\n")
    assert source.check("joe", b"x", "imap") == User("joe", quota="1GiB,100C")
    assert source.check("ann", b"x", "imap") == User("ann", quota="none")
    assert source.faults() == ()
    assert source.names() == ["ann", "joe"]


def test_a_slip_in_a_quota_keeps_nobody_out(path: Path) -> None:
    source = written(path, "joe:{PLAIN}x::::::quota=plenty\n")
    assert source.check("joe", b"x", "imap") == User("joe")
    (fault,) = source.faults()
    assert fault.line == 1
    assert "'plenty' is no quota: use octets, messages or both" in fault.text


def test_fields_of_restriction_and_dovecots_own_words(path: Path) -> None:
    source = written(
        path,
        "joe:{PLAIN}x::::/home/joe::userdb_mail=maildir:/srv/joe allow_nets=10.0.0.0/8 "
        "protocols=imap expires=2027-01-31\n",
    )
    assert source.faults() == ()
    user = source.find("joe")
    assert user is not None and user.restrictions is not None
    assert user.inbox == user.folders == "maildir:/srv/joe"
    assert user.restrictions.services == {"imap"}
    assert "10.1.2.3" in user.restrictions.networks


def test_an_htpasswd_file_is_a_password_file(path: Path) -> None:
    source = written(
        path,
        "joe:$apr1$KowSof/5$mqmiVspozTGTmEXUMCp88.\nann:{SHA}CEo1Ae3vaEXy8eQZjsOiuBz1xrw=\n"
        "bob:0W846m0Lgwt/s\n",
    )
    assert source.faults() == ()
    for name in ("joe", "ann", "bob"):
        assert source.check(name, b"sesame", "imap") == User(name)


def test_a_password_is_stored_anew_when_its_user_logs_in(path: Path) -> None:
    written(path, "# users\nold:{SHA}x\njoe:0W846m0Lgwt/s:1000:::::quota=1G\nann:!{PLAIN}y\n")
    source = PasswordFile(str(path), "SCRAM-SHA-256")
    with pytest.raises(BadCredentials):
        source.check("joe", b"wrong", "imap")
    assert "0W846m0Lgwt/s" in path.read_text()
    assert source.check("joe", b"sesame", "imap") is not None
    lines = path.read_text().splitlines()
    assert lines[2].startswith("joe:{SCRAM-SHA-256}") and lines[2].endswith(":1000:::::quota=1G")
    assert [lines[0], lines[1], lines[3]] == ["# users", "old:{SHA}x", "ann:!{PLAIN}y"]
    before = path.stat()
    assert source.check("joe", b"sesame", "imap") is not None
    assert path.stat() == before


def test_a_password_that_was_changed_meanwhile_is_not_overwritten(path: Path) -> None:
    written(path, "joe:{PLAIN}new\n")
    assert not exchange_password(str(path), "joe", "{PLAIN}old", "{PLAIN}older")
    assert not exchange_password(str(path), "ann", "{PLAIN}old", "{PLAIN}older")
    assert path.read_text() == "joe:{PLAIN}new\n"


def test_a_login_stands_when_the_file_cannot_be_written(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    written(path, "joe:{PLAIN}secret\nann:{PLAIN}" + "x" * 80 + "\n")
    (path.parent / f"passwd.{os.getpid()}.new").write_text("in the way")
    source = PasswordFile(str(path), "ARGON2ID")
    assert source.check("joe", b"secret", "imap") == User("joe")
    assert "is not stored anew" in caplog.text
    (path.parent / f"passwd.{os.getpid()}.new").unlink()
    short = PasswordFile(str(path), "BLF-CRYPT")
    assert short.check("ann", b"x" * 80, "imap") == User("ann")
    assert short.find("ann") == User("ann")
    assert path.read_text().endswith("ann:{PLAIN}" + "x" * 80 + "\n")
