"""Previews: what a person would read first, in 200 characters at most (RFC 8970)."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.octets import WireBytes, crlf
from maa.message.preview import CHARACTERS_MAX, preview
from maa.message.structure import scan


def of(text: str) -> str:
    wire = WireBytes(crlf(text.encode("utf-8")))
    return preview(wire, scan(wire))


def page(body: str, kind: str = "html") -> str:
    return of(f"Content-Type: text/{kind}; charset=utf-8\n\n{body}")


def alternatives(*parts: tuple[str, str], subtype: str = "alternative") -> str:
    text = "".join(f"--x\nContent-Type: {kind}\n\n{body}\n" for kind, body in parts)
    return of(f"Content-Type: multipart/{subtype}; boundary=x\n\n{text}--x--\n")


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("a  b\n\n\tc\n", "a b c"),
        ("> said before\nmine\n-- \nJoe", "mine"),
        ("> only theirs\n", "> only theirs"),
        ("née\u200b \u00ad\u034fx\x07", "née x"),
        ("", ""),
        (" \n\t\n", ""),
    ],
)
def test_plain_text(body: str, shown: str) -> None:
    assert page(body, "plain") == shown


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<p>One</p><p>two <b>th</b>ree</p>", "One two three"),
        ("<html><head><title>T</title><style>p {}</style></head><body>x", "x"),
        ("<!-- <p>no</p> -->yes<script>if (a < b) {}</script>!", "yes!"),
        ("<!DOCTYPE html><?xml?>1 &lt; 2 &amp;&nbsp;3", "1 < 2 & 3"),
        ("a < b", "a < b"),
        ("<p>cut <a href='", "cut"),
        ("<style>never closed", ""),
        ("<!-- never closed", ""),
    ],
)
def test_pages(body: str, shown: str) -> None:
    assert page(body) == shown


def test_of_alternatives_plain_text_comes_first() -> None:
    assert alternatives(("text/html", "<p>page</p>"), ("text/plain", "text")) == "text"
    assert alternatives(("text/plain", " "), ("text/html", "<p>page</p>")) == "page"
    assert alternatives(("text/html", "1"), ("text/plain", "2"), subtype="mixed") == "1"


def test_attachments_and_what_is_no_text_are_passed_over() -> None:
    attached = "text/plain\nContent-Disposition: attachment"
    assert alternatives((attached, "a"), ("text/plain", "b"), subtype="mixed") == "b"
    assert alternatives(("image/png", "a"), subtype="mixed") == ""
    assert of("Content-Type: text/plain\nContent-Transfer-Encoding: x-no\n\na") == ""


def test_a_message_inside_is_looked_into() -> None:
    inside = "message/rfc822\n\nSubject: inside\nContent-Type: text/plain"
    assert alternatives((inside, "deep"), subtype="mixed") == "deep"


def test_it_is_short_and_says_the_same_each_time() -> None:
    found = page("wörd " * 100_000, "plain")
    assert len(found) <= CHARACTERS_MAX and found.startswith("wörd wörd")
    assert found == page("wörd " * 100_000, "plain")


@pytest.mark.parametrize(
    "unit", ["<", "<a", "<style>", "<!--", "</p>", "&", "\u200b", "> \n", "<p ", "--\n"]
)
def test_R226_hostile_pages_take_linear_time(unit: str) -> None:
    before = time.process_time()
    for kind in ("html", "plain"):
        page(unit * (4_000_000 // len(unit)), kind)
    assert time.process_time() - before < 10


MARKUP = st.lists(
    st.sampled_from([b"<p>", b"</p>", b"<", b">", b"<!--", b"-->", b"&amp;", b"&#0;", b"&#55296;"])
    | st.sampled_from([b"<style>", b"</style>", b"=3D", b"=", b"\r\n", b" ", b"> ", b"--", b"\xff"])
    | st.binary(max_size=6)
).map(b"".join)


@given(
    MARKUP | st.binary(max_size=400),
    st.sampled_from(["plain", "html"]),
    st.sampled_from(["7bit", "8bit", "base64", "quoted-printable", "x-none", ""]),
    st.sampled_from(["utf-8", "utf-16", "utf-7", "iso-2022-jp", "gb18030", "us-ascii", "zlib", ""]),
)
def test_whatever_is_in_a_message_a_preview_is_one_short_line(
    body: bytes, kind: str, encoding: str, charset: str
) -> None:
    head = f"Content-Type: text/{kind}; charset={charset}\r\nContent-Transfer-Encoding: {encoding}"
    wire = WireBytes(crlf(head.encode("ascii") + b"\r\n\r\n" + body))
    found = preview(wire, scan(wire))
    assert len(found) <= CHARACTERS_MAX
    assert found == " ".join(found.split())
    assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in found)
    found.encode("utf-8")
