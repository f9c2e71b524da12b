"""Contexts: versions, ALPN, SNI, clients' certificates, resumption, files that change."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from maa.service.config import KeyPair, Tls
from maa.service.demo import new_certificate
from maa.service.tls import Certificates, TlsContext
from maa.transport.tls_facts import tls_facts
from tests.service.authority import Authority
from tests.transport.handshake import Shaken, client_context, shaken


class HasHandle:
    """What Twisted's transports under TLS have."""

    def __init__(self, connection: SSL.Connection) -> None:
        self.getHandle = lambda: connection


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    new_certificate(certificate, key)
    return certificate, key


def test_a_server_does_not_start_with_bad_files(files: tuple[Path, Path]) -> None:
    certificate, key = files
    with pytest.raises(SystemExit, match=r"tls: .*/none\.pem: No such file or directory"):
        certificates((certificate, key.with_name("none.pem")))
    certificate.write_text("nothing")
    with pytest.raises(SystemExit, match="no start line"):
        certificates(files)


def certificates(files: tuple[Path, Path], **more: Any) -> Certificates:
    return Certificates(Tls(*files, **more))


def shake(
    context: TlsContext, *, name: str | None = None, session: Any = None, **client: Any
) -> Shaken:
    server = context.serverConnectionForTLS(None)
    return shaken(server, client_context(**client), name=name, session=session)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_2_is_the_oldest_version(files: tuple[Path, Path]) -> None:
    context = certificates(files).context(b"imap")
    shake(context, newest=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(SSL.Error, match="unsupported protocol"):
        shake(context, newest=ssl.TLSVersion.TLSv1_1)


def test_alpn_names_the_protocol(files: tuple[Path, Path]) -> None:
    mine = certificates(files)
    assert shake(mine.context(b"imap"), alpn=["http/1.1", "imap"]).alpn == "imap"
    assert shake(mine.context(b"pop3"), alpn=["pop3"]).alpn == "pop3"


def test_a_client_without_alpn_is_served(files: tuple[Path, Path]) -> None:
    assert shake(certificates(files).context(b"imap")).alpn is None


def test_a_client_of_another_protocol_is_turned_away(files: tuple[Path, Path]) -> None:
    with pytest.raises(SSL.Error, match="no application protocol"):
        shake(certificates(files).context(b"imap"), alpn=["http/1.1"])


def test_a_new_certificate_is_taken_for_new_connections(files: tuple[Path, Path]) -> None:
    mine = certificates(files)
    first = shake(mine.context(b"imap")).certificate
    mine.reload()
    assert shake(mine.context(b"imap")).certificate == first
    new_certificate(*files)
    mine.reload()
    assert shake(mine.context(b"imap")).certificate != first
    assert shake(mine.context(b"pop3")).certificate == shake(mine.context(b"imap")).certificate


def test_a_broken_certificate_leaves_the_old_one(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    mine = certificates(files)
    first = shake(mine.context(b"imap")).certificate
    files[0].write_text("nonsense")
    mine.reload()
    assert shake(mine.context(b"imap")).certificate == first
    assert "keeping the old certificate" in caplog.text


def test_a_key_of_another_certificate_leaves_the_old_one(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    mine = certificates(files)
    first = shake(mine.context(b"imap")).certificate
    new_certificate(tmp_path / "other.pem", files[1])
    mine.reload()
    assert shake(mine.context(b"imap")).certificate == first


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_a_client_gets_the_certificate_of_the_name_it_asks_for(
    files: tuple[Path, Path], authority: Authority
) -> None:
    one = KeyPair(*authority.server("mail.example.org"))
    any_ = KeyPair(*authority.server("*.example.net"))
    context = certificates(files, further=(one, any_)).context(b"imap")

    def shown(name: str | None) -> bytes:
        return shake(context, name=name).certificate

    default = shown(None)
    assert shown("elsewhere.example") == default
    assert shown("mail.example.org") == shown("MAIL.example.org") != default
    assert shown("imap.example.net") not in (default, shown("mail.example.org"))
    assert shown("a.imap.example.net") == shown("example.net") == default


def test_further_certificates_are_read_again_too(
    files: tuple[Path, Path], authority: Authority
) -> None:
    pair = KeyPair(*authority.server("mail.example.org"))
    mine = certificates(files, further=(pair,))
    first = shake(mine.context(b"imap"), name="mail.example.org").certificate
    authority.server("mail.example.org")
    mine.reload()
    assert shake(mine.context(b"imap"), name="mail.example.org").certificate != first


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed_also_after_a_reload(
    files: tuple[Path, Path], newest: ssl.TLSVersion
) -> None:
    mine = certificates(files)
    context = mine.context(b"imap")
    client = client_context(newest=newest)
    first = shaken(context.serverConnectionForTLS(None), client)
    assert not first.client.session_reused
    mine.reload(True)
    again = shaken(context.serverConnectionForTLS(None), client, session=first.client.session)
    assert again.client.session_reused


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("cipher", ["AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256"])
def test_ciphers_without_forward_secrecy_or_authentication_are_refused(
    files: tuple[Path, Path], cipher: str
) -> None:
    context = certificates(files).context(b"imap")
    with pytest.raises(SSL.Error, match="no shared cipher"):
        shake(context, newest=ssl.TLSVersion.TLSv1_2, ciphers=cipher)


def test_a_client_cannot_negotiate_anew(files: tuple[Path, Path]) -> None:
    """The standard library's client cannot ask for it; OpenSSL's can, in TLS 1.2."""
    server = certificates(files).context(b"imap").serverConnectionForTLS(None)
    server.set_accept_state()
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(context, None)
    client.set_connect_state()
    exchanged(client, server)
    client.send(b"a NOOP\r\n")
    assert heard(client, server) == b"a NOOP\r\n"
    assert client.renegotiate()
    with suppress(SSL.WantReadError):
        client.do_handshake()
    with suppress(SSL.WantReadError):
        server.bio_write(client.bio_read(65536))
        server.recv(65536)
    assert server.total_renegotiations() == 0
    client.bio_write(server.bio_read(65536))
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()


def exchanged(client: SSL.Connection, server: SSL.Connection) -> None:
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with suppress(SSL.WantReadError):
                one.do_handshake()
            with suppress(SSL.WantReadError):
                other.bio_write(one.bio_read(65536))


def heard(client: SSL.Connection, server: SSL.Connection) -> bytes:
    server.bio_write(client.bio_read(65536))
    return bytes(server.recv(65536))


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_show_certificates_where_they_are_asked(
    files: tuple[Path, Path], authority: Authority, newest: ssl.TLSVersion
) -> None:
    mine = certificates(files, client_authorities=authority.file)
    joe = authority.client("joe@example.org")
    stranger = tuple(map(str, files))

    def named(clients: str, certificate: tuple[str, str] | None) -> tuple[str, ...]:
        context = mine.context(b"imap", clients)
        both = shake(context, certificate=certificate, newest=newest)
        facts = tls_facts(HasHandle(both.server))
        assert facts is not None
        return facts.names

    assert named("none", joe) == ()
    assert named("optional", None) == ()
    assert named("optional", joe) == named("required", joe) == ("joe@example.org", "a client")
    with pytest.raises(SSL.Error, match="peer did not return a certificate"):
        named("required", None)
    for clients in ("optional", "required"):
        with pytest.raises(SSL.Error, match="certificate verify failed"):
            named(clients, stranger)


@pytest.mark.parametrize("clients", ["optional", "required"])
@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_certificate_is_looked_at_each_time(
    files: tuple[Path, Path],
    authority: Authority,
    tmp_path: Path,
    newest: ssl.TLSVersion,
    clients: str,
) -> None:
    believed = tmp_path / "believed.pem"
    believed.write_bytes(authority.file.read_bytes())
    mine = certificates(files, client_authorities=believed)
    context = mine.context(b"imap", clients)
    client = client_context(certificate=authority.client("joe@example.org"), newest=newest)
    first = shaken(context.serverConnectionForTLS(None), client)
    session = first.client.session
    again = shaken(context.serverConnectionForTLS(None), client, session=session)
    assert not again.client.session_reused
    facts = tls_facts(HasHandle(again.server))
    assert facts is not None and facts.names == ("joe@example.org", "a client")
    # The authority counts no more.
    believed.write_bytes(files[0].read_bytes())
    mine.reload(True)
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        shaken(context.serverConnectionForTLS(None), client, session=session)


def test_a_session_without_a_certificate_is_not_resumed_where_one_is_required(
    files: tuple[Path, Path], authority: Authority
) -> None:
    mine = certificates(files, client_authorities=authority.file)
    client = client_context()
    first = shaken(mine.context(b"imap").serverConnectionForTLS(None), client)
    required = mine.context(b"imap", "required").serverConnectionForTLS(None)
    with pytest.raises(SSL.Error, match="peer did not return a certificate"):
        shaken(required, client, session=first.client.session)


def test_authorities_that_are_none_are_a_fault(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nobody")
    with pytest.raises(SystemExit, match=r"ca\.pem has no certificates"):
        certificates(files, client_authorities=tmp_path / "ca.pem")


def test_a_certificate_that_is_revoked_is_refused_from_then_on(
    files: tuple[Path, Path], authority: Authority
) -> None:
    joe, ann = authority.client("joe@example.org"), authority.client("ann@example.org")
    listed = authority.revoke(ann[0])
    mine = certificates(files, client_authorities=authority.file, client_revocations=listed)
    context = mine.context(b"imap", "required")
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        shake(context, certificate=ann)
    client = client_context(certificate=joe)
    first = shaken(context.serverConnectionForTLS(None), client)
    # A session that is resumed would not be verified.
    session = first.client.session
    assert not shaken(
        context.serverConnectionForTLS(None), client, session=session
    ).client.session_reused
    authority.revoke(joe[0], ann[0])
    mine.reload(True)
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        shaken(context.serverConnectionForTLS(None), client, session=session)
    authority.revoke(days=-1)
    mine.reload(True)
    with pytest.raises(SSL.Error, match="certificate verify failed"):
        shake(context, certificate=joe)
    # Who shows none is not concerned.
    shake(mine.context(b"imap"))


def test_a_list_past_its_time_is_told_once(
    files: tuple[Path, Path], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    listed = authority.revoke()
    mine = certificates(files, client_authorities=authority.file, client_revocations=listed)
    mine.reload()
    assert not caplog.messages
    good = listed.read_text()
    authority.revoke(days=-1)
    # The other authorities' may be good for longer.
    listed.write_text(good + listed.read_text())
    for _ in range(3):
        mine.reload()
    assert len([line for line in caplog.messages if "was good until" in line]) == 1


def test_revocations_that_are_none_are_a_fault(
    files: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    for text in ("nothing", authority.file.read_text()):
        (tmp_path / "crl.pem").write_text(text)
        with pytest.raises(SystemExit, match=r"crl\.pem is no list of revocations"):
            certificates(
                files, client_authorities=authority.file, client_revocations=tmp_path / "crl.pem"
            )
