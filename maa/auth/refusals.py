"""What is noted of logins: a log line of each that was refused, and the audit log of all."""

from __future__ import annotations

import logging
from typing import Final

from maa import audit
from maa.auth.errors import AuthError, AuthUnavailable, Throttled
from maa.auth.told import Told
from maa.conversation import Peer
from maa.networks import neighbourhood

_SHOWN: Final = 100
_log = logging.getLogger(__name__)


_told = Told()


def note_refusal(peer: Peer, service: str, error: AuthError) -> None:
    """Say who was refused, from where and why; never the password.

    Refusals that cost the client no time are told once a minute and network.
    """
    if isinstance(error, AuthUnavailable):
        unheard = isinstance(error, Throttled)
        if not _told.due((unheard, neighbourhood(peer.address))):
            return
    why = str(error)
    if why in ("", error.name):
        why = type(error).__name__
    name = error.name[:_SHOWN]
    audit.note(audit.REFUSED, peer, name, service=service, tls=peer.tls, why=why)
    _log.info("%s login refused: user %r from %s: %s", service, name, peer.address, why)


def note_leak(peer: Peer, service: str, name: str) -> None:
    """Say whose password crossed the network unencrypted, unasked and unheard (R028).

    Once a minute: such a client is set up wrongly, and tries again and again.
    """
    if not _told.due(("leak", neighbourhood(peer.address))):
        return
    why = "a password in the clear"
    audit.note(audit.REFUSED, peer, name[:_SHOWN], service=service, tls=False, why=why)
    _log.warning(
        "%s: user %r from %s sent a password that anybody on the way could read",
        *(service, name[:_SHOWN], peer.address),
    )


def note_login(peer: Peer, service: str, user: str, mechanism: str) -> None:
    """Note who was let in, and by what; `LOGIN` and `PASS` are no SASL mechanisms."""
    audit.note(audit.LOGIN, peer, user, service=service, mechanism=mechanism, tls=peer.tls)


def note_unserved(peer: Peer, service: str, user: str, error: Exception) -> None:
    """Note that a user who proved who it is was not let in: the password was right."""
    why = f"not served: {str(error) or type(error).__name__}"
    audit.note(audit.REFUSED, peer, user, service=service, tls=peer.tls, why=why)
    _log.info("%s login of user %r from %s: %s", service, user, peer.address, why)
