"""What single clients need (shared list of quirks), where a dialogue cannot show it."""

from __future__ import annotations

import logging
import random
import re
from base64 import b64encode
from collections.abc import Callable

import pytest

from maa.imap.states import Selected
from tests.imap.world import SessionClient, SessionWorld

World = Callable[..., SessionWorld]


def put(world: SessionWorld, name: str, data: bytes) -> None:
    """The MDA delivers these octets."""
    (world.inbox / "tmp" / name).write_bytes(data)
    (world.inbox / "tmp" / name).rename(world.inbox / "new" / name)
    world.settle()


def selected(world: SessionWorld) -> SessionClient:
    client = world.client(1)
    assert b"a OK" in client.ask(b"a SELECT INBOX")
    return client


def test_Q01_what_is_held_back_is_told_in_the_end_and_once(make_world: World) -> None:
    world = make_world()
    client = selected(world)
    client.ask(b"b UID FETCH 1 BODY.PEEK[HEADER.FIELDS (X-MSOESRec)]")
    for number in range(5):
        world.deliver("three.eml")
        world.remove(1)
        answer = client.ask(b"c%d UID FETCH 1:* (FLAGS)" % number)
        assert b"EXISTS" not in answer
        assert b"EXPUNGE" not in answer
    assert client.ask(b"d NOOP") == (
        b"* 1 EXPUNGE\r\n* 1 EXPUNGE\r\n* 2 EXISTS\r\n* 2 RECENT\r\nd OK NOOP completed\r\n"
    )
    assert client.ask(b"e NOOP") == b"e OK NOOP completed\r\n"
    state = client.session.state
    assert isinstance(state, Selected)
    assert list(state.view.uids) == list(state.mailbox.snapshot.uids)


def test_Q01_a_mailbox_selected_later_is_held_back_too(make_world: World) -> None:
    world = make_world()
    client = world.client(1)
    client.ask(b'a ID ("name" "Mac OS X Mail" "version" "1.3.11")')
    client.ask(b"b SELECT INBOX")
    world.deliver("three.eml")
    assert b"EXISTS" not in client.ask(b"c UID SEARCH ALL")
    assert b"* 3 EXISTS" in client.ask(b"d CHECK")


@pytest.mark.parametrize("seed", range(8))
def test_Q01_the_numbers_are_those_the_client_was_told(make_world: World, seed: int) -> None:
    """Whatever happens meanwhile, and whatever it asks."""
    chance = random.Random(seed)
    world = make_world(messages=["one.eml"] * 4)
    client, other = selected(world), world.client(2)
    other.ask(b"a SELECT INBOX")
    client.ask(b"b FETCH 1 BODY.PEEK[HEADER.FIELDS (X-MSOESRec)]")
    known: list[int | None] = [1, 2, 3, 4]
    for turn in range(60):
        happens = chance.randrange(5)
        if happens == 0:
            world.deliver("two.eml")
        elif happens == 1 and len(other.session.state.view) > 1:  # type: ignore[union-attr]
            other.ask(b"a STORE 1 +FLAGS (\\Deleted)")
            other.ask(b"a EXPUNGE")
        elif happens == 2:
            other.ask(b"a NOOP")
            other.ask(b"a STORE * +FLAGS (k%d)" % turn)
        asked = chance.choice([b"UID FETCH 1:* (FLAGS)", b"FETCH 1:* (UID)", b"NOOP", b"IDLE"])
        answer = client.ask(b"c " + asked)
        if asked == b"IDLE":
            answer += client.ask(b"DONE")
        for line in answer.split(b"\r\n"):
            if gone := re.fullmatch(rb"\* (\d+) EXPUNGE", line):
                del known[int(gone[1]) - 1]
            elif count := re.fullmatch(rb"\* (\d+) EXISTS", line):
                assert int(count[1]) > len(known)
                known += [None] * (int(count[1]) - len(known))
            elif fetched := re.match(rb"\* (\d+) FETCH \(.*?UID (\d+)", line):
                number, uid = int(fetched[1]), int(fetched[2])
                assert known[number - 1] in (None, uid), (line, known)
                known[number - 1] = uid
            held = asked not in (b"NOOP", b"IDLE")
            assert not (held and re.fullmatch(rb"\* \d+ (EXPUNGE|EXISTS|RECENT)", line))
    client.ask(b"d NOOP")
    state = client.session.state
    assert isinstance(state, Selected)
    assert list(state.view.uids) == list(state.mailbox.snapshot.uids)


