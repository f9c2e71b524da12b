"""Contexts: versions, ALPN, and certificates that change while the server runs."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from OpenSSL import SSL

from maa.service.demo import new_certificate
from maa.service.tls import Certificate, TlsContext


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    new_certificate(certificate, key)
    return certificate, key


def test_a_server_does_not_start_with_bad_files(files: tuple[Path, Path]) -> None:
    certificate, key = files
    with pytest.raises(SystemExit, match=r"tls: .*/none\.pem: No such file or directory"):
        Certificate(certificate, key.with_name("none.pem"))
    certificate.write_text("nothing")
    with pytest.raises(SystemExit, match="no start line"):
        Certificate(certificate, key)


def shake(
    context: TlsContext,
    *,
    alpn: list[str] | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
) -> tuple[bytes, str | None]:
    """A handshake in memory: the server's certificate and what ALPN chose."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client_context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    client_context.maximum_version = newest
    client_context.set_ciphers("ALL:@SECLEVEL=0")
    if alpn:
        client_context.set_alpn_protocols(alpn)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = context.serverConnectionForTLS(None)
    server.set_accept_state()
    for _ in range(5):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            certificate = client.getpeercert(binary_form=True)
            assert certificate
            return certificate, client.selected_alpn_protocol()
        server.bio_write(to_server.read())
        try:
            server.do_handshake()
        except SSL.WantReadError:
            pass
        finally:
            with suppress(SSL.WantReadError):
                to_client.write(server.bio_read(65536))
    raise AssertionError("the handshake has no end")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_tls_1_2_is_the_oldest_version(files: tuple[Path, Path]) -> None:
    context = Certificate(*files).imap
    shake(context, newest=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(SSL.Error, match="unsupported protocol"):
        shake(context, newest=ssl.TLSVersion.TLSv1_1)


def test_alpn_names_the_protocol(files: tuple[Path, Path]) -> None:
    certificate = Certificate(*files)
    assert shake(certificate.imap, alpn=["http/1.1", "imap"])[1] == "imap"
    assert shake(certificate.pop3, alpn=["pop3"])[1] == "pop3"


def test_a_client_without_alpn_is_served(files: tuple[Path, Path]) -> None:
    assert shake(Certificate(*files).imap)[1] is None


def test_a_client_of_another_protocol_is_turned_away(files: tuple[Path, Path]) -> None:
    with pytest.raises(SSL.Error, match="no application protocol"):
        shake(Certificate(*files).imap, alpn=["http/1.1"])


def test_a_new_certificate_is_taken_for_new_connections(files: tuple[Path, Path]) -> None:
    certificate = Certificate(*files)
    first, _ = shake(certificate.imap)
    certificate.reload()
    assert shake(certificate.imap)[0] == first
    new_certificate(*files)
    certificate.reload()
    assert shake(certificate.imap)[0] != first
    assert shake(certificate.pop3)[0] == shake(certificate.imap)[0]


def test_a_broken_certificate_leaves_the_old_one(
    files: tuple[Path, Path], caplog: pytest.LogCaptureFixture
) -> None:
    certificate = Certificate(*files)
    first, _ = shake(certificate.imap)
    files[0].write_text("nonsense")
    certificate.reload()
    assert shake(certificate.imap)[0] == first
    assert "keeping the old certificate" in caplog.text


def test_a_key_of_another_certificate_leaves_the_old_one(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    certificate = Certificate(*files)
    first, _ = shake(certificate.imap)
    new_certificate(tmp_path / "other.pem", files[1])
    certificate.reload()
    assert shake(certificate.imap)[0] == first
