"""What a session may ask of its TLS layer."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

import pytest
from OpenSSL import SSL

from maa.conversation import Peer
from maa.service.demo import new_certificate
from maa.transport.tls_facts import tls_facts
from tests.transport.handshake import Shaken, client_context, shaken
from tests.transport.net import Net


class Transport:
    """What Twisted's transports under TLS have."""

    def __init__(self, connection: SSL.Connection) -> None:
        self._connection = connection

    def getHandle(self) -> SSL.Connection:
        return self._connection


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    found = tmp_path / "cert.pem", tmp_path / "key.pem"
    new_certificate(*found)
    return found


def connected(files: tuple[Path, Path], client: ssl.SSLContext, *, ask: bool = False) -> Shaken:
    context = SSL.Context(SSL.TLS_METHOD)
    context.use_certificate_chain_file(str(files[0]))
    context.use_privatekey_file(str(files[1]))
    if ask:
        context.load_verify_locations(str(files[0]))
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
    return shaken(SSL.Connection(context, None), client)


def test_the_certificate_of_the_server_is_a_binding(files: tuple[Path, Path]) -> None:
    both = connected(files, client_context())
    facts = tls_facts(Transport(both.server))
    assert facts is not None
    assert facts.server_end_point == hashlib.sha256(both.certificate).digest()
    assert (facts.version, facts.subject, facts.names) == ("TLSv1.3", None, ())


def test_tls_exporter_is_of_one_connection_alone(files: tuple[Path, Path]) -> None:
    bindings = set()
    for _ in range(2):
        both = connected(files, client_context())
        facts = tls_facts(Transport(both.server))
        assert facts is not None and facts.exporter is not None
        assert len(facts.exporter) == 32
        assert facts.exporter == both.server.export_keying_material(
            b"EXPORTER-Channel-Binding", 32, b""
        )
        bindings.add(facts.exporter)
    assert len(bindings) == 2


def test_tls_1_2_has_no_exporter_to_rely_on(files: tuple[Path, Path]) -> None:
    both = connected(files, client_context(newest=ssl.TLSVersion.TLSv1_2))
    facts = tls_facts(Transport(both.server))
    assert facts is not None
    assert (facts.version, facts.exporter) == ("TLSv1.2", None)


def test_the_client_certificate_is_named(files: tuple[Path, Path]) -> None:
    mine = client_context(certificate=(str(files[0]), str(files[1])))
    facts = tls_facts(Transport(connected(files, mine, ask=True).server))
    assert facts is not None
    assert (facts.subject, facts.names) == ("CN=localhost", ("localhost",))


def test_a_connection_in_the_clear_has_none() -> None:
    client = Net().greeted()
    assert client.talk.peer.tls_facts() is None
    assert Peer("192.0.2.1", False, False, "s1").tls_facts() is None
