"""Several processes: the parent binds, its workers serve, and it sees to it that they do.

Workers are forks of the parent, made while it runs, so they share what it has loaded; each has a
reactor of its own, with its own threads and inotify queue, and they share nothing else but the
disk, the listening sockets and a `Board`. A worker that dies is replaced: at once, or, if it
died young, after a while that doubles with each time. Connections that wait in the kernel's
queue meanwhile go to the others, or wait.

On SIGTERM all workers take leave of their clients (R252). On SIGHUP new workers with the
configuration and the certificate as they are now take over what comes, while the old ones serve
those whom they have for as long as these want, but for `maa.service.worker.DRAIN_SECONDS` at
most. When the parent dies its workers take leave, too, so that it can be started again.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from maa import __version__
from maa.auth.penalties import Ledgers
from maa.service import logs, worker
from maa.service.board import Board
from maa.service.building import certificates_of, ensure_serves, shed_privileges
from maa.service.config import Config, Endpoint
from maa.service.factories import PROTOCOLS, gated
from maa.service.growth import History
from maa.service.listeners import CannotListen, Listener, listen, stop_listening
from maa.service.metrics import Metric, fleet_metrics, usage_metrics
from maa.service.reading import ConfigError, load
from maa.service.server import STOP_SECONDS
from maa.service.status_page import status_site

YOUNG_SECONDS: Final = 10.0
"""Who dies younger is replaced after a while only."""
FIRST_WAIT_SECONDS: Final = 0.1
LONGEST_WAIT_SECONDS: Final = 30.0
SEAT_SECONDS: Final = 0.2
"""Until it is looked again whether a worker of an earlier SIGHUP has made room."""
GRACE_SECONDS: Final = STOP_SECONDS + 15
"""After which a worker that was told to stop is killed."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

_log = logging.getLogger(__name__)


def wait_seconds(deaths: int) -> float:
    """How long to wait before a worker is replaced, after so many early deaths in a row."""
    if not deaths:
        return 0.0
    return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(deaths - 1, 20)))


