"""Taking octets from a conversation, a write at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from enum import Enum
from math import inf
from time import monotonic
from typing import Final

from maa.conversation import CLOSE, SLOW, Delay, Request, Step
from maa.transport.sessions import TURN_SECONDS

SLICE_OCTETS: Final = 65536

_log = logging.getLogger(__name__)


class Slice(Enum):
    """Why `taken` stopped, where the conversation asked for nothing."""

    FULL = "full"
    END = "end"


def taken(steps: Iterator[Step], may_block: bool) -> tuple[bytes, Slice | Request | Delay]:
    """Octets for one write, and why there are no more of them; never raises.

    On the reactor thread (`may_block` is False) it takes 10 ms at most.
    """
    pieces: list[bytes] = []
    octets = 0
    until = inf if may_block else monotonic() + TURN_SECONDS
    try:
        for step in steps:
            if isinstance(step, bytes):
                pieces.append(step)
                octets += len(step)
                if octets >= SLICE_OCTETS or monotonic() > until:
                    return b"".join(pieces), Slice.FULL
            elif step is not SLOW or not may_block:
                return b"".join(pieces), step
    except Exception:  # noqa: BLE001 - our bug, whatever it is: this connection's end
        _log.exception("a conversation failed")
        return b"".join(pieces), CLOSE
    return b"".join(pieces), Slice.END
