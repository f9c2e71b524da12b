"""What handlers hear from the client, one word at a time; pokes, which only IDLE wants, pass by."""

from __future__ import annotations

from collections.abc import Generator

from maa.imap.states import WAIT, Input, Line, LiteralChunk, Said


def line() -> Generator[Said, Input | None, Line]:
    """The next line; octets of a literal before it are dropped."""
    while True:
        heard = yield WAIT
        if isinstance(heard, Line):
            return heard


def literal(octets: int) -> Generator[Said, Input | None, bytes]:
    """The next octets of the literal, at least so many, gathered from its chunks."""
    chunks: list[bytes] = []
    while octets > 0:
        heard = yield WAIT
        if isinstance(heard, LiteralChunk):
            chunks.append(heard.data)
            octets -= len(heard.data)
    return b"".join(chunks)
