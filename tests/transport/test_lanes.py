"""Worker threads and the wheel, by themselves."""

from __future__ import annotations

import threading

import pytest
from twisted.internet.task import Clock

from maa.transport.lanes import Lane
from maa.transport.wheel import Wheel


def test_jobs_run_on_the_lanes_threads_in_order() -> None:
    lane, done = Lane("test", 1), []
    lane.start()
    for number in range(10):
        lane.put(lambda number=number: done.append((number, threading.current_thread().name)))
    lane.stop(10)
    assert done == [(number, "maa-test-0") for number in range(10)]


def test_a_job_that_fails_is_logged_and_the_next_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lane, done = Lane("test", 1), threading.Event()
    lane.start()
    lane.put(lambda: int("no number"))
    lane.put(done.set)
    assert done.wait(10)
    lane.stop(10)
    assert "a job of lane test failed" in caplog.text


def test_an_owner_whose_jobs_are_stuck_leaves_threads_to_others() -> None:
    lane, gate, done = Lane("test", 4), threading.Event(), threading.Event()
    order: list[int] = []
    lane.start()

    def stuck(number: int) -> None:
        gate.wait(10)
        order.append(number)

    for number in range(6):
        lane.put(lambda number=number: stuck(number), "ann")
    lane.put(done.set, "bob")
    assert done.wait(10) and not order
    assert lane.waiting() == 5
    gate.set()
    lane.stop(10)
    assert sorted(order) == list(range(6)) and lane.waiting() == 0


def test_who_is_late_waits_for_those_who_come_meanwhile_and_not_for_ever() -> None:
    clock, order = Clock(), []
    lane = Lane("test", 1, seconds=clock.seconds)
    for who, late_seconds in (("early", 0.0), ("guessing", 20.0), ("guessing more", 60.0)):
        lane.put(lambda who=who: order.append(who), who, late_seconds)
    for who, seconds in (("meanwhile", 10.0), ("behind", 20.0)):
        clock.advance(seconds)
        lane.put(lambda who=who: order.append(who), who)
    assert lane.waiting() == 5
    lane.start()
    lane.stop(10)
    assert order == ["early", "meanwhile", "guessing", "behind", "guessing more"]


def test_an_owners_jobs_keep_their_places_in_line_while_they_are_held_back() -> None:
    clock, order = Clock(), []
    lane = Lane("test", 1, seconds=clock.seconds)
    for number in range(3):
        lane.put(lambda number=number: order.append(f"ann {number}"), "ann")
    clock.advance(1.0)
    lane.put(lambda: order.append("bob"), "bob")
    done = threading.Event()
    lane.put(done.set, "the last")
    lane.start()
    assert done.wait(10)
    lane.stop(10)
    assert order == ["ann 0", "ann 1", "ann 2", "bob"]


def test_a_stuck_job_does_not_keep_the_stop_waiting() -> None:
    lane, stuck = Lane("test", 1), threading.Event()
    lane.start()
    lane.put(stuck.wait)
    lane.stop(0.01)
    stuck.set()


class Looked:
    """Counts how often it was looked at."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def look(self, now: float) -> None:
        self.times.append(now)


def test_the_wheel_looks_within_a_second_after_the_time_and_never_before() -> None:
    clock = Clock()
    wheel, item = Wheel(clock, clock.seconds), Looked()
    wheel.watch(item, 2.5)
    clock.pump([0.25] * 20)
    (when,) = item.times
    assert 2.5 <= when <= 4.0


def test_what_is_forgotten_is_not_looked_at_and_no_timer_is_left() -> None:
    clock = Clock()
    wheel, item = Wheel(clock, clock.seconds), Looked()
    slot = wheel.watch(item, 2.5)
    wheel.forget(item, slot)
    clock.pump([1.0] * 10)
    assert item.times == []
    assert clock.getDelayedCalls() == []
