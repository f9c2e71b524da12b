"""TLS handshakes in memory: a server's connection object, and a client of the standard library."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass

from OpenSSL import SSL


@dataclass
class Shaken:
    """Both ends after the handshake."""

    client: ssl.SSLObject
    server: SSL.Connection

    @property
    def certificate(self) -> bytes:
        """The server's, as the client has it."""
        found = self.client.getpeercert(binary_form=True)
        assert found
        return found

    @property
    def alpn(self) -> str | None:
        """The protocol that was agreed on."""
        return self.client.selected_alpn_protocol()


def client_context(
    *,
    alpn: list[str] | None = None,
    newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    ciphers: str = "ALL:@SECLEVEL=0",
    certificate: tuple[str, str] | None = None,
) -> ssl.SSLContext:
    """A client that believes everything, and speaks all that OpenSSL can."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = newest
    context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(alpn)
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def shaken(
    server: SSL.Connection,
    context: ssl.SSLContext,
    *,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Shaken:
    """Have a client shake hands with the server; SSL.Error as the server sees it."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    server.set_accept_state()
    done = False
    for _ in range(6):
        try:
            client.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            pass
        sent = to_server.read()
        if sent:
            server.bio_write(sent)
        try:
            server.do_handshake()
        except SSL.WantReadError:
            done = False
        finally:
            with suppress(SSL.WantReadError):
                to_client.write(server.bio_read(65536))
        if done:
            # What a TLS 1.3 server says behind the handshake: the tickets.
            with suppress(ssl.SSLWantReadError):
                client.read(1)
            return Shaken(client, server)
    raise AssertionError("the handshake has no end")
