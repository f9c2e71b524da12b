"""The repository's own small messages, read whole: what each file is there for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from maa.message.addresses import GROUP_END, Address
from maa.message.headers import envelope
from maa.message.octets import WireBytes, crlf, open_wire, read_head
from maa.message.parameters import parameter
from maa.message.structure import Part, find, scan
from maa.message.text import search_text
from maa.message.words import decoded

MAIL = Path(__file__).parents[1] / "mail"

OUTLINES = {
    "plain-7bit": "text/plain",
    "alternative-html": "multipart/alternative(text/plain text/html)",
    "forwarded-rfc822": "multipart/mixed(text/plain "
    "message/rfc822(multipart/alternative(text/plain text/html)))",
    "digest": "multipart/digest(message/rfc822(text/plain) message/rfc822(text/plain) text/plain)",
    "header-8bit-utf8": "text/plain",
    "header-8bit-gbk": "text/plain",
    "iso-2022-jp": "text/plain",
    "attachment-rfc2231": "multipart/mixed(text/plain image/png text/csv)",
    "no-blank-line": "text/plain",
    "no-final-newline": "text/plain",
    "format-flowed": "text/plain",
    "related-inline-image": "multipart/related(text/html image/png)",
    "bounce-report": "multipart/report(text/plain message/delivery-status text/rfc822-headers)",
    "addresses": "text/plain",
    "from-and-dots": "text/plain",
}


def outline(part: Part) -> str:
    kind = f"{part.type.decode()}/{part.subtype.decode()}"
    inner = " ".join(outline(kid) for kid in part.parts)
    return f"{kind}({inner})" if inner else kind


def read(name: str) -> tuple[WireBytes, Part]:
    wire = WireBytes(crlf((MAIL / f"{name}.eml").read_bytes()))
    return wire, scan(wire)


def subject(name: str) -> str:
    return decoded(envelope(read(name)[0].data).subject or b"")


def test_every_message_has_its_outline() -> None:
    found = {path.stem: outline(read(path.stem)[1]) for path in MAIL.glob("*.eml")}
    assert found == OUTLINES


@pytest.mark.parametrize("name", OUTLINES)
def test_headers_and_bodies_read_from_files_are_the_message(name: str) -> None:
    wire, root = read(name)
    path = MAIL / f"{name}.eml"
    opened = open_wire(os.open(path, os.O_RDONLY))
    assert opened.slice(0, wire.size) == wire.data
    descriptor = os.open(path, os.O_RDONLY)
    assert read_head(descriptor) == wire.data[: root.body_start]
    os.close(descriptor)
    assert root.body_end == wire.size


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("header-8bit-utf8", "Grüße vom Café, naïve façade"),
        ("header-8bit-gbk", "测试邮件：今天的海"),
        ("iso-2022-jp", "灯台だより"),
        ("attachment-rfc2231", "Charts for the Åland passage"),
        ("addresses", "Addresses of every kind"),
    ],
)
def test_subjects_are_readable(name: str, text: str) -> None:
    assert subject(name) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("alternative-html", "Price of a postcard: 2 €."),
        ("header-8bit-gbk", "这封信的标题没有编码，正文是 GBK。"),
        ("iso-2022-jp", "灯台からの便りです。"),
        ("attachment-rfc2231", "Lågskär,12"),
        ("forwarded-rfc822", "Subject: The lamp"),
    ],
)
def test_text_is_found(name: str, text: str) -> None:
    assert any(text in found for found in search_text(*read(name)))


def test_file_names_in_pieces_are_joined() -> None:
    _, root = read("attachment-rfc2231")
    picture = find(root, (2,))
    assert picture is not None and picture.said.disposition is not None
    name = b"utf-8''%C3%85land%20chart one.png"
    assert parameter(picture.parameters, b"name*") == name
    assert parameter(picture.said.disposition[1], b"filename*") == name
    assert parameter(picture.said.disposition[1], b"size") == b"70"


def test_a_raw_file_name_stays_raw() -> None:
    _, root = read("header-8bit-gbk")
    assert parameter(root.parameters, b"name") == "海图.txt".encode("gbk")


def test_addresses_of_every_kind() -> None:
    found = envelope(read("addresses")[0].data)
    assert found.from_ == (Address(b"Crow's Nest (upper)", None, b"nest", b"example.org"),)
    assert found.reply_to == (Address(None, b"@relay.example.net", b"reply", b"example.org"),)
    assert [(a.name, a.mailbox, a.host) for a in found.to] == [
        (None, b"Deck crew", None),
        (None, b"bow", b"example.org"),
        (b"Stern, the", b"stern", b"example.org"),
        (None, None, None),
        (None, b"undisclosed-recipients", None),
        (None, None, None),
    ]
    assert found.to[3] == GROUP_END
    assert [(a.mailbox, a.host) for a in found.cc] == [
        (b"mast.head", b"example.org"),
        (b"knot", b"[192.0.2.7]"),
        (b"second", b"example.org"),
    ]
    assert found.bcc == (Address(None, None, b"nobody", b""),)


def test_Q5_a_header_alone_has_no_body() -> None:
    wire, root = read("no-blank-line")
    assert (root.body_start, root.body_end) == (wire.size, wire.size)
