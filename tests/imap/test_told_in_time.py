"""What a client is told, and when: no sooner, no later, and nothing in the middle of something."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.pop3.states import Pop3Settings
from tests.imap.world import SessionWorld
from tests.pop3.world import PEERS
from tests.pop3.world import Client as Pop3Client


@pytest.fixture(params=["maildir", "mbox"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SessionWorld]:
    made = SessionWorld(tmp_path, messages=["one.eml", "two.eml"], mbox=request.param == "mbox")
    yield made
    made.close()


def test_R070_between_commands_nothing_is_told(world: SessionWorld) -> None:
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    world.deliver("three.eml")
    world.client(2).ask(b"a SELECT INBOX")
    world.client(2).ask(b"b STORE 1 +FLAGS (\\Flagged)")
    client.poke()
    assert client.take() == b""
    told = client.ask(b"b NOOP")
    assert b"* 3 EXISTS" in told and b"\\Flagged" in told


def test_R066_a_message_has_no_number_before_exists_was_told(world: SessionWorld) -> None:
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    world.deliver("three.eml")
    for command in (b"FETCH 3 FLAGS", b"STORE 3 FLAGS ()", b"COPY 3 Trash"):
        assert client.ask(b"b " + command).startswith(b"b BAD"), command
    answer = client.ask(b"c FETCH 1:* FLAGS")
    assert b"* 3 FETCH" not in answer
    assert b"* 3 EXISTS" in client.ask(b"d NOOP")
    assert b"* 3 FETCH" in client.ask(b"e FETCH 3 FLAGS")


def test_R020_nothing_comes_between_the_parts_of_an_answer(world: SessionWorld) -> None:
    """A delivery and another session's changes, told or not, never cut a FETCH in two."""
    client, other = world.client(1), world.client(2)
    for one in (client, other):
        one.ask(b"a SELECT INBOX")
    session = client.session
    session.feed(b"b UID FETCH 1:* (FLAGS BODY.PEEK[])\r\n")
    said = b""
    for number, step in enumerate(session.steps()):
        said += step if isinstance(step, bytes) else b""
        if not number:
            world.deliver("three.eml")
            other.ask(b"b STORE 1 +FLAGS (\\Flagged)")
        session.poke()
    while (match := re.search(rb"\{([0-9]+)\}\r\n", said)) is not None:
        said = said[: match.start()] + said[match.end() + int(match[1]) :]
    lines = said.split(b"\r\n")[:-1]
    assert lines.pop().startswith(b"b OK")
    for line in lines:
        assert line.startswith(b"* ") and line.count(b"(") == line.count(b")"), line


def test_R059_select_tells_one_moment(world: SessionWorld) -> None:
    """Nothing is ever expunged here, so at every moment UIDNEXT is EXISTS and one."""
    writer, over = (
        world.accounts.open(world.client(2).session.state.account.user),
        threading.Event(),
    )
    mailbox = writer.open("INBOX")

    def deliver() -> None:
        while not over.is_set() and len(mailbox.snapshot) < 300:
            incoming = mailbox.incoming()
            incoming.write(b"Subject: x\r\n\r\nx\r\n")
            incoming.commit()

    thread = threading.Thread(target=deliver)
    thread.start()
    try:
        seen: set[bytes] = set()
        until = time.monotonic() + 10
        while len(seen) < 20 and time.monotonic() < until:
            answer = world.client(1).ask(b"a SELECT INBOX")
            exists = re.findall(rb"\* ([0-9]+) EXISTS", answer)[0]
            (uidnext,) = re.findall(rb"UIDNEXT ([0-9]+)", answer)
            assert int(uidnext) == int(exists) + 1
            seen.add(exists)
    finally:
        over.set()
        thread.join()
    assert len(seen) > 1


def test_R091_what_is_deleted_is_there_for_both_protocols_until_it_is_expunged(
    world: SessionWorld,
) -> None:
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    client.ask(b"b STORE 1 +FLAGS (\\Deleted)")
    assert b"* 2 EXISTS" in world.client(2).ask(b"a SELECT INBOX")

    def listed() -> bytes:
        pop3 = Pop3Client(world, PEERS["loopback"], Pop3Settings())
        pop3.send(b"USER joe\r\nPASS secret\r\nSTAT\r\nUIDL\r\nQUIT\r\n")
        pop3.session.lost()
        return bytes(pop3.output)

    assert b"\r\n+OK 2 " in listed()
    assert b"* 1 EXPUNGE" in client.ask(b"c EXPUNGE")
    assert b"\r\n+OK 1 " in listed()
