"""A disk that is full, in the middle of anything: what is there can be read, nothing is lost."""

from __future__ import annotations

import imaplib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import messages
from .clients import bodies, imap, imap_wire, pop3
from .messages import as_sent
from .server import Server
from .users import User


@contextmanager
def small_disk(path: Path, kilobytes: int, owner: int) -> Iterator[None]:
    """A file system of its own there, which is soon full."""
    path.mkdir(exist_ok=True, parents=True)
    options = f"size={kilobytes}k,mode=0700,uid={owner},gid={owner}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Until the end not one more octet has room there."""
    filler = folder / ".filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            while True:
                try:
                    file.write(b"x" * size)
                except OSError:
                    break
    try:
        yield
    finally:
        filler.unlink()


def test_a_full_mail_disk(server: Server, user: User) -> None:
    """APPEND, COPY and the MDA fail; reading, flags, EXPUNGE and POP3's DELE go on."""
    sent = [messages.numbered(number) for number in range(8)]
    with small_disk(user.home, 1024, user.uid):
        for name in ("Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"):
            (user.home / name).mkdir(mode=0o700)
            user.give(user.home / name)
        client = imap(server, user)
        client.create("Work")
        for message in sent[:6]:
            user.deliver(message)
        client.select("INBOX")
        with filled(user.home):
            refused = as_sent(messages.ATTACHMENT)
            status, answer = client.append("INBOX", "", "", refused)  # type: ignore[arg-type]
            assert status == "NO" and b"OVERQUOTA" in answer[0], answer
            assert client.store("1", "+FLAGS", "(\\Flagged)")[0] == "OK"
            assert bodies(client) == [as_sent(message) for message in sent[:6]]
            client.select("INBOX")
            client.store("2", "+FLAGS", "(\\Deleted)")
            assert client.expunge()[0] == "OK"
            reader = pop3(server, user)
            reader.dele(2)
            assert reader.quit().startswith(b"+OK")
        client.noop()
        user.deliver(sent[6])
        left = [sent[0], *sent[3:7]]
        assert bodies(client) == [as_sent(message) for message in left]
        assert os.listdir(user.maildir / "tmp") == []
        _, flagged = client.search(None, "FLAGGED")
        assert flagged == [b"1"]
        client.logout()


@pytest.mark.parametrize("format", ["maildir", "mbox"])
def test_a_full_disk_for_the_index(
    own_server: Server, user: User, spooled_user: User, format: str
) -> None:
    """What is known is served, also to who selects it; new mail waits, and is then all there."""
    who = user if format == "maildir" else spooled_user
    state = own_server.folder / "state/users" / who.name
    with small_disk(state, 512, who.uid):
        for number in range(3):
            deliver(who, messages.numbered(number))
        first = imap_wire(own_server, who)
        with filled(state):
            deliver(who, messages.numbered(3))
            known = [as_sent(messages.numbered(number)) for number in range(3)]
            first.command(b"NOOP")
            client = imap(own_server, who)
            assert client.select("INBOX") == ("OK", [b"3"])
            assert bodies(client) == known
            status, answer = client.append(
                "INBOX",
                "",
                "",  # type: ignore[arg-type]
                as_sent(messages.numbered(9)),
            )
            assert status == "NO", answer
            assert "cannot be shown" in own_server.tail(20_000)
        deliver(who, messages.numbered(4))
        client.noop()
        assert bodies(client) == [as_sent(messages.numbered(number)) for number in range(5)]
        client.logout()
        first.socket.close()
        own_server.stop()


def deliver(user: User, message: bytes) -> None:
    if not user.settings:
        user.deliver(message)
        return
    with user.spool.open("ab") as spool:
        spool.write(b"From ann@example.org Thu Jan  1 10:00:00 2026\n" + message + b"\n")
    user.give(user.spool)


def test_a_maildir_that_cannot_be_entered_is_said_to_be_that(
    own_server: Server, user: User
) -> None:
    user.deliver(messages.PLAIN)
    client = imap(own_server, user)
    assert client.select("INBOX") == ("OK", [b"1"])
    client.logout()
    own_server.stop()
    user.maildir.chmod(0)
    own_server.start()
    try:
        with pytest.raises(imaplib.IMAP4.error, match="UNAVAILABLE"):
            imap(own_server, user)
    finally:
        user.maildir.chmod(0o700)
    assert "Permission denied" in own_server.tail(20_000)
    assert "mounted" not in own_server.tail(20_000)
    client = imap(own_server, user)
    assert client.select("INBOX") == ("OK", [b"1"])
    client.logout()
