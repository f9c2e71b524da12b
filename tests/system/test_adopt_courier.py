"""Mailboxes that Debian's Courier served, adopted: clients with their old state fetch nothing."""

from __future__ import annotations

import imaplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import messages
from .adoption import adopt, as_server, compare, fill, messages_in, uidls
from .clients import imap
from .courier import Courier
from .server import Server
from .test_adopt_dovecot import flags_of
from .test_fetchmail import Fetchmail
from .test_mbsync import Mbsync, remote, snapshot
from .users import User


@pytest.fixture
def courier() -> Iterator[Callable[[User], Courier]]:
    started: list[Courier] = []

    def start(user: User) -> Courier:
        started.append(Courier([user]))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_mbsync_and_fetchmail_with_their_old_state_fetch_nothing(
    server: Server, user: User, scratch: Path, courier: Callable[[User], Courier]
) -> None:
    for count in range(5):
        user.deliver(messages.numbered(count))
    old = courier(user)
    fill(old, user, "INBOX.")
    names = uidls(old, user)
    sync = Mbsync(scratch, as_server(old, server), user, "plain")
    sync.run()
    pop = Fetchmail(scratch, as_server(old, server), user)
    assert pop.run("POP3", keep=True) == 0, pop.said
    near, far, fetched = snapshot(sync), remote(user), pop.arrived()

    assert "INBOX: to be adopted (courier)" in adopt(server, user)
    assert "4 mailboxes adopted" in adopt(server, user, "--apply")

    said = compare(old, server, user)
    assert "\n0 messages would be fetched again" in said
    assert "clients call folders INBOX.NAME there, and NAME here" in said
    assert uidls(server, user) == names and names[0].startswith(b"UID1-")
    sync.point(server, user, "tls")
    sync.run()
    assert (snapshot(sync), remote(user)) == (near, far)
    pop = Fetchmail(scratch, server, user)
    assert pop.run("POP3", keep=True) == 1, pop.said
    assert pop.arrived() == fetched

    user.deliver(messages.numbered(20))
    sync.run()
    assert len(snapshot(sync)) == len(near) + 1
    assert pop.run("POP3", keep=True) == 0 and pop.run("POP3", keep=True) == 1
    assert len(pop.arrived()) == len(fetched) + 1


def test_flags_keywords_and_subscriptions_are_those_of_before(
    server: Server, user: User, courier: Callable[[User], Courier]
) -> None:
    for count in range(5):
        user.deliver(messages.numbered(count))
    old = courier(user)
    fill(old, user, "INBOX.")
    before = {
        name.removeprefix("INBOX."): messages_in(old, user, name)
        for name in ("INBOX", "INBOX.Shared")
    }
    adopt(server, user, "--apply")
    client = imap(server, user)
    for name, rows in before.items():
        client.select(name)
        answer = client.fetch("1:*", "(UID FLAGS)")[1]
        assert [flags_of(row) for row in answer] == [flags_of(row) for row in rows.values()]
    subscribed = b"\n".join(client.lsub()[1])
    assert b"Shared" in subscribed and b"Arch&AOk-ve.2026" in subscribed
    assert b"wanted" not in subscribed
    client.logout()


def test_two_folders_with_one_uidvalidity(
    server: Server, user: User, courier: Callable[[User], Courier]
) -> None:
    # Courier takes it from the clock, and looks at many folders in one second.
    old = courier(user)
    client = imaplib.IMAP4("127.0.0.1", old.imap)
    client.login(user.name, user.password)
    names = [f"INBOX.f{count}" for count in range(8)]
    for name in names:
        client.create(name)
        client.append(name, "", "", messages.as_sent(messages.numbered(1)))
    client.logout()
    validities = [validity(user, name.removeprefix("INBOX.")) for name in names]
    assert len(set(validities)) < len(names)
    adopt(server, user, "--apply")
    assert "\n0 messages would be fetched again" in compare(old, server, user, protocol="imap")


def validity(user: User, name: str) -> int:
    return int((user.maildir / f".{name}" / "courierimapuiddb").read_text().split()[1])
