"""A server of the benchmark's own, and honest clients of it."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maa.auth.new_hashes import DEFAULT_SCHEME, new_hash
from maa.service.demo import new_certificate

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
Client = socket.socket


def password_lines(names: Iterator[str], scheme: str = DEFAULT_SCHEME) -> str:
    """Lines of users whose password is `secret`: one hash for all, which is checked each time."""
    stored = new_hash(b"secret", scheme)
    return "".join(f"{name}:{stored}\n" for name in names)


class Server:
    """One server in a folder of its own; its users are joe, and those of `lines`.

    The mailboxes of an earlier one in this folder are there still, what it remembered is not.
    """

    def __init__(self, folder: Path, workers: int = 1, lines: str = "") -> None:
        self.folder = folder
        probes = [socket.socket() for _ in range(2)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        self.imap, self.imaps = (probe.getsockname()[1] for probe in probes)
        for probe in probes:
            probe.close()
        new_certificate(folder / "cert.pem", folder / "key.pem")
        (folder / "passwd").write_text(password_lines(iter(["joe"])) + lines)
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
        while "serves as" not in self.log():
            assert self.process.poll() is None, self.log()
            time.sleep(0.05)
        time.sleep(1)

    def log(self) -> str:
        return (self.folder / "log").read_text()

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


def connected(port: int, source: str = "127.0.0.1") -> Client:
    return socket.create_connection(("127.0.0.1", port), 60, source_address=(source, 0))


def asked(client: Client, line: bytes, end: bytes) -> float:
    """Seconds until the answer has come."""
    begun = time.perf_counter()
    client.sendall(line)
    data = b""
    while end not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return time.perf_counter() - begun


def logged_in(server: Server, user: str = "joe", source: str = "127.0.0.1") -> Client:
    client = connected(server.imap, source)
    asked(client, b"", b"\r\n")
    asked(client, b"a LOGIN %b secret\r\n" % user.encode(), b"a OK")
    return client


def every(pause: float, seconds: float) -> Iterator[int]:
    """The turns that begin within so many seconds, numbered."""
    end = time.monotonic() + seconds
    for turn in itertools.count():
        if time.monotonic() > end:
            return
        yield turn
        time.sleep(pause)


class Steady:
    """A client that is logged in and says NOOP a hundred times a second."""

    def __init__(self, server: Server, source: str = "127.0.0.1") -> None:
        self._client = logged_in(server, source=source)
        self.waits: list[float] = []
        """Seconds of each NOOP."""

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """`waits` is of the time within."""
        over = threading.Event()
        self.waits = []

        def go_on() -> None:
            while not over.is_set():
                self.waits.append(asked(self._client, b"n NOOP\r\n", b"n OK"))
                over.wait(0.01)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def quantile(values: list[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def shown(name: str, values: list[float]) -> str:
    median, late, worst = (quantile(values, part) * 1e3 for part in (0.5, 0.99, 1))
    return f"{name}: median {median:.1f} ms, p99 {late:.1f} ms, worst {worst:.1f} ms"
