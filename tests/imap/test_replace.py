"""REPLACE (RFC 8508): the old message goes if, and only if, the new one is there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maa.store.errors import NoSpace
from maa.store.index import Change
from maa.store.locks import Locks
from maa.store.mbox import Mbox
from maa.user import User
from tests.imap.world import SessionClient, SessionWorld

World = Callable[..., SessionWorld]
REPLACE = b"UID REPLACE 1 %b (\\Draft) {10+}\r\na: b\r\n\r\nxy"


def counts(client: SessionClient) -> dict[str, int]:
    """How many messages there are in each of the mailboxes."""
    found = {}
    for name in ("INBOX", "Drafts"):
        answer = client.ask(b"t STATUS %b (MESSAGES)" % name.encode())
        found[name] = int(answer.split(b"MESSAGES ")[1].split(b")")[0])
    return found


@pytest.mark.parametrize("target", [b"INBOX", b"Drafts"])
def test_a_message_that_cannot_be_removed_is_not_replaced(
    make_world: World, tmp_path: Path, target: bytes
) -> None:
    world = make_world(mbox=True)
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    assert world.spool is not None
    before = world.spool.read_bytes()
    inbox = world.accounts.open(User("joe")).open("INBOX")
    assert isinstance(inbox.maildrop, Mbox)
    inbox.maildrop._file._locks = Locks(("dotlock",), seconds=0.05)  # not half a minute
    lock = world.spool.with_name("spool.lock")
    lock.write_text(f"{os.getpid()}\n")
    said = client.ask(b"b " + REPLACE % target)
    assert said.splitlines()[-1].startswith(b"b NO [INUSE] "), said
    assert b"APPENDUID" not in said and b"EXPUNGE" not in said
    lock.unlink()
    assert world.spool.read_bytes() == before
    assert counts(client) == {"INBOX": 2, "Drafts": 0}
    assert b"b OK" in client.ask(b"b " + REPLACE % target)


@pytest.mark.parametrize("mbox", [False, True])
def test_a_new_message_that_cannot_come_leaves_the_old(
    make_world: World, monkeypatch: pytest.MonkeyPatch, mbox: bool
) -> None:
    client = (world := make_world(mbox=mbox)).client(1)
    client.ask(b"a SELECT INBOX")
    index = world.accounts.open(User("joe")).ledger.index

    def full(mailbox_id: int, change: Change) -> None:
        raise NoSpace("the index cannot grow")

    with monkeypatch.context() as patched:
        patched.setattr(index, "apply", full)
        said = client.ask(b"b " + REPLACE % b"Drafts")
    assert said.startswith(b"b NO [OVERQUOTA] "), said
    assert counts(client) == {"INBOX": 2, "Drafts": 0}


def test_what_is_gone_from_the_disk_is_replaced_though_the_index_cannot_say_so(
    make_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = (world := make_world()).client(1)
    client.ask(b"a SELECT INBOX")
    index = world.accounts.open(User("joe")).ledger.index
    inbox, apply = index.mailboxes()["INBOX"].id, index.apply

    def full(mailbox_id: int, change: Change) -> None:
        if mailbox_id == inbox:
            raise NoSpace("the index cannot grow")
        apply(mailbox_id, change)

    with monkeypatch.context() as patched:
        patched.setattr(index, "apply", full)
        said = client.ask(b"b " + REPLACE % b"Drafts")
    assert said.splitlines()[-1].startswith(b"b OK"), said
    assert b"* 1 EXPUNGE" in client.ask(b"c NOOP")
    assert counts(client) == {"INBOX": 1, "Drafts": 1}


def test_of_two_clients_that_replace_a_message_one_does(make_world: World) -> None:
    world = make_world()
    first, second = world.client(1), world.client(2)
    for client in (first, second):
        client.ask(b"a SELECT INBOX")
        client.feed(b"b UID REPLACE 1 Drafts {6}\r\na: b")  # both may, so far
    first.send(b"\r\n\r\n")
    second.send(b"\r\n\r\n")
    assert b"b OK REPLACE completed" in first.take()
    assert b"b NO [EXPUNGEISSUED]" in second.take()
    assert counts(first) == {"INBOX": 1, "Drafts": 1}


@pytest.mark.parametrize("messages", [500, 501])
def test_an_append_has_a_bounded_number_of_messages(make_world: World, messages: int) -> None:
    client = make_world(messages=[]).client(1)
    said = client.ask(b"a APPEND INBOX" + b" {6+}\r\na: b\r\n" * messages)
    assert said.startswith(b"a OK" if messages == 500 else b"a NO [LIMIT] "), said
    assert counts(client) == {"INBOX": 500 if messages == 500 else 0, "Drafts": 0}
