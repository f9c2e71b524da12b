"""Oversized and hostile input: how long each takes, what memory, and how long others wait.

    .venv/bin/python bench/hostile.py

Starts a server of its own on loopback, with a mailbox of hostile messages (those of
tests/message/hostile_mail.py). While one client says or asks for each, another says NOOP a hundred
times a second. `make hostile` does it.
"""

from __future__ import annotations

import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import bursts
from served import Client, Server, Steady, asked, connected, logged_in, quantile

from tests.message.hostile_mail import NAMES, message

ANSWER_SECONDS = 60
MIB = 1 << 20
READERS = 5
FORMS = (
    b"FLAGS RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE PREVIEW BODY.PEEK[HEADER.FIELDS (To Cc)]"
    b" BODY.PEEK[HEADER.FIELDS.NOT (To)]<0.99> BODY.PEEK[1.1.1.1.MIME] BODY.PEEK[1]<0.99>"
)
SEARCHES = (
    b"c SEARCH %d TEXT zzz CC zzz HEADER X-Field zzz\r\nd SORT (FROM SUBJECT DATE) UTF-8 %d\r\n"
    b"e THREAD REFERENCES UTF-8 %d\r\n"
)


class Watched:
    """What another client and the server go through meanwhile."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._steady = Steady(server)
        self._octets: list[int] = []

    @contextmanager
    def looking(self) -> Iterator[None]:
        over = threading.Event()
        self._octets = [self.resident()]

        def look() -> None:
            while not over.wait(0.01):
                self._octets.append(self.resident())

        thread = threading.Thread(target=look)
        thread.start()
        try:
            with self._steady.going_on():
                yield
        finally:
            over.set()
            thread.join()

    def resident(self) -> int:
        """Octets of the server's memory."""
        for line in Path(f"/proc/{self._server.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the server is gone")

    def told(self, name: str, seconds: float, answer: bytes) -> None:
        late, latest = (quantile(self._steady.waits, part) * 1e3 for part in (0.99, 1))
        grown = (max(self._octets) - self._octets[0]) / MIB
        print(
            f"| {name} | {seconds:.2f} s | {grown:.0f} MiB | {late:.0f} ms | {latest:.0f} ms"
            f" | {answer[:60].decode('ascii', 'replace').strip()} |",
            flush=True,
        )


def said(client: Client, data: bytes, end: bytes) -> bytes:
    """The last line of the answer; the end of the connection is one, too."""
    thread = threading.Thread(target=_push, args=(client, data), daemon=True)
    thread.start()
    found = b""
    with suppress(ConnectionError):
        while end not in b"\r\n" + found or not found.endswith(b"\r\n"):
            piece = client.recv(1 << 16)
            if not piece:
                break
            found = found[-4096:] + piece
    lines = found.splitlines()
    return lines[-1] if lines else b"(closed)"


def _push(client: Client, data: bytes) -> None:
    with suppress(OSError):
        client.sendall(data)


def commands() -> Iterator[tuple[str, bool, bytes, bytes]]:
    """Name, whether logged in, what is said, and how the answer ends."""
    for known, when in ((False, "before login"), (True, "after login")):
        yield f"a line of 10 MiB, {when}", known, b"x" * 10 * MIB + b"\r\n", b"\r\n"
        yield f"a literal of 4 GiB, {when}", known, b"b LOGIN {4294967296}\r\n", b"\r\n"
        yield f"one that is not asked for, {when}", known, b"b LOGIN {4294967296+}\r\n", b"\r\n"
    deep = b"b SEARCH " + b"(" * 50_000 + b"ALL" + b")" * 50_000 + b"\r\n"
    yield "50,000 nested parentheses", True, deep, b"\r\nb "
    keys = b"b SEARCH" + b" OR ALL NOT" * 5_000 + b" ALL\r\n"
    yield "15,000 search keys", True, keys, b"\r\nb "
    numbers = b",".join(b"%d:*" % n for n in range(1, 9_000))
    yield "9,000 endless ranges", True, b"b UID SEARCH UID %b\r\n" % numbers, b"\r\nb "
    pattern = b'b LIST "" "' + b"%*a" * 150 + b'z"\r\n'
    yield "300 wildcards over 300 long names", True, pattern, b"\r\nb "


