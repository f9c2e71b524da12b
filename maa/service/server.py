"""The service: everything assembled from a `Config`, started, and stopped with care.

Read `__init__` to see what maa consists of: nothing else knows all the parts.
"""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from maa import __version__
from maa.auth.penalties import Ledgers
from maa.service import logs
from maa.service.accepting import Acceptor, ahead
from maa.service.audit_file import AuditFile
from maa.service.building import (
    audit_of,
    authenticator_of,
    certificates_of,
    limits_of,
    places_of,
    shed_privileges,
)
from maa.service.config import Config
from maa.service.factories import Factories
from maa.service.growth import History
from maa.service.listeners import CannotListen, Listener, listen, stop_listening
from maa.service.metrics import Metric, Watchdog, metrics, usage_metrics
from maa.service.worker import Seat
from maa.store.accounts import Accounts
from maa.store.mailbox import Mailbox
from maa.store.watch import Watcher
from maa.transport.calls import Calls
from maa.transport.pokes import Chores, HintReader, synced, tidied, unwatched
from maa.transport.rawlog import DIRECTORY, Rawlogs
from maa.transport.sessions import Sessions

STOP_SECONDS = 30.0
"""For a message that is being appended to arrive whole (R252)."""
CERTIFICATE_LOOK_SECONDS = 30.0
RAWLOG_LOOK_SECONDS = 1.0
ROUNDS_SECONDS = 30.0
"""How long mail waits that arrives where inotify sees nothing, until IDLE tells of it."""
TIDY_SECONDS = 0.1
"""How long what was put off until after a reply waits for more of its kind."""

_log = logging.getLogger(__name__)


