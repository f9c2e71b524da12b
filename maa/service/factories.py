"""What serves the connections of one listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from twisted.protocols.tls import TLSMemoryBIOFactory

from maa.auth.credentials import Authenticator
from maa.imap.states import ImapSettings
from maa.pop3.states import Pop3Settings
from maa.service.config import Config, Endpoint
from maa.service.metrics import Metric
from maa.service.status_page import status_site
from maa.service.tls import Certificates, TlsContext
from maa.store.accounts import Accounts
from maa.transport.factory import PumpFactory
from maa.transport.gate import Gate
from maa.transport.imap import imap_factory
from maa.transport.pop3 import pop3_factory
from maa.transport.rawlog import Rawlogs
from maa.transport.reactor import Clock
from maa.transport.sessions import Sessions

PROTOCOLS: Final = {"imap": b"imap", "imaps": b"imap", "pop3": b"pop3", "pop3s": b"pop3"}
"""The lists in `[listen]` for mail clients, and what ALPN calls their protocols."""
_IMPLICIT_TLS: Final = ("imaps", "pop3s")


@dataclass(frozen=True, slots=True)
class Factories:
    """Makes the factory of any listener; here is all that connections need."""

    config: Config
    certificates: Certificates | None
    sessions: Sessions
    accounts: Accounts
    authenticator: Authenticator
    rawlogs: Rawlogs
    figures: Callable[[], Iterator[Metric]]

    def of(self, name: str, endpoint: Endpoint) -> Any:
        """Of an endpoint in the list `name` of `[listen]`."""
        if name == "http":
            made = status_site(self.figures, self.config.hostname)
        else:
            made = self._of_mail(name, endpoint)
        counters = self.sessions.counters
        return gated(endpoint, made, self.sessions.clock, counters.refuse)

    def _of_mail(self, name: str, endpoint: Endpoint) -> Any:
        clients = endpoint.client_certificates
        tls = None
        if self.certificates is not None:
            tls = self.certificates.context(PROTOCOLS[name], clients)
        implicit = name in _IMPLICIT_TLS
        imap = PROTOCOLS[name] == b"imap"
        settings = (ImapSettings if imap else Pop3Settings)(
            hostname=self.config.hostname,
            starttls=tls is not None,
            plaintext_login=self.config.tls.plaintext_login,
        )
        if isinstance(settings, ImapSettings):
            limits = self.config.limits
            settings = replace(
                settings,
                keepalive_seconds=60 * limits.keepalive_minutes,
                mobile_keepalive_seconds=60 * limits.mobile_keepalive_minutes,
            )
        if clients == "required":
            # Who did not begin TLS showed no certificate.
            settings = replace(settings, plaintext_login="never", tls_required=True)
        made = cast(Callable[..., PumpFactory], imap_factory if imap else pop3_factory)(
            *(self.sessions, self.accounts, self.authenticator, settings),
            rawlogs=self.rawlogs,
            implicit_tls=implicit,
            tls=None if implicit else tls,
        )
        return _over_tls(tls, made) if implicit else made


def gated(endpoint: Endpoint, factory: Any, clock: Clock, refused: Callable[[], None]) -> Any:
    """The factory, behind a gate where the endpoint has one."""
    if not endpoint.allow and not endpoint.proxies:
        return factory
    return Gate(factory, clock, allow=endpoint.allow, proxies=endpoint.proxies, refused=refused)


def _over_tls(context: TlsContext | None, factory: PumpFactory) -> TLSMemoryBIOFactory:
    assert context is not None  # the configuration was checked
    wrapped = TLSMemoryBIOFactory(cast(Any, context), False, cast(Any, factory))
    wrapped.noisy = False
    return wrapped
