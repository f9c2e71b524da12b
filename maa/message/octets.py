"""Messages as sent: every line ends CRLF, whatever the file on disk has (RFC 3501 §2.2).

A bare LF becomes CRLF, CRLF stays, a bare CR stays. All sizes and offsets elsewhere in maa are
of the octets *as sent*; `Wire` is one message in that form. Small messages are converted once,
in memory; of large ones only the places of a few disk offsets are kept, so that any slice is
a seek and memory stays bounded.
"""

from __future__ import annotations

import errno
import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

CHUNK: Final = 65536
SMALL: Final = 1 << 20
"""Up to so many octets on disk, a message is handled in memory."""
HEADER_OCTETS_MAX: Final = 8 << 20
"""Of a header longer than this only so much is read into memory (R224)."""


def crlf(data: bytes) -> bytes:
    """The octets with every line end as CRLF; a CR that stands alone stays."""
    if b"\r" not in data:
        return data.replace(b"\n", b"\r\n")
    if data.count(b"\n") == data.count(b"\r\n"):
        return data
    # Each LF left by the first step ended a line, so the second puts back what was taken.
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def without_nul(data: bytes) -> bytes:
    """Octets fit for POP3 and for plain literals: NUL becomes 0x80, sizes stay (R156, Q-4)."""
    return data.replace(b"\0", b"\x80")


class Wire(Protocol):
    """One message as sent."""

    size: int
    """Octets as sent: RFC822.SIZE (R090)."""

    def slice(self, start: int, stop: int) -> bytes:
        """Octets start to stop, clipped to what is there; ask no more than `CHUNK`."""

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The octets start to stop in pieces of at most `CHUNK`; each step may block."""

    def close(self) -> None:
        """Give the file back; once is enough, more does no harm."""


class WireBytes:
    """A message in memory, its lines already ending CRLF."""

    __slots__ = ("data", "size")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def slice(self, start: int, stop: int) -> bytes:
        return self.data[max(start, 0) : max(stop, 0)]

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        start, stop = max(start, 0), self.size if stop is None else min(stop, self.size)
        if start == 0 and stop == self.size <= CHUNK:
            if self.size:
                yield self.data
            return
        for at in range(start, stop, CHUNK):
            yield self.data[at : min(at + CHUNK, stop)]

    def close(self) -> None:
        """Nothing is held."""


class WireFile:
    """A message in an open file, of which no more than a few blocks are in memory at a time.

    `_starts[i]` is where the disk block i (of `CHUNK` octets) begins in the octets as sent.
    A file with no bare LF needs no such table: its octets are sent as they are.
    """

    __slots__ = ("_fd", "_same", "_starts", "size")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._starts = array("q", [0])
        self._same = True
        size = disk = 0
        previous_cr = False
        while block := _read_at(fd, disk, CHUNK):
            bare = block.count(b"\n") - (block.count(b"\r\n") if b"\r" in block else 0)
            if previous_cr and block[:1] == b"\n":
                bare -= 1
            self._same = self._same and not bare
            size += len(block) + bare
            disk += len(block)
            previous_cr = block[-1:] == b"\r"
            self._starts.append(size)
            if len(block) < CHUNK:
                break
        self.size = size

    def slice(self, start: int, stop: int) -> bytes:
        start, stop = max(start, 0), min(stop, self.size)
        if start >= stop:
            return b""
        if self._same:
            data = _read_at(self._fd, start, stop - start)
        else:
            block = bisect_right(self._starts, start) - 1
            offset = start - self._starts[block]
            pieces = []
            while self._starts[block] < stop:
                pieces.append(self._block(block))
                block += 1
            data = b"".join(pieces)[offset : offset + stop - start]
        if len(data) != stop - start:
            raise OSError(errno.EIO, "the message file became shorter")
        return data

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        start, stop = max(start, 0), self.size if stop is None else min(stop, self.size)
        if self._same:
            for at in range(start, stop, CHUNK):
                yield self.slice(at, min(at + CHUNK, stop))
            return
        block = bisect_right(self._starts, start) - 1
        while start < stop:
            # Each block is read and converted once, whatever the sizes of the pieces.
            data = self._block(block)[start - self._starts[block] :][: stop - start]
            if not data:
                raise OSError(errno.EIO, "the message file became shorter")
            start += len(data)
            block += 1
            half = len(data) if len(data) <= CHUNK else len(data) // 2
            yield data[:half]
            if half < len(data):
                yield data[half:]

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _block(self, number: int) -> bytes:
        """One disk block as sent."""
        if not number:
            return crlf(_read_at(self._fd, 0, CHUNK))
        data = _read_at(self._fd, number * CHUNK - 1, CHUNK + 1)
        # An LF at the block's start ends a CRLF when the octet before it is a CR.
        return crlf(data)[1:] if data[:1] == b"\r" else crlf(data[1:])


def _read_at(fd: int, offset: int, octets: int) -> bytes:
    """So many octets from `offset`; fewer only at the end of the file."""
    pieces = []
    while octets > 0 and (piece := os.pread(fd, octets, offset)):
        pieces.append(piece)
        offset += len(piece)
        octets -= len(piece)
    return b"".join(pieces)


def open_wire(fd: int) -> Wire:
    """The message in the file, from its first octet; the descriptor now belongs to the result."""
    try:
        octets = os.fstat(fd).st_size
        if octets > SMALL:
            return WireFile(fd)
        # Asking for more than there is costs: that many octets are allocated first.
        data = os.pread(fd, octets + 1, 0)
        if len(data) != octets:  # it grew or shrank meanwhile: a delivery in place
            data = _read_at(fd, 0, SMALL + 1)
    except BaseException:
        os.close(fd)
        raise
    if len(data) > SMALL:
        return WireFile(fd)
    os.close(fd)
    return WireBytes(crlf(data))


def read_head(fd: int) -> bytes:
    """The header as sent, up to and with its blank line, reading no more than is needed."""
    head = b""
    offset, octets = 0, 8192
    while block := _read_at(fd, offset, octets):
        searched = max(len(head) - 3, 0)
        offset += len(block)
        # A CR at the end may be half a line end, whose LF must not be taken for a bare one.
        carried = head[-1:] == b"\r"
        head += crlf(b"\r" + block)[1:] if carried else crlf(block)
        if head[:2] == b"\r\n":
            return b"\r\n"
        end = head.find(b"\r\n\r\n", searched)
        if end >= 0:
            return head[: end + 4]
        if len(block) < octets or len(head) >= HEADER_OCTETS_MAX:
            break
        octets = min(octets * 2, SMALL)
    return head[:HEADER_OCTETS_MAX]


def dot_stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A POP3 multi-line answer: stuffed, ended CRLF "." CRLF, without NULs (R204, Q-4)."""
    tail = b"\r\n"  # the last octets sent: the first line begins as if after a line end
    for chunk in chunks:
        if not chunk:
            continue
        chunk = chunk.replace(b"\0", b"\x80")
        stuffed = chunk.replace(b"\r\n.", b"\r\n..")
        if tail == b"\r\n" and chunk[:1] == b".":
            stuffed = b"." + stuffed
        elif tail[-1:] == b"\r" and chunk[:2] == b"\n.":
            stuffed = b"\n." + stuffed[1:]
        tail = chunk[-2:] if len(chunk) > 1 else tail[-1:] + chunk
        yield stuffed
    yield b".\r\n" if tail == b"\r\n" else b"\r\n.\r\n"