class Server(Service):
    """maa in one process."""

    name = "maa"

    def __init__(
        self,
        config: Config,
        *,
        file: Path | None = None,
        announce: str = "",
        reactor: Any = None,
        seat: Seat | None = None,
    ) -> None:
        """`seat`: this is one of several workers, and the parent listens."""
        if reactor is None:
            from twisted.internet import reactor
        _raise_descriptor_limit()  # before it is looked at
        self._reactor = reactor
        self._config = config
        self._file = file
        self._announce = announce
        self._seat = seat
        self._ports: list[Any] = []
        self._calls = Calls()
        self.sessions = Sessions(
            reactor,
            self._calls.put,
            limits_of(config).shared(seat.workers if seat else 1),
            seconds=time.monotonic,
        )
        self._watchdog = Watchdog(self.sessions, reactor)
        self._watcher = Watcher()
        self._hints = HintReader(self._watcher)
        self._accounts = Accounts(
            str(config.state),
            places_of(config),
            self._watcher,
            neighbours=seat is not None,
        )
        ledgers = seat.ledgers if seat else Ledgers()
        self._authenticator = authenticator_of(config, ledgers)
        self._authenticator.load()
        self._history = History(config.state)
        self._certificates = seat.certificates if seat else certificates_of(config)
        self._certificate_look = LoopingCall(self._look_at_certificate)
        self._rawlogs = Rawlogs(os.path.join(config.state, DIRECTORY))
        self._audit: AuditFile | None = None
        self._rawlog_look = LoopingCall(self._look_at_rawlogs)
        self._rounds = LoopingCall(self._make_rounds)
        self._factories = Factories(
            config,
            self._certificates,
            self.sessions,
            self._accounts,
            self._authenticator,
            self._rawlogs,
            self.figures,
        )

    def privilegedStartService(self) -> None:
        """Bind the ports, while the process may bind those below 1024."""
        try:
            self._ports = listen(self._reactor, self._listeners())
        except CannotListen as error:
            raise SystemExit(f"{self._file or 'the demo'}: cannot listen:\n{error}") from None

    def startService(self) -> None:
        """Serve."""
        super().startService()
        logs.bridge()
        if self._seat is None:
            shed_privileges(self._config, self._file)
        if self._seat is not None:
            self._ports = list(self._acceptors(self._seat))
        self._audit = audit_of(self._config, self._file)
        self._reactor.addReader(self._calls)
        self.sessions.start()
        self._watchdog.start()
        lane = self.sessions.user_lane
        lane.put(self._accounts.drop_dead_locks)
        self._syncs = Chores[Mailbox](lane, synced)
        Mailbox.on_stale = self._syncs.put
        self._tidying = Chores[Mailbox](lane, tidied, self._in_a_while)
        Mailbox.on_untidy = self._tidying.put
        if self._hints.fileno() >= 0:
            self._reactor.addReader(self._hints)
        self._rounds.start(ROUNDS_SECONDS, now=False)
        self._rawlog_look.start(RAWLOG_LOOK_SECONDS)
        if self._certificates is not None:
            self._certificate_look.start(CERTIFICATE_LOOK_SECONDS, now=False)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, self._on_hangup)
        if self._seat is None:
            _log.info("maa %s serves as %s", __version__, self._config.hostname)
        # What is loaded by now stays; the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        if self._announce:
            # Past the log, which puts a time before each line: this is to be copied.
            print(self._announce, file=sys.__stdout__, flush=True)

    def stopService(self) -> Deferred[None]:
        """Take no more connections, and leave of every client (R252)."""
        super().stopService()
        _log.info("stopping: %d connections", len(self.sessions.pumps))
        self._watchdog.stop()
        for loop in (self._certificate_look, self._rounds, self._rawlog_look):
            if loop.running:
                loop.stop()
        stopped = self.stop_accepting()
        stopped.addCallback(lambda _: self.sessions.stop(STOP_SECONDS))
        stopped.addCallback(lambda _: self._close())
        return stopped

    def stop_accepting(self) -> Deferred[Any]:
        """Take no more connections; those there are stay."""
        if self._seat is not None:
            self._seat.board.vacate(self._seat.number)
        ports, self._ports = self._ports, []
        return stop_listening(ports)

    def figures(self) -> Iterator[Metric]:
        """What the status page shows."""
        yield from metrics(self.sessions, self._watchdog)
        if self._seat is None:  # else the parent says it once for all
            yield from usage_metrics(self._history)

    def _close(self) -> None:
        self._reactor.removeReader(self._hints)
        Mailbox.on_stale = Mailbox.on_untidy = None
        self._tidying.hurry()
        self.sessions.close(5)
        self._accounts.close()
        self._watcher.close()
        self._reactor.removeReader(self._calls)
        self._rawlogs.close()
        if self._audit is not None:
            self._audit.stop()
        _log.info("stopped")

    def _listeners(self) -> Iterator[Listener]:
        for name, endpoint in self._config.listen.named():
            yield Listener(name, endpoint, self._factories.of(name, endpoint))

    def _acceptors(self, seat: Seat) -> Iterator[Acceptor]:
        board, number = seat.board, seat.number

        def leave() -> bool:
            own = len(self.sessions.pumps)
            board.sit(number, own)
            return ahead(own, board.least(number))

        for name, endpoint, listening in seat.sockets:
            factory = self._factories.of(name, endpoint)
            acceptor = Acceptor(self._reactor, listening, factory, leave)
            acceptor.start()
            yield acceptor

    def _make_rounds(self) -> None:
        self.sessions.user_lane.put(self._accounts.keep_spares)
        for mailbox in unwatched(self._accounts.listened()):
            self._syncs.put(mailbox)

    def _in_a_while(self, call: Callable[[], None]) -> None:
        """What is put off until after a reply comes in many pieces, and not beside the next."""
        self._reactor.callFromThread(self._reactor.callLater, TIDY_SECONDS, call)

    def _look_at_certificate(self) -> Deferred[None]:
        assert self._certificates is not None
        return deferToThread(self._certificates.reload)

    def _look_at_rawlogs(self) -> None:
        if self._rawlogs.look():
            self.sessions.user_lane.put(self._rawlogs.reload)

    def _on_hangup(self, number: int, frame: object) -> None:
        _log.info("SIGHUP: reading the certificate again")
        if self._certificates is not None:
            certificates = self._certificates
            self._reactor.callFromThread(deferToThread, certificates.reload, True)


def _raise_descriptor_limit() -> None:
    """Let each connection have its descriptor: the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
