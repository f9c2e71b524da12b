"""The corpus's own comparer, also with what it does not know of: IMAP4rev2 and COMPRESS.

    python -m tests.imap.comparing rev2+compress HOST PORT USER PASSWORD [what compare.py knows]

Its client is taught to enable them when it has selected the mailbox, and to read ESEARCH, which
IMAP4rev2 has for SEARCH, as what it expects. All else it reads itself, so it compares all else.
"""

from __future__ import annotations

import importlib
import io
import re
import socket
import sys
import zlib
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
WAYS = ("rev1", "rev2+compress")

_ESEARCH = re.compile(rb'\* ESEARCH \(TAG "[^"]*"\)(?: ALL ([0-9:,]+))?')


def comparer(way: str = "rev1") -> Any:
    """The corpus's comparer, as a module whose client goes one of the `WAYS`."""
    sys.path.insert(0, str(CORPUS))
    try:
        module = importlib.import_module("compare")
    finally:
        sys.path.remove(str(CORPUS))
    plain = getattr(module.Imap, "plain", module.Imap)
    module.Imap = _taught(plain) if way != "rev1" else plain
    return module


def _taught(client: Any) -> Any:
    class Taught(client):  # type: ignore[misc]  # the comparer has no types
        plain = client

        def open(self) -> None:
            super().open()
            self._do(b"UNSELECT", b"ENABLE IMAP4rev2", b"COMPRESS DEFLATE")
            self.s = Deflating(self.s)
            self.f = io.BufferedReader(Inflating(self.s.plain), 65536)
            self._do(b"EXAMINE " + self.q(self.args[4]))

        def _do(self, *commands: bytes) -> None:
            for command in commands:
                status, _ = self.cmd([command])
                assert status == "OK", (command, status)

        def resp(self) -> list[bytes]:
            answer: list[bytes] = super().resp()
            assert not answer[0].startswith(b"* SEARCH"), "R041"
            found = _ESEARCH.fullmatch(answer[0])
            return answer if found is None else [b"* SEARCH" + _numbers(found[1] or b"")]

    return Taught


def _numbers(numbers: bytes) -> bytes:
    """A sequence set, each number for itself."""
    found: list[int] = []
    for part in filter(None, numbers.split(b",")):
        low, _, high = part.partition(b":")
        found += range(int(low), int(high or low) + 1)
    return b"".join(b" %d" % number for number in found)


class Deflating:
    """A socket whose octets are compressed on their way out (RFC 4978)."""

    def __init__(self, plain: socket.socket) -> None:
        self.plain = plain
        self._deflated = zlib.compressobj(wbits=-zlib.MAX_WBITS)

    def sendall(self, data: bytes) -> None:
        self.plain.sendall(self._deflated.compress(data) + self._deflated.flush(zlib.Z_SYNC_FLUSH))

    def close(self) -> None:
        self.plain.close()


class Inflating(io.RawIOBase):
    """What comes in on such a socket."""

    def __init__(self, plain: socket.socket) -> None:
        self._plain = plain
        self._inflated = zlib.decompressobj(wbits=-zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wanted = len(buffer)
        data = self._inflated.decompress(self._inflated.unconsumed_tail, wanted)
        while not data:
            received = self._plain.recv(65536)
            if not received:
                return 0
            data = self._inflated.decompress(received, wanted)
        buffer[: len(data)] = data
        return len(data)


if __name__ == "__main__":
    way = sys.argv.pop(1)
    assert way in WAYS, way
    comparer(way).main()
