"""TLS: a context for each kind of listener, whose certificates are read again when they change.

Theory of operation. The `SSL.Context` with which a connection begins is made once, in the parent
where there are several workers, and stays: its keys encrypt the session tickets (RFC 5077, RFC
8446 §4.6.1), so a client may resume at any worker, and after a change of certificate, too. OpenSSL
asks back with the name that the client wants (SNI, RFC 6066 §3), or with none; there the
connection goes over to a context that has the certificate of that name and as the files are now.

ALPN (RFC 7301): a client that names protocols, and none of them ours, is turned away, so that
its request to another server cannot be answered by this one (ALPACA).
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL.crypto import X509StoreFlags
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from maa.service.config import KeyPair, Tls

_log = logging.getLogger(__name__)

# What has a name in pyOpenSSL only since some version; the values are OpenSSL's ABI.
_OP_NO_RENEGOTIATION = getattr(SSL, "OP_NO_RENEGOTIATION", 0x40000000)
_MODE_RELEASE_BUFFERS = getattr(SSL, "MODE_RELEASE_BUFFERS", 0x10)

CIPHERS: Final = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2 only what is authenticated encryption with forward secrecy; 1.3 has no other."""
TICKET_SECONDS: Final = 7200
"""How long a session may be resumed."""
_LIST: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----\s*", re.DOTALL)
_VERIFY: Final = {
    "none": SSL.VERIFY_NONE,
    "optional": SSL.VERIFY_PEER,
    "required": SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}


class NoSuchProtocol(SSL.Error):
    """The client asked by ALPN for something that is not spoken here.

    Its argument has the form of OpenSSL's own errors, whose last one Twisted takes apart.
    """


def new_context(
    pair: KeyPair,
    protocol: bytes,
    *,
    clients: str = "none",
    authorities: Path | None = None,
    revocations: Path | None = None,
) -> SSL.Context:
    """A server context of TLS 1.2 or newer that speaks `protocol`; raises OSError, SSL.Error."""
    for file in (pair.certificate, pair.key, authorities, revocations):
        if file is not None:
            file.open("rb").close()  # OpenSSL's own words for a missing file name no file
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(CIPHERS)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | _OP_NO_RENEGOTIATION
    )
    # An idle session then costs 27 KiB rather than 48.
    context.set_mode(_MODE_RELEASE_BUFFERS)
    # Tickets are kept by the clients; a cache of ours would be this process's alone.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_timeout(TICKET_SECONDS)
    context.set_session_id(b"maa-" + protocol + b"-" + clients.encode("ascii"))
    context.use_certificate_chain_file(str(pair.certificate))
    context.use_privatekey_file(str(pair.key))
    context.check_privatekey()
    if clients != "none" and authorities is not None:
        context.load_verify_locations(str(authorities))
        context.load_client_ca(os.fsencode(authorities))
        context.set_verify(_VERIFY[clients], _as_openssl_says)
        # Who resumes a session is not verified anew, whatever was revoked, removed or ended since.
        context.set_options(SSL.OP_NO_TICKET)
        if revocations is not None:
            context.load_verify_locations(str(revocations))
            store = context.get_cert_store()
            assert store is not None  # every context has one
            store.set_flags(X509StoreFlags.CRL_CHECK)

    def choose(connection: Any, offered: Sequence[bytes]) -> bytes:
        if protocol in offered:
            return protocol
        raise NoSuchProtocol([("maa", "choose", "no application protocol")])

    context.set_alpn_select_callback(choose)
    return context


def _as_openssl_says(
    connection: Any, certificate: Any, error: int, depth: int, verified: int
) -> bool:
    return bool(verified)


def host_names(certificate: Path) -> tuple[str, ...]:
    """The names a certificate is for, in small letters; `*.` may begin one. OSError, ValueError."""
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(one.value).lower() for one in common)
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def lists_end(file: Path) -> float:
    """When the first of the file's lists of revocations is past its time; OSError, ValueError."""
    ends = inf
    for text in _LIST.findall(file.read_bytes()):
        found = x509.load_pem_x509_crl(text).next_update_utc
        if found is not None:
            ends = min(ends, found.timestamp())
    return ends


def fault(tls: Tls) -> str | None:
    """Why a server cannot start with these files; None when it can, or when there are none."""
    for pair in tls.pairs:
        try:
            new_context(pair, b"imap")
            host_names(pair.certificate)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        except SSL.Error as error:
            both = f"{pair.certificate} and {pair.key}"
            return f"{both} are not a certificate and its key: {_reason(error)}"
        except ValueError as error:
            return f"{pair.certificate}: {error}"
    try:
        for pair in tls.pairs[:1]:
            new_context(pair, b"imap", clients="optional", authorities=tls.client_authorities)
        if tls.client_revocations is not None:
            x509.load_pem_x509_crl(tls.client_revocations.read_bytes())
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except SSL.Error as error:
        return f"{tls.client_authorities} has no certificates: {_reason(error)}"
    except ValueError as error:
        return f"{tls.client_revocations} is no list of revocations: {error}"
    return None


