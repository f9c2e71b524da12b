"""Hostile connections, in a process of their own.

A fifth each is silent, drips an octet a second, sends lines without end, stops in the middle of a
TLS handshake, or guesses passwords; who is thrown out comes again.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import resource
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from served import Server

USERS = 200
"""Of `u0` and so on: those at whose passwords is guessed."""


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(1)


async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        writer.write(b"a" * 65536)
        await writer.drain()
        await asyncio.sleep(0.5)


async def half_open(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
    while await reader.read(1000):
        pass


async def guessing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readline():
        user, guess = random.randrange(USERS), random.randrange(10**9)
        writer.write(b"a LOGIN u%d guess%d\r\n" % (user, guess))
        await writer.drain()


KINDS = (silent, dripping, flooding, half_open, guessing)
Kind = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def attack(imap: int, imaps: int, count: int, guessers: int) -> None:
    """Attack until killed; who guesses has so many addresses, the others a hundred."""

    async def one(kind: Kind, source: str) -> None:
        port = imaps if kind is half_open else imap
        while True:
            with suppress(OSError):
                opened = asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                reader, writer = await opened
                try:
                    await kind(reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(0.5)

    def source(number: int, kind: Kind) -> str:
        turn = number // len(KINDS)
        if kind is not guessing:
            return f"127.0.2.{1 + turn % 100}"
        return f"127.5.{turn % guessers // 250}.{1 + turn % guessers % 250}"

    async def all_of_them() -> None:
        kinds = ((n, KINDS[n % len(KINDS)]) for n in range(count))
        await asyncio.gather(*(one(kind, source(n, kind)) for n, kind in kinds))

    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
    os.nice(5)  # the honest client's clock must not wait for its enemies
    asyncio.run(all_of_them())


@contextmanager
def under_attack(server: Server, count: int, guessers: int) -> Iterator[None]:
    arguments = (server.imap, server.imaps, count, guessers)
    enemy = multiprocessing.Process(target=attack, args=arguments, daemon=True)
    enemy.start()
    try:
        yield
    finally:
        enemy.terminate()
        enemy.join()
