"""What a listener serves, as its entry in `[listen]` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from maa.networks import Networks
from maa.service.building import authenticator_of, certificates_of, places_of
from maa.service.config import Config, Endpoint, Listen, Tls
from maa.service.demo import new_certificate
from maa.service.factories import Factories
from maa.store.accounts import Accounts
from maa.store.watch import Watcher
from maa.transport.rawlog import Rawlogs
from maa.transport.sessions import Sessions
from tests.service.authority import Authority
from tests.transport.net import Wire


@pytest.fixture
def factories(tmp_path: Path) -> Factories:
    authority = Authority(tmp_path)
    new_certificate(tmp_path / "cert.pem", tmp_path / "key.pem")
    config = Config(
        state=tmp_path / "state",
        listen=Listen(imap=(Endpoint("tcp:143"),)),
        tls=Tls(
            tmp_path / "cert.pem",
            tmp_path / "key.pem",
            client_authorities=authority.file,
            plaintext_login="always",
        ),
    )
    clock = Clock()
    return Factories(
        config,
        certificates_of(config),
        Sessions(clock, lambda call, *arguments: call(*arguments)),
        Accounts(str(config.state), places_of(config), Watcher()),
        authenticator_of(config),
        Rawlogs(str(tmp_path / "rawlog")),
        lambda: iter(()),
    )


def greeting(factories: Factories, name: str, endpoint: Endpoint, say: bytes = b"") -> bytes:
    protocol = factories.of(name, endpoint).buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
    wire = Wire()
    wire.protocol = protocol
    protocol.makeConnection(wire)
    if say:
        protocol.dataReceived(say)
    return wire.take()


def test_without_the_certificate_that_is_required_nobody_logs_in(factories: Factories) -> None:
    optional = Endpoint("tcp:143", client_certificates="optional")
    required = Endpoint("tcp:143", client_certificates="required")
    assert b"LOGINDISABLED" not in greeting(factories, "imap", optional)
    assert b"LOGINDISABLED" in greeting(factories, "imap", required)
    assert b"USER" in greeting(factories, "pop3", optional, b"CAPA\r\n")
    told = greeting(factories, "pop3", required, b"CAPA\r\n")
    assert b"STLS" in told
    assert b"USER" not in told and b"SASL" not in told


def test_networks_hold_for_every_kind_of_listener(factories: Factories) -> None:
    closed = Endpoint("tcp:1", allow=Networks.parse(["10.0.0.0/8"]))
    for name in ("imap", "imaps", "pop3", "pop3s", "http"):
        address = IPv4Address("TCP", "192.0.2.1", 1)
        assert factories.of(name, closed).buildProtocol(address) is None
        assert factories.of(name, Endpoint("tcp:1")).buildProtocol(address) is not None
