"""INPROGRESS: long searches say how far they are (RFC 9585; R192)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from imap.desk import Desk
from maa.conversation import SLOW
from maa.imap import inprogress
from maa.imap.inprogress import Working, told
from tests.imap.world import SessionWorld

World = Callable[..., SessionWorld]
TOLD = re.compile(rb"\* OK \[INPROGRESS \(\"a\" ([0-9]+|NIL) ([0-9]+|NIL)\)\] .+\r\n")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inprogress, "EVERY_SECONDS", 0.0)


def mails(count: int) -> list[bytes]:
    return [b"Subject: %d\n\nbody\n" % number for number in range(count)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("search", [b"SEARCH TEXT 77", b'SEARCH FROM x OR BODY "no" HEADER A b'])
def test_progress_grows_and_never_reaches_the_goal(tmp_path: Path, search: bytes) -> None:
    desk = Desk(tmp_path, *mails(1200))
    desk.ask(search)
    *lines, result = b"".join(desk.pieces).splitlines(keepends=True)
    assert result.startswith(b"* SEARCH")
    found = [TOLD.fullmatch(line) for line in lines]
    assert len(found) >= 3 and all(found)
    numbers = [tuple(map(int, match.groups())) for match in found if match]
    assert numbers == sorted(numbers)
    assert len({goal for _, goal in numbers}) == 1
    assert all(0 <= done < goal for done, goal in numbers)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "command", [b"SORT (SUBJECT) UTF-8 ALL", b"THREAD REFERENCES UTF-8 TEXT body"]
)
def test_sorting_is_told_before_its_result_alone(tmp_path: Path, command: bytes) -> None:
    desk = Desk(tmp_path, *mails(20))
    desk.ask(command)
    *lines, result = b"".join(desk.pieces).splitlines(keepends=True)
    assert lines and all(map(TOLD.fullmatch, lines))
    assert result.startswith(b"* " + command.split()[0])


def test_a_search_that_is_quick_says_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, *mails(20))
    desk.ask(b"SEARCH TEXT 7")
    assert b"".join(desk.pieces).count(b"\r\n") == 1


@pytest.mark.usefixtures("impatient")
def test_a_tag_that_would_end_the_code_is_not_named(make_world: World) -> None:
    client = make_world().client(1)
    client.ask(b"s SELECT INBOX")
    assert b"* OK [INPROGRESS (NIL 0 2)] " in client.ask(b"a]b SEARCH TEXT x")


def test_what_is_told_comes_before_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(inprogress.time, "monotonic", lambda: now[0])

    def work():
        for done in range(4):
            yield Working(done, 4)
            now[0] += 6
        yield SLOW
        return "found"

    def command():
        assert (yield from told(b"a", work())) == "found"

    steps = list(command())
    lines = [step for step in steps if isinstance(step, bytes)]
    assert [TOLD.fullmatch(line).group(1) for line in lines] == [b"2", b"NIL"]
    assert steps.count(SLOW) == 5
    assert all(steps[steps.index(line) + 1] is SLOW for line in lines)