def test_Q01_the_log_says_what_is_on(make_world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client = selected(make_world())
    client.ask(b'b ID ("name" "iPhone Mail" "os" "iOS" "x" NIL)')
    client.ask(b"c UID FETCH 1 BODY.PEEK[HEADER.FIELDS (X-MSOESRec)]")
    client.ask(b"d UID FETCH 1 BODY.PEEK[HEADER.FIELDS (X-MSOESRec)]")
    client.ask(b'e ID ("name" {3}\r\na\rb)')
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("clients")]
    assert lines == [
        'session test: client ("name" "iPhone Mail" "os" "iOS" "x" NIL)',
        "session test: quirks L-28",
        "session test: quirks L-28, Q-1",
        'session test: client ("name" "a\\rb")',
    ]


def test_Q04_no_literal_has_nul_in_it(make_world: World) -> None:
    world = make_world(messages=[])
    put(world, "1.nul", b"Subject: a\0b\n\nc\0d\n")
    client = selected(world)
    for item in (
        b"BODY.PEEK[]",
        b"ENVELOPE",
        b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
        b"RFC822.TEXT",
    ):
        answer = client.ask(b"b FETCH 1 " + item)
        assert b"b OK" in answer
        assert b"\0" not in answer
    assert b"RFC822.SIZE 21" in client.ask(b"b FETCH 1 RFC822.SIZE")
    assert b"BODY[] {21}" in client.ask(b"b FETCH 1 BODY.PEEK[]")


@pytest.mark.parametrize("charset", ["GBK", "GB2312", "GB18030", "BIG5"])
def test_Q10_search_in_chinese_charsets(make_world: World, charset: str) -> None:
    word = "\u4e2d\u6587"
    world = make_world(messages=["one.eml"])
    subject = word.encode("big5" if charset == "BIG5" else "gbk")
    head = b"Content-Type: text/plain; charset=%b\n" % charset.encode()
    encoded = b"=?%b?B?%b?=" % (charset.encode(), b64encode(subject))
    put(world, "1800000000.M1P1.host", b"Subject: " + encoded + b"\n" + head + b"\nx\n")
    client = selected(world)
    octets = word.encode(charset)
    client.feed(b"b UID SEARCH CHARSET %b SUBJECT {%d}\r\n" % (charset.encode(), len(octets)))
    client.feed(octets + b"\r\n")
    assert client.take() == b"+ OK\r\n* SEARCH 2\r\nb OK SEARCH completed\r\n"


def test_Q15_polling_needs_no_thread(make_world: World) -> None:
    world = make_world()
    client = world.client(1)
    names = (b"INBOX", b"Drafts", b"Sent", b"Junk", b"Trash")
    for name in names:
        client.ask(b"a STATUS %b (UIDNEXT MESSAGES UNSEEN RECENT)" % name)
    before = client.slow
    for name in names:
        answer = client.ask(b"b STATUS %b (UIDNEXT MESSAGES UNSEEN RECENT)" % name)
        assert answer.startswith(b"* STATUS %b (UIDNEXT " % name)
    assert client.slow == before


def test_Q39_a_set_of_60_kib(make_world: World) -> None:
    client = selected(make_world())
    numbers = b",".join(b"%d" % (10_000 + 2 * n) for n in range(10_000))[: 60 << 10]
    numbers = numbers[: numbers.rindex(b",")]
    assert len(numbers) > 59_000
    answer = client.ask(b"b UID FETCH 1,%b (UID)" % numbers)
    assert answer == b"* 1 FETCH (UID 1)\r\nb OK FETCH completed\r\n"


def test_Q39_a_large_answer_is_made_in_pieces(make_world: World) -> None:
    world = make_world(messages=[])
    for number in range(40):
        put(world, f"{number}.large", b"Subject: x\n\n" + b"x" * 98 + b"\n" * 2000 + b"y" * 50_000)
    client = selected(world)
    client.session.feed(b"b FETCH 1:* BODY.PEEK[]\r\n")
    pieces = [len(step) for step in client.session.steps() if isinstance(step, bytes)]
    assert sum(pieces) > 40 * 50_000
    assert max(pieces) < 256 << 10
