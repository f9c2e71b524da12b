"""Messages on their way into an mbox: written beside it as an mbox of their own.

Such a file is durable before the index learns of its messages, and is removed when they are in
the mbox; after a crash between, it is where they are found.

What comes has CRLF line ends, from clients, and gets LF, as every mail program expects of an mbox
(where CR CR LF would make that a change that a client sees, all stay as they are). What other
programs would take for notes of their own (`Status`, ...) is left out and made anew of the flags.
What lines that begin `From ` need depends on the variant (R230): in an mboxrd file they are
quoted, for readers take that off again; in any other quoting would change the message, and its
header gets a Content-Length instead, as mboxcl2 has it.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from maa.message.flags import Flags
from maa.store.mbox_lines import PIECE, by_lines, pieces_of_lines, quoted, read_at
from maa.store.mbox_notes import status_fields
from maa.store.mbox_split import Message, digest, split
from maa.store.private import open_private

_HEADER_OCTETS_MAX: Final = 8 << 20
_HEADER_END: Final = re.compile(rb"\A\r?\n|\n\r?\n")
_METADATA: Final = re.compile(
    rb"^(?:status|x-status|x-keywords|x-uid|x-imap|x-imapbase|content-length)[ \t]*:"
    rb"[^\n]*\n(?:[ \t][^\n]*\n)*",
    re.IGNORECASE | re.MULTILINE,
)
_SENDER: Final = re.compile(rb"^(?:return-path|from):[^\n]*?([!-;=?-~]+@[!-;=?-~]+)", re.I | re.M)


@dataclass(frozen=True, slots=True)
class Staged:
    """Messages in a staging file."""

    path: str
    messages: tuple[tuple[int, bytes, bytes], ...]
    """(start in the file, digest, notes) of each; see `maa.store.mbox_split`."""
    descriptor: int
    """Open and locked while somebody means to append it: of a killed process it is no more."""

    def forget(self) -> None:
        """Remove the file, for it is appended or not wanted; once is enough, more does no harm."""
        with suppress(FileNotFoundError):
            os.unlink(self.path)
        with suppress(OSError):
            os.close(self.descriptor)

    def extents(self) -> list[tuple[int, int]]:
        """From the From_ line of each message to the next."""
        starts = [start for start, _, _ in self.messages]
        return list(zip(starts, [*starts[1:], os.fstat(self.descriptor).st_size], strict=True))


@dataclass(frozen=True, slots=True)
class _Body:
    """What is to be known of a body before it is written."""

    octets: int
    """As it will be in the mbox, its last line ended."""
    raw: bool
    """Line ends stay as they are."""
    has_from: bool
    ended: bool


def stage(path: str, sources: Iterator[tuple[int, Flags, int]], mboxrd: bool) -> Staged:
    """Write messages (descriptor, flags, date) to a new file and wait for the disk; OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    staging = os.open(path, flags, 0o600)
    try:
        fcntl.flock(staging, fcntl.LOCK_EX)
        count = 0
        with os.fdopen(staging, "w+b", closefd=False) as file:
            for descriptor, shown, date in sources:
                for piece in _as_mbox(descriptor, shown, date, mboxrd):
                    file.write(piece)
                count += 1
        os.fsync(staging)
        staged = _read(path, staging, mboxrd)
    except BaseException:
        os.close(staging)
        raise
    if len(staged.messages) != count:
        staged.forget()
        raise OSError(f"{path}: {count} messages became {len(staged.messages)}")
    return staged


def left_behind(path: str, mboxrd: bool) -> Staged | None:
    """What is in a staging file of a process that was killed; None: it lives. OSError, NotMbox."""
    descriptor = open_private(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _read(path, descriptor, mboxrd)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise


def only(staged: Staged, path: str, chosen: Sequence[int], mboxrd: bool) -> Staged:
    """A staging file with some of the messages of another one, which goes; OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    extents = staged.extents()
    with os.fdopen(os.open(path, flags, 0o600), "w+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for number in chosen:
            start, stop = extents[number]
            for piece in pieces_of_lines(staged.descriptor, start, stop):
                file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        found = _read(path, os.dup(file.fileno()), mboxrd)
    staged.forget()
    return found


def _read(path: str, descriptor: int, mboxrd: bool) -> Staged:
    def row(message: Message) -> tuple[int, bytes, bytes]:
        return message.start, digest(descriptor, message, mboxrd), message.notes

    size = os.fstat(descriptor).st_size
    return Staged(path, tuple(map(row, split(descriptor, 0, size))), descriptor)


def pieces(path: str) -> Iterator[bytes]:
    """The octets of a staging file."""
    with os.fdopen(open_private(path), "rb") as file:
        while piece := file.read(PIECE):
            yield piece


def _as_mbox(descriptor: int, flags: Flags, date: int, mboxrd: bool) -> Iterator[bytes]:
    """One message in the form of an mbox, with the empty line behind it."""
    head = read_at(descriptor, 0, 65536)
    match = _HEADER_END.search(head)
    if match is None and len(head) == 65536:
        head = read_at(descriptor, 0, _HEADER_OCTETS_MAX)
        match = _HEADER_END.search(head)
    body_start = len(head) if match is None else match.end()
    header = head[:body_start].replace(b"\r\r\n", b"\r\n").replace(b"\r\n", b"\n")
    stop = os.fstat(descriptor).st_size
    body = _body(descriptor, body_start, stop)
    yield _from_line(header, date)
    noted = _noted(header, flags, body, with_length=body.has_from and not mboxrd)
    yield quoted(noted) if mboxrd else noted
    last = b""
    lines = pieces_of_lines(descriptor, body_start, stop)
    for piece in by_lines(lines, quoted) if mboxrd else lines:
        yield piece if body.raw else piece.replace(b"\r\n", b"\n")
        last = piece[-1:]
    if last and not body.ended:
        yield b"\n"
    yield b"\n"


def _from_line(header: bytes, date: int) -> bytes:
    sender = _SENDER.search(header)
    # In local time and without a zone, as every MDA writes it and every program reads it.
    moment = time.asctime(time.localtime(min(max(date, 0), 253402300799)))
    return b"From %s %s\n" % (
        b"MAILER-DAEMON" if sender is None else sender[1],
        moment.encode("ascii"),
    )


def _noted(header: bytes, flags: Flags, body: _Body, with_length: bool) -> bytes:
    """The header without metadata of others, with that of our own."""
    ended = header.endswith(b"\n\n") or header == b"\n"
    fields = _METADATA.sub(b"", header[:-1] if ended else header)
    if fields and not fields.endswith(b"\n"):
        fields += b"\n"
    notes = status_fields(flags)
    if with_length:
        notes += b"Content-Length: %d\n" % body.octets
    return fields + notes + (b"\n" if ended or body.octets else b"")


def _body(descriptor: int, start: int, stop: int) -> _Body:
    octets = ends = 0
    raw = has_from = False
    last = b"\n"
    for piece in pieces_of_lines(descriptor, start, stop):
        octets += len(piece)
        ends += piece.count(b"\r\n")
        raw = raw or b"\r\r\n" in piece
        has_from = has_from or piece.startswith(b"From ") or b"\nFrom " in piece
        last = piece[-1:]
    ended = last == b"\n"
    return _Body(octets - (0 if raw else ends) + (not ended), raw, has_from, ended)
