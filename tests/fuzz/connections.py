"""Fuzz targets for what comes before a login: PROXY headers, POP3's lines, and whose a name is."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock

from maa.auth.names import ADDRESS_LENGTH_MAX, Tables
from maa.auth.sasl import text
from maa.conversation import Peer
from maa.networks import Networks
from maa.pop3.wire import LINE_OCTETS_MAX
from maa.transport.gate import Gate
from maa.transport.proxy_protocol import V2_OCTETS_MAX, NoHeader, read
from tests.fuzz.logins import desk, place
from tests.pop3.world import PEERS, Client, World
from tests.transport.net import Wire

_BALANCER: Final[Any] = IPv4Address("TCP", "10.0.0.5", 40000)
_BALANCERS: Final = Networks.parse(["10.0.0.5"])
_ANYBODY: Final = Networks.parse([])
_HEADER_OCTETS_MAX: Final = 16 + V2_OCTETS_MAX
_CHALLENGE: Final = re.compile(rb"^\+ .*$", re.M)
_ANSWERS: Final = re.compile(rb"(?:(?:\+OK|-ERR|\+) [^\r\n]*\r\n|[A-Z][^\r\n]*\r\n|\.\r\n)*")


def name_tables(data: bytes) -> None:
    """An account of bounded length, or nobody.

    NUL stands between the three files, and before each name that is looked up.
    """
    local, domains, addresses, *names = (data + b"\0\0").split(b"\0")
    tables = Tables.parse(("local", local), ("domains", domains), ("addresses", addresses))
    for name in names:
        for default_domain in ("", "example.org"):
            account = tables.account(text(name), default_domain)
            assert account is None or len(account) <= ADDRESS_LENGTH_MAX * len(data)


class _Inside(Protocol):
    """Notes what the listener's own protocol gets."""

    def __init__(self, host: str, port: int) -> None:
        self.said = b""
        self.host, self.port = host, port

    def dataReceived(self, data: bytes) -> None:
        self.said += data


class _Listener(ServerFactory):
    noisy = False

    def buildProtocol(self, addr: Any) -> _Inside:
        return _Inside(addr.host, addr.port)


def proxy_header(data: bytes) -> None:
    """The same client, or the same refusal, however the header is cut; and it ends.

    The first octet says how many octets come at a time.
    """
    step, data = (data[0] % 64 + 1 if data else 1), data[1:]
    whole = _verdict([data])
    assert whole == _verdict([data[at : at + step] for at in range(0, len(data), step)])
    if isinstance(whole, tuple):
        ip_address(whole[0])
    with suppress(NoHeader):
        assert read(data + bytes(_HEADER_OCTETS_MAX)) is not None


def _verdict(pieces: list[bytes]) -> tuple[str, int, bytes] | str:
    """Whose connection it is, and what came behind the header; or that it is closed, or waits."""
    gate = Gate(_Listener(), Clock(), allow=_ANYBODY, proxies=_BALANCERS, refused=_nothing)
    wire: Any = Wire()
    protocol = wire.protocol = gate.buildProtocol(_BALANCER)
    protocol.makeConnection(wire)
    for piece in pieces:
        if not wire.aborted:
            wire.protocol.dataReceived(piece)
    if wire.aborted:
        return "closed"
    inside = wire.protocol
    return (inside.host, inside.port, inside.said) if isinstance(inside, _Inside) else "waits"


def _nothing() -> None:
    """Refusals are not counted here."""


@cache
def _world() -> World:
    world = World(place("pop3"), logged_in=False)
    world.authenticator = desk().authenticator
    return world


def pop3(data: bytes) -> None:
    """The same answers however the lines are cut, and nobody is let in.

    The first octet says how many octets come at a time, and whether there is TLS.
    """
    first, data = (data[0] if data else 0), data[1:]
    peer, step = PEERS["tls" if first & 1 else "loopback"], (first >> 1) + 1
    whole = _answers(peer, [data])
    assert whole == _answers(peer, [data[at : at + step] for at in range(0, len(data), step)])
    assert b"internal error" not in whole
    assert _ANSWERS.fullmatch(whole), whole


def _answers(peer: Peer, pieces: list[bytes]) -> bytes:
    """What is answered; challenges are new each time, so without these."""
    world = _world()
    client = Client(world, peer, world.settings)
    client.output.clear()
    for piece in pieces:
        if not client.closed:
            client.send(piece)
            assert client.session.held_octets <= LINE_OCTETS_MAX + 1
    assert not client.session.logged_in
    client.session.lost()
    return _CHALLENGE.sub(b"+ \r", bytes(client.output))
