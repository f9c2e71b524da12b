"""What OpenSSL knows of a connection, as a session asks for it: its client, its bindings.

A channel binding ties a login to this very TLS connection, so that a man in the middle, who has
one with the client and another one with us, is found out (RFC 5056).
"""

from __future__ import annotations

from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL

from maa.conversation import TlsFacts

_LABEL: Final = b"EXPORTER-Channel-Binding"
_EXPORTED_OCTETS: Final = 32
_MODERN: Final = "TLSv1.3"


def tls_facts(transport: Any) -> TlsFacts | None:
    """The facts of a Twisted transport whose handshake is over; None: it has no TLS."""
    handle = transport.getHandle() if hasattr(transport, "getHandle") else None
    if not isinstance(handle, SSL.Connection):
        return None
    client = _certificate(handle.get_peer_certificate())
    own = _certificate(handle.get_certificate())
    return TlsFacts(
        version=handle.get_protocol_version_name(),
        cipher=handle.get_cipher_name() or "",
        subject=None if client is None else client.subject.rfc4514_string(),
        names=() if client is None else _names(client),
        exporter=_exporter(handle),
        server_end_point=None if own is None else server_end_point(own),
    )


def server_end_point(certificate: x509.Certificate) -> bytes | None:
    """tls-server-end-point of a server's certificate (RFC 5929 §4.1); Ed25519 has none."""
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    if isinstance(algorithm, hashes.MD5 | hashes.SHA1):
        algorithm = hashes.SHA256()
    return certificate.fingerprint(algorithm)


def _certificate(found: Any) -> x509.Certificate | None:
    return None if found is None else found.to_cryptography()


def _exporter(handle: SSL.Connection) -> bytes | None:
    """tls-exporter; older TLS has one of a kind only with RFC 7627, which cannot be asked for."""
    if handle.get_protocol_version_name() != _MODERN:
        return None
    return handle.export_keying_material(_LABEL, _EXPORTED_OCTETS, b"")


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    names: list[str] = []
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):  # or one that nobody can read
        names = []
    else:
        names = extension.value.get_values_for_type(x509.RFC822Name)
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return (*names, *(str(one.value) for one in common))
