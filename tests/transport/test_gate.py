"""Who is let in, and under which address."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransportWithDisconnection

from maa.networks import Networks
from maa.transport.factory import PumpFactory
from maa.transport.gate import HEADER_SECONDS, WAITING_MAX, Gate
from tests.transport.net import Net, Wire
from tests.transport.talk import Talk

BALANCER = IPv4Address("TCP", "10.0.0.5", 40000)
HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 143\r\n"


class House:
    """A listener with a gate."""

    def __init__(self, allow: tuple[str, ...] = (), proxies: tuple[str, ...] = ()) -> None:
        self.net = Net()
        self.talks: list[Talk] = []

        def converse(peer: Any, wake: Any) -> Talk:
            self.talks.append(Talk(peer, wake))
            return self.talks[-1]

        inner = PumpFactory(
            "TALK", self.net.sessions, converse, refusal=b"", implicit_tls=False, tls=None
        )
        self.gate = Gate(
            inner,
            self.net.clock,
            allow=Networks.parse(allow),
            proxies=Networks.parse(proxies),
            refused=self.net.sessions.counters.refuse,
        )
        self.gate.doStart()

    def come(self, addr: Any) -> Wire | None:
        """What a client sees; None: it is not let in."""
        protocol = self.gate.buildProtocol(addr)
        if protocol is None:
            return None
        wire = Wire()
        wire.protocol = protocol
        protocol.makeConnection(wire)
        return wire

    def say(self, wire: StringTransportWithDisconnection, data: bytes) -> bytes:
        """Octets from the client, to whoever has the connection."""
        assert wire.protocol is not None
        wire.protocol.dataReceived(data)
        sent = wire.value()
        wire.clear()
        return sent

    @property
    def refused(self) -> int:
        return self.net.sessions.counters.refused


@pytest.fixture
def proxied() -> Iterator[House]:
    yield House(proxies=("10.0.0.0/24",))


def test_only_allowed_networks_are_served_and_others_hear_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    house = House(allow=("192.168.1.0/24", "2001:db8::/32"))
    for host in ("192.168.1.9", "::ffff:192.168.1.9", "2001:db8::1"):
        kind = IPv6Address if ":" in host else IPv4Address
        wire = house.come(kind("TCP", host, 1))
        assert wire is not None and wire.value() == b"hello\r\n"
    assert house.talks[1].peer.address == "192.168.1.9"
    for host in ("192.168.2.9", "::ffff:10.0.0.1", "2001:db9::1", "::1"):
        kind = IPv6Address if ":" in host else IPv4Address
        assert house.come(kind("TCP", host, 1)) is None
    assert house.refused == 4
    assert caplog.text.count("is in no network that is allowed") == 1  # a second


def test_a_unix_socket_is_not_of_a_network() -> None:
    assert House(allow=("192.168.1.0/24",)).come(UNIXAddress(b"/run/maa")) is not None


def test_a_balancers_connection_is_the_clients(proxied: House) -> None:
    wire = proxied.come(BALANCER)
    assert wire is not None and wire.value() == b""
    for octet in HEADER[:-1]:
        assert proxied.say(wire, bytes([octet])) == b""
    assert proxied.say(wire, HEADER[-1:] + b"echo one\r\n") == b"hello\r\none\r\n"
    assert proxied.say(wire, b"echo two\r\n") == b"two\r\n"
    peer = proxied.talks[0].peer
    assert (peer.address, peer.loopback) == ("203.0.113.7", False)
    proxied.net.clock.advance(HEADER_SECONDS + 1)
    assert not wire.aborted


def test_a_balancer_on_this_machine_makes_nobody_local() -> None:
    house = House(proxies=("127.0.0.1",))
    wire = house.come(IPv4Address("TCP", "127.0.0.1", 1))
    assert wire is not None
    house.say(wire, HEADER)
    assert not house.talks[0].peer.loopback


def test_a_health_check_is_the_balancers_own(proxied: House) -> None:
    wire = proxied.come(BALANCER)
    assert wire is not None
    assert proxied.say(wire, b"PROXY UNKNOWN\r\n") == b"hello\r\n"
    assert proxied.talks[0].peer.address == "10.0.0.5"


def test_a_header_of_anybody_else_is_a_command(proxied: House) -> None:
    wire = proxied.come(IPv4Address("TCP", "198.51.100.1", 1))
    assert wire is not None and wire.value() == b"hello\r\n"
    proxied.say(wire, HEADER)
    assert proxied.talks[0].heard[0] == HEADER.decode().rstrip()
    assert proxied.talks[0].peer.address == "198.51.100.1"


def test_what_is_allowed_is_the_real_address() -> None:
    house = House(allow=("10.0.0.0/8",), proxies=("10.0.0.5",))
    wire = house.come(BALANCER)
    assert wire is not None
    assert house.say(wire, HEADER) == b""
    assert wire.aborted and house.talks == []
    assert house.refused == 1


def test_a_balancer_that_sends_no_header_is_dropped(proxied: House) -> None:
    wire = proxied.come(BALANCER)
    assert wire is not None
    assert proxied.say(wire, b"a1 LOGIN joe secret\r\n") == b""
    assert wire.aborted
    late = proxied.come(BALANCER)
    assert late is not None
    proxied.say(late, HEADER[:5])
    proxied.net.clock.advance(HEADER_SECONDS + 0.1)
    assert late.aborted
    assert proxied.refused == 2
    assert not proxied.gate.waiting and not proxied.talks


def test_connections_without_a_header_are_bounded(proxied: House) -> None:
    wires = [proxied.come(BALANCER) for _ in range(WAITING_MAX + 3)]
    aborted = [wire is not None and wire.aborted for wire in wires]
    assert aborted == [True] * 3 + [False] * WAITING_MAX
    proxied.gate.doStop()
    assert all(wire is not None and wire.aborted for wire in wires)
