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
