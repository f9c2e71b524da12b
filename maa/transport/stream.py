"""The octets of one connection, as its conversation has them: plain, whatever the wire has.

What the client sent waits here until the conversation takes it; when that is a good deal,
reading pauses (R045). TLS and compression begin here and are noticed nowhere else.

Plain TCP sends from here directly while the transport has nothing queued, which spares a turn of
the reactor and two epoll_ctl a command. The transport reports "queue empty" only to a
producer that it has paused, so a partial send marks it paused.
"""

from __future__ import annotations

from typing import Final

from twisted.internet import tcp

from maa.transport.deflate import Deflate
from maa.transport.reactor import Connection

WAITING_OCTETS: Final = 65536


class Stream:
    """Both directions of a connection, on the reactor thread but for `encoded`."""

    __slots__ = ("_deflate", "_direct", "_reading", "_transport", "_waiting", "full")

    def __init__(self, transport: Connection, implicit_tls: bool) -> None:
        self._transport = transport
        self._direct = not implicit_tls and isinstance(transport, tcp.Connection)
        self._deflate: Deflate | None = None
        self._waiting = b""
        self._reading = True
        self.full = False
        """The client takes no more at present."""

    def start_tls(self, context: object) -> None:
        """Begin TLS; what was sent in the clear behind the command is forgotten (R026)."""
        self._waiting = b""
        self._direct = False
        self._transport.startTLS(context)

    def start_compression(self) -> None:
        """Begin to compress; here, too, what came behind the command is forgotten (R027)."""
        self._waiting = b""
        self._deflate = Deflate()

    # From the client

    def received(self, data: bytes) -> None:
        """Keep what came."""
        self._waiting = self._waiting + data if self._waiting else data

    def hold_back(self) -> None:
        """Read no more when much waits already."""
        if self._reading and len(self._waiting) >= WAITING_OCTETS:
            self._reading = False
            self._transport.pauseProducing()

    @property
    def has_input(self) -> bool:
        """Whether there is something to take."""
        return bool(self._waiting) or (self._deflate is not None and self._deflate.more)

    def taken(self) -> bytes:
        """What the client meant, some 64 KiB at most where it is compressed; DamagedStream."""
        data, self._waiting = self._waiting, b""
        return data if self._deflate is None else self._deflate.inflated(data)

    def read_on(self) -> None:
        """What was taken is in good hands: read again."""
        if not self._reading and (self._deflate is None or not self._deflate.more):
            self._reading = True
            self._transport.resumeProducing()

    # To the client

    def encoded(self, data: bytes) -> bytes:
        """What `send` takes for these octets; on whatever thread has the step."""
        return self._deflate.deflated(data) if data and self._deflate is not None else data

    def send(self, data: bytes) -> bool:
        """Send or queue; whether the transport will say when it has sent all (`full`)."""
        transport = self._transport
        if not self._direct or self.full:
            transport.write(data)
            return False
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):
            if sent == len(data):
                return False
            data = data[sent:]
        transport.write(data)
        # Now something is queued: hear when nothing is any more, however little it is.
        transport.producerPaused = True
        return True
