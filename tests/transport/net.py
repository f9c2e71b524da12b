"""A process's sessions without sockets: transports in memory, time and threads in our hands."""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure

from maa.conversation import Conversation, Peer
from maa.transport.pump import Pump
from maa.transport.recorded import Recorded, Recorder, Redactors
from maa.transport.sessions import Limits, Sessions
from tests.transport.talk import HandLane, Talk


class Wire(StringTransportWithDisconnection):
    """What a client's socket sees."""

    producer: Pump | None
    aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass

    def abortConnection(self) -> None:
        self.aborted = True
        self.loseConnection()

    def take(self) -> bytes:
        sent = self.value()
        self.clear()
        return sent


@dataclass
class Client:
    """One connection."""

    pump: Pump
    wire: Wire
    talks: list[Talk]

    @property
    def talk(self) -> Talk:
        return self.talks[0]

    def send(self, data: bytes) -> bytes:
        self.pump.dataReceived(data)
        return self.wire.take()

    def hang_up(self) -> None:
        self.pump.connectionLost(Failure(ConnectionDone()))


@dataclass
class Net:
    """A process's sessions, and clients of it."""

    limits: Limits = field(default_factory=Limits)

    recording: tuple[Recorder, Redactors] | None = None
    """Record the conversations."""

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.users, self.strangers = HandLane(), HandLane()
        self.sessions = Sessions(
            self.clock,
            lambda call, *arguments: call(*arguments),
            self.limits,
            user_lane=self.users,
            login_lane=self.strangers,
        )

    def client(self, address: str = "192.0.2.1", tls: bool = False) -> Client:
        talks: list[Talk] = []

        def converse(peer: Peer, wake: object) -> Conversation:
            talks.append(Talk(peer, wake))  # type: ignore[arg-type]
            if self.recording is not None:
                return Recorded(talks[-1], peer, *self.recording)
            return talks[-1]

        pump = Pump(self.sessions, converse, address, implicit_tls=tls, refusal=b"too many\r\n")
        wire = Wire()
        wire.protocol = pump  # type: ignore[assignment]
        pump.makeConnection(wire)  # type: ignore[arg-type]
        return Client(pump, wire, talks)

    def greeted(self, address: str = "192.0.2.1") -> Client:
        client = self.client(address)
        assert client.wire.take() == b"hello\r\n"
        return client

    def tick(self, seconds: float) -> None:
        self.clock.pump([1.0] * int(seconds))
