"""CRAM-MD5 (RFC 2195) and POP3's APOP (RFC 1939 §7): a digest of a challenge and the password.

Both need a secret that is as good as the password, and MD5 is weak: they are for old devices on
connections without TLS, where they are still better than a password in the clear.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING, Final

from maa.auth.errors import AuthUnavailable, BadCredentials, named
from maa.auth.md5_state import hmac_md5
from maa.auth.sasl import Dialogue, Exchange, Malformed, text
from maa.auth.verifiers import NoVerifier, clear, cram_md5
from maa.conversation import SLOW
from maa.user import User

if TYPE_CHECKING:
    from maa.auth.admission import Admission

_RESPONSE: Final = re.compile(rb"([^\0]+) ([0-9a-f]{32})")
_DIGEST: Final = re.compile(rb"[0-9a-f]{32}")


def timestamp(hostname: str) -> bytes:
    """A challenge that never comes again, in the form of a Message-ID (RFC 1939 §7; R197)."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", hostname) or "localhost"
    return f"<{secrets.token_hex(8)}.{int(time.time())}@{host}>".encode("ascii")


def exchange(admission: Admission) -> Exchange:
    """CRAM-MD5: the server speaks first; name, blank and HMAC-MD5 come back."""
    challenge = timestamp(admission.hostname)
    match = _RESPONSE.fullmatch((yield challenge))
    if match is None:
        raise Malformed("not a CRAM-MD5 response")
    name = text(match[1])
    yield SLOW
    stored = admission.stored(name)
    # Nobody's secret takes the same work.
    secret = stored.secret if stored is not None and stored.secret else "{PLAIN}nobody"
    try:
        states = cram_md5(secret)
    except NoVerifier as error:
        raise named(AuthUnavailable(f"the secret of {name}: {error}"), name) from None
    fits = states is not None and hmac.compare_digest(
        hmac_md5(states, challenge).hex().encode(), match[2]
    )
    if not fits or stored is None or not stored.secret:
        raise named(BadCredentials("wrong digest, or no such user"), name)
    return (yield from admission.proved(name))


def apop(admission: Admission, banner: bytes, name: bytes, digest: bytes) -> Dialogue[User]:
    """APOP: MD5 of the greeting's timestamp and the password."""
    if not _DIGEST.fullmatch(digest.lower()):
        raise Malformed("not an APOP digest")
    yield SLOW
    stored = admission.stored(text(name))
    password = None if stored is None else clear(stored.secret)
    made = hashlib.md5(banner + (password or b""), usedforsecurity=False).hexdigest().encode()
    fits = hmac.compare_digest(made, digest.lower())
    if not fits or password is None:
        raise named(BadCredentials("wrong digest, or no such user"), text(name))
    return (yield from admission.proved(text(name)))
