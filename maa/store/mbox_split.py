"""Where the messages of an mbox file begin and end, and what is metadata in them (R229-R231).

A message begins with a `From_` line: `From `, at the start of the file or after an empty line,
with a date that is plausible. Bodies may have such lines too (mboxcl2 does not quote them);
Content-Length decides where it lands exactly on a From_ line or on the end of the file.

The empty line in front of a From_ line is not the message's. A last line without line end is
shown with one: the next delivery would add it.

What programs note in headers about a message is not the message (`maa.store.mbox_notes`); what the
rest says identifies it (`digest`, R238).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from hashlib import blake2b
from typing import Final

from maa.store.mbox_lines import FROM_OCTETS_MAX, File, date_of, read_at
from maa.store.mbox_notes import notes_of, without_notes

BLOCK: Final = 4 << 20
_HEAD_OCTETS: Final = 8192
_HEAD_OCTETS_MAX: Final = 8 << 20
_DIGESTED_BODY: Final = 2048

_FROM_LINE = re.compile(rb"\n(\r?\n)From [^\n]{1,%d}" % FROM_OCTETS_MAX)
_HEADER_END = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*(\d{1,12})[ \t]*\r?\n", re.IGNORECASE)
_PSEUDO_SUBJECT = re.compile(rb"\nsubject:[ \t]*don't delete this message", re.IGNORECASE)


class NotMbox(ValueError):
    """The file does not begin with a From_ line."""


@dataclass(frozen=True, slots=True)
class Message:
    """Where one message is: offsets in the file."""

    start: int
    """Of the From_ line."""
    body_start: int
    end: int
    """Behind the last octet that is the message's."""
    stop: int
    """Where the next From_ line begins, or the end of the file."""
    from_line: bytes
    header: bytes
    """As on disk, metadata and blank line included."""
    body: bytes
    """The first octets of the body, as many as were read anyway."""

    @property
    def visible_header(self) -> bytes:
        """The header as clients see it."""
        return without_notes(self.header)

    @property
    def is_pseudo(self) -> bool:
        """Whether it is no mail but what UW and Pine keep in front (when it is the first)."""
        text = b"\n" + self.header
        return b"\nX-IMAP" in text and _PSEUDO_SUBJECT.search(text) is not None

    @property
    def notes(self) -> bytes:
        """What other programs note of flags; see `maa.store.mbox_notes`."""
        return notes_of(self.header)


def split(file: File, start: int, size: int) -> Iterator[Message]:
    """The messages from the From_ line at `start`; NotMbox when there is none."""
    if start < size and date_of(read_at(file, start, FROM_OCTETS_MAX)) is None:
        raise NotMbox("no From_ line at the start")
    froms = _from_lines(file, start, size)
    following = next(froms, None)
    while start < size:
        while following is not None and following[0] <= start:
            following = next(froms, None)
        message = _message(file, start, size, following)
        yield message
        start = message.stop


def message_at(file: File, start: int, stop: int) -> Message:
    """One message whose extent is known; NotMbox when it cannot be there."""
    message = _message(file, start, stop, None)
    if not message.from_line.startswith(b"From "):
        raise NotMbox("no From_ line there")
    return message


def digest(file: File, message: Message, mboxrd: bool) -> bytes:
    """What identifies a message, whatever programs note in its header (R238).

    One that is shown unquoted is another one, for it is shown with other octets (R078).
    """
    length = message.end - message.body_start
    body = message.body[:_DIGESTED_BODY]
    if len(body) < min(length, _DIGESTED_BODY):
        body = read_at(file, message.body_start, min(length, _DIGESTED_BODY))
    header = message.visible_header
    if not ends_in_line(file, message):
        # As it will be when the next delivery has ended the line.
        length += bool(length)
        body += b"\n" if 0 < len(body) < _DIGESTED_BODY else b""
        header += b"" if length else b"\n"
    known = blake2b(message.from_line, digest_size=16, person=b"mboxrd" if mboxrd else b"")
    known.update(b"%d\n%d\n" % (len(header), length))
    known.update(header)
    known.update(body)
    return known.hexdigest().encode("ascii")


