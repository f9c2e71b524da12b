"""R249: whatever may block is done on worker threads, in every transcript of both protocols."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from maa.conversation import Conversation, Peer
from maa.imap.session import Session as ImapSession
from maa.pop3.session import Session as Pop3Session
from maa.transport.pump import Pump
from maa.transport.sessions import Sessions
from tests.imap.world import SessionWorld
from tests.pop3.world import World as Pop3World
from tests.transcripts.player import CLOSED, Transcript, play, transcripts
from tests.transport.guard import reactor_thread
from tests.transport.net import Wire
from tests.transport.streams import ACTIVE, Streams
from tests.transport.talk import HandLane


class Reactor:
    """Plays the reactor: guarded, while the lanes' jobs run on a thread of their own."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lane = HandLane()
        self.calls: deque[Callable[[], object]] = deque()
        self.blocked: list[str] = []
        self.sessions = Sessions(
            self.clock,
            lambda call, *arguments: self.calls.append(lambda: call(*arguments)),
            user_lane=self.lane,
            login_lane=self.lane,
        )

    def run(self, call: Callable[[], object]) -> None:
        """Run the call as the reactor does, then all that follows from it, delays included."""
        self.calls.append(call)
        while True:
            while self.calls:
                self._guarded(self.calls.popleft())
            if self.lane.jobs:
                worker = threading.Thread(target=self.lane.run)
                worker.start()
                worker.join()
            elif (seconds := self._until_next()) is not None:
                self._guarded(lambda seconds=seconds: self.clock.advance(seconds))
            else:
                return

    def _guarded(self, call: Callable[[], object]) -> None:
        with reactor_thread() as found:
            call()
        self.blocked += found

    def _until_next(self) -> float | None:
        """How long until something is due that is more than the tick of the wheel."""
        due = [
            timer.getTime()
            for timer in self.clock.getDelayedCalls()
            if timer.func != self.sessions.wheel._tick
        ]
        return min(due) - self.clock.seconds() if due else None


class PumpClient:
    """A transcript's client, over a pump."""

    def __init__(
        self,
        reactor: Reactor,
        make: Callable[..., Conversation],
        peer: Peer,
        drain: Callable[[], None] = lambda: None,
    ) -> None:
        """`drain`: what the reactor does when the disk has hints."""
        self.reactor = reactor
        self.drain = drain
        self.conversation: Conversation | None = None
        self.wire = Wire()
        self.output = b""
        self.streams: Streams | None = None

        def converse(_: Peer, wake: Callable[[], None]) -> Conversation:
            self.conversation = make(peer, wake)
            return self.conversation

        self.pump = Pump(reactor.sessions, converse, peer.address, tls=object())
        self.wire.protocol = self.pump  # type: ignore[assignment]
        self.wire.startTLS = lambda context: self.pump.handshakeCompleted()  # type: ignore[attr-defined]
        reactor.run(lambda: self.pump.makeConnection(self.wire))  # type: ignore[arg-type]

    @property
    def session(self) -> Conversation:
        assert self.conversation is not None
        return self.conversation

    def send(self, data: bytes) -> None:
        octets = data if self.streams is None else self.streams.packed(data)
        self.reactor.run(lambda: self.pump.dataReceived(octets))
        self.reactor.run(self.drain)

    def poke(self) -> None:
        self.reactor.run(lambda: None)

    def start_tls(self) -> None:
        """Begun when the session asked for it."""

    def take(self) -> bytes:
        data, self.output = self.output + self._received(), b""
        return data

    def _received(self) -> bytes:
        data = self.wire.take()
        return data if self.streams is None else self.streams.unpacked(data)

    def line(self) -> bytes | None:
        self.output += self._received()
        line, end, rest = self.output.partition(b"\r\n")
        if not end:
            return None if self.wire.connected else CLOSED
        self.output = rest
        if line.endswith(ACTIVE):
            self.streams = Streams()
            self.output = self.streams.unpacked(self.output)
        return line

    def ask(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.take()


class GuardedImapWorld(SessionWorld):
    """IMAP, each connection over a pump."""

    reactor: Reactor

    def client(self, number: int) -> PumpClient:  # type: ignore[override]
        if number not in self.clients:

            def make(peer: Peer, wake: Callable[[], None]) -> ImapSession:
                return ImapSession(self.accounts, self.authenticator, peer, self.settings, wake)

            client = PumpClient(self.reactor, make, self.peer, self.watcher.drain)
            if self.logged_in:
                client.take()
                assert client.ask(b"login LOGIN joe secret").startswith(b"login OK")
            self.clients[number] = client  # type: ignore[assignment]
        return self.clients[number]  # type: ignore[return-value]

    def close(self) -> None:
        self.watcher.close()


class GuardedPop3World(Pop3World):
    """POP3, each connection over a pump."""

    reactor: Reactor

    def client(self, number: int = 1) -> PumpClient:  # type: ignore[override]
        if number not in self.clients:

            def make(peer: Peer, wake: Callable[[], None]) -> Pop3Session:
                return Pop3Session(self.accounts, self.authenticator, peer, wake, self.settings)

            client = PumpClient(self.reactor, make, self.peer)
            if self.logged_in:
                client.take()
                client.ask(b"USER joe")
                assert client.ask(b"PASS secret").startswith(b"+OK")
            self.clients[number] = client  # type: ignore[assignment]
        return self.clients[number]  # type: ignore[return-value]

    def close(self) -> None:
        self.accounts.close()
        self.watcher.close()


@pytest.fixture
def reactor() -> Reactor:
    return Reactor()


@pytest.mark.parametrize("path", transcripts("imap"), ids=lambda path: path.stem)
def test_R249_no_imap_command_blocks_the_reactor(
    path: Path, tmp_path: Path, reactor: Reactor
) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = GuardedImapWorld.of(transcript, tmp_path)
    assert isinstance(world, GuardedImapWorld)
    world.reactor = reactor
    try:
        play(transcript, world)
    finally:
        world.close()
    assert reactor.blocked == []


@pytest.mark.parametrize("path", transcripts("pop3"), ids=lambda path: path.stem)
def test_R249_no_pop3_command_blocks_the_reactor(
    path: Path, tmp_path: Path, reactor: Reactor
) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = GuardedPop3World.of(transcript, tmp_path)
    assert isinstance(world, GuardedPop3World)
    world.reactor = reactor
    try:
        play(transcript, world)
    finally:
        world.close()
    assert reactor.blocked == []
