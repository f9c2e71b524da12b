"""Dates of messages: the Date field as written, and INTERNALDATE (RFC 5322 §3.3, RFC 3501 §9)."""

from __future__ import annotations

import datetime
import re
from calendar import timegm
from functools import lru_cache
from typing import Final

MONTHS: Final = (
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun",
    b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
)  # fmt: skip
_NUMBER: Final = {month.lower(): number for number, month in enumerate(MONTHS, 1)}
_MONTH = rb"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
_DAY_SECONDS: Final = 86400
_EPOCH_ORDINAL: Final = datetime.date(1970, 1, 1).toordinal()
_LAST_ORDINAL: Final = datetime.date.max.toordinal()

_COMMENT: Final = re.compile(rb"\([^()]*+\)")
_DATE: Final = re.compile(
    rb"\s*(?:[a-z]+\s*[,.]?\s*)?([0-9]{1,2})[\s-]+%b[a-z]*\.?[\s-]+([0-9]{2,4})(?![0-9])" % _MONTH,
    re.IGNORECASE,
)
# asctime, as some programs write: Thu Nov 26 10:02:00 2009
_ASCTIME: Final = re.compile(
    rb"\s*(?:[a-z]{3,9},?\s+)?%b[a-z]*\s+([0-9]{1,2}),?\s+"
    rb"(?:[0-9:]+\s+(?:[a-z]{3,4}\s+)?)?([0-9]{4})(?![0-9])" % _MONTH,
    re.IGNORECASE,
)
_CLOCK: Final = re.compile(
    rb"\s*,?\s+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?![0-9:])(?:[.,][0-9]+)?"
    rb"\s*(?:([+-])([0-9]{2})([0-9]{2})(?![0-9])|([A-Za-z]{1,5})\b)?"
)
_ASCTIME_CLOCK: Final = re.compile(
    rb"(\s[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:\s+([A-Za-z]{3,4}))?\s"
)
_ZONE_HOURS: Final = {  # RFC 5322 §4.3; all others say nothing, so are UTC
    b"EST": -5, b"EDT": -4, b"CST": -6, b"CDT": -5, b"MST": -7, b"MDT": -6, b"PST": -8, b"PDT": -7,
}  # fmt: skip
_INTERNAL: Final = re.compile(
    rb'"?( ?[0-9]|[0-9]{2})-%b-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) '
    rb'([+-])([0-9]{2})([0-9]{2})"?' % _MONTH,
    re.IGNORECASE,
)


def sent_date(value: bytes) -> datetime.date | None:
    """The day the Date field's own text names, whatever its time and zone (R182)."""
    found = _sent(value)
    return found[0] if found else None


def sent_time(value: bytes) -> int | None:
    """Seconds since 1970 of the Date field in UTC; None when no day can be read (RFC 5256 §2.2).

    A zone that is none counts as UTC, a time that is none as midnight.
    """
    found = _sent(value)
    if found is None:
        return None
    day, clock = found
    seconds = (day.toordinal() - _EPOCH_ORDINAL) * _DAY_SECONDS
    match = _CLOCK.match(clock)
    if match is None:
        return seconds
    hour, minute, second, sign, zone_hours, zone_minutes, zone = match.groups()
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 60:
        return seconds
    seconds += int(hour) * 3600 + int(minute) * 60 + int(second or 0)
    if zone is not None:
        return seconds - _ZONE_HOURS.get(zone.upper(), 0) * 3600
    if sign is None or int(zone_minutes) > 59 or int(zone_hours) > 23:
        return seconds
    offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
    return seconds - offset if sign == b"+" else seconds + offset


def _sent(value: bytes) -> tuple[datetime.date, bytes] | None:
    """The day of a Date field, and the text of its time and zone."""
    text = value[:1000]
    if b"(" in text:
        text = _COMMENT.sub(b" ", text)
    match = _DATE.match(text)
    if match is not None:
        day, month, year = match.groups()
        clock = text[match.end() :]
    else:
        match = _ASCTIME.match(text)
        if match is None:
            return None
        month, day, year = match.groups()
        between = _ASCTIME_CLOCK.search(text, match.end(2))
        clock = b""
        if between is not None:
            clock = b"%b %b" % (between.group(1), between.group(2) or text[match.end() :])
    number = int(year)
    if len(year) == 2:  # RFC 5322 §4.3, obs-year
        number += 2000 if number < 50 else 1900
    elif len(year) == 3:
        number += 1900
    date = _date(number, _NUMBER[month.lower()], int(day))
    return (date, clock) if date else None


def _date(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except ValueError:  # no such day
        return None


def parse_internal(text: bytes) -> int:
    """Seconds since 1970 of a date-time, with or without its quotes; ValueError when it is none."""
    match = _INTERNAL.fullmatch(text)
    if match is None:
        raise ValueError("not a date-time")
    day, month, year, hour, minute, second, sign, zone_hours, zone_minutes = match.groups()
    date = _date(int(year), _NUMBER[month.lower()], int(day))
    if date is None or int(hour) > 23 or int(minute) > 59 or int(second) > 60:
        raise ValueError("no such day or time")
    if int(zone_minutes) > 59:
        raise ValueError("no such time zone")
    offset = int(zone_hours) * 3600 + int(zone_minutes) * 60
    clock = (date.year, date.month, date.day, int(hour), int(minute), int(second))
    return timegm(clock) - (offset if sign == b"+" else -offset)


def internal(epoch: int) -> bytes:
    """A quoted date-time in UTC, such as "17-Jul-1996 02:44:25 +0000" (RFC 3501 §9)."""
    day, second = divmod(epoch, _DAY_SECONDS)
    return b'"%b %02d:%02d:%02d +0000"' % (
        _written_day(day),
        second // 3600,
        second // 60 % 60,
        second % 60,
    )


@lru_cache(maxsize=8192)
def _written_day(day: int) -> bytes:
    # File times may be absurd; what the format cannot say becomes the nearest it can.
    ordinal = min(max(_EPOCH_ORDINAL + day, 1), _LAST_ORDINAL)
    date = datetime.date.fromordinal(ordinal)
    return b"%02d-%b-%04d" % (date.day, MONTHS[date.month - 1], date.year)
