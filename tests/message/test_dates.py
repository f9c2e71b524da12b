"""The Date field as written, and INTERNALDATE."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.dates import internal, parse_internal, sent_date, sent_time


@pytest.mark.parametrize(
    "text",
    [
        b"Thu, 17 Jul 2025 23:59:59 -1200",
        b"17 Jul 2025 00:00:00 +1400",
        b"  Thu,17 jul 2025 1:2",
        b"Thu, 17-Jul-2025 10:00",
        b"Thursday, 17 July 2025",
        b"17 Jul 25 10:00 GMT",
        b"(comment) Thu, 17 (day) Jul 2025 10:00:00 +0000 (CET)",
        b"Thu Jul 17 10:02:00 2025",
        b"Thu Jul 17 10:02:00 CEST 2025",
        b"Jul 17, 2025",
    ],
)
def test_R182_the_day_is_taken_as_written(text: bytes) -> None:
    assert sent_date(text) == datetime.date(2025, 7, 17)


@pytest.mark.parametrize(
    ("text", "year"),
    [(b"1 Jan 49", 2049), (b"1 Jan 50", 1950), (b"1 Jan 100", 2000), (b"1 Jan 1969", 1969)],
)
def test_obsolete_years(text: bytes, year: int) -> None:
    assert sent_date(text) == datetime.date(year, 1, 1)


@pytest.mark.parametrize(
    "text",
    [b"", b"today", b"31 Feb 2025", b"0 Jan 2025", b"17 Foo 2025", b"17 Jul 20255", b"17 Jul"],
)
def test_R182_what_is_no_date_is_none(text: bytes) -> None:
    assert sent_date(text) is None


@given(st.binary(max_size=60))
def test_any_octets_are_a_date_or_none(text: bytes) -> None:
    sent_date(text)


def test_an_internal_date_is_written_in_utc() -> None:
    assert internal(837571465) == b'"17-Jul-1996 02:44:25 +0000"'
    assert internal(0) == b'"01-Jan-1970 00:00:00 +0000"'
    assert internal(-1) == b'"31-Dec-1969 23:59:59 +0000"'


@pytest.mark.parametrize(
    "text",
    [
        b'"17-Jul-1996 02:44:25 +0000"',
        b"17-JUL-1996 02:44:25 -0000",
        b'"16-Jul-1996 19:44:25 -0700"',
        b'"17-jul-1996 12:44:25 +1000"',
    ],
)
def test_an_internal_date_is_read_with_its_zone(text: bytes) -> None:
    assert parse_internal(text) == 837571465


def test_a_day_may_have_one_digit_behind_a_blank() -> None:
    assert parse_internal(b'" 1-Jan-1970 00:00:00 +0000"') == 0
    assert parse_internal(b'"1-Jan-1970 00:00:00 +0000"') == 0


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'"17-Jul-1996"',
        b'"32-Jul-1996 02:44:25 +0000"',
        b'"30-Feb-1996 02:44:25 +0000"',
        b'"17-Jul-1996 24:44:25 +0000"',
        b'"17-Jul-1996 02:60:25 +0000"',
        b'"17-Jul-1996 02:44:61 +0000"',
        b'"17-Jul-1996 02:44:25 +0060"',
        b'"17-Jul-0000 02:44:25 +0000"',
        b'"17-Jul-1996 02:44:25 0000"',
        b'"17-Jul-1996 02:44:25 +0000" ',
    ],
)
def test_what_is_no_internal_date_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError, match="no"):
        parse_internal(text)


@given(st.integers(-62_135_596_800, 253_402_300_799))
def test_internal_dates_come_back(epoch: int) -> None:
    assert parse_internal(internal(epoch)) == epoch


@given(st.integers())
def test_absurd_file_times_are_written_as_the_nearest_day(epoch: int) -> None:
    assert parse_internal(internal(epoch)) % 86400 == epoch % 86400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"31 Dec 2000 16:01:33 -0800", "2001-01-01T00:01:33"),
        (b"Mon, 7 Feb 1994 21:52:25 -0800 (PST)", "1994-02-08T05:52:25"),
        (b"7 Feb 1994 21:52:25+0530", "1994-02-07T16:22:25"),
        (b"7 Feb 94 21:52 GMT", "1994-02-07T21:52:00"),
        (b"7 Feb 1994 21:52:25 PDT", "1994-02-08T04:52:25"),
        (b"7 Feb 1994 21:52:60 Z", "1994-02-07T21:53:00"),
        (b"Thu Nov 26 10:02:00 2009", "2009-11-26T10:02:00"),
        (b"Thu Nov 26 10:02:00 EST 2009", "2009-11-26T15:02:00"),
        (b"Thu Nov 26 10:02:00 2009 -0100", "2009-11-26T11:02:00"),
        # What is not valid counts as UTC, as midnight.
        (b"7 Feb 1994 21:52:25 +9900", "1994-02-07T21:52:25"),
        (b"7 Feb 1994 21:52:25 +0199", "1994-02-07T21:52:25"),
        (b"7 Feb 1994 21:52:25 XYZ", "1994-02-07T21:52:25"),
        (b"7 Feb 1994 21:52:25", "1994-02-07T21:52:25"),
        (b"7 Feb 1994 24:52:25 +0100", "1994-02-07T00:00:00"),
        (b"7 Feb 1994 nonsense", "1994-02-07T00:00:00"),
        (b"7 Feb 1994", "1994-02-07T00:00:00"),
        (b"1 Jan 0001 00:00:00 +2300", "0001-01-01T00:00:00"),
    ],
)
def test_R190_sent_times_are_in_UTC(text: bytes, expected: str) -> None:
    moment = datetime.datetime.fromisoformat(expected + "+00:00").timestamp()
    assert sent_time(text) == moment - (23 * 3600 if b"2300" in text else 0)


@given(st.binary(max_size=60))
def test_a_sent_time_is_there_when_a_day_is(text: bytes) -> None:
    assert (sent_time(text) is None) == (sent_date(text) is None)