def ends_in_line(file: File, message: Message) -> bool:
    """Whether the last line of the message has its line end."""
    behind = message.end - message.body_start
    if behind == 0:
        return message.header.endswith(b"\n") or not message.header
    if behind <= len(message.body):
        return message.body[behind - 1 : behind] == b"\n"
    return read_at(file, message.end - 1, 1) == b"\n"


def arrived(message: Message) -> int:
    """INTERNALDATE: of the From_ line, else of the newest Received, else of Date (R089)."""
    date = date_of(message.from_line)
    if date is not None:
        return date
    text = b"\n" + message.header
    for field in (rb"\nreceived:[^;]*;([^\n]*(?:\n[ \t][^\n]*)*)", rb"\ndate:([^\n]*)"):
        match = re.search(field, text, re.IGNORECASE)
        parsed = parsedate_tz(match[1].decode("latin-1")) if match else None
        if parsed is not None:
            try:
                return int(mktime_tz(parsed))
            except (OverflowError, ValueError):
                continue
    return 0


def _from_lines(file: File, start: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset of a From_ line, octets of the empty line in front), ascending."""
    at = start
    # Read by blocks, never mapped: a file that another program truncates would kill us.
    while at < size:
        block = read_at(file, at, min(BLOCK + FROM_OCTETS_MAX + 16, size - at))
        for match in _FROM_LINE.finditer(block):
            if match.start() >= BLOCK:
                break
            line = block[match.end(1) : match.end()]
            if date_of(line) is not None:
                yield at + match.end(1), len(match[1])
        at += BLOCK


def _message(file: File, start: int, size: int, following: tuple[int, int] | None) -> Message:
    """The message at `start`; `following`: the next From_ line, but for Content-Length."""
    limit = size if following is None else following[0]
    octets = _HEAD_OCTETS
    while True:
        data = read_at(file, start, min(octets, limit - start))
        line_end = data.find(b"\n") + 1 or len(data)
        if data[line_end : line_end + 1] == b"\n" or data[line_end : line_end + 2] == b"\r\n":
            header_end = line_end + (1 if data[line_end : line_end + 1] == b"\n" else 2)
            break
        match = _HEADER_END.search(data, line_end)
        if match is not None or len(data) == limit - start or octets > _HEAD_OCTETS_MAX:
            header_end = match.end() if match is not None else len(data)
            break
        octets *= 4
    header = data[line_end:header_end]
    body_start = start + header_end
    end, stop = _end(file, header, body_start, size, following)
    return Message(
        start, body_start, end, stop, data[:line_end], header, data[header_end : end - start]
    )


def _end(
    file: File, header: bytes, body_start: int, size: int, following: tuple[int, int] | None
) -> tuple[int, int]:
    """Where the body ends, and where the next message begins."""
    if b"ontent-" in header or b"CONTENT-" in header or b"content-" in header:
        match = _CONTENT_LENGTH.search(b"\n" + header)
        stop = None if match is None else _landing(file, body_start + int(match[1]), size)
        if match is not None and stop is not None:
            return body_start + int(match[1]), stop
    if following is not None:
        return max(body_start, following[0] - following[1]), following[0]
    at = max(body_start - 1, size - 3)
    tail = read_at(file, at, size - at)
    blank = 1 if tail.endswith(b"\n\n") else 2 if tail.endswith(b"\n\r\n") else 0
    return max(body_start, size - blank), size


def _landing(file: File, end: int, size: int) -> int | None:
    """Where the next message begins when Content-Length, which ends at `end`, is exact."""
    if end > size:
        return None
    behind = read_at(file, end, FROM_OCTETS_MAX)
    text = behind.lstrip(b"\r\n")
    blanks = len(behind) - len(text)
    if behind[:blanks] not in (b"", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"):
        return None
    if end + len(behind) == size and not text:
        return size
    line_ends = behind[:blanks].count(b"\n") + (read_at(file, end - 1, 1) == b"\n")
    if line_ends >= 2 and text.startswith(b"From "):
        return end + blanks  # an empty line and the length say so: it needs no date
    return end + blanks if line_ends and date_of(text) is not None else None
