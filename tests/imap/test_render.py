"""ENVELOPE and BODYSTRUCTURE as octets (RFC 3501 §7.4.2)."""

import pytest

from maa.imap import render
from maa.message.headers import envelope
from maa.message.octets import WireBytes, crlf
from maa.message.structure import scan

FROM = b"From: Joe <joe@x.org>\r\n"
JOE = b'(("Joe" NIL "joe" "x.org"))'


def shown(header: bytes) -> bytes:
    """As of the message itself, and as of one inside another."""
    header += b"\r\n"
    outside, inside = render.envelope_of(header), render.envelope(envelope(header))
    assert outside == inside
    return outside


def structure(message: bytes, extended: bool = True) -> bytes:
    return render.body_structure(scan(WireBytes(crlf(message))), extended)


def test_R150_envelope_in_order_raw_and_unfolded() -> None:
    header = (
        b"Message-ID: <1@x>\r\nSubject: =?utf-8?q?=C3=A9?=\r\n more\r\nTo: a@b.c\r\n"
        b"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nCc: d@e.f\r\nBcc: g@h.i\r\n"
        b"In-Reply-To: <0@x>\r\n" + FROM
    )
    assert shown(header) == (
        b'("Mon, 7 Feb 1994 21:52:25 -0800" "=?utf-8?q?=C3=A9?= more" '
        + b" ".join([JOE] * 3)
        + b' ((NIL NIL "a" "b.c")) ((NIL NIL "d" "e.f")) ((NIL NIL "g" "h.i")) "<0@x>" "<1@x>")'
    )


def test_R151_what_is_missing_is_nil_and_what_is_empty_is_not() -> None:
    assert shown(b"") == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    assert shown(b"Date:\r\nSubject: \r\n").startswith(b'("" "" NIL')


def test_R151_sender_and_reply_to_default_to_from_also_when_empty() -> None:
    expected = b"(NIL NIL %b %b %b NIL NIL NIL NIL NIL)" % (JOE, JOE, JOE)
    assert shown(FROM) == expected
    assert shown(FROM + b"Sender:\r\nReply-To: \r\n") == expected


def test_R152_groups_begin_and_end() -> None:
    assert b'((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))' in shown(
        b"To: undisclosed-recipients:;\r\n"
    )
    assert b'((NIL NIL "me" ""))' in shown(b"To: me\r\n")


def test_R155_no_blank_between_addresses() -> None:
    assert b'((NIL NIL "a" "b")(NIL NIL "c" "d"))' in shown(b"To: a@b, c@d\r\n")


def test_Q10_raw_8_bit_and_quotes_are_sent_safely() -> None:
    assert b"{2}\r\n\xc4\xe3" in shown(b"Subject: \xc4\xe3\r\n")
    assert b'"say \\"hi\\" \\\\"' in shown(b'Subject: say "hi" \\\r\n')
    assert b"{3}\r\na\x80b" in shown(b"Subject: a\0b\r\n")


def test_R143_a_text_part_has_lines_and_extension_data() -> None:
    message = b"Content-Type: text/plain; charset=utf-8\nContent-MD5: abc=\n\none\ntwo\n"
    head = b'("text" "plain" ("charset" "utf-8") NIL NIL "7BIT" 10 2'
    assert structure(message) == head + b' "abc=" NIL NIL NIL)'
    assert structure(message, extended=False) == head + b")"


def test_R148_an_encoding_that_cannot_be_read_is_shown_as_7bit() -> None:
    message = b"Content-Transfer-Encoding: 8 bit\nContent-Type: text/plain; charset=utf-8\n\none\n"
    shown_ = structure(message, extended=False)
    assert shown_ == b'("text" "plain" ("charset" "utf-8") NIL NIL "7BIT" 5 1)'


def test_R148_no_type_is_plain_text() -> None:
    assert structure(b"Subject: x\n\nbody\n", extended=False) in (
        b'("text" "plain" ("charset" "us-ascii") NIL NIL "7BIT" 6 1)',
        b'("text" "plain" NIL NIL NIL "7BIT" 6 1)',
    )


