"""Worker threads for the steps that may block: one queue, a fixed number of threads.

Twisted's thread pool spends about 50 µs on each job for features not used here (contexts,
growing, results); a login that needs a thread would feel it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

_log = logging.getLogger(__name__)

Job = Callable[[], object]


class Lane:
    """A few threads that run jobs in the order they came; jobs report their own failures."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        self._wanted = threads
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the threads; daemons, so that a stuck job cannot keep the process alive."""
        for number in range(self._wanted - len(self._threads)):
            thread = threading.Thread(
                target=self._serve, name=f"maa-{self.name}-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def put(self, job: Job) -> None:
        """Run the job on the next free thread."""
        self._jobs.put(job)

    def waiting(self) -> int:
        """How many jobs no thread has taken yet."""
        return self._jobs.qsize()

    def stop(self, seconds: float) -> None:
        """Let the jobs already put finish, for so long at most in all."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._jobs.put(None)
        for thread in threads:
            thread.join(seconds / len(threads))

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception:  # noqa: BLE001 - the thread serves the next job
                _log.exception("a job of lane %s failed", self.name)
            # Else the finished job keeps its connection alive while the thread waits.
            del job
