"""One timer for the timeouts of all connections.

A `callLater` a connection would cost memory for each idle session and a heap operation for
each command. Here a connection stands in the slot of the second when it should be looked at
next, and activity moves nothing: a connection looked at too early asks to be watched again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from maa.transport.reactor import Clock, Timer

TICK_SECONDS = 1.0


class Watched(Protocol):
    """What stands in the wheel."""

    def look(self, now: float) -> None:
        """Act if the time has come, else be watched again until it has."""


class Wheel:
    """Slots of one second, each with the connections to look at then."""

    def __init__(self, clock: Clock, seconds: Callable[[], float]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._slots: dict[int, set[Watched]] = {}
        self._timer: Timer | None = None

    def watch(self, item: Watched, when: float) -> int:
        """Look at the item at the first tick after `when`; the slot's number is for `forget`."""
        slot = int(when / TICK_SECONDS) + 1
        found = self._slots.get(slot)
        if found is None:
            self._slots[slot] = {item}
        else:
            found.add(item)
        if self._timer is None:
            self._timer = self._clock.callLater(TICK_SECONDS, self._tick)
        return slot

    def forget(self, item: Watched, slot: int) -> None:
        """Take the item out of the slot that `watch` named."""
        found = self._slots.get(slot)
        if found is not None:
            found.discard(item)
            if not found:
                del self._slots[slot]

    def _tick(self) -> None:
        self._timer = None
        now = self._seconds()
        due = [slot for slot in self._slots if slot * TICK_SECONDS <= now]
        for slot in due:
            for item in self._slots.pop(slot):
                item.look(now)
        if self._slots and self._timer is None:
            self._timer = self._clock.callLater(TICK_SECONDS, self._tick)
