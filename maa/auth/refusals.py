"""What is noted of logins: a log line of each that was refused, and the audit log of all."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from maa import audit
from maa.auth.errors import AuthError, Throttled
from maa.conversation import Peer
from maa.networks import neighbourhood

_SHOWN: Final = 100
AGAIN_SECONDS: Final = 60.0
TOLD_MAX: Final = 1000
_log = logging.getLogger(__name__)


class _Told:
    """Of which networks something was said a short time ago."""

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}
        self._changing = threading.Lock()

    def due(self, what: str, peer: Peer) -> bool:
        key, now = (what, neighbourhood(peer.address)), time.monotonic()
        with self._changing:
            if self._until.get(key, 0.0) > now:
                return False
            self._until.pop(key, None)
            self._until[key] = now + AGAIN_SECONDS
            if len(self._until) > TOLD_MAX:
                del self._until[next(iter(self._until))]
            return True


_told = _Told()


def note_refusal(peer: Peer, service: str, error: AuthError) -> None:
    """Say who was refused, from where and why; never the password.

    Whoever is not heard is named once a minute: no flood of logins makes one of lines.
    """
    if isinstance(error, Throttled) and not _told.due("unheard", peer):
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
    if not _told.due("leak", peer):
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
