"""`maa usage`: mailboxes, users with their quotas, the partition and what is to come."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from maa.cli import main
from maa.cli import usage as command
from maa.service.growth import DAY_SECONDS, History, Sample
from maa.service.partitions import Partition
from tests.store.account_cases import deliver, maildir
from tests.store.mboxes import append, as_mbox

CONFIGURATION = """
state = "state"
[listen]
imap = ["tcp:143"]
[auth]
password-file.path = "passwd"
[mail]
home = "{folder}/home/{{user}}"
"""


class Installation:
    """A configuration, its users and their mail."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.config = folder / "maa.toml"
        self.config.write_text(CONFIGURATION.format(folder=folder))
        (folder / "state").mkdir()
        self.users("joe:{PLAIN}x")

    def users(self, *lines: str) -> None:
        path = self.folder / "passwd"
        path.write_text("".join(line + "\n" for line in lines))
        path.chmod(0o600)

    def maildir(self, user: str = "joe", folder: str = "") -> Path:
        return maildir(self.folder / "home" / user / "Maildir" / folder)

    def ask(self, *words: str) -> tuple[int, list[list[str]], str]:
        """The exit status, the words of each line, and what went wrong."""
        status = main(["usage", "--config", str(self.config), *words])
        said = self.capsys.readouterr()
        return status, [line.split() for line in said.out.splitlines()], said.err


@pytest.fixture
def here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(tmp_path, capsys)


def on(monkeypatch: pytest.MonkeyPatch, partition: Partition) -> None:
    """As if all mail were on this partition."""
    monkeypatch.setattr(Partition, "of", lambda _: partition)


def test_every_mailbox_and_every_user_is_shown(here: Installation) -> None:
    deliver(here.maildir(), b"x" * 2000)
    deliver(here.maildir(), b"x" * 1000)
    (here.maildir(folder=".Work") / "cur" / "1.host,S=500:2,S").write_bytes(b"x" * 500)
    maildir(here.maildir(folder=".Lists.maa"))
    deliver(here.maildir("ann"), b"x" * 100)
    here.users("joe:{PLAIN}x", "ann:{PLAIN}x", "new:{PLAIN}x")
    status, lines, wrong = here.ask()
    assert (status, wrong) == (0, "")
    assert lines[:8] == [
        ["ann", "1", "messages", "100", "B"],
        ["INBOX", "1", "messages", "100", "B"],
        ["joe", "3", "messages", "3.4", "KiB"],
        ["INBOX", "2", "messages", "2.9", "KiB"],
        ["Lists.maa", "0", "messages", "0", "B"],
        ["Work", "1", "messages", "500", "B"],
        ["new", "0", "messages", "0", "B"],
        ["all", "3", "users", "4", "messages", "3.5", "KiB"],
    ]
    mounted = Partition.of(str(here.folder)).mounted
    assert lines[9][0] == mounted + ":"
    assert "free" in lines[9]
    assert here.ask("--all")[1][:8] == lines[:8]
    assert [line[0] for line in here.ask("--brief")[1][:4]] == ["ann", "joe", "new", "all"]


def test_one_user_alone(here: Installation) -> None:
    deliver(here.maildir(), b"x" * 2000)
    deliver(here.maildir("ann"), b"x" * 100)
    here.users("joe:{PLAIN}x", "ann:{PLAIN}x")
    status, lines, _ = here.ask("--user", "ann")
    assert status == 0
    assert [line[0] for line in lines[:2]] == ["ann", "INBOX"]
    assert not any("joe" in line for line in lines)
    # What all mail takes is not known from one user's, and not kept.
    assert not any("mail:" in line for line in lines)
    assert History(here.folder / "state").samples() == []
    here.ask()
    assert any("mail:" in line for line in here.ask("--user", "ann")[1])
    status, _, wrong = here.ask("--user", "bob")
    assert status == 2
    assert "there is no user 'bob'" in wrong


def test_quotas_are_shown_with_what_is_used_of_them(here: Installation) -> None:
    here.users("joe:{PLAIN}x::::::quota=1000B,10C", "ann:{PLAIN}x::::::quota=50B", "max:{PLAIN}x")
    deliver(here.maildir(), b"x" * 250)
    deliver(here.maildir("ann"), b"x" * 100)
    deliver(here.maildir("max"), b"x" * 100)
    (here.maildir("max") / "maildirsize").write_bytes(b"200S\n")
    lines = {line[0]: " ".join(line) for line in here.ask("--brief")[1] if line}
    assert lines["joe"].endswith("25 % of 1.0 KiB and 10 messages")
    assert lines["ann"].endswith("200 % of 50 B, OVER QUOTA")
    assert lines["max"].endswith("50 % of 200 B")


