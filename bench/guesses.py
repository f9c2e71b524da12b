"""How many passwords are looked at: those of one address, and of fifty /24 networks.

Fifty connections guess for five seconds. The patient ones wait for each answer; the impatient
ones do not, for a right password is answered at once: they are gone after 0.2 s and come again.
What was looked at is counted in the server's log, which has a line of each attempt.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from served import Server, Steady, quantile

CONNECTIONS = 50
SECONDS = 5.0
IMPATIENT_SECONDS = 0.2
ONE_ADDRESS = ["127.0.6.1"] * CONNECTIONS
NETWORKS = [f"127.{100 + number}.0.1" for number in range(CONNECTIONS)]


def guess(port: int, sources: Iterable[str], names: int, patient: bool) -> None:
    """Until killed; at as many names, of which none but joe is anybody's."""

    async def one(source: str) -> None:
        while True:
            with suppress(OSError, asyncio.TimeoutError):
                opened = asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
                reader, writer = await opened
                try:
                    await talk(reader, writer)
                finally:
                    writer.close()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        while True:
            number = random.randrange(names)
            name = b"n%d" % number if number else b"joe"
            writer.write(b"a LOGIN %b guess%d\r\n" % (name, random.randrange(10**9)))
            wait = None if patient else IMPATIENT_SECONDS
            if not await asyncio.wait_for(reader.readline(), wait):
                return

    async def all_of_them() -> None:
        await asyncio.gather(*(one(source) for source in sources))

    os.nice(5)
    asyncio.run(all_of_them())


def looked_at(log: str) -> int:
    """How many attempts were compared with a password: those too many are not."""
    refused = (line for line in log.splitlines() if "login refused: user" in line)
    return sum("too many failed logins" not in line for line in refused)


def counted(sources: list[str], names: int, patient: bool, workers: int) -> str:
    with tempfile.TemporaryDirectory(prefix="maa-guesses-") as folder:
        server = Server(Path(folder), workers)
        try:
            steady = Steady(server, "127.0.3.1")
            arguments = (server.imap, sources, names, patient)
            enemy = multiprocessing.Process(target=guess, args=arguments, daemon=True)
            with steady.going_on():
                enemy.start()
                time.sleep(SECONDS)
                log = server.log()
            enemy.terminate()
            enemy.join()
        finally:
            server.stop()
    late = quantile(steady.waits, 0.99) * 1e3
    return f"{looked_at(log)} | {late:.1f} ms"


def count_guesses(workers: int) -> None:
    print("| fifty connections that guess | passwords looked at in 5 s | NOOP of others, p99 |")
    print("| --- | ---: | ---: |")
    for where, sources in (("of one address", ONE_ADDRESS), ("of fifty /24s", NETWORKS)):
        for what, names in (("one account", 1), ("1,000 names", 1000)):
            for how, patient in (("patient", True), ("impatient", False)):
                found = counted(sources, names, patient, workers)
                print(f"| {where}, at {what}, {how} | {found} |", flush=True)
