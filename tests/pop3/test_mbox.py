"""POP3 over a spool file: what differs from a Maildir (R229-R238)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pop3.world import Client, World
from tests.store.mboxes import append, entry

FORGED = b"Status: RO\nX-Status: D\nX-UID: 9\nX-IMAPbase: 7 9\nX-Keywords: a\nContent-Length: 5\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, mbox=True)
    yield world
    world.close()


def spool(world: World) -> Path:
    assert world.spool is not None
    return world.spool


def lines(client: Client, command: bytes) -> list[bytes]:
    answer = client.ask(command)
    assert answer.startswith(b"+OK"), answer
    assert answer.endswith(b"\r\n.\r\n")
    return answer.split(b"\r\n")[1:-2]


def retrieved(client: Client, number: int) -> bytes:
    text = b"\r\n".join(lines(client, b"RETR %d" % number)) + b"\r\n"
    return text.replace(b"\r\n..", b"\r\n.")


def again(world: World) -> Client:
    """Another session, after this one."""
    world.client().ask(b"QUIT")
    del world.clients[1]
    return world.client()


def test_R236_a_senders_notes_delete_nothing_and_count_in_no_size(world: World) -> None:
    append(spool(world), entry(1, header=FORGED) + entry(2))
    client = world.client()
    assert client.ask(b"STAT") == b"+OK 2 40\r\n"
    assert lines(client, b"LIST") == [b"1 20", b"2 20"]
    assert retrieved(client, 1) == b"Subject: 1\r\n\r\nbody\r\n"
    assert lines(client, b"TOP 1 0") == [b"Subject: 1", b""]
    names = lines(client, b"UIDL")
    assert [name[:10] for name in names] == [b"1 00000001", b"2 00000002"]


def test_R236_uidl_and_size_stay_when_another_program_notes_something(world: World) -> None:
    append(spool(world), entry(1) + entry(2))
    client = world.client()
    before = lines(client, b"UIDL"), lines(client, b"LIST")
    data = spool(world).read_bytes()
    spool(world).write_bytes(data.replace(b"Subject: 1\n", b"Subject: 1\nStatus: RO\nX-UID: 4\n"))
    client = again(world)
    assert (lines(client, b"UIDL"), lines(client, b"LIST")) == before
    assert retrieved(client, 1) == b"Subject: 1\r\n\r\nbody\r\n"


def test_R234_dele_and_quit_cut_the_file_and_leave_the_rest(world: World) -> None:
    append(spool(world), entry(1) + entry(2, header=FORGED) + entry(3))
    inode = spool(world).stat().st_ino
    client = world.client()
    for command in (b"DELE 1", b"DELE 3", b"QUIT"):
        assert client.ask(command).startswith(b"+OK")
    del world.clients[1]
    assert spool(world).read_bytes() == entry(2, header=FORGED)
    assert spool(world).stat().st_ino == inode
    assert world.client().ask(b"STAT") == b"+OK 1 20\r\n"


def test_R078_a_message_that_another_program_changed_is_not_served(world: World) -> None:
    append(spool(world), entry(1) + entry(2))
    client = world.client()
    spool(world).write_bytes(entry(1, b"BODY\n") + entry(2))
    assert client.ask(b"RETR 1").startswith(b"-ERR")
    assert retrieved(client, 2) == b"Subject: 2\r\n\r\nbody\r\n"
    client = again(world)
    assert retrieved(client, 1) == b"Subject: 2\r\n\r\nbody\r\n"
    assert retrieved(client, 2) == b"Subject: 1\r\n\r\nBODY\r\n"


def test_R220_what_comes_meanwhile_is_for_the_next_session(world: World) -> None:
    append(spool(world), entry(1))
    client = world.client()
    append(spool(world), entry(2))
    assert client.ask(b"STAT") == b"+OK 1 20\r\n"
    assert client.ask(b"DELE 1").startswith(b"+OK")
    client = again(world)
    assert client.ask(b"STAT") == b"+OK 1 20\r\n"
    assert spool(world).read_bytes() == entry(2)


def test_R238_a_rearranged_file_is_numbered_in_its_order(world: World) -> None:
    append(spool(world), entry(1) + entry(2) + entry(3))
    client = world.client()
    before = lines(client, b"UIDL")
    spool(world).write_bytes(entry(2) + entry(1) + entry(3))
    client = again(world)
    found = [re.findall(rb"Subject: (\d)", retrieved(client, n)) for n in (1, 2, 3)]
    assert found == [[b"2"], [b"1"], [b"3"]]
    names = lines(client, b"UIDL")
    assert names[0][2:] == before[1][2:]
    uids = [name[2:10] for name in names]
    assert uids == sorted(uids)


def test_R230_mboxrd_is_sent_as_it_was_written(tmp_path: Path) -> None:
    world = World(tmp_path, mbox=True, mboxrd=True)
    append(spool(world), entry(1, b">From here\n>>From there\n"))
    client = world.client()
    text = b"Subject: 1\r\n\r\nFrom here\r\n>From there\r\n"
    assert lines(client, b"LIST") == [b"1 %d" % len(text)]
    assert retrieved(client, 1) == text
    world.close()


def test_R200_what_is_no_mbox_needs_a_repair(tmp_path: Path) -> None:
    world = World(tmp_path, mbox=True, logged_in=False)
    spool(world).write_bytes(b"\x7fELF no mail at all\n")
    answer = world.client(1).ask(b"USER joe\r\nPASS secret")
    assert answer.splitlines()[-1].startswith(b"-ERR [SYS/PERM] "), answer
    world.close()
