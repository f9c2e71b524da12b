"""Where the messages of an mbox file begin and end, and what is metadata in them (R229-R231).

A message begins with a `From_` line: `From `, at the start of the file or after an empty line,
with a date that is plausible. Bodies may have such lines too (mboxcl2 does not quote them);
Content-Length decides where it lands exactly on a From_ line or on the end of the file.

The empty line in front of a From_ line is not the message's. A last line without line end is
shown with one: the next delivery would add it.

What mail programs write into headers about a message is not the message: `Status`,
`X-Status`, `X-Keywords`, `X-UID`, `X-IMAP`, `X-IMAPbase` and `Content-Length` are hidden from
clients and count in no size (R236), and so is `Lines` right behind `Content-Length`, where
mutt writes it. What the rest says identifies the message (`digest`, R238).
"""

from __future__ import annotations

import calendar
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from maa.message.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, Flags, interned

BLOCK: Final = 4 << 20
_FROM_OCTETS_MAX: Final = 1000
_HEAD_OCTETS: Final = 8192
_HEAD_OCTETS_MAX: Final = 8 << 20
_DIGESTED_BODY: Final = 2048

_MONTHS: Final = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_MONTH = rb"(?P<month>" + b"|".join(_MONTHS) + rb")"
_TIME = rb"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?"
# asctime(3), with a zone by name or number before or behind the year; or as in a Date field.
_ASCTIME = re.compile(
    rb"[ \t]" + _MONTH + rb"[ \t]+(?P<day>\d{1,2})[ \t]+" + _TIME + rb"(?:[ \t]+(?P<zone>[A-Z]"
    rb"[A-Za-z]{1,5}(?:[ \t][A-Z]{3,5})?|[+-]\d{4}))?[ \t]+(?P<year>\d{4})"
    rb"(?:[ \t]+(?P<zone2>[+-]\d{4}))?"
)
_DATE_FIELD = re.compile(
    rb"[ \t](?P<day>\d{1,2})[ \t]+" + _MONTH + rb"[ \t]+(?P<year>\d{4})[ \t]+" + _TIME
    + rb"(?:[ \t]+(?P<zone>[+-]\d{4}|[A-Z]{1,5}))?"
)  # fmt: skip
_FROM_LINE = re.compile(rb"\n(\r?\n)From [^\n]{1,%d}" % _FROM_OCTETS_MAX)
_HEADER_END = re.compile(rb"\n\r?\n")
_METADATA = re.compile(
    rb"\n(?:(?P<name>status|x-status|x-keywords|x-uid|x-imap|x-imapbase)[ \t]*:"
    rb"(?P<value>[^\n]*(?:\n[ \t][^\n]*)*)"
    rb"|content-length[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\nlines[ \t]*:[ \t]*\d+[ \t]*\r?(?=\n))?)",
    re.IGNORECASE,
)
_CONTENT_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*(\d{1,12})[ \t]*\r?\n", re.IGNORECASE)
_LETTERS: Final = {
    b"R"[0]: SEEN,
    b"A"[0]: ANSWERED,
    b"F"[0]: FLAGGED,
    b"D"[0]: DELETED,
    b"T"[0]: DRAFT,
}
_PSEUDO_SUBJECT = re.compile(rb"\nsubject:[ \t]*don't delete this message", re.IGNORECASE)


File = int | bytes
"""A descriptor, or the octets themselves."""


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
        """The header without metadata."""
        return _METADATA.sub(b"", b"\n" + self.header)[1:]

    @property
    def is_pseudo(self) -> bool:
        """Whether it is no mail but what UW and Pine keep in front (when it is the first)."""
        text = b"\n" + self.header
        return b"\nX-IMAP" in text and _PSEUDO_SUBJECT.search(text) is not None

    @property
    def letters(self) -> bytes:
        """What Status and X-Status show, as sorted letters: R A F D T."""
        found: set[int] = set()
        for match in _METADATA.finditer(b"\n" + self.header):
            if (match["name"] or b"").lower() in (b"status", b"x-status"):
                found.update(match["value"])
        return bytes(sorted(found & _LETTERS.keys()))


