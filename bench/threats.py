"""Figures of threats that take more than a command: names of users, keywords, kill -9.

    .venv/bin/python bench/threats.py

Starts servers of its own on loopback, with Argon2id passwords and no exempt networks, and says
each figure as a row of a table. `make threats` does it.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from served import Client, Server, asked, connected, logged_in, password_lines

ANSWER_SECONDS = 60
NAMES = 25
LARGE_MAILBOX = 10_000
KILLS = 5
KEYWORDS, KEYWORDS_EACH = 20_000, 100


def greeted(server: Server, source: str) -> Client:
    client = connected(server.imap, source)
    client.settimeout(ANSWER_SECONDS)
    asked(client, b"", b"\r\n")
    return client


def answered(client: Client, line: bytes, tag: bytes) -> bytes:
    """The tagged line that a line is answered by."""
    client.sendall(line)
    data = b""
    while not (data.endswith(b"\r\n") and b"\r\n" + tag in b"\r\n" + data):
        piece = client.recv(1 << 16)
        if not piece:
            raise ConnectionError(data)
        data = data[-4096:] + piece
    return data[data.rfind(tag) :]


def names(server: Server) -> str:
    """How long a wrong password takes for users that there are, and for some that there are not.

    Each comes from an address of its own, and an account is asked for once: nobody has a debt.
    """
    sources = (f"127.1.{n // 200}.{n % 200 + 1}" for n in itertools.count())
    seconds: dict[bytes, list[float]] = {b"u": [], b"n": []}
    texts = set()
    for number, kind in itertools.product(range(NAMES), seconds):
        with greeted(server, next(sources)) as client:
            begun = time.perf_counter()
            texts.add(answered(client, b"a LOGIN %b%d wrong\r\n" % (kind, number), b"a "))
            seconds[kind].append(time.perf_counter() - begun)
    known, unknown = (statistics.median(values) * 1e3 for values in seconds.values())
    same = "the same text" if len(texts) == 1 else f"TEXTS DIFFER: {texts}"
    return f"medians {known:.0f} ms and {unknown:.0f} ms, {same}"


def keywords(server: Server) -> str:
    """A user who gives his messages ever new keywords, and then opens the mailbox after a start."""
    client = logged_in(server)
    asked(client, b"s SELECT INBOX\r\n", b"\r\ns OK")
    refused = 0
    for number in range(KEYWORDS // KEYWORDS_EACH):
        words = b" ".join(b"k%d_%d" % (number, n) for n in range(KEYWORDS_EACH))
        line = b"b STORE %d +FLAGS.SILENT (%b)\r\n" % (number + 1, words)
        refused += b"[LIMIT]" in answered(client, line, b"b ")
    client.close()
    restarted(server)
    client = logged_in(server)
    seconds = asked(client, b"s SELECT INBOX\r\n", b"\r\ns OK")
    client.close()
    return f"{refused} of {KEYWORDS // KEYWORDS_EACH} STOREs refused; SELECT {seconds:.2f} s"


def restarted(server: Server) -> float:
    """kill -9, and a new start; seconds until the large INBOX is selected."""
    server.process.kill()
    server.process.wait()
    begun = time.perf_counter()
    server.process = subprocess.Popen(
        server.process.args, cwd=server.folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    while True:
        with suppress(ConnectionRefusedError):
            client = greeted(server, "127.0.3.1")
            break
        time.sleep(0.005)
    asked(client, b"a LOGIN joe secret\r\n", b"a OK")
    asked(client, b"s SELECT INBOX\r\n", b"\r\ns OK")
    client.close()
    return time.perf_counter() - begun


def killed(server: Server) -> str:
    logged_in(server).close()
    seconds, computed = [], []
    for _ in range(KILLS):
        seconds.append(restarted(server))
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        computed.append((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return (
        f"median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s; "
        f"{statistics.median(computed):.2f} s of computing"
    )


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="maa-threats-") as name:
        folder = Path(name)
        server = Server(folder, 1, password_lines(f"u{n}" for n in range(NAMES)))
        new = folder / "joe" / "Maildir" / "new"
        for part in ("new", "cur", "tmp"):
            (new.parent / part).mkdir(parents=True, exist_ok=True)
        for number in range(LARGE_MAILBOX):
            (new / f"{number}.M{number}.host").write_bytes(b"Subject: %d\r\n\r\nx\r\n" % number)
        try:
            rows: dict[str, Callable[[], str]] = {
                "a user that there is, and one that there is not": lambda: names(server),
                f"kill -9 to SELECT of {LARGE_MAILBOX:,} messages": lambda: killed(server),
                f"{KEYWORDS:,} keywords": lambda: keywords(server),
            }
            print("| what | figure |\n| --- | --- |")
            for what, figure in rows.items():
                print(f"| {what} | {figure()} |", flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
