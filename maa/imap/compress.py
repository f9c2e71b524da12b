"""COMPRESS: from its OK on both directions are deflated (RFC 4978)."""

from __future__ import annotations

from dataclasses import replace

from maa.conversation import COMPRESS
from maa.imap.commands import Compress
from maa.imap.responses import ProtocolError, Refused
from maa.imap.states import Answer, Authenticated, Done, Selected


def compress(state: Authenticated | Selected, command: Compress) -> Answer:
    """COMPRESS DEFLATE, once (RFC 4978 §3; R027)."""
    if command.mechanism != b"DEFLATE":
        raise ProtocolError("DEFLATE is the only algorithm")
    if state.connection.compressed:
        raise Refused(b"COMPRESSIONACTIVE", "the connection is compressed already")
    yield from ()  # A handler is a generator, also one with nothing to say.
    compressed = replace(state, connection=replace(state.connection, compressed=True))
    return Done(compressed, b"DEFLATE active", then=COMPRESS)
