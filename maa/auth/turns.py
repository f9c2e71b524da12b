"""A few at a time, in the order they came."""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType


class Turns:
    """`with turns:` is entered by so many threads at a time, and by nobody out of turn.

    `threading.Semaphore` lets whoever asks just when it is free go first, however many wait.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._changing = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        with self._changing:
            if self._free:
                self._free -= 1
                return
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changing:
            if self._waiting:
                self._waiting.popleft().release()  # the turn goes over to it
            else:
                self._free += 1
