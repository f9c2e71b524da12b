"""One of several processes that serve: what it has of the service's, and its life.

See `maa.service.fleet` for the parent's part.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import twisted.internet
from twisted.internet.interfaces import ILoggingContext, IReadDescriptor
from twisted.internet.main import installReactor
from twisted.internet.protocol import Factory
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from maa.auth.penalties import Ledgers
from maa.service.board import Board
from maa.service.config import Config, Endpoint
from maa.service.tls import Certificates

FIGURES_SECONDS: Final = 1.0
DRAIN_SECONDS: Final = 600.0
"""How long clients may stay with a worker that was replaced on SIGHUP."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """What a worker has of the service's."""

    number: int
    board: Board
    sockets: Sequence[tuple[str, Endpoint, socket.socket]]
    """Listening, with their places in `[listen]`."""
    workers: int
    lifeline: socket.socket
    """Readable when the parent is dead."""
    certificates: Certificates | None
    ledgers: Ledgers


@implementer(ILoggingContext)
class Unserved(Factory):
    """For the sockets that the parent listens on and never reads from."""

    noisy = False

    def __init__(self, name: str) -> None:
        self._name = name

    def logPrefix(self) -> str:
        """What Twisted's log calls the listener."""
        return self._name


@implementer(IReadDescriptor)
class _Lifeline:
    """Stops the worker when its parent dies."""

    def __init__(self, lifeline: socket.socket, cut: Callable[[], None]) -> None:
        self._lifeline = lifeline
        self._cut = cut

    def fileno(self) -> int:
        return self._lifeline.fileno()

    def doRead(self) -> None:
        _log.error("the parent is dead: worker %d stops", os.getpid())
        self._cut()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops reading."""

    def logPrefix(self) -> str:
        return "lifeline"


def run(config: Config, file: Path | None, seat: Seat, blocked: Sequence[int]) -> None:
    """The whole life of a worker, just forked; the process ends with it.

    Nothing of the parent's stack may be returned to, so no error leaves this function.
    """
    status = 1
    try:
        for number in blocked:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)
        reactor = _own_reactor()
        _serve(reactor, config, file, seat)
        status = 0
    except BaseException:  # noqa: BLE001 - the parent's stack is not ours to unwind
        _log.exception("worker %d failed", os.getpid())
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _own_reactor() -> Any:
    """A reactor of the same kind in place of the parent's, whose epoll set is the parent's."""
    kind: Any = type(twisted.internet.reactor)
    del sys.modules["twisted.internet.reactor"]
    reactor = kind()
    installReactor(reactor)
    return reactor


def _serve(reactor: Any, config: Config, file: Path | None, seat: Seat) -> None:
    from maa.service.server import Server

    server = Server(config, file=file, reactor=reactor, seat=seat)
    board, number = seat.board, seat.number

    stopping = False

    def stop() -> None:
        nonlocal stopping
        # A terminal or a service manager tells every process, and then the parent does.
        if not stopping:
            stopping = True
            reactor.removeReader(lifeline)
            reactor.stop()

    def show() -> None:
        if board.taken(number):
            board.sit(number, len(server.sessions.pumps))
        board.publish(number, server.figures())

    def drain() -> None:
        _log.info("worker %d drains: %d connections", os.getpid(), len(server.sessions.pumps))
        server.stop_accepting()
        until = time.monotonic() + DRAIN_SECONDS

        def look() -> None:
            if not server.sessions.pumps or time.monotonic() > until:
                looking.stop()
                stop()

        looking = LoopingCall(look)
        looking.clock = reactor
        looking.start(1.0)

    def handle_signals() -> None:
        for signals, handler in (
            ((signal.SIGTERM, signal.SIGINT), stop),
            ((signal.SIGUSR1,), drain),
        ):
            for one in signals:
                signal.signal(one, lambda *_, handler=handler: reactor.callFromThread(handler))

    lifeline = _Lifeline(seat.lifeline, stop)
    reactor.addReader(lifeline)
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    server.startService()
    board.sit(number, 0)
    showing = LoopingCall(show)
    showing.clock = reactor
    showing.start(FIGURES_SECONDS)
    reactor.callWhenRunning(handle_signals)  # after the reactor's own
    reactor.run()
