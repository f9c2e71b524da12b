"""The parts of Twisted that the transport uses, as types: zope's interfaces say too little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call to come, as `IDelayedCall`."""

    def active(self) -> bool:
        """Whether it is still to come."""

    def cancel(self) -> None:
        """Forget it."""


class Clock(Protocol):
    """`IReactorTime`: the reactor, or Twisted's `Clock` in tests."""

    def seconds(self) -> float:
        """Now."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> Timer:
        """Call it on the reactor thread, so many seconds from now."""


class Connection(Protocol):
    """`ITCPTransport`, `IConsumer` and `IPushProducer` in one, as Twisted's connections are."""

    producerPaused: bool
    """The producer of output was told to pause, so it will be told to resume."""

    def write(self, data: bytes) -> None:
        """Queue octets to send."""

    def loseConnection(self) -> None:
        """Close when all is sent."""

    def abortConnection(self) -> None:
        """Close at once."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Send small pieces at once."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Find out when the other side is gone without a word."""

    def registerProducer(self, producer: object, streaming: bool) -> None:
        """Tell who to pause when too much is queued."""

    def unregisterProducer(self) -> None:
        """Tell nobody any more."""

    def pauseProducing(self) -> None:
        """Stop reading."""

    def resumeProducing(self) -> None:
        """Read again."""

    def startTLS(self, contextFactory: object) -> None:
        """Begin TLS on a plain connection."""

    def writeSomeData(self, data: bytes) -> int | BaseException:
        """Send directly: how much the socket took, or why the connection is lost."""
