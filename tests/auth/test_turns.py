"""maa.auth.turns: who waits, and for whom."""

from __future__ import annotations

import threading

from maa.auth.turns import Turns


def test_turns_are_taken_in_the_order_they_were_asked_for() -> None:
    turns, order, threads = Turns(1), [], []
    with turns:
        for number in range(5):
            asking = threading.Event()

            def one(number: int = number, asking: threading.Event = asking) -> None:
                asking.set()
                with turns:
                    order.append(number)

            threads.append(threading.Thread(target=one))
            threads[-1].start()
            asking.wait(10)
            while len(turns._waiting) <= number:
                pass
    for thread in threads:
        thread.join(10)
    assert order == [0, 1, 2, 3, 4]


def test_so_many_at_once_and_an_error_gives_the_turn_back() -> None:
    turns, inside, most = Turns(2), [], []
    meet = threading.Barrier(2)

    def one(number: int) -> None:
        try:
            with turns:
                inside.append(number)
                most.append(len(inside))
                meet.wait(10)
                inside.remove(number)
                _ = 1 // (number % 2)
        except ZeroDivisionError:
            pass

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(most) == 8 and max(most) == 2
