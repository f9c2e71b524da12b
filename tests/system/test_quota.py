"""Quotas: maildrop's `maildirsize` between maildrop and maa, many sessions, and `maa usage`."""

from __future__ import annotations

import imaplib
import re
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from . import messages
from .clients import imap, imap_wire
from .server import ROOT, Server
from .users import User, run_as

OVER = 77
"""deliverquota's exit status for a full mailbox, and EX_NOPERM."""


class Maildrop:
    """maildrop's programs, as the user."""

    def __init__(self, user: User, quota: str) -> None:
        self.user = user
        self.file = user.maildir / "maildirsize"
        self.filter = user.home / "filter"
        self.filter.write_text(f'to "{user.maildir}"\n')
        self.filter.chmod(0o600)
        user.give(self.filter)
        self.quota = quota
        self.recounted()

    def run(self, *command: str | Path, message: bytes = b"") -> int:
        done = run_as(self.user.uid, self.user.uid, command, self.user.home, message)
        return done.returncode

    def deliver(self, message: bytes) -> int:
        return self.run("deliverquota", self.user.maildir, message=message)

    def filtered(self, message: bytes) -> int:
        return self.run("maildrop", self.filter, message=message)

    def counts(self) -> tuple[int, int]:
        """Octets and messages as the file has them: the sum of its lines."""
        lines = [line.split() for line in self.file.read_text().splitlines()[1:]]
        return sum(int(octets) for octets, _ in lines), sum(int(count) for _, count in lines)

    def recounted(self) -> tuple[int, int]:
        """The same, after maildrop has counted anew."""
        self.file.unlink(missing_ok=True)
        assert self.run("maildirmake", "-q", self.quota, self.user.maildir) == 0
        return self.counts()


def made(client: imaplib.IMAP4, *names: str) -> None:
    """Mailboxes which earlier tests may have removed together with the home."""
    for name in names:
        client.create(name)


def quota_of(client: imaplib.IMAP4) -> str:
    status, (_, quotas) = client.getquotaroot("INBOX")
    assert status == "OK"
    return quotas[0].decode()


def test_maildrop_and_maa_count_alike_whoever_adds_and_removes(
    server: Server, local_user: User
) -> None:
    maildrop = Maildrop(local_user, "1000000S,20C")
    client = imap(server, local_user)
    made(client, "Sent", "Archive", "Trash")
    for number in range(4):
        assert maildrop.filtered(messages.numbered(number)) == 0
    client.select("INBOX")
    assert client.append("INBOX", "", "", messages.ATTACHMENT)[0] == "OK"
    assert client.append("Sent", r"\Seen", "", messages.PLAIN)[0] == "OK"
    assert maildrop.counts() == maildrop.recounted()
    assert maildrop.counts()[1] == 6

    client.copy("1:2", "Archive")
    # Not 1 to 5, where other tests had mail in this INBOX before.
    uids = client.uid("SEARCH", "ALL")[1][0].decode().split()
    assert client.uid("MOVE", uids[2], "Archive")[0] == "OK"
    assert maildrop.counts() == maildrop.recounted()
    assert maildrop.counts()[1] == 8
    # What is in Trash, or marked as deleted, counts for maildrop no more.
    assert client.uid("MOVE", uids[3], "Trash")[0] == "OK"
    client.store("1", "+FLAGS", r"\Deleted")
    client.check()
    wait(lambda: maildrop.counts()[1] == 6)
    assert maildrop.counts() == maildrop.recounted()
    client.expunge()
    assert maildrop.counts() == maildrop.recounted()
    assert maildrop.counts()[1] == 6
    client.delete("Archive")
    assert maildrop.counts() == maildrop.recounted()
    assert maildrop.counts()[1] == 3
    assert '"User quota" (STORAGE' in quota_of(client)
    client.logout()


def wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_each_refuses_what_the_other_left_no_room_for(server: Server, local_user: User) -> None:
    maildrop = Maildrop(local_user, "1000000S,5C")
    client = imap(server, local_user)
    made(client, "Sent", "Drafts", "Archive")
    for number in range(3):
        assert client.append("Sent", "", "", messages.numbered(number))[0] == "OK"
    for number in range(2):
        assert maildrop.deliver(messages.numbered(number)) == 0
    assert "MESSAGE 5 5" in quota_of(client)
    assert maildrop.deliver(messages.PLAIN) == OVER
    assert maildrop.filtered(messages.PLAIN) != 0
    status, (said,) = client.append("Drafts", "", "", messages.PLAIN)
    assert status == "NO"
    assert b"[OVERQUOTA]" in said
    client.select("INBOX")
    status, (said,) = client.copy("1", "Archive")
    assert status == "NO"
    assert b"[OVERQUOTA]" in said

    client.store("1", "+FLAGS", r"\Deleted")
    client.expunge()
    assert maildrop.deliver(messages.PLAIN) == 0  # it is told by the line that maa appended
    assert client.append("Drafts", "", "", messages.PLAIN)[0] == "NO"
    client.logout()


def test_a_quota_that_is_set_or_raised_while_a_session_is_there(server: Server, user: User) -> None:
    client = imap(server, user)
    assert client.append("Drafts", "", "", messages.PLAIN)[0] == "OK"
    assert client.getquotaroot("INBOX")[1][1] == [None]
    path = user.maildir / "maildirsize"
    path.write_text("1C\n")
    user.give(path)
    assert client.append("Drafts", "", "", messages.PLAIN)[0] == "NO"
    new = user.maildir / "tmp" / "new"
    new.write_text("2C\n")
    user.give(new)
    new.rename(path)
    assert client.append("Drafts", "", "", messages.PLAIN)[0] == "OK"
    assert client.append("Drafts", "", "", messages.PLAIN)[0] == "NO"
    path.unlink()
    assert client.append("Drafts", "", "", messages.PLAIN)[0] == "OK"
    client.logout()


def test_of_many_at_once_in_two_workers_only_as_many_get_in_as_fit(
    two_workers: Server, user: User
) -> None:
    limit, sessions, each = 40, 8, 10
    path = user.maildir / "maildirsize"
    path.write_text(f"{limit}C\n")
    user.give(path)
    answers: list[bytes] = []

    def bring() -> None:
        with imap_wire(two_workers, user) as wire:
            for number in range(each):
                message = messages.numbered(number)
                line = b"APPEND Drafts {%d+}\r\n%b" % (len(message), message)
                wire.send(b"a " + line + b"\r\n")
                answers.append(wire.until(b"a")[-1])

    threads = [threading.Thread(target=bring) for _ in range(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == sessions * each
    assert sum(b" OK [APPENDUID" in answer for answer in answers) == limit
    assert sum(b" NO [OVERQUOTA]" in answer for answer in answers) == sessions * each - limit
    assert len(user.files("Drafts")) == limit
    assert not list((user.maildir / ".Drafts" / "tmp").iterdir())


def test_usage_is_told_beside_a_running_server(two_workers: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    client = imap(two_workers, user)
    client.append("Drafts", "", "", messages.ATTACHMENT)
    command = [ROOT / ".venv/bin/maa", "usage", "--config", two_workers.folder / "maa.toml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), done.stderr  # whatever this machine's disk is like
    lines = done.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith(user.name))
    assert re.fullmatch(rf"{user.name}\s+2 messages\s+\S+ K?i?B", lines[at])
    assert lines[at + 1].split()[:3] == ["INBOX", "1", "messages"]
    assert any(line.split()[:3] == ["Drafts", "1", "messages"] for line in lines[at : at + 8])
    assert any("of the partition" in line for line in lines)
    assert (two_workers.folder / "state" / "usage.history").exists()
    client.logout()
