"""Calls from worker threads to the reactor's: a queue, and a descriptor that wakes the reactor.

Twisted's `callFromThread` does the same. It goes once more around the reactor's loop, through a
pair of sockets and a list of calls that anybody may have left there, and each answer that a
thread made would wait some 10 µs longer.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_log = logging.getLogger(__name__)


@implementer(IReadDescriptor)
class Calls:
    """What threads ask the reactor's thread to do, in the order they asked."""

    def __init__(self) -> None:
        """Give this to the reactor as a reader."""
        self._descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._due: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()

    def put(self, call: Callable[..., object], *arguments: object) -> None:
        """Have it called soon, on the reactor's thread; from any thread, never blocks."""
        self._due.append((call, arguments))
        os.eventfd_write(self._descriptor, 1)

    def fileno(self) -> int:
        """Readable when something is due."""
        return self._descriptor

    def doRead(self) -> None:
        """Make the calls that are due; those that come meanwhile are for the next turn."""
        # First, so that whoever comes too late to be seen below wakes the reactor again.
        os.eventfd_read(self._descriptor)
        for _ in range(len(self._due)):
            call, arguments = self._due.popleft()
            try:
                call(*arguments)
            except Exception:  # noqa: BLE001 - the others are to be called all the same
                _log.exception("a call from a thread failed")

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops reading: nothing is called any more."""

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "calls"
