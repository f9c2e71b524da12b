"""What is noted of logins: a log line of each that was refused, and the audit log of all."""

from __future__ import annotations

import logging
from typing import Final

from maa import audit
from maa.auth.errors import AuthError
from maa.conversation import Peer

_SHOWN: Final = 100
_log = logging.getLogger(__name__)


def note_refusal(peer: Peer, service: str, error: AuthError) -> None:
    """Say who was refused, from where and why; never the password."""
    why = str(error)
    if why in ("", error.name):
        why = type(error).__name__
    name = error.name[:_SHOWN]
    audit.note(audit.REFUSED, peer, name, service=service, tls=peer.tls, why=why)
    _log.info("%s login refused: user %r from %s: %s", service, name, peer.address, why)


def note_leak(peer: Peer, service: str, name: str) -> None:
    """Say whose password crossed the network unencrypted, unasked and unheard (R028)."""
    why = "a password in the clear"
    audit.note(audit.REFUSED, peer, name[:_SHOWN], service=service, tls=False, why=why)
    _log.warning(
        "%s login refused: user %r from %s sent a password that anybody on the way could read",
        *(service, name[:_SHOWN], peer.address),
    )


def note_login(peer: Peer, service: str, user: str, mechanism: str) -> None:
    """Note who was let in, and by what; `LOGIN` and `PASS` are no SASL mechanisms."""
    audit.note(audit.LOGIN, peer, user, service=service, mechanism=mechanism, tls=peer.tls)
