"""What makes a pump for each connection of a listener."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, ILoggingContext
from twisted.internet.protocol import ServerFactory
from zope.interface import implementer

from maa.networks import plain
from maa.transport.pump import Converse, Pump
from maa.transport.sessions import Sessions


@implementer(ILoggingContext)
class PumpFactory(ServerFactory):
    """One listener's connections, all with the same kind of conversation."""

    noisy = False

    def __init__(
        self,
        name: str,
        sessions: Sessions,
        converse: Converse,
        *,
        refusal: bytes,
        implicit_tls: bool,
        tls: object | None,
    ) -> None:
        """`name` is the protocol's, for the log."""
        self._name = name
        self._sessions = sessions
        self._converse = converse
        self._refusal = refusal
        self._implicit_tls = implicit_tls
        self._tls = tls

    def logPrefix(self) -> str:
        """What Twisted's log calls the listener."""
        return self._name

    def buildProtocol(self, addr: IAddress) -> Pump:  # type: ignore[override]
        """A pump that knows whom it talks to; a Unix socket's client has no address."""
        host = getattr(addr, "host", "")
        return Pump(
            self._sessions,
            self._converse,
            plain(host) if isinstance(host, str) else "",
            implicit_tls=self._implicit_tls,
            tls=self._tls,
            refusal=self._refusal,
        )
