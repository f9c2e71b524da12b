"""Header fields and envelopes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.addresses import Address
from maa.message.headers import envelope, fields, first, header_end, selected, value

HEADER = (
    b"Received: by mx.example\r\n"
    b"\twith ESMTP\r\n"
    b"Subject: one\r\n"
    b" two\r\n"
    b"this line has no colon\r\n"
    b"FROM : a@b.example\r\n"
    b"received: from elsewhere\r\n"
    b"\r\n"
)
PIECES = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b" ", b"\t", b":", b"Subject", b"From", b"To: ", b"a@b", b"<", b">",
         b"(", b'"', b"\\", b",", b";", b"\0", b"\xff", b"=?utf-8?q?a?=", b"Date: x"]
    )
).map(b"".join)  # fmt: skip


def test_a_header_ends_with_its_blank_line() -> None:
    assert header_end(HEADER + b"body\r\n\r\n") == len(HEADER)
    assert header_end(b"\r\nbody") == 2
    assert header_end(b"Subject: x\r\n") == 12
    assert header_end(b"Subject: no line end") == 20
    assert header_end(b"") == 0


def test_fields_are_found_where_they_stand() -> None:
    found = fields(HEADER)
    assert [field.name for field in found] == [
        b"Received", b"Subject", b"this line has no colon", b"FROM", b"received",
    ]  # fmt: skip
    assert b"".join(HEADER[field.start : field.end] for field in found) + b"\r\n" == HEADER
    assert value(HEADER, found[1]) == b"one two"
    assert value(HEADER, found[0]) == b"by mx.example\twith ESMTP"
    assert value(HEADER, found[2]) == b""


def test_a_colon_on_a_continuation_line_makes_no_name() -> None:
    found = fields(b"junk\r\n x: y\r\nA: b\r\n\r\n")
    assert [field.name for field in found] == [b"junk\r\n x: y", b"A"]


def test_R153_the_first_of_several_fields_counts() -> None:
    assert first(HEADER, b"RECEIVED") == b"by mx.example\twith ESMTP"
    assert first(HEADER, b"from") == b"a@b.example"
    assert first(HEADER, b"Sub") is None
    assert first(b"Subject\r\nSubject-Line: a\r\nSubject: b", b"subject") == b"b"
    assert first(b"X: y\r\n\r\nSubject: in the body\r\n", b"subject") is None


def test_R136_header_fields_keep_message_order_and_the_blank_line() -> None:
    assert selected(HEADER, [b"subject", b"from"]) == (
        b"Subject: one\r\n two\r\nFROM : a@b.example\r\n\r\n"
    )
    assert selected(HEADER, [b"X-Not-There"]) == b"\r\n"
    assert selected(HEADER, [b"SUBJECT", b"Received"], negate=True) == (
        b"this line has no colon\r\nFROM : a@b.example\r\n\r\n"
    )


def test_R136_a_message_without_blank_line_has_none_among_the_other_fields() -> None:
    assert selected(b"A: b\r\nC: d\r\n", [b"A"], negate=True) == b"C: d\r\n"
    assert selected(b"A: b\r\nC: d\r\n", [b"A"]) == b"A: b\r\n\r\n"
    assert selected(b"", [b"A"]) == b""
    assert selected(b"\r\n", [b"A"], negate=True) == b"\r\n"


def test_R150_envelope_texts_are_raw_and_unfolded() -> None:
    found = envelope(
        b"Date: Thu,\r\n  1 Jan 2026 10:00:00 +0800\r\n"
        b"Subject: =?utf-8?q?a?=\r\n \t=?utf-8?q?b?=  c\r\n"
        b"In-Reply-To: <a@b>\r\n\t<c@d>\r\nMessage-ID: <e@f> \r\n\r\n"
    )
    assert found.date == b"Thu,  1 Jan 2026 10:00:00 +0800"
    assert found.subject == b"=?utf-8?q?a?= =?utf-8?q?b?= c"
    assert found.in_reply_to == b"<a@b>\t<c@d>"
    assert found.message_id == b"<e@f>"


def test_R151_sender_and_reply_to_default_to_from() -> None:
    author = (Address(None, None, b"a", b"b"),)
    found = envelope(b"From: a@b\r\nReply-To: \r\n\r\n")
    assert (found.from_, found.sender, found.reply_to) == (author, author, author)
    other = envelope(b"From: a@b\r\nSender: c@d\r\nReply-To: e@f\r\n\r\n")
    assert other.sender == (Address(None, None, b"c", b"d"),)
    assert other.reply_to == (Address(None, None, b"e", b"f"),)


def test_R151_what_is_missing_is_none_and_what_is_empty_is_empty() -> None:
    found = envelope(b"Date:\r\nSubject: \r\n\r\n")
    assert (found.date, found.subject) == (b"", b"")
    assert (found.in_reply_to, found.message_id) == (None, None)
    assert (found.from_, found.sender, found.reply_to, found.to) == ((), (), (), ())


def test_R153_addresses_of_several_fields_are_joined_and_the_first_subject_counts() -> None:
    found = envelope(b"To: a@b\r\nSubject: 1\r\ntO: c@d,\r\n e@f\r\nSUBJECT: 2\r\n\r\n")
    assert [address.mailbox for address in found.to] == [b"a", b"c", b"e"]
    assert found.subject == b"1"


def test_the_first_field_and_the_last_without_line_end_count() -> None:
    found = envelope(b"Subject: first\r\nTo: a@b")
    assert (found.subject, len(found.to)) == (b"first", 1)


@given(PIECES)
def test_headers_of_any_octets_raise_nothing(header: bytes) -> None:
    envelope(header)
    found = fields(header)
    assert [field.start for field in found] == [0, *(field.end for field in found)][: len(found)]
    for field in found:
        assert field.start <= field.value_start <= field.end <= len(header)
        value(header, field)
    names = [field.name for field in found]
    assert selected(header, names).rstrip(b"\r\n") == header[
        : found[-1].end if found else 0
    ].rstrip(b"\r\n")
    assert 0 <= header_end(header) <= len(header)
    for name in (b"Subject", b"To"):
        first(header, name)


@pytest.mark.parametrize("name", [b"Subject", b"SUBJECT", b"subject"])
def test_R003_field_names_are_compared_without_case(name: bytes) -> None:
    assert first(HEADER, name) == b"one two"
    assert selected(HEADER, [name]) == b"Subject: one\r\n two\r\n\r\n"