@implementer(IReadDescriptor)
class _Process:
    """A worker as the parent has it; readable when it has ended (pidfd_open(2))."""

    def __init__(self, pid: int, seat: int, ended: Callable[[_Process, int], None]) -> None:
        self.pid = pid
        self.seat = seat
        self.began = time.monotonic()
        self.draining = False
        self.leaving = False
        self._descriptor = os.pidfd_open(pid)
        self._ended = ended

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        _, status = os.waitpid(self.pid, 0)
        self._ended(self, os.waitstatus_to_exitcode(status))

    def send(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            _log.debug("worker %d has just ended", self.pid)

    def leave(self) -> None:
        """Have it take leave of its clients."""
        self.leaving = True
        self.send(signal.SIGTERM)

    def close(self) -> None:
        os.close(self._descriptor)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops reading."""

    def logPrefix(self) -> str:
        return "worker"


@dataclass(frozen=True, slots=True)
class _Bound:
    """A listening socket, held by the parent so that it outlives every worker."""

    name: str
    endpoint: Endpoint
    port: Any

    @property
    def socket(self) -> socket.socket:
        return cast(socket.socket, self.port.socket)


class Fleet(Service):
    """maa in several processes; this is the parent, which serves nobody itself."""

    name = "maa"

    def __init__(
        self, config: Config, count: int, *, file: Path | None = None, reactor: Any = None
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor
        self._reactor = reactor
        self._config = config
        self._count = count
        self._file = file
        self._history = History(config.state)
        # Made here, where the key may be read, and shared, so that any worker can go on with a
        # TLS session that another one began.
        self._certificates = certificates_of(config)
        self._ledgers = Ledgers()
        # Twice as many: while old workers drain, the new ones are there already.
        self._board = Board(2 * count)
        self._bound: list[_Bound] = []
        self._ports: list[Any] = []
        self._workers: dict[int, _Process] = {}
        self._waiting: set[Any] = set()
        self._young_deaths = 0
        self._replaced = 0
        self._stopped: Deferred[None] | None = None
        # A pair of sockets: the end of one is something to read from the other, which of a pipe
        # the reactor would not say.
        self._lifeline = socket.socketpair()

    def privilegedStartService(self) -> None:
        """Bind the ports, while the process may bind those below 1024."""
        listen_to = self._config.listen
        mail = [
            Listener(name, endpoint, worker.Unserved(name))
            for name, endpoint in listen_to.named()
            if name in PROTOCOLS
        ]
        http = [
            Listener("http", endpoint, self._status_site(endpoint)) for endpoint in listen_to.http
        ]
        try:
            ports = listen(self._reactor, [*mail, *http])
        except CannotListen as error:
            raise SystemExit(f"{self._file or 'maa'}: cannot listen:\n{error}") from None
        self._ports = ports
        for listener, port in zip(mail, ports, strict=False):
            port.stopReading()
            self._bound.append(_Bound(listener.name, listener.endpoint, port))

    def startService(self) -> None:
        """Begin with the workers as soon as the reactor runs."""
        super().startService()
        logs.bridge()
        shed_privileges(self._config, self._file)
        signal.signal(signal.SIGHUP, self._on_hangup)
        # The workers share what is there now, and no collector is to touch it.
        gc.collect()
        gc.freeze()
        self._reactor.callWhenRunning(self._begin)

    def _begin(self) -> None:
        for _ in range(self._count):
            self._start_one()
        _log.info(
            "maa %s serves as %s with %d workers",
            *(__version__, self._config.hostname, self._count),
        )

    def stopService(self) -> Deferred[None]:
        """Have every worker take leave of its clients, and wait for that."""
        super().stopService()
        self._stopped = Deferred()
        _log.info("stopping: %d workers", len(self._workers))
        for call in self._waiting:
            call.cancel()
        self._waiting.clear()
        for process in self._workers.values():
            process.leave()
        late = self._reactor.callLater(GRACE_SECONDS, self._kill)
        stopped = self._stopped
        stopped.addCallback(lambda _: late.cancel() if late.active() else None)
        # Last: closing them here ends them for everybody.
        stopped.addCallback(lambda _: stop_listening(self._ports))
        self._perhaps_stopped()
        return stopped

    def _kill(self) -> None:
        for process in self._workers.values():
            _log.error("worker %d does not stop: killed", process.pid)
            process.send(signal.SIGKILL)

    def _perhaps_stopped(self) -> None:
        if self._stopped is not None and not self._workers:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)

    # --- workers

    def _start_one(self) -> None:
        used = {process.seat for process in self._workers.values()}
        seat = next((seat for seat in self._board.seats if seat not in used), None)
        if seat is None:  # those of an earlier SIGHUP still drain: the first has had its time
            self._make_room()
            self._later(SEAT_SECONDS)
            return
        # Until the child has handlers of its own, the parent's must not run there.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                worker.run(self._config, self._file, self._seat(seat), _SIGNALS)
        except OSError as error:
            self._not_started(error)
            return
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        try:
            process = self._workers[pid] = _Process(pid, seat, self._ended)
        except OSError as error:  # nobody would hear of its end
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._not_started(error)
            return
        self._reactor.addReader(process)

    def _not_started(self, error: OSError) -> None:
        """The machine is short of something: try again later."""
        self._young_deaths += 1
        seconds = wait_seconds(self._young_deaths)
        _log.error("no worker can be started: %s; again in %.1f seconds", error, seconds)
        self._later(seconds)

    def _make_room(self) -> None:
        workers = self._workers.values()
        draining = [one for one in workers if one.draining and not one.leaving]
        if draining and not any(one.leaving for one in workers):
            min(draining, key=lambda one: one.began).leave()

    def _seat(self, number: int) -> worker.Seat:
        """In the child: what it has of the service's; the rest is closed."""
        theirs, parents = self._lifeline
        parents.close()
        bound = {id(one.port) for one in self._bound}
        for port in self._ports:
            if id(port) not in bound:
                port.socket.close()
        for process in self._workers.values():
            process.close()
        sockets = [(one.name, one.endpoint, one.socket) for one in self._bound]
        return worker.Seat(
            number, self._board, sockets, self._count, theirs, self._certificates, self._ledgers
        )

    def _ended(self, process: _Process, status: int) -> None:
        self._reactor.removeReader(process)
        process.close()
        del self._workers[process.pid]
        self._board.clear(process.seat)
        if self._stopped is not None or not self.running:
            self._perhaps_stopped()
            return
        if process.draining:
            _log.info("worker %d has drained", process.pid)
            return
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        young = time.monotonic() - process.began < YOUNG_SECONDS
        self._young_deaths = self._young_deaths + 1 if young else 0
        seconds = wait_seconds(self._young_deaths)
        _log.error("worker %d %s: replaced in %.1f s", process.pid, how, seconds)
        self._replaced += 1
        self._later(seconds)

    def _later(self, seconds: float) -> None:
        def start() -> None:
            self._waiting.discard(call)
            self._start_one()

        call = self._reactor.callLater(seconds, start)
        self._waiting.add(call)

    # --- SIGHUP

    def _on_hangup(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self._renew)

    def _renew(self) -> None:
        if not self.running:
            return
        _log.info("SIGHUP: new workers take over")
        self._config = self._config_now()
        if self._certificates is not None:
            self._certificates.reload(True)
        old = [process for process in self._workers.values() if not process.draining]
        for process in old:
            process.draining = True
            process.send(signal.SIGUSR1)
        for _ in old:
            self._start_one()

    def _config_now(self) -> Config:
        """The configuration as it is now, but for what is decided at the start."""
        if self._file is None:
            return self._config
        try:
            config = load(self._file)
            ensure_serves(config, self._file)
        except (ConfigError, SystemExit) as error:
            _log.error("the configuration stays as it was: %s", error)
            return self._config
        now = self._config
        tls = replace(now.tls, plaintext_login=config.tls.plaintext_login)
        if (config.listen, config.workers, config.tls) != (now.listen, now.workers, tls):
            _log.warning("[listen], workers and the certificates' paths need a new start")
        return replace(config, listen=now.listen, workers=now.workers, tls=tls)

    # --- figures

    def _status_site(self, endpoint: Endpoint) -> Any:
        site = status_site(self.figures, self._config.hostname)
        # Those who are turned away are in no worker's figures.
        return gated(endpoint, site, self._reactor, lambda: None)

    def figures(self) -> Iterator[Metric]:
        """Every worker's figures, those of one kind together, and the service's own."""
        yield from fleet_metrics(len(self._workers), self._replaced)
        yield from usage_metrics(self._history)
        by_name: dict[str, list[Metric]] = {}
        for seat, figures in self._board.figures():
            for figure in figures:
                labelled = replace(figure, worker=str(seat))
                by_name.setdefault(figure.name, []).append(labelled)
        for same in by_name.values():
            yield from same