def bomb(client: Client) -> bytes:
    """A gibibyte of blank lines in a mebibyte of DEFLATE."""
    asked(client, b"b COMPRESS DEFLATE\r\n", b"b OK")
    packed = zlib.compressobj(9, wbits=-15)
    data = b"".join(packed.compress(b"\r\n" * (MIB // 2)) for _ in range(1024))
    data += packed.compress(b"c NOOP\r\n") + packed.flush()
    unpacked = zlib.decompressobj(wbits=-15)
    threading.Thread(target=_push, args=(client, data), daemon=True).start()
    found = b""
    with suppress(ConnectionError):
        while b"c OK" not in found and (piece := client.recv(1 << 16)):
            found += unpacked.decompress(piece)
    return found or b"(closed)"


def never_reading(server: Server) -> Callable[[Client], bytes]:
    """Some clients ask for the mailbox a hundred times, some 4 GB each, and read nothing."""

    def ask(_: Client) -> bytes:
        clients = [logged_in(server) for _ in range(READERS)]
        for client in clients:
            asked(client, b"b SELECT INBOX\r\n", b"\r\nb ")
            client.sendall(b"c FETCH 1:* BODY.PEEK[]\r\n" * 100)
        time.sleep(5)
        for client in clients:
            client.close()
        return b"(held back)"

    return ask


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="maa-hostile-") as name:
        folder = Path(name)
        server = Server(folder, lines=bursts.lines())
        new = folder / "joe" / "Maildir" / "new"
        for part in ("new", "cur", "tmp"):
            (new.parent / part).mkdir(parents=True, exist_ok=True)
        for number, name_ in enumerate(NAMES, 1):
            (new / f"{number}.M{number}.host").write_bytes(message(name_))
        for number in range(300):
            for part in ("new", "cur", "tmp"):
                (new.parents[1] / "Maildir" / f".{'a' * 200}{number}" / part).mkdir(parents=True)
        try:
            watched = Watched(server)
            print("| what | answered after | memory | NOOP of another, p99 | worst | answer |")
            print("| --- | ---: | ---: | ---: | ---: | --- |")

            def measure(what: str, client: Client, work: Callable[[Client], bytes]) -> None:
                with watched.looking():
                    time.sleep(0.3)
                    begun = time.perf_counter()
                    answer = work(client)
                    seconds = time.perf_counter() - begun
                watched.told(what, seconds, answer)
                client.close()

            for what, known, data, end in commands():
                client = logged_in(server) if known else connected(server.imap)
                client.settimeout(ANSWER_SECONDS)
                if known:
                    asked(client, b"s SELECT INBOX\r\n", b"\r\ns ")
                else:
                    asked(client, b"", b"\r\n")
                measure(what, client, lambda c, d=data, e=end: said(c, d, e))
            before = watched.resident()
            for number, what in enumerate(NAMES, 1):
                client = logged_in(server)
                asked(client, b"s SELECT INBOX\r\n", b"\r\ns ")
                line = b"b FETCH %d (%b)\r\n" % (number, FORMS)
                line += SEARCHES % (number, number, number)
                measure(what, client, lambda c, d=line: said(c, d, b"\r\ne "))
            print(f"| all of this mail | | {(watched.resident() - before) / MIB:.0f} MiB | | |")
            measure("1 GiB in 1 MiB of DEFLATE", logged_in(server), bomb)
            readers = f"{READERS} clients that never read"
            measure(readers, connected(server.imap), never_reading(server))
            for what in bursts.SCHEMES:
                client, logins = connected(server.imap), bursts.logins(server, what)
                measure(f"{bursts.COUNT} logins at once, {what}", client, logins)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
