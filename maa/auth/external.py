"""EXTERNAL: who the client is, its TLS certificate says (RFC 4422 appendix A).

The certificate was verified in the handshake, against the authorities of `[tls]`. It may name
several users (its mail addresses, then its common names): the first that is known is meant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maa.auth.errors import BadCredentials, named
from maa.auth.sasl import Exchange, Malformed, text
from maa.conversation import SLOW

if TYPE_CHECKING:
    from maa.auth.admission import Admission


def possible(admission: Admission) -> bool:
    """There is a client certificate; at the greeting of implicit TLS that is not known yet."""
    if not admission.peer.tls:
        return False
    facts = admission.peer.tls_facts()
    return facts is None or bool(facts.names)


def exchange(admission: Admission) -> Exchange:
    """The client says nothing, or as whom it wants to act."""
    authzid = yield b""
    if b"\0" in authzid:
        raise Malformed("not an EXTERNAL response")
    facts = admission.peer.tls_facts()
    names = () if facts is None else facts.names
    yield SLOW
    for name in names:
        if admission.stored(name) is not None:
            return (yield from admission.proved(name, text(authzid)))
    raise named(BadCredentials("the certificate names no user"), ", ".join(names))
