"""`maa locks` with the real MDAs: what each takes and waits for, in Debian's builds."""

from __future__ import annotations

import glob
import os
import re
import subprocess
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from maa.cli import main
from maa.cli.sandbox import make_alike
from maa.store.identity import Identity
from maa.store.locks import Locks, drop_if_stale, take_dotlock

from .server import ROOT, UNPACKED
from .users import CLIENT, User

MAA = ROOT / ".venv/bin/maa"
CONFIG = """[listen]
imap = ["tcp:1143"]
[mail]
inbox = "mbox:/var/mail/{user}"
locks = ["flock",  # as it was
  "dotlock"]  # and why
"""
EXIM = """keep_environment =
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
"""


def with_exim(folder: Path) -> list[str]:
    """Runs a command where Exim is installed, which cannot be beside Postfix in Debian."""
    etc = folder / "etc"
    (etc / "exim4").mkdir(parents=True)
    (folder / "spool").mkdir()
    (etc / "exim4/exim4.conf").write_text(EXIM.format(folder=folder))
    passwd = Path("/etc/passwd").read_text()
    (etc / "passwd").write_text(passwd + "Debian-exim:x:60980:60980::/nowhere:/bin/false\n")
    group = Path("/etc/group").read_text()
    (etc / "group").write_text(group + "Debian-exim:x:60980:\n")
    exim = UNPACKED / "exim4-daemon-light/usr/sbin"
    mounts = [
        f"mount -t overlay overlay -o lowerdir=/usr/sbin:{exim} /usr/sbin",
        f"mount -t overlay overlay -o lowerdir={etc}:/etc /etc",
        'exec "$@"',
    ]
    return ["unshare", "--mount", "sh", "-c", " && ".join(mounts), "sh"]


def test_every_mda_is_tried_and_the_matching_line_written(base: Path) -> None:
    folder = base / "locks"
    folder.mkdir(mode=0o755)
    config = folder / "maa.toml"
    config.write_text(CONFIG)
    before = os.listdir("/var/mail")
    done = subprocess.run(
        [*with_exim(folder), MAA, "locks", "--config", config, "--write"],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    said = done.stdout
    print(said, done.stderr)
    assert done.returncode == 0, done.stderr
    rows = {row[0]: row[1:] for row in (re.split(r" {2,}", line) for line in said.splitlines())}
    for name in ("procmail", "maildrop", "Postfix local(8)", "Exim"):
        assert rows[name][0] == "dotlock, fcntl", name
        assert rows[name][2] == "fcntl, dotlock", name
    assert rows["mail.local"][0] == "fcntl, dotlock"
    assert re.fullmatch(r"fcntl, dotlock \(sleeps [89] s\)", rows["procmail"][1])
    assert "note: orders differ" in said
    assert "DANGER" not in said
    assert config.read_text() == re.sub(r'\["flock",.*\n  "dotlock"\]', '["fcntl"]', CONFIG)
    assert os.listdir("/var/mail") == before
    assert glob.glob("/tmp/maa-locks-*") == []


def test_without_root_those_that_can_be_told_a_file_are_tried(base: Path) -> None:
    output = base / "locks-output"
    child = os.fork()
    if not child:
        status = 99
        try:
            with output.open("wb") as file:
                os.dup2(file.fileno(), 1)
            os.setgroups([])
            os.setgid(CLIENT.pw_gid)
            os.setuid(CLIENT.pw_uid)
            os.chdir("/")
            with open(1, "w", closefd=False) as said, redirect_stdout(said):
                status = main(["locks"])
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    said = output.read_text()
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert re.search(r"^procmail +dotlock, fcntl", said, re.MULTILINE), said
    assert re.search(r"^maildrop +dotlock, fcntl", said, re.MULTILINE), said
    assert re.search(r"^Postfix local\(8\) +not tried: only root can", said, re.MULTILINE), said
    assert said.endswith('locks = ["fcntl"]\n'), said


def test_R233_in_a_spool_directory_of_group_mail_the_dotlock_is_made_with_that_group(
    base: Path, user: User, caplog: pytest.LogCaptureFixture
) -> None:
    spool = base / "spool-of-mail"
    spool.mkdir()
    make_alike(spool)
    assert spool.stat().st_mode & 0o7777 == 0o2775
    box = spool / user.name
    box.touch(0o600)
    user.give(box)
    lock = box.with_name(box.name + ".lock")
    with Identity(user.uid, user.uid):
        descriptor = os.open(box, os.O_RDWR)
        with Locks(("fcntl", "dotlock")).held(os.fsencode(box), descriptor, write=True):
            assert lock.stat().st_uid == user.uid
            assert lock.read_text().startswith(f"{os.getpid()}\n")
        assert os.listdir(spool) == [user.name]
        # One that the dead left goes the same way.
        with Identity.own():
            lock.write_text("0")
            os.utime(lock, (0, 0))
        assert drop_if_stale(os.fsencode(box))
        os.close(descriptor)
    assert os.listdir(spool) == [user.name]
    assert "no dotlocks" not in caplog.text
    # But nobody gets at the locks of others.
    (spool / "other").touch(0o600)
    theirs = spool / "other.lock"
    theirs.write_text("0")
    os.utime(theirs, (0, 0))
    with Identity(user.uid, user.uid):
        assert not drop_if_stale(os.fsencode(spool / "other"))
    assert theirs.exists()
    theirs.unlink()
    with Identity(user.uid, user.uid):
        assert take_dotlock(os.fsencode(spool / "other")) is None
