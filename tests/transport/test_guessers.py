"""Who guessed a short time ago, by itself; `test_pump` and `test_lanes` have what follows."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from maa.transport import guessers
from maa.transport.guessers import LATE_SECONDS, LATEST_SECONDS, Guessers


def test_each_failure_puts_back_and_time_alone_makes_up_for_it() -> None:
    clock = Clock()
    found = Guessers(clock.seconds)
    assert found.late_seconds("here") == 0
    found.failed("here")
    found.failed("here")
    assert found.late_seconds("here") == 2 * LATE_SECONDS
    assert found.late_seconds("there") == 0
    clock.advance(LATE_SECONDS)
    assert found.late_seconds("here") == LATE_SECONDS
    clock.advance(2 * LATE_SECONDS)
    assert found.late_seconds("here") == 0


def test_nobody_is_put_back_further_than_the_line_is_long() -> None:
    found = Guessers(Clock().seconds)
    for _ in range(100):
        found.failed("here")
    assert found.late_seconds("here") == LATEST_SECONDS


def test_what_is_remembered_is_bounded_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessers, "REMEMBERED_MAX", 3)
    clock = Clock()
    found = Guessers(clock.seconds)
    for number in range(5):
        found.failed(str(number))
    assert [found.late_seconds(str(number)) > 0 for number in range(5)] == [False] * 2 + [True] * 3
    clock.advance(LATEST_SECONDS)
    found.failed("now")
    assert list(found._due) == ["now"]
