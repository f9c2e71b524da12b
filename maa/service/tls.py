"""TLS: one context for each protocol, made again when the certificate's files change.

ALPN (RFC 7301): a client that names protocols, and none of them ours, is turned away, so that
its request to another server cannot be answered by this one (ALPACA).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

_log = logging.getLogger(__name__)

# What has a name in pyOpenSSL only since some version; the values are OpenSSL's ABI.
_OP_NO_RENEGOTIATION = getattr(SSL, "OP_NO_RENEGOTIATION", 0x40000000)
_MODE_RELEASE_BUFFERS = getattr(SSL, "MODE_RELEASE_BUFFERS", 0x10)


class NoSuchProtocol(SSL.Error):
    """The client asked by ALPN for something that is not spoken here.

    Its argument has the form of OpenSSL's own errors, whose last one Twisted takes apart.
    """


def new_context(certificate: Path, key: Path, protocol: bytes) -> SSL.Context:
    """A server context of TLS 1.2 or newer that speaks `protocol`; raises OSError, SSL.Error."""
    for file in (certificate, key):
        file.open("rb").close()  # OpenSSL's own words for a missing file name no file
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | _OP_NO_RENEGOTIATION
    )
    # An idle session then costs 27 KiB rather than 48.
    context.set_mode(_MODE_RELEASE_BUFFERS)
    context.set_session_id(b"maa-" + protocol)
    context.use_certificate_chain_file(str(certificate))
    context.use_privatekey_file(str(key))
    context.check_privatekey()

    def choose(connection: Any, offered: Sequence[bytes]) -> bytes:
        if protocol in offered:
            return protocol
        raise NoSuchProtocol([("maa", "choose", "no application protocol")])

    context.set_alpn_select_callback(choose)
    return context


def fault(certificate: Path, key: Path) -> str | None:
    """Why a server cannot start with these files; None when it can."""
    try:
        new_context(certificate, key, b"imap")
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except SSL.Error as error:
        return f"{certificate} and {key} are not a certificate and its key: {_reason(error)}"
    return None


def _reason(error: SSL.Error) -> str:
    """OpenSSL's words, without the numbers and names around them."""
    causes = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return ", ".join(cause[-1] for cause in causes) or str(error)


@implementer(IOpenSSLServerConnectionCreator)
class TlsContext:
    """The present context of one protocol; connections keep the one that they began with."""

    def __init__(self, context: SSL.Context) -> None:
        self.context = context

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:
        """Called by Twisted for each connection."""
        return SSL.Connection(self.context, None)


class Certificate:
    """Certificate and key on disk, and the contexts made of them."""

    def __init__(self, certificate: Path, key: Path) -> None:
        unusable = fault(certificate, key)
        if unusable is not None:
            raise SystemExit(f"tls: {unusable}")
        self._certificate = certificate
        self._key = key
        self._stamp = self._stat()
        self.imap = TlsContext(new_context(certificate, key, b"imap"))
        self.pop3 = TlsContext(new_context(certificate, key, b"pop3"))

    def reload(self, always: bool = False) -> None:
        """Take the files again if they have changed; bad ones leave all as it was."""
        stamp = self._stat()
        if stamp == self._stamp and not always:
            return
        self._stamp = stamp
        try:
            imap = new_context(self._certificate, self._key, b"imap")
            pop3 = new_context(self._certificate, self._key, b"pop3")
        except (OSError, SSL.Error) as error:
            reason = _reason(error) if isinstance(error, SSL.Error) else error
            _log.error("keeping the old certificate: %s: %s", self._certificate, reason)
            return
        self.imap.context, self.pop3.context = imap, pop3
        _log.info("certificate %s is in use", self._certificate)

    def _stat(self) -> Hashable:
        """Changes when one of the files does."""
        stamps = []
        for file in (self._certificate, self._key):
            try:
                found = os.stat(file)
            except OSError:
                stamps.append((0, 0, 0))
            else:
                stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        return tuple(stamps)