def test_R143_disposition_language_and_location_in_their_order() -> None:
    message = (
        b"Content-Type: image/png; name=a.png\nContent-Transfer-Encoding: base64\n"
        b"Content-ID: <1@x>\nContent-Description: a picture\n"
        b"Content-Disposition: attachment; filename=a.png\n"
        b"Content-Language: en, de\nContent-Location: http://x/a\n\nAAAA\n"
    )
    assert structure(message) == (
        b'("image" "png" ("name" "a.png") "<1@x>" "a picture" "BASE64" 6 NIL'
        b' ("attachment" ("filename" "a.png")) ("en" "de") "http://x/a")'
    )


MULTIPART = (
    b"Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n"
    b"--b\nContent-Type: text/html\n\n<p>\n--b--\n"
)


def test_R145_parts_stand_together_before_the_subtype() -> None:
    plain = structure(MULTIPART, extended=False)
    assert plain.startswith(b'(("text" "plain" ')
    assert b')("text" "html" ' in plain
    assert plain.endswith(b' "mixed")')
    assert structure(MULTIPART).endswith(b' "mixed" ("boundary" "b") NIL NIL NIL)')


def test_R143_an_inner_message_has_envelope_body_and_lines() -> None:
    inner = b"From: joe@x.org\nSubject: in\n\nbody\n"
    shown_ = structure(b"Content-Type: message/rfc822\n\n" + inner, extended=False)
    assert shown_.startswith(b'("message" "rfc822" NIL NIL NIL "7BIT" 38 (NIL "in" ((NIL NIL "joe"')
    assert shown_.endswith(b' "7BIT" 6 1) 4)')


def test_R146_a_multipart_without_parts_shows_one_empty_text() -> None:
    assert structure(b"Content-Type: multipart/mixed; boundary=b\n\nnothing\n", False).startswith(
        b'(("text" "plain" NIL NIL NIL "7BIT" 0 0) "mixed"'
    )


def test_R147_an_absent_parameter_list_is_nil() -> None:
    assert b"()" not in structure(MULTIPART + b"Content-Disposition: inline\n\n")
    assert b'("inline" NIL)' in structure(b"Content-Disposition: inline\n\nx\n")


def test_Q22_numbers_are_plain_decimals_and_encodings_are_there() -> None:
    shown_ = structure(b"\n" + b"x" * 3_450_270, extended=False)
    assert b'"7BIT" 3450270 0)' in shown_


def test_R142_deep_nesting_is_rendered() -> None:
    message = b""
    for depth in range(300):
        message += b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth)
    shown_ = structure(message)
    assert shown_.count(b"(") == shown_.count(b")")


def test_L4_no_octets_are_an_empty_string_and_nul_is_replaced() -> None:
    assert render.literal(b"") == b'""'
    assert render.literal(b"a\0") == b"{2}\r\na\x80"


@pytest.mark.parametrize("octets", [0, 10, render.PIECE_OCTETS + 1])
def test_R226_rows_are_joined_to_pieces_of_bounded_size(octets: int) -> None:
    rows = [b"x" * octets] * 5 + [b"y" * 40_000] * 5
    joined = list(render.pieces(rows))
    assert b"".join(joined) == b"".join(rows)
    assert max(map(len, joined)) <= render.PIECE_OCTETS + max(map(len, rows))


def test_field_names_with_a_percent_sign_do_no_harm() -> None:
    assert render.template([b"BODY[HEADER.FIELDS (A%B)]"]) % (1, b'""') == (
        b'* 1 FETCH (BODY[HEADER.FIELDS (A%B)] "")\r\n'
    )


def test_what_was_rendered_before_is_that_of_the_same_part_only() -> None:
    """Of parts that say the same, only numbers differ; BODY is no BODYSTRUCTURE without end."""
    short, long = b"Content-ID: <1>\r\n\r\na\r\n", b"Content-ID: <1>\r\n\r\na\r\nb\r\n"
    plain = b'("text" "plain" NIL "<1>" NIL "7BIT" %d %d'
    for _ in range(2):
        assert structure(short) == plain % (3, 1) + b" NIL NIL NIL NIL)"
        assert structure(long) == plain % (6, 2) + b" NIL NIL NIL NIL)"
        assert structure(long, extended=False) == plain % (6, 2) + b")"
        assert structure(long.replace(b"1", b"2")) != structure(long)


def test_R151_many_address_fields_are_read_once_each() -> None:
    header = b"From: a@b\r\n" * 20_000
    assert shown(header).count(b'(NIL NIL "a" "b")') == 60_000
