"""The log line of a login that was refused, for operators and for what they let read it."""

from __future__ import annotations

import logging
from typing import Final

from maa.auth.errors import AuthError
from maa.conversation import Peer

_SHOWN: Final = 100
_log = logging.getLogger(__name__)


def note_refusal(peer: Peer, service: str, name: str, error: AuthError) -> None:
    """Say who was refused, from where and why; never the password."""
    why = str(error) or type(error).__name__
    _log.info("%s login refused: user %r from %s: %s", service, name[:_SHOWN], peer.address, why)
