"""Calls from worker threads reach the reactor's thread, in order and each of them."""

from __future__ import annotations

import select
import threading

import pytest

from maa.transport.calls import Calls


def readable(calls: Calls) -> bool:
    poll = select.poll()
    poll.register(calls, select.POLLIN)
    return bool(poll.poll(0))


def test_calls_are_made_in_order_with_their_arguments() -> None:
    calls, made = Calls(), []
    thread = threading.Thread(target=lambda: [calls.put(made.append, n) for n in range(3)])
    thread.start()
    thread.join()
    assert readable(calls) and made == []
    calls.doRead()
    assert made == [0, 1, 2]
    assert not readable(calls)


def test_a_call_put_meanwhile_is_for_the_next_turn() -> None:
    calls, made = Calls(), []

    def again() -> None:
        made.append("first")
        calls.put(made.append, "second")

    calls.put(again)
    calls.doRead()
    assert made == ["first"] and readable(calls)
    calls.doRead()
    assert made == ["first", "second"] and not readable(calls)


def test_a_call_that_fails_is_logged_and_the_others_are_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls, made = Calls(), []
    calls.put(int, "no number")
    calls.put(made.append, 1)
    calls.doRead()
    assert made == [1]
    assert "a call from a thread failed" in caplog.text
