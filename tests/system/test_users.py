"""One server for users of several uids: each one's files stay his own."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from . import messages
from .clients import bodies, imap, pop3
from .messages import as_sent
from .server import Server
from .users import User


def everything(folder: Path) -> Iterator[Path]:
    yield folder
    for base, directories, files in os.walk(folder):
        for name in directories + files:
            yield Path(base) / name


def test_every_file_belongs_to_its_user(server: Server, new_user: Callable[[], User]) -> None:
    people = [new_user() for _ in range(3)]
    for person in people:
        person.deliver(messages.PLAIN)
        client = imap(server, person)
        client.select("INBOX")
        client.store("1", "+FLAGS", r"(\Seen \Flagged)")
        client.create("Kept")
        client.copy("1", "Kept")
        client.append("Kept", r"(\Draft)", "", as_sent(messages.DOTS))
        client.subscribe("Kept")
        client.logout()
    for person in people:
        mine = [*everything(person.home), *everything(server.folder / "state/users" / person.name)]
        assert len(mine) > 10
        for path in mine:
            found = path.lstat()
            assert (found.st_uid, found.st_gid) == (person.uid, person.uid), path
            assert not found.st_mode & (stat.S_IRWXO | stat.S_IWGRP), path


def test_a_maildir_of_another_user_is_not_reached(
    server: Server, new_user: Callable[[], User]
) -> None:
    victim, thief = new_user(), new_user()
    victim.deliver(messages.PLAIN)
    (thief.maildir / ".Stolen").symlink_to(victim.maildir)
    client = imap(server, thief)
    assert client.select("Stolen")[0] == "NO"
    client.create("Copy")
    client.logout()
    assert victim.contents() == [messages.PLAIN]
    assert victim.files()[0].parent.name == "new"


def test_inbox_replaced_by_a_link_to_another_users(
    server: Server, new_user: Callable[[], User]
) -> None:
    victim, thief = new_user(), new_user()
    victim.deliver(messages.PLAIN)
    thief.maildir.rename(thief.home / "aside")
    thief.maildir.symlink_to(victim.maildir)
    with_error = b""
    try:
        client = imap(server, thief)
        status, answer = client.select("INBOX")
        with_error = answer[0] or b""
        assert status == "NO", answer
        client.logout()
    except Exception as error:  # noqa: BLE001 - a refused login is as good
        with_error = with_error or str(error).encode()
    assert with_error
    assert victim.contents() == [messages.PLAIN]
    assert victim.files()[0].parent.name == "new"


def test_sessions_of_several_users_at_once(server: Server, new_user: Callable[[], User]) -> None:
    people = [new_user() for _ in range(6)]
    for number, person in enumerate(people):
        person.deliver(messages.numbered(number))
    clients = [imap(server, person) for person in people]
    for _ in range(3):
        for number, client in enumerate(clients):
            assert bodies(client) == [as_sent(messages.numbered(number))]
    for client in clients:
        client.logout()
    for number, person in enumerate(people):
        reader = pop3(server, person)
        text = b"\r\n".join(reader.retr(1)[1]) + b"\r\n"
        assert text == as_sent(messages.numbered(number))
        reader.quit()
