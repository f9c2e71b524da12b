"""What else may lie in a Maildir harms neither its user nor another one."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from . import messages
from .clients import bodies, imap, imap_wire, pop3
from .messages import as_sent
from .server import Server
from .users import User

PROMPT_SECONDS = 5
SECRET = b"Subject: secret\n\nof somebody else\n"


def fifo(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def directory(path: Path, secret: Path) -> None:
    path.mkdir()
    (path / "file").write_bytes(messages.PLAIN)


def symlink(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def dangling(path: Path, secret: Path) -> None:
    path.symlink_to("nowhere")


def loop(path: Path, secret: Path) -> None:
    path.symlink_to(path.name)


def device(path: Path, secret: Path) -> None:
    path.symlink_to("/dev/zero")


def node(path: Path, secret: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def unix_socket(path: Path, secret: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"/proc/self/fd/{here}/{path.name}")
    finally:
        os.close(here)


def unreadable(path: Path, secret: Path) -> None:
    path.write_bytes(SECRET)
    path.chmod(0)


OBSTACLES = [fifo, directory, symlink, dangling, loop, device, node, unix_socket, unreadable]


@pytest.mark.parametrize("place", ["new", "cur"])
@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda f: f.__name__)
def test_an_odd_file_harms_nobody(
    server: Server,
    new_user: Callable[[], User],
    obstacle: Callable[[Path, Path], None],
    place: str,
) -> None:
    user, other = new_user(), new_user()
    secret = other.home / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    other.give(secret)
    other.deliver(messages.DOTS)
    user.deliver(messages.PLAIN)
    name = "1700000000.M1P1.odd" + (":2,S" if place == "cur" else "")
    obstacle(user.maildir / place / name, secret)

    begun = time.monotonic()
    with imap_wire(server, user) as wire:
        # The connection outlives a message which cannot be read (R159).
        wire.send(b"f UID FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE BODY.PEEK[])\r\n")
        answer = b"\r\n".join(wire.until(b"f"))
        assert as_sent(messages.PLAIN) in answer
        assert b"somebody else" not in answer
        wire.send(b"s SEARCH TEXT fox\r\n")
        found = next(line for line in wire.until(b"s") if line.startswith(b"* SEARCH"))
        assert len(found.split()) == 3
        wire.send(b"p STORE 1:* +FLAGS (\\Flagged)\r\n")
        wire.until(b"p")
        wire.command(b"NOOP")
    client = imap(server, other)
    assert bodies(client) == [as_sent(messages.DOTS)]
    client.logout()
    reader = pop3(server, user)
    reader.uidl()
    reader.quit()
    assert time.monotonic() - begun < PROMPT_SECONDS
    assert os.path.lexists(user.maildir / place / name) or obstacle is unreadable
    assert secret.read_bytes() == SECRET


def test_stray_names_are_no_folders(server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    for name in (".maa-like", ".nomail", "plain", ".a..b"):
        (user.maildir / name).mkdir()
    (user.maildir / ".file").write_bytes(b"x")
    (user.maildir / ".out").symlink_to("/etc")
    client = imap(server, user)
    _, listed = client.list()
    text = b"\n".join(listed)
    for stray in (b"maa-like", b"nomail", b"plain", b"file", b"out"):
        assert stray not in text, listed
    client.logout()
