"""Worker threads for the steps that may block: one queue, a fixed number of threads.

Twisted's thread pool spends about 50 µs on each job for features not used here (contexts,
growing, results); a login that needs a thread would feel it.

Jobs may have an owner, and no owner gets more than a share of the threads: work for one user can
be stuck, on a lock that somebody holds or on a slow disk, and the others are not to feel it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from queue import SimpleQueue

_log = logging.getLogger(__name__)

Job = Callable[[], object]


class Lane:
    """A few threads that run jobs in the order they came; jobs report their own failures."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self._wanted = threads
        self._share = max(1, threads * 3 // 8)
        self._jobs: SimpleQueue[tuple[Job, Hashable] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._changing = threading.Lock()
        self._running: dict[Hashable, int] = {}
        """How many jobs an owner has on threads, or in the queue for them."""
        self._held_back: dict[Hashable, deque[Job]] = {}

    def start(self) -> None:
        """Start the threads; daemons, so that a stuck job cannot keep the process alive."""
        for number in range(self._wanted - len(self._threads)):
            thread = threading.Thread(
                target=self._serve, name=f"maa-{self.name}-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def put(self, job: Job, owner: Hashable = None) -> None:
        """Run the job on the next free thread, or behind others of its owner."""
        if owner is not None:
            with self._changing:
                running = self._running.get(owner, 0)
                if running >= self._share:
                    self._held_back.setdefault(owner, deque()).append(job)
                    return
                self._running[owner] = running + 1
        self._jobs.put((job, owner))

    def waiting(self) -> int:
        """How many jobs no thread has taken yet."""
        with self._changing:
            return self._jobs.qsize() + sum(map(len, self._held_back.values()))

    def stop(self, seconds: float) -> None:
        """Let the jobs already put finish, for so long at most in all."""
        with self._changing:
            for held_back in self._held_back.values():
                for job in held_back:
                    self._jobs.put((job, None))
            self._held_back.clear()
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(seconds / len(threads))

    def _serve(self) -> None:
        while (taken := self._jobs.get()) is not None:
            job, owner = taken
            try:
                job()
            except Exception:  # noqa: BLE001 - the thread serves the next job
                _log.exception("a job of lane %s failed", self.name)
            if owner is not None:
                self._done(owner)
            # Else the finished job keeps its connection alive while the thread waits.
            del taken, job

    def _done(self, owner: Hashable) -> None:
        """Let the owner's next job take the place of the one that ended."""
        with self._changing:
            if held_back := self._held_back.get(owner):
                self._jobs.put((held_back.popleft(), owner))
                if not held_back:
                    del self._held_back[owner]
                return
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