def test_mbox_files_are_counted(here: Installation) -> None:
    here.users("joe:{PLAIN}x::::::inbox=mbox:{home}/spool folders=mbox:{home}/mail")
    home = here.folder / "home" / "joe"
    (home / "mail" / "Work").mkdir(parents=True)
    for path in (home / "spool", home / "mail" / "Work" / "a.b"):
        append(path, as_mbox(b"Subject: x\n\nFrom me\n", 27))
        append(path, as_mbox(b"Subject: y\n\nbody\n", 28))
    times = os.stat(home / "spool")
    status, lines, _ = here.ask()
    assert status == 0
    size = str((home / "spool").stat().st_size)
    assert lines[1] == ["INBOX", "2", "messages", size, "B"]
    assert lines[2] == ["Work/a.b", "2", "messages", size, "B"]
    after = os.stat(home / "spool")
    assert (after.st_atime_ns, after.st_mtime_ns) == (times.st_atime_ns, times.st_mtime_ns)  # R235


def test_nothing_is_made_nor_changed_but_the_history(here: Installation) -> None:
    deliver(here.maildir(), b"x")
    here.users("joe:{PLAIN}x", "new:{PLAIN}x")
    before = sorted(here.folder.rglob("*"))
    here.ask()
    history = here.folder / "state" / "usage.history"
    assert sorted(here.folder.rglob("*")) == sorted([*before, history])


def test_mail_of_users_that_no_file_lists_is_counted(here: Installation) -> None:
    (here.folder / "state" / "users" / "gone").mkdir(parents=True)
    deliver(here.maildir("gone"), b"x" * 10)
    assert ["gone", "1", "messages", "10", "B"] in here.ask()[1]


def test_mail_that_two_users_have_is_on_the_disk_once(here: Installation) -> None:
    deliver(here.maildir(), b"x" * 100)
    place = f"maildir:{here.maildir()}"
    here.users("joe:{PLAIN}x", f"ann:{{PLAIN}}x::::::inbox={place} folders={place}")
    lines = here.ask()[1]
    assert ["ann", "1", "messages", "100", "B"] in lines
    assert ["all", "2", "users", "1", "messages", "100", "B"] in lines


def test_mail_above_half_of_the_partition_is_a_warning_and_an_exit_status(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(here.maildir(), b"x" * 501)
    on(monkeypatch, Partition("/mail", 1000, 600, 400))
    status, lines, _ = here.ask()
    assert status == 1
    assert lines[-3] == ["mail:", "501", "B,", "50", "%", "of", "the", "partition"]
    assert lines[-2][:3] == ["WARNING:", "mail", "should"]
    on(monkeypatch, Partition("/mail", 1002, 600, 402))
    assert here.ask()[0] == 0


def test_without_history_there_is_no_forecast_and_with_it_there_is(
    here: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(here.maildir(), b"x" * 300)
    on(monkeypatch, Partition("/mail", 1000, 600, 200))
    lines = [" ".join(line) for line in here.ask()[1]]
    assert lines[-2:] == [
        "when mail takes half of it: there is not enough history",
        "when it is full: there is not enough history",
    ]
    history = History(here.folder / "state")
    history.path.unlink()
    now = time.time()
    sample = Sample(0, "/mail", 0, 0, 1000)
    history.add(
        replace(sample, at=now - days * DAY_SECONDS, mail=300 - 10 * days, used=600 - 10 * days)
        for days in range(20, 0, -1)
    )
    lines = [" ".join(line) for line in here.ask()[1]]
    day = time.strftime("%Y-%m-%d", time.localtime(now + 20 * DAY_SECONDS))
    assert lines[-2:] == [
        f"when mail takes half of it: about {day}, in 20 days, at the present pace",
        f"when it is full: about {day}, in 20 days, at the present pace",
    ]
    assert len(history.samples()) == 21


def test_what_cannot_be_counted_is_said_and_no_sample_is_kept(here: Installation) -> None:
    deliver(here.maildir(), b"x" * 10)
    broken = here.maildir(folder=".Work")
    here.users(
        "joe:{PLAIN}x",
        "ann:{PLAIN}x::::::inbox=mbox:{home}/spool",
        "max:{PLAIN}x::::::inbox=mh:/nowhere",
    )
    (here.folder / "home" / "ann").mkdir()
    (here.folder / "home" / "ann" / "spool").write_bytes(b"no mbox\n")
    (broken / "new").rmdir()
    (broken / "new").symlink_to("/nowhere")
    status, lines, wrong = here.ask()
    assert status == 2
    assert "2 could not be counted" in wrong
    assert any(line[:4] == ["INBOX", "cannot", "be", "counted:"] for line in lines)
    assert History(here.folder / "state").samples() == []


def test_a_faulty_configuration_is_told(here: Installation) -> None:
    here.config.write_text("nonsense = 1\n")
    status, _, wrong = here.ask()
    assert status == 2
    assert "nonsense" in wrong


def test_names_cannot_command_the_terminal(here: Installation) -> None:
    maildir(here.maildir(folder=".\x1b[2J"))
    status, lines, _ = here.ask()
    assert status == 0
    assert not any("\x1b" in word for line in lines for word in line)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KiB"),
        (2**30, "1.0 GiB"),
        (5000 * 2**40, "5000.0 TiB"),
    ],
)
def test_octets_are_written_for_people(number: int, text: str) -> None:
    assert command.octets(number) == text
