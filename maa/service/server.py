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
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread

from maa import __version__
from maa.auth.app_passwords import AppPasswords, seen_folder
from maa.auth.credentials import Authenticator
from maa.auth.installation import secret
from maa.auth.kerberos import Kerberos
from maa.auth.names import Names
from maa.auth.password_file import PasswordFile
from maa.auth.penalties import Free, Ledgers, Penalties
from maa.auth.saslauthd import Saslauthd
from maa.auth.source import Source
from maa.auth.tokens import Issuer, Tokens
from maa.service import logs, privileges
from maa.service.accepting import Acceptor, ahead
from maa.service.audit_file import AuditFile
from maa.service.config import Config, Oauth
from maa.service.exposed import exposed
from maa.service.factories import PROTOCOLS, Factories
from maa.service.growth import History
from maa.service.listeners import CannotListen, Listener, listen, stop_listening
from maa.service.metrics import Metric, Watchdog, metrics, usage_metrics
from maa.service.tls import Certificates
from maa.service.worker import Seat
from maa.store.accounts import Accounts
from maa.store.mailbox import Mailbox
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.transport.calls import Calls
from maa.transport.pokes import Chores, HintReader, synced, tidied, unwatched
from maa.transport.rawlog import DIRECTORY, Rawlogs
from maa.transport.sessions import Limits, Sessions

STOP_SECONDS = 30.0
"""For a message that is being appended to arrive whole (R252)."""
CERTIFICATE_LOOK_SECONDS = 30.0
RAWLOG_LOOK_SECONDS = 1.0
ROUNDS_SECONDS = 30.0
"""How long mail waits that arrives where inotify sees nothing, until IDLE tells of it."""
TIDY_SECONDS = 0.1
ANY = "*"
"""In place of an issuer or an audience: whoever it is."""
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


def certificates_of(config: Config) -> Certificates | None:
    """The configured certificates, read now, with the contexts that the listeners need."""
    if not config.tls.pairs:
        return None
    certificates = Certificates(config.tls)
    for name, endpoint in config.listen.named():
        if name in PROTOCOLS:
            certificates.context(PROTOCOLS[name], endpoint.client_certificates)
    return certificates


def shed_privileges(config: Config, file: Path | None) -> None:
    """Give up what was needed to bind ports and read keys; before there are threads."""
    for fault in exposed(config, passwords=False):
        _log.warning("%s", fault)
    if os.geteuid() == 0:
        os.setgroups([])  # no user's mail is to be reached through them
    try:
        remote = any(endpoint.remote for _, endpoint in config.listen.named())
        privileges.shed(config.run_as, config.state, remote=remote)
    except privileges.CannotDrop as error:
        raise SystemExit(f"{file or 'maa'}: {error}") from None


def audit_of(config: Config, file: Path | None) -> AuditFile | None:
    """The audit log, begun, if one is configured."""
    if config.log.audit is None:
        return None
    audit = audit_file(config.log.audit, file)
    audit.start()
    return audit


def audit_file(path: Path, file: Path | None) -> AuditFile:
    """The audit log, open; SystemExit."""
    try:
        return AuditFile(path)
    except OSError as error:
        raise SystemExit(f"{file or 'maa'}: log.audit: {error}") from None


def ensure_serves(config: Config, file: Path | None) -> None:
    """SystemExit where a server would not start with what can change while one runs."""
    authenticator_of(config)
    if config.log.audit is not None:
        audit_file(config.log.audit, file).give_back()


def limits_of(config: Config) -> Limits:
    """How many connections there may be, as configured."""
    limits = config.limits
    return Limits(
        connections=limits.connections,
        per_address=limits.connections_per_address,
        per_user=limits.sessions_per_user,
        per_device=limits.sessions_per_device,
        exempt=limits.exempt,
        strangers=limits.not_logged_in,
        strangers_per_address=limits.not_logged_in_per_address,
    )


def places_of(config: Config) -> MailPlaces:
    """Where users' mail is, as configured."""
    mail = config.mail
    return MailPlaces.parse(mail.home, mail.inbox, mail.folders, mail.locks, mail.quota)


def authenticator_of(
    config: Config,
    ledgers: Ledgers | None = None,
    *,
    sources: Sequence[Source] | None = None,
    app_passwords: AppPasswords | None = None,
) -> Authenticator:
    """Who checks passwords and knows users, as configured, but for what is given.

    `ledgers` say who guessed.
    """
    auth, names, issuer = config.auth, config.auth.names, issuer_of(config.auth.oauth)
    gssapi, limits = config.auth.gssapi, config.limits
    try:
        tokens = Tokens(issuer) if issuer.jwks or issuer.introspection else None
        kerberos = Kerberos(str(gssapi.keytab), gssapi.realm) if gssapi.keytab else None
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing: maa check-config says what needs it") from None
    free = Free(limits.failed_logins_per_address, limits.failed_logins_per_account, limits.exempt)
    return Authenticator(
        sources_of(config) if sources is None else sources,
        penalties=Penalties(ledgers, free),
        names=Names(
            names.default_domain,
            _text(names.local_hosts),
            _text(names.domain_table),
            _text(names.virtual_users),
        ),
        app_passwords=app_passwords or app_passwords_of(config),
        tokens=tokens,
        kerberos=kerberos,
        mechanisms=wanted_mechanisms(auth.mechanisms),
        proxies=auth.proxies,
        secret=partial(secret, str(config.state)),
        first_uid=auth.first_uid,
    )


def app_passwords_of(config: Config) -> AppPasswords:
    """The devices' passwords, as configured."""
    return AppPasswords(str(config.auth.app_passwords.path), seen_folder(str(config.state)))


def issuer_of(oauth: Oauth) -> Issuer:
    """Whose tokens are taken, as configured."""
    return Issuer(
        oauth.claim,
        "" if oauth.issuer == ANY else oauth.issuer,
        "" if oauth.audience == ANY else oauth.audience,
        oauth.scope,
        oauth.jwks,
        oauth.introspection,
        oauth.client_id,
        _text(oauth.secret_file) or "",
    )


def wanted_mechanisms(names: tuple[str, ...]) -> tuple[bytes, ...]:
    """As the authenticator takes them."""
    return tuple(name.upper().encode() for name in names)


def sources_of(config: Config) -> list[Source]:
    """What knows users, in the order in which it is asked."""
    auth = config.auth
    made: dict[str, Callable[[], Source]] = {
        "password-file": lambda: PasswordFile(
            str(auth.password_file.path), auth.password_file.rehash
        ),
        "saslauthd": lambda: Saslauthd(
            str(auth.saslauthd.socket),
            auth.saslauthd.realm,
            vouched=auth.saslauthd.vouched,
            silent_seconds=auth.saslauthd.silent_seconds,
        ),
    }
    return [made[name]() for name in auth.sources]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _raise_descriptor_limit() -> None:
    """Let each connection have its descriptor: the soft limit is often 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
