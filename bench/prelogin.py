"""What strangers cost: memory of silent connections, and honest clients among hostile ones.

    .venv/bin/python bench/prelogin.py [--hostile N] [--seconds S] [--workers N]

Starts servers of its own on loopback, with Argon2id passwords and no exempt networks. The hostile
connections are those of `strangers`, and `guesses` counts how many passwords are looked at.
Meanwhile an honest client of another address says NOOP a hundred times a second; one whom the
server remembers logs in anew twice a second; and users whom it does not remember log in one after
the other, each once and from an address of the own. `make prelogin` does it.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from guesses import count_guesses
from served import Server, Steady, connected, every, logged_in, password_lines, shown
from strangers import USERS, under_attack

SILENT = 490


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


@dataclass(slots=True)
class Honest:
    """Seconds of each NOOP and of each connection with LOGIN; and how many were refused."""

    noops: list[float] = field(default_factory=list)
    remembered: list[float] = field(default_factory=list)
    unknown: list[float] = field(default_factory=list)
    """Of users who have not logged in before."""
    refused: int = 0

    def log_in(self, server: Server, user: str, source: str, into: list[float]) -> None:
        begun = time.perf_counter()
        try:
            logged_in(server, user, source).close()
        except (OSError, AssertionError):
            self.refused += 1
        else:
            into.append(time.perf_counter() - begun)

    def told(self) -> str:
        return "\n".join(
            (
                f"  {shown('NOOP', self.noops)}",
                f"  {shown('login of a user whom the server remembers', self.remembered)}",
                f"  {shown(f'each first login of {len(self.unknown)} others', self.unknown)}",
                f"  {self.refused} refused",
            )
        )


def honest(server: Server, seconds: float) -> Honest:
    """Users whom the server does not remember come over the whole time; fewer, if they wait."""
    found = Honest()
    home = "127.0.3.1"
    steady = Steady(server, home)

    def remembered() -> None:
        for _ in every(0.5, seconds):
            found.log_in(server, "joe", home, found.remembered)

    thread = threading.Thread(target=remembered)
    with steady.going_on():
        thread.start()
        for number in itertools.islice(every(seconds / USERS, seconds), USERS):
            source = f"127.0.4.{1 + number}"
            found.log_in(server, f"u{number}", source, found.unknown)
        thread.join()
    found.noops = steady.waits
    return found


@contextmanager
def serving(folder: Path, workers: int) -> Iterator[Server]:
    """A server that remembers nobody; the mailboxes are made by the first in a folder."""
    server = Server(folder, workers, password_lines(f"u{number}" for number in range(USERS)))
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hostile", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    with tempfile.TemporaryDirectory(prefix="maa-prelogin-") as name:
        folder = Path(name)
        with serving(folder, options.workers) as server:
            print(f"a silent connection, plain: {memory(server, tls=False):.1f} KiB")
            print(f"a silent connection, TLS:   {memory(server, tls=True):.1f} KiB")
            print(f"alone, mailboxes are made:\n{honest(server, 10).told()}", flush=True)
        with serving(folder, options.workers) as server:
            print(f"alone:\n{honest(server, options.seconds).told()}", flush=True)
        for guessers in (20, 200):
            with serving(folder, options.workers) as server:
                before = server.resident()
                with under_attack(server, options.hostile, guessers):
                    time.sleep(5)
                    found = honest(server, options.seconds)
                    grown = (server.resident() - before) / 2**20
                print(f"{options.hostile} hostile connections, guesses of {guessers} addresses:")
                print(f"{found.told()}; {grown:.0f} MiB more", flush=True)
    count_guesses(options.workers)


if __name__ == "__main__":
    main()