def flags_of(letters: bytes) -> Flags:
    """The flags that letters of Status and X-Status mean."""
    return interned(_LETTERS[letter] for letter in letters if letter in _LETTERS)


def status_fields(flags: Flags) -> bytes:
    """The Status and X-Status fields by which mail programs know these flags."""
    letters = {flag: bytes([letter]) for letter, flag in _LETTERS.items()}
    marks = b"".join(sorted(letters[flag] for flag in flags if flag in letters and flag != SEEN))
    status = b"Status: " + (b"RO" if SEEN in flags else b"O") + b"\n"
    return status + (b"X-Status: " + marks + b"\n" if marks else b"")


def split(file: File, start: int, size: int) -> Iterator[Message]:
    """The messages from the From_ line at `start`; NotMbox when there is none."""
    if start < size and date_of(read_at(file, start, _FROM_OCTETS_MAX)) is None:
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


def digest(file: File, message: Message) -> bytes:
    """What identifies a message, whatever programs note in its header (R238)."""
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
    known = blake2b(message.from_line, digest_size=16)
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


def date_of(text: bytes) -> int | None:
    """Seconds since the epoch of the From_ line with which the text begins; None: it is none."""
    line = text.partition(b"\n")[0]
    match = _ASCTIME.search(line) or _DATE_FIELD.search(line)
    if match is None or not line.startswith(b"From "):
        return None
    found = match.groupdict()
    month = _MONTHS.index(found["month"]) + 1
    numbers = [int(found[name] or 0) for name in ("day", "hour", "minute", "second")]
    if not 1 <= numbers[0] <= 31 or numbers[1] > 23 or numbers[2] > 59 or numbers[3] > 60:
        return None
    day, hour, minute, second = numbers
    moment = (int(found["year"]), month, day, hour)
    zone = found.get("zone2") or found["zone"] or b""
    beyond = 60 * minute + second
    if zone[:1] in (b"+", b"-"):
        offset = 60 * (60 * int(zone[1:3]) + int(zone[3:]))
        return calendar.timegm((*moment, 0, beyond)) - (offset if zone[:1] == b"+" else -offset)
    if zone in (b"UTC", b"GMT", b"Z"):
        return calendar.timegm((*moment, 0, beyond))
    began = _local_hour(*moment)
    return None if began is None else began + beyond


@lru_cache(maxsize=4096)
def _local_hour(year: int, month: int, day: int, hour: int) -> int | None:
    """When an hour of local time began: MDAs write that, as ctime(3) does."""
    try:
        return int(time.mktime((year, month, day, hour, 0, 0, 0, 1, -1)))
    except (OverflowError, ValueError):
        return None


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


def read_at(file: File, offset: int, octets: int) -> bytes:
    """So many octets from `offset`; fewer only at the end of the file."""
    if isinstance(file, bytes):
        return file[offset : offset + octets]
    data = os.pread(file, octets, offset)
    while len(data) < octets and (more := os.pread(file, octets - len(data), offset + len(data))):
        data += more
    return data


def _from_lines(file: File, start: int, size: int) -> Iterator[tuple[int, int]]:
    """(offset of a From_ line, octets of the empty line in front), ascending."""
    at = start
    # Read by blocks, never mapped: a file that another program truncates would kill us.
    while at < size:
        block = read_at(file, at, min(BLOCK + _FROM_OCTETS_MAX + 16, size - at))
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
    behind = read_at(file, end, _FROM_OCTETS_MAX)
    text = behind.lstrip(b"\r\n")
    blanks = len(behind) - len(text)
    if behind[:blanks] not in (b"", b"\n", b"\r\n", b"\n\n", b"\r\n\r\n"):
        return None
    if end + len(behind) == size and not text:
        return size
    after_line = bool(blanks) or read_at(file, end - 1, 1) == b"\n"
    return end + blanks if after_line and date_of(text) is not None else None