def _reason(error: Exception) -> str:
    """OpenSSL's words, without the numbers and names around them."""
    causes = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(cause[-1] for cause in causes) or str(error)


@implementer(IOpenSSLServerConnectionCreator)
class TlsContext:
    """One kind of listener's; connections keep the certificate that they began with."""

    def __init__(self, lasting: SSL.Context) -> None:
        self._lasting = lasting
        self._default = lasting
        self._by_name: Mapping[str, SSL.Context] = {}
        lasting.set_tlsext_servername_callback(self._named)

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Called by Twisted for each connection."""
        return SSL.Connection(self._lasting, None)

    def use(self, default: SSL.Context, by_name: Mapping[str, SSL.Context]) -> None:
        """Give new connections these certificates."""
        self._default, self._by_name = default, by_name

    def _named(self, connection: SSL.Connection) -> None:
        """OpenSSL knows now which name the client wants, if any."""
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        found = self._by_name.get(name)
        if found is None and "." in name:
            found = self._by_name.get("*." + name.partition(".")[2])
        connection.set_context(found or self._default)


class Certificates:
    """Certificates and keys on disk, and the contexts made of them."""

    def __init__(self, tls: Tls) -> None:
        unusable = fault(tls)
        if unusable is not None:
            raise SystemExit(f"tls: {unusable}")
        self._tls = tls
        self._stamp = self._stat()
        self._told_of = inf
        self._contexts: dict[tuple[bytes, str], TlsContext] = {}

    def context(self, protocol: bytes, clients: str = "none") -> TlsContext:
        """For listeners of `imap` or `pop3` that ask for certificates of clients so.

        Before workers are forked, for all of them to have the same keys for tickets.
        """
        kind = (protocol, clients)
        context = self._contexts.get(kind)
        if context is None:
            context = TlsContext(self._new(self._tls.pairs[0], kind))
            context.use(*self._read(kind))
            self._contexts[kind] = context
        return context

    def reload(self, always: bool = False) -> None:
        """Take the files again if they have changed; bad ones leave all as it was."""
        self._look_at_lists()
        stamp = self._stat()
        if stamp == self._stamp and not always:
            return
        self._stamp = stamp
        try:
            read = {kind: self._read(kind) for kind in self._contexts}
        except (OSError, ValueError, SSL.Error) as error:
            reason = _reason(error) if isinstance(error, SSL.Error) else error
            _log.error("keeping the old certificate: %s: %s", self._tls.certificate, reason)
            return
        for kind, found in read.items():
            self._contexts[kind].use(*found)
        _log.info("certificate %s is in use", self._tls.certificate)

    def _look_at_lists(self) -> None:
        """Say once that a list of revocations is past its time, for it lets nobody in."""
        file = self._tls.client_revocations
        if file is None:
            return
        try:
            ends = lists_end(file)
        except (OSError, ValueError):
            return  # whoever takes the files says so
        if ends == self._told_of or ends > time.time():
            return
        self._told_of = ends
        moment = time.strftime("%Y-%m-%d %H:%M", time.localtime(ends))
        _log.error("%s was good until %s: no client's certificate is taken", file, moment)

    def _read(self, kind: tuple[bytes, str]) -> tuple[SSL.Context, Mapping[str, SSL.Context]]:
        contexts = [self._new(pair, kind) for pair in self._tls.pairs]
        by_name: dict[str, SSL.Context] = {}
        for pair, context in zip(self._tls.pairs, contexts, strict=True):
            for name in host_names(pair.certificate):
                by_name.setdefault(name, context)
        return contexts[0], by_name

    def _new(self, pair: KeyPair, kind: tuple[bytes, str]) -> SSL.Context:
        protocol, clients = kind
        return new_context(
            pair,
            protocol,
            clients=clients,
            authorities=self._tls.client_authorities,
            revocations=self._tls.client_revocations,
        )

    def _files(self) -> Iterable[Path]:
        for pair in self._tls.pairs:
            yield from (pair.certificate, pair.key)
        for file in (self._tls.client_authorities, self._tls.client_revocations):
            if file is not None:
                yield file

    def _stat(self) -> Hashable:
        """Changes when one of the files does."""
        stamps = []
        for file in self._files():
            try:
                found = os.stat(file)
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)
