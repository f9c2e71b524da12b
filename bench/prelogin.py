"""What strangers cost: memory of silent connections, and an honest client among hostile ones.

    .venv/bin/python bench/prelogin.py [--hostile N] [--seconds S] [--workers N]

Starts a server of its own on loopback, with Argon2id passwords and no exempt networks. Of the
hostile connections a fifth each is silent, drips an octet a second, sends lines without end,
stops in the middle of a TLS handshake, or guesses passwords; who is thrown out comes again. They
come from 100 addresses. Meanwhile an honest client of another address says NOOP a hundred times
a second, and another one logs in anew twice a second. `make prelogin` does it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import random
import resource
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

from maa.auth.new_hashes import new_hash
from maa.service.demo import new_certificate

SILENT = 490
CONFIGURATION = """
hostname = "localhost"
state = "state"
workers = {workers}
[listen]
imap = ["tcp:{imap}:interface=127.0.0.1"]
imaps = ["tcp:{imaps}:interface=127.0.0.1"]
[tls]
certificate = "cert.pem"
key = "key.pem"
[auth]
password-file.path = "passwd"
[mail]
home = "{folder}/{{user}}"
[limits]
exempt = []
"""


class Server:
    """One server in a folder of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.folder = folder
        probes = [socket.socket() for _ in range(2)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        self.imap, self.imaps = (probe.getsockname()[1] for probe in probes)
        for probe in probes:
            probe.close()
        new_certificate(folder / "cert.pem", folder / "key.pem")
        (folder / "passwd").write_text(f"joe:{new_hash(b'secret')}\n")
        (folder / "passwd").chmod(0o600)
        text = CONFIGURATION.format(workers=workers, **vars(self))
        (folder / "maa.toml").write_text(text)
        twistd = Path(sys.executable).with_name("twistd")
        self._log = open(folder / "log", "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [twistd, "-n", "--pidfile=", "maa", "--config", "maa.toml"],
            cwd=folder,
            stdout=self._log,
            stderr=self._log,
        )
        while "serves as" not in (folder / "log").read_text():
            assert self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        time.sleep(1)

    def resident(self) -> int:
        """Octets of all processes that are not shared among them."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total = 0
        for one in (str(pid), *children):
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            kib = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
            total += 1024 * sum(kib)
        return total

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 30, source_address=(source, 0))


def memory(server: Server, tls: bool) -> float:
    """KiB of a silent connection that was greeted."""
    context = ssl.create_default_context(cafile=str(server.folder / "cert.pem"))
    before, clients = server.resident(), []
    for number in range(SILENT):
        client = connected(server.imaps if tls else server.imap, f"127.0.1.{1 + number % 100}")
        if tls:
            client = context.wrap_socket(client, server_hostname="localhost")
        assert client.recv(1000)
        clients.append(client)
    time.sleep(1)
    each = (server.resident() - before) / SILENT / 1024
    for client in clients:
        client.close()
    time.sleep(1)
    return each


# --- hostile clients, in a process of their own


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
        writer.write(b"a LOGIN joe guess%d\r\n" % random.randrange(10**9))
        await writer.drain()


KINDS = (silent, dripping, flooding, half_open, guessing)
Kind = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def attack(imap: int, imaps: int, count: int) -> None:
    """Attack until killed."""

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

    async def all_of_them() -> None:
        sources = (f"127.0.2.{n}" for n in itertools.cycle(range(1, 101)))
        kinds = itertools.cycle(KINDS)
        await asyncio.gather(*(one(next(kinds), next(sources)) for _ in range(count)))

    resource.setrlimit(resource.RLIMIT_NOFILE, (16384, 16384))
    os.nice(5)  # the honest client's clock must not wait for its enemies
    asyncio.run(all_of_them())


# --- honest clients


def asked(client: socket.socket, line: bytes, end: bytes) -> float:
    """Seconds until the answer has come."""
    begun = time.perf_counter()
    client.sendall(line)
    data = b""
    while end not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return time.perf_counter() - begun


def honest(server: Server, seconds: float) -> tuple[list[float], list[float], int]:
    """Seconds of each NOOP, of each connection with LOGIN; and how many were refused."""
    steady = connected(server.imap, "127.0.3.1")
    asked(steady, b"", b"\r\n")
    asked(steady, b"a LOGIN joe secret\r\n", b"a OK")
    noops: list[float] = []
    logins: list[float] = []
    refused = 0
    for turn in _every(0.01, seconds):
        noops.append(asked(steady, b"n NOOP\r\n", b"n OK"))
        if turn % 50 == 0:
            begun = time.perf_counter()
            try:
                with connected(server.imap, f"127.0.3.{2 + turn // 50 % 200}") as client:
                    asked(client, b"", b"\r\n")
                    asked(client, b"a LOGIN joe secret\r\n", b"a OK")
            except (OSError, AssertionError):
                refused += 1
            else:
                logins.append(time.perf_counter() - begun)
    return noops, logins, refused


def _every(pause: float, seconds: float) -> Iterator[int]:
    end = time.monotonic() + seconds
    for turn in itertools.count():
        if time.monotonic() > end:
            return
        yield turn
        time.sleep(pause)


def shown(name: str, values: list[float]) -> str:
    ordered = sorted(values)
    median, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    worst = ordered[-1]
    return (
        f"{name}: median {median * 1e3:.1f} ms, p99 {late * 1e3:.1f} ms, worst {worst * 1e3:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hostile", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    with tempfile.TemporaryDirectory(prefix="maa-prelogin-") as name:
        server = Server(Path(name), options.workers)
        try:
            print(f"a silent connection, plain: {memory(server, tls=False):.1f} KiB")
            print(f"a silent connection, TLS:   {memory(server, tls=True):.1f} KiB")
            noops, logins, _ = honest(server, min(5, options.seconds))
            print(f"alone. {shown('NOOP', noops)}; {shown('login', logins)}")
            before = server.resident()
            arguments = (server.imap, server.imaps, options.hostile)
            enemy = multiprocessing.Process(target=attack, args=arguments, daemon=True)
            enemy.start()
            time.sleep(5)
            noops, logins, refused = honest(server, options.seconds)
            grown = (server.resident() - before) / 2**20
            enemy.terminate()
            enemy.join()
            print(f"among {options.hostile} hostile connections. {shown('NOOP', noops)}")
            print(f"  {shown('login', logins)}; {refused} refused; {grown:.0f} MiB more")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
