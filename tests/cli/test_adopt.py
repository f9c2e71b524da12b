"""`maa adopt` as it is typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from maa.cli import main

CONFIG = """
state = "{root}/state"
[listen]
imap = ["tcp:0:interface=127.0.0.1"]
[auth]
password-file.path = "{root}/passwd"
[mail]
home = "{root}/home/{{user}}"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "maa.toml").write_text(CONFIG.format(root=tmp_path))
    (tmp_path / "passwd").write_text("joe:{PLAIN}x\nann:{PLAIN}x\nbad line\n")
    (tmp_path / "passwd").chmod(0o600)
    for user in ("joe", "ann"):
        root = tmp_path / "home" / user / "Maildir"
        for part in ("cur", "new", "tmp"):
            (root / part).mkdir(parents=True)
        (root / "cur" / "1.a:2,S").write_bytes(b"Subject: x\n\nx\n")
    lines = "3 V1234567890 N6 G00\n5 :1.a\nnonsense\n"
    (tmp_path / "home/joe/Maildir/dovecot-uidlist").write_text(lines)
    return tmp_path


def adopt(site: Path, *arguments: str) -> int:
    return main(["adopt", "--config", str(site / "maa.toml"), *arguments])


def test_it_reports_and_writes_nothing(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(site.rglob("*"))
    assert adopt(site, "--user", "joe") == 0
    assert sorted(site.rglob("*")) == before
    said = capsys.readouterr().out
    assert (
        "joe: INBOX: to be adopted (dovecot): UIDVALIDITY 1234567890, next UID 6; of 1 messages 1 "
        "keep their UID, 1 their POP3 name, 0 have keywords\n" in said
    )
    assert "joe: INBOX: note: dovecot-uidlist line 3: no file name\n" in said
    assert said.endswith("nothing was written: --apply does it\n")


def test_all_users_of_the_password_file(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt(site, "--all", "--apply") == 0
    said = capsys.readouterr().out
    assert "joe: 1 mailboxes adopted" in said
    assert "ann: nothing of another server is there\nann: 0 mailboxes adopted\n" in said
    assert adopt(site, "--all", "--apply") == 0
    assert "joe: INBOX: adopted already" in capsys.readouterr().out


def test_one_user_that_fails_does_not_stop_the_others(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "home/ann/Maildir").rename(site / "home/ann/away")
    (site / "home/ann/Maildir").write_text("no directory")
    assert adopt(site, "--all", "--apply") == 1
    said = capsys.readouterr()
    assert "joe: 1 mailboxes adopted" in said.out
    assert "maa adopt: ann: " in said.err and "not done for 1 of 2 users" in said.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--user", "nobody"), "there is no user nobody"),
        (("--user", "joe", "--uidl-format", "%m"), "cannot be taken over"),
        (("--user", "joe", "--uidl-format", "same"), "gives all messages one name"),
        (("--user", "joe", "--all"), "not allowed with"),
        ((), "required"),
    ],
)
def test_what_cannot_be_done_is_said(
    site: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], reason: str
) -> None:
    try:
        assert adopt(site, *arguments) == 1
    except SystemExit as end:
        assert end.code == 2
    assert reason in capsys.readouterr().err


def test_all_needs_a_password_file(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = site / "maa.toml"
    file.write_text(file.read_text().replace("[auth]", '[auth]\nsources = ["saslauthd"]'))
    assert adopt(site, "--all") == 1
    assert "--all needs a password file" in capsys.readouterr().err
