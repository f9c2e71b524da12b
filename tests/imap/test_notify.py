"""NOTIFY where transcripts do not reach: bounds, ends, mailboxes that come and go."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from maa.imap import watching
from maa.store.errors import Unavailable
from maa.store.mailbox import Mailbox
from tests.imap.world import SessionWorld

MakeWorld = Callable[..., SessionWorld]
PERSONAL = b"n NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))"


def listened(world: SessionWorld) -> int:
    return len(world.client(1).session.state.account.listened())


def test_who_leaves_watches_nothing(make_world: MakeWorld) -> None:
    world = make_world()
    client = world.client(1)
    account = client.session.state.account
    client.ask(b"s SELECT INBOX")
    client.ask(PERSONAL)
    assert listened(world) > 1
    client.ask(b"n NOTIFY SET (SELECTED (MessageNew MessageExpunge))")
    assert listened(world) == 1
    client.ask(b"n NOTIFY NONE")
    assert listened(world) == 0
    client.ask(PERSONAL)
    client.ask(b"i IDLE")
    client.session.lost()
    assert account.listened() == [] and account._listeners == frozenset()


@pytest.mark.parametrize("end", [b"l LOGOUT", b"x NONSENSE\r\n" * 20])
def test_who_is_sent_away_watches_nothing(make_world: MakeWorld, end: bytes) -> None:
    world = make_world()
    client = world.client(1)
    account = client.session.state.account
    client.ask(PERSONAL)
    client.ask(end)
    assert client.closed
    assert account.listened() == [] and account._listeners == frozenset()


def test_more_mailboxes_than_may_be_watched_are_refused(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCHED_MAX", 3)
    world = make_world()
    client = world.client(1)
    assert client.ask(PERSONAL).startswith(b"n NO [NOTIFICATIONOVERFLOW] ")
    assert listened(world) == 0
    answer = client.ask(b"n NOTIFY SET (mailboxes (INBOX Trash) (MessageNew MessageExpunge))")
    assert answer == b"n OK NOTIFY completed\r\n"


def test_one_mailbox_too_many_ends_it_and_the_client_is_told(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCHED_MAX", 1)
    world = make_world()
    client, other = world.client(1), world.client(2)
    other.ask(b"c CREATE A")
    client.ask(b"n NOTIFY SET (subtree A (MessageNew MessageExpunge))")
    other.ask(b"c CREATE A.b")
    assert client.take().startswith(b"* OK [NOTIFICATIONOVERFLOW] ")
    assert listened(world) == 0
    other.ask(b"c COPY 1 A")
    assert client.take() == b""
    assert client.ask(b"n NOOP") == b"n OK NOOP completed\r\n"


def test_a_disk_that_fails_ends_it_and_the_client_is_told(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make_world()
    client, other = world.client(1), world.client(2)
    client.ask(PERSONAL)

    def broken(self: object) -> None:
        raise Unavailable("the disk")

    with monkeypatch.context() as patched:
        patched.setattr(type(client.session.state.account), "subscriptions", broken)
        other.ask(b"c CREATE A")
    assert client.take().startswith(b"* OK [NOTIFICATIONOVERFLOW] ")


def test_a_mailbox_made_anew_is_watched_and_its_uidvalidity_told(make_world: MakeWorld) -> None:
    world = make_world()
    client, other = world.client(1), world.client(2)
    other.ask(b"s SELECT INBOX")
    other.ask(b"c CREATE A")
    client.ask(b"n NOTIFY SET (mailboxes A (MessageNew MessageExpunge))")
    other.ask(b"c DELETE A")
    other.ask(b"c CREATE A")
    other.ask(b"c COPY 1 A")
    assert b"* STATUS A (MESSAGES 1 UIDNEXT 2)\r\n" in client.take()
    other.ask(b"c COPY 1 A")
    assert client.take() == b"* STATUS A (MESSAGES 2 UIDNEXT 3)\r\n"


def test_a_mailbox_that_did_not_exist_is_watched_when_it_comes(make_world: MakeWorld) -> None:
    world = make_world()
    client, other = world.client(1), world.client(2)
    other.ask(b"s SELECT INBOX")
    client.ask(b"n NOTIFY SET (mailboxes later (MessageNew MessageExpunge))")
    other.ask(b"c CREATE later")
    other.ask(b"c COPY 1:2 later")
    assert client.take() == b"* STATUS later (MESSAGES 2 UIDNEXT 3)\r\n"
    other.ask(b"c SUBSCRIBE later")
    assert client.take() == b""


def test_the_selected_mailbox_deleted_by_another_ends_the_session(make_world: MakeWorld) -> None:
    world = make_world()
    client, other = world.client(1), world.client(2)
    other.ask(b"c CREATE A")
    client.ask(b"s SELECT A")
    client.ask(b"n NOTIFY SET (selected (MessageNew MessageExpunge))")
    other.ask(b"c DELETE A")
    assert client.take().startswith(b"* BYE ") and client.closed


def test_a_folder_another_program_removes_is_told_of(make_world: MakeWorld) -> None:
    world = make_world()
    client, other = world.client(1), world.client(2)
    other.ask(b"c CREATE A")
    client.ask(PERSONAL)
    shutil.rmtree(world.inbox / ".A")
    world.settle()
    assert client.take() == b'* LIST (\\NonExistent) "." A\r\n'


def test_a_bug_while_nothing_is_asked_ends_the_session(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"n NOTIFY SET (inboxes (MessageNew MessageExpunge))")

    def broken(self: object, *arguments: object) -> bytes:
        raise KeyError("ours")

    monkeypatch.setattr(watching.Watching, "_status", broken)
    world.deliver("one.eml")
    assert b"* BYE [SERVERBUG] " in client.take() and client.closed
    assert "ours" in caplog.text


def test_changes_told_at_a_commands_end_are_not_told_again(make_world: MakeWorld) -> None:
    world = make_world()
    client, other = world.client(1), world.client(2)
    client.ask(b"s SELECT INBOX")
    client.ask(b"n NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange))")
    mailbox: Mailbox = client.session.state.mailbox
    world.clients.pop(1)  # so that nobody pokes it
    other.ask(b"a APPEND INBOX {8+}\r\nA: b\r\n\r\n")
    assert client.ask(b"n NOOP") == (
        b"* 3 EXISTS\r\n* 3 RECENT\r\nn OK NOOP completed\r\n* 3 FETCH (UID 3)\r\n"
    )
    client.poke()
    assert client.take() == b"" and len(mailbox.snapshot) == 3
    client.session.lost()


@pytest.mark.parametrize("command", [b"COPY 1 Trash", b"APPEND Trash {3+}\r\nabc", b"NOOP"])
def test_what_is_delivered_beside_the_clients_own_command_is_fetched(
    make_world: MakeWorld, command: bytes
) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"s SELECT INBOX")
    client.ask(b"n NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))")
    deliver_unseen(world)
    assert b"* 3 FETCH (UID 3)" in client.ask(b"c " + command)


def test_of_what_comes_together_only_its_own_message_is_not_fetched(make_world: MakeWorld) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b"s SELECT INBOX")
    client.ask(b"n NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge))")
    deliver_unseen(world)
    answer = client.ask(b"c APPEND INBOX {3+}\r\nabc")
    assert b"* 4 EXISTS" in answer and answer.count(b" FETCH (UID ") == 1


def test_a_question_is_no_change_of_the_clients_own(make_world: MakeWorld) -> None:
    world = make_world()
    one, two = world.client(1), world.client(2)
    two.ask(b"c CREATE Work")
    one.ask(PERSONAL)
    one.ask(b"q GETQUOTAROOT Work")
    two.ask(b"d DELETE Work")
    assert b"* LIST (\\NonExistent) " in one.ask(b"n NOOP")


def deliver_unseen(world: SessionWorld) -> None:
    """A delivery of which nobody was poked yet."""
    (world.inbox / "tmp" / "1800000000.M1P1.host").write_bytes(b"Subject: x\n\nbody\n")
    (world.inbox / "tmp" / "1800000000.M1P1.host").rename(
        world.inbox / "new" / "1800000000.M1P1.host"
    )
