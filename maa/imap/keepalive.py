"""When a connection in IDLE is kept alive (R073, L-28).

Routers forget connections that are silent for long, so IDLE says a word now and then. A phone
pays for each with seconds of its radio. So all connections of one device say theirs in the same
second, whichever process serves them: the moments depend on the device and the machine's clock
alone, and not on when a connection began to wait.
"""

from __future__ import annotations

from math import inf
from zlib import crc32

from maa.imap.states import Connection


def interval_seconds(connection: Connection) -> float:
    """How long IDLE may be silent; 0 means for ever."""
    settings = connection.settings
    mobile = connection.quirks.changes.mobile
    return settings.mobile_keepalive_seconds if mobile else settings.keepalive_seconds


def next_moment(connection: Connection, user: str, now: float) -> float:
    """The first moment after `now` that is the device's; both by a clock nobody sets."""
    every = interval_seconds(connection)
    if every <= 0:
        return inf
    device = f"{connection.peer.address}\0{user}".encode("utf-8", "surrogateescape")
    return now + every - (now - crc32(device)) % every
