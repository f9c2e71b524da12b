"""Every transcript once more, over real sockets, TLS or compressed, with real threads and hints."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory

from maa.conversation import Conversation, Peer
from maa.imap.session import Session as ImapSession
from maa.pop3.session import Session as Pop3Session
from maa.service.config import Tls
from maa.service.demo import new_certificate
from maa.service.tls import Certificates, TlsContext
from maa.store.mailbox import Mailbox
from maa.transport.factory import PumpFactory
from maa.transport.pokes import Chores, HintReader, synced
from maa.transport.sessions import Sessions
from tests.imap.world import SessionWorld
from tests.pop3.world import World as Pop3World
from tests.transcripts.player import CLOSED, Transcript, play, transcripts
from tests.transport.streams import ACTIVE, Streams

QUIET_SECONDS = 0.05
PATIENCE_SECONDS = 20.0

Make = Callable[[Peer, Callable[[], None]], Conversation]


class HastyClock:
    """The reactor's time, but nobody waits longer than a moment: delays are tested elsewhere."""

    def seconds(self) -> float:
        return time.monotonic()

    def callLater(self, delay: float, call: Callable[..., object], *arguments: object) -> Any:
        return reactor.callLater(min(delay, 0.01), call, *arguments)  # type: ignore[attr-defined]


class Service:
    """One listener over a world's mailboxes, in the reactor of the tests."""

    def __init__(self, world: Any, make: Make, tls: bool, context: TlsContext) -> None:
        self.world = world
        self.tls = tls
        self.sessions = Sessions(HastyClock(), reactor.callFromThread)  # type: ignore[attr-defined]
        self.sessions.start()

        def converse(peer: Peer, wake: Callable[[], None]) -> Conversation:
            # The transcript says what the session is to believe; the socket has TLS all the same.
            return make(replace(world.peer, session=peer.session), wake)

        factory: Any = PumpFactory(
            "test", self.sessions, converse, refusal=b"", implicit_tls=self.tls, tls=context
        )
        if self.tls:
            factory = TLSMemoryBIOFactory(context, False, factory)
        self.hints = HintReader(world.watcher)
        reactor.addReader(self.hints)  # type: ignore[attr-defined]
        Mailbox.on_stale = Chores[Mailbox](self.sessions.user_lane, synced).put
        self.listener = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.said = self.heard = 0

    @property
    def port(self) -> int:
        return self.listener.getHost().port

    def quiet(self) -> bool:
        """All that was said has been taken, answered, and the answers have been received."""
        counters = self.sessions.counters
        return (
            counters.octets_in >= self.said
            and counters.octets_out == self.heard
            and not any(pump.busy for pump in tuple(self.sessions.pumps))
        )

    async def stop(self) -> None:
        Mailbox.on_stale = None
        reactor.removeReader(self.hints)  # type: ignore[attr-defined]
        await self.listener.stopListening()
        await self.sessions.stop(5)
        await deferToThread(self.sessions.close, 5)


