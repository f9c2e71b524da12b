"""How a worker takes connections from a listening socket that all workers have.

The kernel wakes every worker that waits, and whoever is first gets the connection: so a busy
worker, which comes late, gets fewer, and when one dies those that wait in the kernel's queue go
to the others. Left to itself this is uneven, for one worker is mostly a little faster. So a
worker takes one connection each time, and looks away for a millisecond when it has a good deal
more than the one with the fewest.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

_log = logging.getLogger(__name__)

LOOK_AWAY_SECONDS: Final = 0.001
EXHAUSTED_SECONDS: Final = 1.0
"""Before the next try, when there are no descriptors left."""
SLACK: Final = 8


def ahead(own: int, least: int) -> bool:
    """Whether a worker with `own` connections leaves the next one to another."""
    return own > least + SLACK + least // 16


@implementer(IReadDescriptor)
class Acceptor:
    """One listening socket as one worker uses it."""

    def __init__(
        self, reactor: Any, listening: socket.socket, factory: Any, leave: Callable[[], bool]
    ) -> None:
        """`leave` says whether the next connection is better taken by another worker."""
        self._reactor = reactor
        self._socket = listening
        self._factory = factory
        self._leave = leave
        self._pause: Any = None
        self._complained = False

    def start(self) -> None:
        """Take connections from now on."""
        self._factory.doStart()
        self._reactor.addReader(self)

    def stopListening(self) -> None:
        """Take no more; the other workers go on."""
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        self._reactor.removeReader(self)
        self._factory.doStop()

    def fileno(self) -> int:
        """The listening socket."""
        return self._socket.fileno()

    def doRead(self) -> None:
        """Somebody connects; another worker may be faster."""
        if self._leave():
            self._look_away(LOOK_AWAY_SECONDS)
            return
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.error("cannot accept connections: %s; said only once", error)
            self._look_away(EXHAUSTED_SECONDS)
            return
        with connection:
            connection.setblocking(False)
            try:
                # It makes a descriptor of its own.
                self._reactor.adoptStreamConnection(
                    connection.fileno(), connection.family, self._factory
                )
            except OSError as error:
                _log.info("a connection was lost as it came: %s", error)

    def _look_away(self, seconds: float) -> None:
        self._reactor.removeReader(self)
        self._pause = self._reactor.callLater(seconds, self._look_again)

    def _look_again(self) -> None:
        # Whoever comes back takes one, whatever the others have: they may be stuck.
        self._reactor.addReader(self)
        leave, self._leave = self._leave, _never
        try:
            self.doRead()
        finally:
            self._leave = leave

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops reading; the socket is the service's."""

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "acceptor"


def _never() -> bool:
    return False
