"""Worker threads for the steps that may block: one line, a fixed number of threads.

Twisted's thread pool spends about 50 µs on each job for features not used here (contexts,
growing, results); a login that needs a thread would feel it.

Jobs may have an owner, and no owner gets more than a share of the threads: work for one user can
be stuck, on a lock that somebody holds or on a slow disk, and the others are not to feel it.

Jobs may come late: they stand in line as if they had come so many seconds after now. Whoever
comes meanwhile goes first, and yet nobody waits for ever.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from queue import SimpleQueue

_log = logging.getLogger(__name__)

Job = Callable[[], object]
Place = tuple[float, int, Job, Hashable]
"""In the line: when it is due, in which order jobs came, the job and its owner."""


class Lane:
    """A few threads that run jobs in the order they came; jobs report their own failures."""

    def __init__(
        self, name: str, threads: int, *, seconds: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._wanted = threads
        self._share = max(1, threads * 3 // 8)
        self._seconds = seconds
        self._numbers = itertools.count()
        self._line: list[Place] = []
        """A heap, whose first place is the next."""
        self._calls: SimpleQueue[bool] = SimpleQueue()
        """For each place in the line a call to some thread; False: the thread ends."""
        self._threads: list[threading.Thread] = []
        self._changing = threading.Lock()
        self._running: dict[Hashable, int] = {}
        """How many jobs an owner has on threads, or in the queue for them."""
        self._held_back: dict[Hashable, deque[Place]] = {}

    def start(self) -> None:
        """Start the threads; daemons, so that a stuck job cannot keep the process alive."""
        for number in range(self._wanted - len(self._threads)):
            thread = threading.Thread(
                target=self._serve, name=f"maa-{self.name}-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def put(self, job: Job, owner: Hashable = None, late_seconds: float = 0.0) -> None:
        """Run the job on the next free thread, or behind others of its owner."""
        with self._changing:
            due = self._seconds() + late_seconds
            place = (due, next(self._numbers), job, owner)
            if owner is not None:
                running = self._running.get(owner, 0)
                if running >= self._share:
                    self._held_back.setdefault(owner, deque()).append(place)
                    return
                self._running[owner] = running + 1
            heapq.heappush(self._line, place)
        self._calls.put(True)

    def waiting(self) -> int:
        """How many jobs no thread has taken yet."""
        with self._changing:
            return len(self._line) + sum(map(len, self._held_back.values()))

    def stop(self, seconds: float) -> None:
        """Let the jobs already put finish, for so long at most in all."""
        with self._changing:
            for held_back in self._held_back.values():
                for due, number, job, _ in held_back:
                    heapq.heappush(self._line, (due, number, job, None))
                    self._calls.put(True)
            self._held_back.clear()
        threads, self._threads = self._threads, []
        for _ in threads:
            self._calls.put(False)
        for thread in threads:
            thread.join(seconds / len(threads))

    def _serve(self) -> None:
        while self._calls.get():
            with self._changing:
                _, _, job, owner = heapq.heappop(self._line)
            try:
                job()
            except Exception:  # noqa: BLE001 - the thread serves the next job
                _log.exception("a job of lane %s failed", self.name)
            if owner is not None:
                self._done(owner)
            # Else the finished job keeps its connection alive while the thread waits.
            del job

    def _done(self, owner: Hashable) -> None:
        """Let the owner's next job take the place of the one that ended."""
        with self._changing:
            if held_back := self._held_back.get(owner):
                heapq.heappush(self._line, held_back.popleft())
                self._calls.put(True)
                if not held_back:
                    del self._held_back[owner]
                return
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