class SocketClient:
    """A client on a real socket, in a thread of its own."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.socket = socket.create_connection(("127.0.0.1", service.port), PATIENCE_SECONDS)
        self.buffer = b""
        self.closed = False
        self.streams: Streams | None = None
        if service.tls:
            self.start_tls()

    def start_tls(self) -> None:
        self.socket.settimeout(PATIENCE_SECONDS)
        self.socket = self.context.wrap_socket(self.socket)

    def send(self, data: bytes) -> None:
        if self.streams is not None:
            data = self.streams.packed(data)
        self.socket.settimeout(PATIENCE_SECONDS)
        self.service.said += len(data)
        with suppress(OSError):  # a server that has closed is found out by `line`
            self.socket.sendall(data)

    def line(self) -> bytes | None:
        until = time.monotonic() + PATIENCE_SECONDS
        still = 0.0
        while b"\r\n" not in self.buffer:
            if self.closed:
                return CLOSED
            self.socket.settimeout(QUIET_SECONDS)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                if still and self.service.quiet():
                    return None
                still = time.monotonic()
                assert still < until, "neither an answer nor the end of it"
                continue
            except OSError:
                data = b""
            self.closed = not data
            self.service.heard += len(data)
            self.buffer += data if self.streams is None else self.streams.unpacked(data)
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        if line.endswith(ACTIVE):
            self.streams = Streams()
            self.buffer = self.streams.unpacked(self.buffer)
        return line

    def ask(self, line: bytes) -> bytes:
        self.send(line + b"\r\n")
        return self.line() or b""


class SocketImapWorld(SessionWorld):
    """IMAP over sockets."""

    service: Service
    compressed = False

    def client(self, number: int) -> SocketClient:  # type: ignore[override]
        if number not in self.clients:
            client = SocketClient(self.service)
            if self.logged_in:
                client.line()
                assert client.ask(b"login LOGIN joe secret").startswith(b"login OK")
                if self.compressed:
                    assert client.ask(b"z COMPRESS DEFLATE").startswith(b"z OK")
            self.clients[number] = client  # type: ignore[assignment]
        return self.clients[number]  # type: ignore[return-value]

    def settle(self) -> None:
        """The hints find their way by themselves."""
        time.sleep(QUIET_SECONDS)

    def close(self) -> None:
        for client in self.clients.values():
            client.socket.close()  # type: ignore[attr-defined]
        self.accounts.close()
        self.watcher.close()


class SocketPop3World(Pop3World):
    """POP3 over sockets."""

    service: Service

    def client(self, number: int = 1) -> SocketClient:  # type: ignore[override]
        if number not in self.clients:
            client = SocketClient(self.service)
            if self.logged_in:
                client.line()
                client.ask(b"USER joe")
                assert client.ask(b"PASS secret").startswith(b"+OK")
            self.clients[number] = client  # type: ignore[assignment]
        return self.clients[number]  # type: ignore[return-value]

    def close(self) -> None:
        for client in self.clients.values():
            client.socket.close()  # type: ignore[attr-defined]
        self.accounts.close()
        self.watcher.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificate")
    new_certificate(folder / "cert.pem", folder / "key.pem")
    return Certificates(Tls(folder / "cert.pem", folder / "key.pem"))


PATHS = [*transcripts("imap"), *transcripts("pop3")]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
@pytest_twisted.ensureDeferred
async def test_transcript_over_tls(path: Path, tmp_path: Path, certificate: Certificates) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world: Any
    if path.parent.name == "imap":
        world = SocketImapWorld.of(transcript, tmp_path)
        context = certificate.context(b"imap")

        def make(peer: Peer, wake: Callable[[], None]) -> Conversation:
            return ImapSession(world.accounts, world.authenticator, peer, world.settings, wake)

    else:
        world = SocketPop3World.of(transcript, tmp_path)
        context = certificate.context(b"pop3")

        def make(peer: Peer, wake: Callable[[], None]) -> Conversation:
            return Pop3Session(world.accounts, world.authenticator, peer, wake, world.settings)

    await played(transcript, world, make, not any(part.tls for part in transcript.parts), context)


COMPRESSIBLE = [
    path
    for path in transcripts("imap")
    if not {"@greeting", "S: c OK DEFLATE active"} & set(path.read_text("utf-8").splitlines())
]
"""Those in which somebody is logged in from the start, and which do not compress by themselves."""


@pytest.mark.parametrize("path", COMPRESSIBLE, ids=lambda path: path.stem)
@pytest_twisted.ensureDeferred
async def test_transcript_compressed(path: Path, tmp_path: Path, certificate: Certificates) -> None:
    transcript = Transcript.parse(path.read_text("utf-8"))
    world = SocketImapWorld.of(transcript, tmp_path)
    world.compressed = True

    def make(peer: Peer, wake: Callable[[], None]) -> Conversation:
        return ImapSession(world.accounts, world.authenticator, peer, world.settings, wake)

    await played(transcript, world, make, False, certificate.context(b"imap"))


async def played(
    transcript: Transcript, world: Any, make: Make, tls: bool, context: TlsContext
) -> None:
    world.service = service = Service(world, make, tls, context)
    try:
        await deferToThread(play, transcript, world)
    finally:
        await service.stop()
        world.close()
