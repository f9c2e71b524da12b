"""Lines of an mbox file: From_ lines and their dates (R229), and quoting (R230).

A From_ line begins with `From ` and has a date that is plausible, of the many forms that MDAs
and mail programs have written.

In an mboxrd file (the site says so: nothing in a file can prove it) every line that began with
`From `, or with any number of `>` and that, has one `>` more; readers take it off (`unquoted`).
In the other variants nobody can know who wrote a `>From `, so it stays.
"""

from __future__ import annotations

import calendar
import errno
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final

PIECE: Final = 1 << 20
FROM_OCTETS_MAX: Final = 1000

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
_TO_QUOTE = re.compile(rb"^(?=>*From )", re.MULTILINE)
_QUOTED = re.compile(rb"^>(?=>*From )", re.MULTILINE)

File = int | bytes
"""A descriptor, or the octets themselves."""


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


def quoted(text: bytes) -> bytes:
    """As it stands in an mboxrd file."""
    return _TO_QUOTE.sub(b">", text) if b"From " in text else text


def unquoted(text: bytes) -> bytes:
    """What `quoted` was given (R230)."""
    return _QUOTED.sub(b"", text) if b">From " in text else text


def by_lines(pieces: Iterable[bytes], change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """Change pieces that end where lines do, but for endless ones: only their first line counts."""
    begins = True
    for piece in pieces:
        if begins:
            yield change(piece)
        else:
            line, end, rest = piece.partition(b"\n")
            yield line + end + change(rest)
        begins = piece.endswith(b"\n")


def pieces_of_lines(file: File, start: int, stop: int) -> Iterator[bytes]:
    """The octets of an extent in pieces that end where lines do, if lines are not endless."""
    while start < stop:
        piece = read_at(file, start, min(PIECE, stop - start))
        if not piece:
            raise OSError(errno.EIO, "the file became shorter")
        if len(piece) == PIECE:
            cut = piece.rfind(b"\n") + 1
            # Not between CR and LF.
            piece = piece[:cut] if cut else piece.rstrip(b"\r") or piece
        start += len(piece)
        yield piece


def read_at(file: File, offset: int, octets: int) -> bytes:
    """So many octets from `offset`; fewer only at the end of the file."""
    if isinstance(file, bytes):
        return file[offset : offset + octets]
    data = os.pread(file, octets, offset)
    while len(data) < octets and (more := os.pread(file, octets - len(data), offset + len(data))):
        data += more
    return data
