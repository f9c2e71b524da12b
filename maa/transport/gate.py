"""Before a listener's own factory: from which networks it serves, and who is behind a balancer.

A connection of a configured balancer begins with a header that names the client's address (PROXY
protocol). From there on it is that client's in every respect: what is allowed, limited, logged
and penalised is the real address. Anybody else is who the socket says, and a header sent by them
is an unknown command.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, ILoggingContext
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from maa.networks import Networks, plain
from maa.transport.proxy_protocol import Header, NoHeader, read
from maa.transport.reactor import Clock, Timer

HEADER_SECONDS: Final = 5.0
"""For a balancer to send its header, which it does at once."""
WAITING_MAX: Final = 1000
"""Connections whose header is waited for; with one more the oldest is dropped."""
_QUIET_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


@implementer(ILoggingContext)
class Gate(ServerFactory):
    """Lets in who may come, under the address that is really theirs."""

    noisy = False

    def __init__(
        self,
        inner: Any,
        clock: Clock,
        *,
        allow: Networks,
        proxies: Networks,
        refused: Callable[[], None],
    ) -> None:
        """`allow` without any network is everybody; `refused` counts who was not let in."""
        self._inner = inner
        self._allow = allow
        self._proxies = proxies
        self._refused = refused
        self._quiet_until = 0.0
        self.clock = clock
        self.waiting: dict[_Waiting, None] = {}

    def logPrefix(self) -> str:
        """As the listener is called."""
        return str(self._inner.logPrefix())

    def doStart(self) -> None:
        """The listener begins."""
        super().doStart()
        self._inner.doStart()

    def doStop(self) -> None:
        """The listener ends, and with it who has not said whose connection it is."""
        for waiting in tuple(self.waiting):
            waiting.abort()
        self._inner.doStop()
        super().doStop()

    def buildProtocol(self, addr: IAddress) -> Any:  # type: ignore[override]
        """What serves the connection; None: it is closed without a word."""
        if self._proxies and _host(addr) in self._proxies:
            return _Waiting(self, addr)
        return self.admitted(addr)

    def admitted(self, addr: IAddress) -> Any:
        """What serves a client of this address; None when it may not come. A Unix socket may."""
        host = _host(addr)
        if self._allow and host and host not in self._allow:
            self.refuse(f"{host} is in no network that is allowed")
            return None
        return self._inner.buildProtocol(addr)

    def refuse(self, why: str) -> None:
        """Count it, and say it; a flood is said once a second."""
        self._refused()
        now = self.clock.seconds()
        if now >= self._quiet_until:
            self._quiet_until = now + _QUIET_SECONDS
            _log.info("%s: connection refused: %s", self.logPrefix(), why)


class _Waiting(Protocol):
    """A balancer's connection until its header has come."""

    def __init__(self, gate: Gate, addr: IAddress) -> None:
        self._gate = gate
        self._addr = addr
        self._data = b""
        self._timer: Timer | None = None

    def connectionMade(self) -> None:
        """Wait, but not for ever, and not for any number of them."""
        gate = self._gate
        if len(gate.waiting) >= WAITING_MAX:
            next(iter(gate.waiting)).abort()
        gate.waiting[self] = None
        self._timer = gate.clock.callLater(HEADER_SECONDS, self._late)

    def dataReceived(self, data: bytes) -> None:
        """Part of the header, or all of it and what the client said behind it."""
        if self._timer is None:
            return
        self._data += data
        try:
            header = read(self._data)
        except NoHeader as error:
            self._gate.refuse(f"no PROXY header from {_host(self._addr)}: {error}")
            self.abort()
            return
        if header is not None:
            self._done()
            self._hand_over(header)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone before it said anything."""
        self._done()

    def abort(self) -> None:
        """Close it."""
        self._done()
        cast(Any, self.transport).abortConnection()

    def _late(self) -> None:
        self._gate.refuse(f"no PROXY header from {_host(self._addr)} in {HEADER_SECONDS:.0f} s")
        self._timer = None
        self.abort()

    def _done(self) -> None:
        self._gate.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_over(self, header: Header) -> None:
        """The connection is the client's, and the listener's own protocol has it."""
        transport = cast(Any, self.transport)
        addr = _address(header) or self._addr
        served = self._gate.admitted(addr)
        if served is None:
            transport.abortConnection()
            return
        transport.protocol = served
        served.makeConnection(transport)
        rest, self._data = self._data[header.octets :], b""
        if rest:
            served.dataReceived(rest)


def _host(addr: IAddress) -> str:
    host = getattr(addr, "host", "")
    return plain(host) if isinstance(host, str) else ""


def _address(header: Header) -> IAddress | None:
    if not header.host:
        return None
    kind = IPv6Address if ":" in header.host else IPv4Address
    return cast(IAddress, kind("TCP", header.host, header.port))
