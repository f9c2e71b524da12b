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
from functools import partial
from pathlib import Path
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from maa import __version__
from maa.auth.credentials import Authenticator, Source
from maa.auth.password_file import PasswordFile
from maa.auth.saslauthd import Saslauthd
from maa.imap.states import ImapSettings
from maa.pop3.states import Pop3Settings
from maa.service import logs
from maa.service.accepting import Acceptor, ahead
from maa.service.config import Config, Tls
from maa.service.growth import History
from maa.service.listeners import CannotListen, Listener, listen, stop_listening
from maa.service.metrics import Metric, Watchdog, metrics, usage_metrics
from maa.service.status_page import status_site
from maa.service.tls import Certificate, TlsContext
from maa.service.worker import Seat
from maa.store.accounts import Accounts
from maa.store.mailbox import Mailbox
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.transport.calls import Calls
from maa.transport.factory import PumpFactory
from maa.transport.imap import imap_factory
from maa.transport.pokes import Chores, HintReader, synced, tidied, unwatched
from maa.transport.pop3 import pop3_factory
from maa.transport.rawlog import DIRECTORY, Rawlogs
from maa.transport.sessions import Limits, Sessions

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
            Limits().shared(seat.workers if seat else 1),
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
        self._authenticator = authenticator_of(config)
        self._history = History(config.state)
        self._certificate = seat.certificate if seat else certificate_of(config.tls)
        self._certificate_look = LoopingCall(self._look_at_certificate)
        self._rawlogs = Rawlogs(os.path.join(config.state, DIRECTORY))
        self._rawlog_look = LoopingCall(self._look_at_rawlogs)
        self._rounds = LoopingCall(self._make_rounds)

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
        if os.geteuid() == 0:
            os.setgroups([])  # no user's mail is to be reached through them
        if self._seat is not None:
            self._ports = list(self._acceptors(self._seat))
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
        if self._certificate is not None:
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
        _log.info("stopped")

    def _listeners(self) -> Iterator[Listener]:
        for name, factory in self._factories().items():
            for endpoint in getattr(self._config.listen, name):
                yield Listener(name, endpoint, factory())

    def _acceptors(self, seat: Seat) -> Iterator[Acceptor]:
        board, number = seat.board, seat.number

        def leave() -> bool:
            own = len(self.sessions.pumps)
            board.sit(number, own)
            return ahead(own, board.least(number))

        factories = self._factories()
        for name, listening in seat.sockets:
            acceptor = Acceptor(self._reactor, listening, factories[name](), leave)
            acceptor.start()
            yield acceptor

    def _factories(self) -> dict[str, Callable[[], Any]]:
        """What serves each listener, by its name in `[listen]`."""
        config, certificate = self._config, self._certificate
        imap = ImapSettings(
            hostname=config.hostname,
            starttls=certificate is not None,
            plaintext_login=config.tls.plaintext_login,
        )
        pop3 = Pop3Settings(
            hostname=config.hostname,
            starttls=certificate is not None,
            plaintext_login=config.tls.plaintext_login,
        )
        imap_tls = certificate.imap if certificate else None
        pop3_tls = certificate.pop3 if certificate else None
        shared = (self.sessions, self._accounts, self._authenticator)
        of_imap = partial(imap_factory, *shared, imap, rawlogs=self._rawlogs)
        of_pop3 = partial(pop3_factory, *shared, pop3, rawlogs=self._rawlogs)

        return {
            "imap": lambda: of_imap(tls=imap_tls),
            "imaps": lambda: _over_tls(imap_tls, of_imap(implicit_tls=True)),
            "pop3": lambda: of_pop3(tls=pop3_tls),
            "pop3s": lambda: _over_tls(pop3_tls, of_pop3(implicit_tls=True)),
            "http": lambda: status_site(self.figures, config.hostname),
        }

    def _make_rounds(self) -> None:
        self.sessions.user_lane.put(self._accounts.keep_spares)
        for mailbox in unwatched(self._accounts.listened()):
            self._syncs.put(mailbox)

    def _in_a_while(self, call: Callable[[], None]) -> None:
        """What is put off until after a reply comes in many pieces, and not beside the next."""
        self._reactor.callFromThread(self._reactor.callLater, TIDY_SECONDS, call)

    def _look_at_certificate(self) -> Deferred[None]:
        assert self._certificate is not None
        return deferToThread(self._certificate.reload)

    def _look_at_rawlogs(self) -> None:
        if self._rawlogs.look():
            self.sessions.user_lane.put(self._rawlogs.reload)

    def _on_hangup(self, number: int, frame: object) -> None:
        _log.info("SIGHUP: reading the certificate again")
        if self._certificate is not None:
            certificate = self._certificate
            self._reactor.callFromThread(deferToThread, certificate.reload, True)


def certificate_of(tls: Tls) -> Certificate | None:
    """The configured certificate, read now."""
    return Certificate(tls.certificate, tls.key) if tls.certificate and tls.key else None


def places_of(config: Config) -> MailPlaces:
    """Where users' mail is, as configured."""
    mail = config.mail
    return MailPlaces.parse(mail.home, mail.inbox, mail.folders, mail.locks, mail.quota)


def authenticator_of(config: Config) -> Authenticator:
    """Who checks passwords and knows users, as configured."""
    return Authenticator(sources_of(config))


def sources_of(config: Config) -> list[Source]:
    """What knows users, in the order in which it is asked."""
    auth = config.auth
    made: dict[str, Callable[[], Source]] = {
        "password-file": lambda: PasswordFile(str(auth.password_file.path)),
        "saslauthd": lambda: Saslauthd(str(auth.saslauthd.socket), auth.saslauthd.realm),
    }
    return [made[name]() for name in auth.sources]


def _over_tls(context: TlsContext | None, factory: PumpFactory) -> TLSMemoryBIOFactory:
    assert context is not None  # the configuration was checked
    wrapped = TLSMemoryBIOFactory(cast(Any, context), False, cast(Any, factory))
    wrapped.noisy = False
    return wrapped


def _raise_descriptor_limit() -> None:
    """Let each connection have its descriptor: the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
