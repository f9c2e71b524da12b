"""Content types, dispositions and their parameters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.parameters import (
    PARAMETERS_MAX,
    UNREADABLE,
    Parameters,
    content_type,
    disposition,
    languages,
    parameter,
    token,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", ()),
        (b"; charset=utf-8", ((b"charset", b"utf-8"),)),
        (b' ; Charset = "UTF-8" ;', ((b"charset", b"UTF-8"),)),
        (b'; name="a \\"b\\" c"', ((b"name", b'a "b" c'),)),
        (b"; charset=us-ascii (plain)", ((b"charset", b"us-ascii"),)),
        (b"(c) ; (c) charset (c) = (c) x", ((b"charset", b"x"),)),
        (b"; boundary=----=_Part/1?", ((b"boundary", b"----=_Part/1?"),)),
        (b"; name==?utf-8?q?a?=; x=y", ((b"name", b"=?utf-8?q?a?="), (b"x", b"y"))),
        (b";; a=b", ((b"a", b"b"),)),
        (b"; a; b=c", ((b"b", b"c"),)),
        (b'; a="open; b=c', ()),
        (b"; a=x y; b=z", ((b"a", b"x"), (b"b", b"z"))),
        (b"; name=\xb2\xe2.txt", ((b"name", b"\xb2\xe2.txt"),)),
        (b'; name="(not a comment"', ((b"name", b"(not a comment"),)),
    ],
)
def test_R147_parameters(text: bytes, expected: Parameters) -> None:
    assert content_type(b"Text/Plain" + text) == (b"text", b"plain", expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"; name*0=a; name*1=b", ((b"name", b"ab"),)),
        (b"; name*1=b; name*0=a", ((b"name", b"ab"),)),
        (b"; name*=utf-8''%e2%98%95", ((b"name*", b"utf-8''%e2%98%95"),)),
        (b"; name*0*=utf-8''%e2; name*1=x%", ((b"name*", b"utf-8''%e2x%25"),)),
        (b"; name*0=a; name*1*=%41", ((b"name*", b"''a%41"),)),
        (b"; name*0=a; name*2=b", ((b"name*0", b"a"), (b"name*2", b"b"))),
        (b"; name*0=a; name*0=b", ((b"name*0", b"b"),)),
        (b"; name*x=a", ((b"name*x", b"a"),)),
        (b"; charset=x; name*0=a; name*1=b", ((b"charset", b"x"), (b"name", b"ab"))),
    ],
)
def test_R147_pieces_are_joined_when_none_is_missing(text: bytes, expected: Parameters) -> None:
    assert content_type(b"application/pdf" + text)[2] == expected


def test_R148_what_has_no_type_is_unreadable() -> None:
    for text in (b"x; y=z", b"text plain", b"/plain", b"text/", b"=", b'"text"/plain'):
        assert content_type(text) == UNREADABLE
    assert content_type(b"text") == (b"text", b"", ())


def test_dispositions() -> None:
    assert disposition(b"Attachment; filename=a.txt") == (
        b"attachment", ((b"filename", b"a.txt"),),
    )  # fmt: skip
    assert disposition(b"inline") == (b"inline", ())
    assert disposition(b"attachment; filename=a(1).txt") == (
        b"attachment", ((b"filename", b"a"),),
    )  # fmt: skip
    assert disposition(b"") is None
    assert disposition(b'"quoted"') is None


def test_languages_and_tokens() -> None:
    assert languages(b"en") == (b"en",)
    assert languages(b"en, (c) zh-Hant,") == (b"en", b"zh-Hant")
    assert languages(b"") == ()
    assert token(b" base64 (c)") == b"base64"
    assert token(b"a b") == b""


def test_parameter_finds_the_first_by_name() -> None:
    assert parameter(((b"a", b"1"), (b"a", b"2")), b"a") == b"1"
    assert parameter((), b"a") is None


@pytest.mark.parametrize("bad", [b"", b" ?"])
def test_R224_parameters_are_bounded(bad: bytes) -> None:
    text = b"text/plain" + b"".join(b"; p%d=x" % n for n in range(2 * PARAMETERS_MAX)) + bad
    assert len(content_type(text)[2]) == PARAMETERS_MAX


@given(st.text(alphabet="ab/;=*\"\\()01'% \t\x00é?", max_size=60))
def test_any_octets_are_read(text: str) -> None:
    data = text.encode()
    kind, subtype, parameters = content_type(data)
    assert kind == kind.lower() and subtype == subtype.lower()
    assert all(name for name, _ in parameters)
    disposition(data)
    languages(data)
    token(data)
