"""The text that SEARCH BODY and TEXT look at."""

from __future__ import annotations

from base64 import encodebytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.octets import WireBytes, crlf
from maa.message.structure import scan
from maa.message.text import OVERLAP, header_text, search_text


def texts(data: bytes) -> list[str]:
    wire = WireBytes(crlf(data))
    return list(search_text(wire, scan(wire)))


def test_R185_body_text_is_decoded() -> None:
    assert texts(b"Subject: not here\n\nhello\n") == ["hello\r\n"]
    assert texts(
        b"Content-Type: text/plain; charset=gb2312\nContent-Transfer-Encoding: base64\n\nsuLK1A==\n"
    ) == ["测试"]
    assert texts(
        b"Content-Type: text/html; charset=utf-8\n"
        b"Content-Transfer-Encoding: quoted-printable\n\nGr=C3=BC=\n=C3=9Fe\n"
    ) == ["Grüße\r\n"]


def test_R185_headers_of_inner_messages_are_body_and_attachments_are_not() -> None:
    found = texts(
        b"Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\nfirst\n"
        b"--b\nContent-Type: image/png\n\nno text\n"
        b"--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?=C3=BC?=\n\ninner\n--b--\n"
    )
    assert found == ["first", "Subject: ü\n", "inner"]


def test_text_without_a_known_character_set_is_guessed() -> None:
    head = b"Content-Type: text/plain; charset=x-nonsense\n\n"
    assert texts(head + "测试".encode("gbk")) == ["测试"]


def test_headers_for_people_have_decoded_values() -> None:
    assert header_text(b"A: =?utf-8?q?=C3=BC?=\r\n x\r\nB:y\r\n\r\n") == "A: ü x\nB: y\n"


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [(b"7bit", bytes), (b"base64", encodebytes), (b"quoted-printable", bytes)],
)
@pytest.mark.parametrize("line_end", [b"\r\n", b""])
def test_long_parts_come_in_strings_that_overlap(
    encoding: bytes, encode: type, line_end: bytes
) -> None:
    lines = [b"line %07d of a text%b" % (number, line_end) for number in range(100_000)]
    head = b"Content-Type: text/plain\nContent-Transfer-Encoding: " + encoding + b"\n\n"
    found = texts(head + encode(b"".join(lines)))
    assert len(found) > 1
    whole = found[0]
    for text in found[1:]:
        assert text.startswith(whole[-OVERLAP:])
        whole += text[OVERLAP:]
    assert whole == b"".join(lines).decode()


@given(st.lists(st.sampled_from(
    [b"Content-Type: text/plain; charset=iso-2022-jp\n", b"Content-Type: message/rfc822\n",
     b"Content-Transfer-Encoding: base64\n", b"Content-Transfer-Encoding: quoted-printable\n",
     b"Content-Type: multipart/mixed; boundary=b\n", b"\n", b"--b\n", b"=E4", b"QUI=", b"\x1b$B",
     b"\xff", b"\0", b"text\n"]
)).map(b"".join))  # fmt: skip
def test_any_message_has_text(data: bytes) -> None:
    assert all(isinstance(text, str) for text in texts(data))
