"""Anybody can send it: every form of a hostile message is answered, and answers stay in form."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest

from tests.imap.world import SessionClient, SessionWorld
from tests.message.hostile_mail import NAMES, message

World = Callable[..., SessionWorld]
PARTS = b"1 1.1 1.MIME 1.1.MIME 1.HEADER 1.TEXT 2 2.HEADER 20000.MIME HEADER TEXT".split()
FORMS = (
    *(b"UID", b"FLAGS", b"INTERNALDATE", b"RFC822.SIZE", b"ENVELOPE", b"BODY", b"BODYSTRUCTURE"),
    *(b"PREVIEW", b"RFC822.HEADER", b"BODY.PEEK[]<1000.5>", b"BODY.PEEK[HEADER.FIELDS (To X-F)]"),
    *(b"BODY.PEEK[HEADER.FIELDS.NOT (To)]", *(b"BODY.PEEK[%b]" % part for part in PARTS)),
)
FETCHES = (b"(%b)" % b" ".join(FORMS), b"BINARY.SIZE[1]", b"BINARY.PEEK[1]", b"BODY.PEEK[]")
COMMANDS = (
    *(b"SEARCH TEXT zzz", b"SEARCH BODY zzz SUBJECT zzz", b"SEARCH HEADER X-Field zzz TO zzz"),
    *(b"SEARCH SENTSINCE 1-Jan-2020 CC zzz", b"SORT (FROM TO CC SUBJECT DATE) UTF-8 ALL"),
    *(b"THREAD REFERENCES UTF-8 ALL", b"THREAD ORDEREDSUBJECT UTF-8 ALL", b"THREAD REFS UTF-8 ALL"),
)
_QUOTED = rb'"(?:[^"\\\r\n\x00\x80-\xff]|\\["\\])*"'
_TOKEN = re.compile(_QUOTED + rb'|~?\{(\d+)\}\r\n|[()]|[^\x00-\x20"(){\x7f-\xff)]+| ')


def in_form(answer: bytes) -> bool:
    """Whether an answer is lines of atoms, strings, literals and balanced parentheses."""
    at = depth = 0
    while at < len(answer):
        if answer.startswith(b"\r\n", at):
            if depth:
                return False
            at += 2
            continue
        token = _TOKEN.match(answer, at)
        if token is None:
            return False
        at = token.end()
        if token[1] is not None:
            at += int(token[1])
        depth += {b"(": 1, b")": -1}.get(token.group(), 0)
    return at == len(answer) and not depth


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (b'* 1 FETCH (BODY[] {3}\r\n\r\n) X "a\\"b")\r\na OK x\r\n', True),
        (b'* 1 FETCH (X "a"b")\r\na OK x\r\n', False),
        (b'* 1 FETCH (X "a\rb")\r\n', False),
        (b"* 1 FETCH (X {9}\r\nabc)\r\n", False),
        (b'* 1 FETCH (X "\xff")\r\n', False),
        (b"* 1 FETCH (X (a)\r\na OK x\r\n", False),
    ],
)
def test_what_is_in_form(answer: bytes, good: bool) -> None:
    assert in_form(answer) is good


def opened(make_world: World, *names: str) -> SessionClient:
    world = make_world(messages=[])
    for number, name in enumerate(names):
        (world.inbox / "new" / f"{1_700_000_000 + number}.M1P1.host").write_bytes(message(name))
    client = world.client(1)
    assert b"s OK" in client.ask(b"s SELECT INBOX")
    return client


@pytest.mark.parametrize("name", NAMES)
def test_R225_every_form_of_a_hostile_message_is_answered(
    make_world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    client = opened(make_world, name)
    for asked in FETCHES:
        answer = client.ask(b"f FETCH 1 " + asked)
        last = answer.splitlines()[-1]
        assert last.startswith((b"f OK ", b"f NO [UNKNOWN-CTE] ")), asked
        assert in_form(answer), (asked, answer[:3000])
        assert answer.startswith(b"* 1 FETCH (") or asked.startswith(b"BINARY")
    for command in COMMANDS:
        answer = client.ask(b"s " + command)
        assert answer.endswith(b"\r\ns OK %b completed\r\n" % command.split()[0]), command
        assert in_form(answer)
    assert not client.closed
    assert not caplog.records


def test_R236_what_a_sender_says_of_uid_and_flags_means_nothing(make_world: World) -> None:
    client = opened(make_world, "a mailbox's own fields", "no header")
    answer = client.ask(b"f FETCH 1:* (UID FLAGS)")
    assert b"* 1 FETCH (UID 1 FLAGS (\\Recent))" in answer
    assert b"* 2 FETCH (UID 2 FLAGS (\\Recent))" in answer


def test_R191_messages_that_are_each_others_ancestors_are_threaded_once(make_world: World) -> None:
    names = ("its own ancestor", "its own child", "100,000 references")
    client = opened(make_world, *names)
    for kind in (b"REFERENCES", b"REFS", b"ORDEREDSUBJECT"):
        answer = client.ask(b"t THREAD %b UTF-8 ALL" % kind)
        listed = answer.partition(b"\r\n")[0]
        assert sorted(re.findall(rb"\d+", listed)) == [b"1", b"2", b"3"], answer
