"""Bodies without their transfer encoding: the same however they come in pieces (RFC 3516)."""

from __future__ import annotations

import base64
import quopri
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maa.message.content import Said
from maa.message.decoding import UnknownEncoding, decoded
from maa.message.parts import Part


def part(encoding: bytes, type_: bytes = b"application", charset: bytes = b"") -> Part:
    parameters = ((b"charset", charset),) if charset else ()
    return Part(0, 0, 0, 0, Said((type_, b"x", parameters), encoding=encoding), (), None)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    stops = sorted({min(place, len(data)) for place in places} | {len(data)})
    return [data[start:stop] for start, stop in zip([0, *stops], stops, strict=False)]


PLACES = st.lists(st.integers(0, 400), max_size=20)
LIKELY = st.lists(
    st.sampled_from(
        [b"=", b"=\r\n", b"=\r", b" ", b"\t", b"\r\n", b"\n", b"\r", b"=3D", b"=4", b"QQ", b"x"]
    )
).map(b"".join)


@given(st.binary(max_size=300) | LIKELY, PLACES, st.sampled_from([b"BASE64", b"QUOTED-PRINTABLE"]))
@example(b" \r\n", [1, 2], b"QUOTED-PRINTABLE")
@example(b"x=4", [1, 2], b"QUOTED-PRINTABLE")
@example(b"==41", [1, 2, 3], b"QUOTED-PRINTABLE")
def test_pieces_make_no_difference(data: bytes, places: list[int], encoding: bytes) -> None:
    for type_ in (b"application", b"text"):
        whole = b"".join(decoded(part(encoding, type_), [data]))
        assert b"".join(decoded(part(encoding, type_), cut(data, places))) == whole


@given(st.binary(max_size=300), PLACES)
def test_base64_is_read_back(data: bytes, places: list[int]) -> None:
    written = base64.encodebytes(data).replace(b"\n", b"\r\n")
    assert b"".join(decoded(part(b"BASE64"), cut(written, places))) == data


@given(st.binary(max_size=300), PLACES)
def test_quoted_printable_is_read_back(data: bytes, places: list[int]) -> None:
    lines = data.replace(b"\r", b"").replace(b"\n", b"\r\n")
    written = quopri.encodestring(lines.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    assert b"".join(decoded(part(b"QUOTED-PRINTABLE"), cut(written, places))) == lines


def test_blanks_at_the_end_of_a_line_were_added_on_the_way() -> None:
    """RFC 2045 §6.7 (3); and an = before a CR alone is no soft line break."""
    found = b"".join(decoded(part(b"QUOTED-PRINTABLE"), [b"a \t\r\nb= \r\nc=\rd \r\ne "]))
    assert found == b"a\r\nbc=\rd\r\ne"


def test_only_texts_get_line_ends_and_not_those_of_wide_characters() -> None:
    written = base64.b64encode(b"a\nb\r\nc\n")
    assert b"".join(decoded(part(b"BASE64", b"text"), [written])) == b"a\r\nb\r\nc\r\n"
    assert b"".join(decoded(part(b"BASE64", b"image"), [written])) == b"a\nb\r\nc\n"
    wide = "a\nb".encode("utf-16-le")
    sixteen = part(b"BASE64", b"text", b"UTF-16LE")
    assert b"".join(decoded(sixteen, [base64.b64encode(wide)])) == wide


@pytest.mark.parametrize("encoding", [b"", b"7BIT", b"8BIT", b"BINARY"])
def test_what_is_not_encoded_is_left_alone(encoding: bytes) -> None:
    assert b"".join(decoded(part(encoding, b"text"), [b"a=3D\r\n", b"\0"])) == b"a=3D\r\n\0"


@pytest.mark.parametrize("encoding", [b"BASE64", b"X-UUENCODE"])
def test_a_multipart_is_never_encoded(encoding: bytes) -> None:
    body = [b"--b\r\n\r\nQUJD\r\n--b--\r\n"]
    inner = part(b"7BIT", b"text")
    outer = Part(0, 0, 0, 0, Said((b"multipart", b"x", ()), encoding=encoding), (inner,), None)
    assert list(decoded(outer, body)) == body


def test_an_encoding_that_nobody_knows_is_told_at_once() -> None:
    with pytest.raises(UnknownEncoding):
        decoded(part(b"X-UUENCODE"), [])


@pytest.mark.parametrize("unit", [b" ", b"= ", b"=", b"=\r", b" \r", b"=4", b"QQ==", b"Q=", b"\0"])
@pytest.mark.parametrize("encoding", [b"BASE64", b"QUOTED-PRINTABLE"])
def test_R226_hostile_bodies_take_linear_time(unit: bytes, encoding: bytes) -> None:
    def seconds(octets: int) -> float:
        body = cut(unit * (octets // len(unit)), list(range(0, octets, 65536)))
        before = time.process_time()
        for _ in decoded(part(encoding, b"text"), body):
            pass
        return time.process_time() - before

    seconds(1 << 16)
    assert seconds(1 << 22) < 64 * seconds(1 << 18) + 1.0
