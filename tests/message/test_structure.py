"""The tree of parts: offsets, defaults, delimiters, part numbers."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maa.message.content import last_type
from maa.message.octets import CHUNK, WireBytes, WireFile, crlf
from maa.message.simple import simple_structure
from maa.message.structure import Part, find, pack, scan, unpack

NESTED = crlf(
    b"""\
From: a@b
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: text/plain

one
--outer
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/alternative; boundary=inner

--inner

first
--inner
Content-Type: text/html

<b>
--inner--
epilogue of inner
--outer
Content-Type: message/rfc822

Subject: plain

text
--outer--
epilogue
"""
)


def read(text: bytes) -> tuple[bytes, Part]:
    data = crlf(text)
    return data, scan(WireBytes(data))


def body(data: bytes, part: Part | None) -> bytes:
    assert part is not None
    return data[part.body_start : part.body_end]


def typed(kind: bytes, text: bytes = b"text\n") -> Part:
    return read(b"Content-Type: " + kind + b"\n\n" + text)[1]


def test_R148_without_a_type_a_message_is_plain_text() -> None:
    data, root = read(b"Subject: x\n\nhello\nworld\n")
    assert (root.type, root.subtype, root.parameters) == (b"text", b"plain", ())
    assert (root.encoding, root.lines, root.octets) == (b"7BIT", 2, 14)
    assert body(data, root) == b"hello\r\nworld\r\n"
    assert not root.is_multipart and not root.is_message


@pytest.mark.parametrize("text", [b"", b"\n", b"Subject: x", b"Subject: x\n", b"\n\n", b"\n\nbody"])
def test_messages_without_header_or_body_have_a_structure(text: bytes) -> None:
    data, root = read(text)
    header, rest = data[: root.body_start], data[root.body_start : root.body_end]
    assert header + rest == data
    assert root.type == b"text"


def test_R146_lines_are_line_ends() -> None:
    assert read(b"\nno end")[1].lines == 0
    assert read(b"\none\ntwo")[1].lines == 1
    assert read(b"\n\n\n")[1].lines == 2


def test_R137_part_numbers() -> None:
    root = scan(WireBytes(NESTED))
    assert body(NESTED, find(root, (1,))) == b"one"
    assert body(NESTED, find(root, (2, 1))) == b"first"
    assert body(NESTED, find(root, (2, 2))) == b"<b>"
    assert body(NESTED, find(root, (3, 1))) == b"text"
    assert body(NESTED, find(root, (3,))) == b"Subject: plain\r\n\r\ntext"
    assert find(root, ()) is root


def test_R137_a_message_that_is_no_multipart_has_part_1() -> None:
    data, root = read(b"Subject: x\n\nbody\n")
    assert find(root, (1,)) is root
    assert body(data, find(root, (1,))) == b"body\r\n"
    _, root = read(b"Content-Type: message/rfc822\n\nSubject: y\n\ninner\n")
    assert find(root, (1,)) is root
    assert find(root, (1, 1)) is root.parts[0]


@pytest.mark.parametrize(
    "path", [(0,), (4,), (1, 1), (2, 3), (2, 1, 1), (3, 2), (3, 1, 1), (-1,), (1, 0), (99, 99)]
)
def test_R139_a_part_that_is_missing_is_none(path: tuple[int, ...]) -> None:
    assert find(scan(WireBytes(NESTED)), path) is None


def test_R139_a_sole_part_has_no_parts() -> None:
    _, root = read(b"\nbody\n")
    assert find(root, (1, 1)) is None
    assert find(root, (2,)) is None


def test_R138_every_part_knows_its_mime_header() -> None:
    root = scan(WireBytes(NESTED))
    part = find(root, (2, 2))
    assert part is not None
    assert NESTED[part.header_start : part.body_start] == b"Content-Type: text/html\r\n\r\n"
    message = find(root, (2,))
    assert message is not None and message.is_message
    inner = message.parts[0]
    assert NESTED[inner.header_start :].startswith(b"Subject: inner\r\n")


def test_R143_a_message_part_has_the_envelope_of_the_message_inside() -> None:
    root = scan(WireBytes(NESTED))
    assert root.envelope is None
    assert [part.envelope and part.envelope.subject for part in root.parts] == [
        None, b"inner", b"plain",
    ]  # fmt: skip
    assert root.parts[1].lines == 11
    assert typed(b"message/global", b"Subject: x\n\n").is_message
    assert not typed(b"message/delivery-status").is_message


def test_R140_parts_of_a_digest_are_messages() -> None:
    _, root = read(
        b"Content-Type: multipart/digest; boundary=d\n\n"
        b"--d\n\nSubject: one\n\n1\n--d\nContent-Type: text/plain\n\n2\n--d--\n"
    )
    assert [part.type for part in root.parts] == [b"message", b"text"]
    envelope = root.parts[0].envelope
    assert envelope is not None and envelope.subject == b"one"


def test_R141_the_line_end_before_a_delimiter_is_its_own() -> None:
    data, root = read(
        b"Content-Type: multipart/mixed; boundary=b\n\npreamble\n"
        b"--b \t\n\none\n\n--b\n\n--b\n--b--\nepilogue --b\n--b\n\nnot a part\n"
    )
    assert [body(data, part) for part in root.parts] == [b"one\r\n", b"", b""]
    assert [data[part.header_start : part.body_start] for part in root.parts] == [b"\r\n", b"", b""]


def test_R141_a_boundary_that_begins_another_does_not_match_it() -> None:
    data, root = read(
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\nx\n--bb\n\ny\n--bb--\n"
        b"--b\n\nz\n--b--\n"
    )
    assert len(root.parts) == 2
    assert [body(data, part) for part in root.parts[0].parts] == [b"x", b"y"]
    assert body(data, root.parts[1]) == b"z"


def test_R141_without_a_closing_delimiter_a_part_ends_with_its_parent() -> None:
    data, root = read(
        b"Content-Type: multipart/mixed; boundary=out\n\n"
        b"--out\nContent-Type: multipart/mixed; boundary=in\n\n--in\n\nx\n"
        b"--out\n\nthe rest\n"
    )
    assert body(data, root.parts[0].parts[0]) == b"x"
    assert body(data, root.parts[1]) == b"the rest\r\n"


def test_R141_a_delimiter_ends_a_header_that_has_no_end() -> None:
    data, root = read(b"Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n--b\n\nz\n--b--\n")
    assert [data[part.header_start : part.body_start] for part in root.parts] == [b"X: y", b"\r\n"]
    assert [body(data, part) for part in root.parts] == [b"", b"z"]


def test_a_delimiter_cut_off_by_the_end_begins_no_part() -> None:
    _, root = read(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b")
    assert len(root.parts) == 1


def test_the_same_boundary_inside_belongs_to_the_innermost() -> None:
    data, root = read(
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b--\n--b\n\ny\n--b--\n"
    )
    assert body(data, root.parts[0].parts[0]) == b"x"
    assert body(data, root.parts[1]) == b"y"


@pytest.mark.parametrize(
    "kind",
    [b"multipart/mixed; boundary=never", b"multipart/mixed", b'multipart/mixed; boundary=""'],
)
def test_R146_a_multipart_without_parts_has_one_empty_text_part(kind: bytes) -> None:
    data, root = read(b"Content-Type: " + kind + b"\n\nonly a preamble\n")
    assert root.is_multipart
    (part,) = root.parts
    assert (part.type, part.subtype, part.octets, part.lines) == (b"text", b"plain", 0, 0)
    assert body(data, find(root, (1,))) == b""


def test_R149_id_and_description_are_raw() -> None:
    root = read(
        b"Content-Type: text/plain\nContent-ID: <a@b>\n"
        b"Content-Description: =?utf-8?q?x?=\n \xe6\xb5\x8b\nContent-MD5: Q2hlY2s=\n"
        b"Content-Location: http://a.example/\nContent-Language: en, de-AT (Austria)\n\n"
    )[1]
    assert root.said.content_id == b"<a@b>"
    assert root.said.description == b"=?utf-8?q?x?= \xe6\xb5\x8b"
    assert (root.said.md5, root.said.location) == (b"Q2hlY2s=", b"http://a.example/")
    assert root.said.languages == (b"en", b"de-AT")


@pytest.mark.parametrize(
    ("written", "encoding"),
    [
        (b"base64", b"BASE64"),
        (b" Quoted-Printable (comment)", b"QUOTED-PRINTABLE"),
        (b"x-uuencode", b"X-UUENCODE"),
        (b"", b""),
        (b"8 bit", b""),
        (b"text/html", b""),
        (b"quoted-printable;", b"7BIT"),
    ],
)
def test_the_transfer_encoding_is_a_word(written: bytes, encoding: bytes) -> None:
    root = read(b"Content-Transfer-Encoding: " + written + b"\n\n")[1]
    assert root.encoding == encoding


def test_an_encoding_that_cannot_be_read_is_remembered_as_such() -> None:
    for written in (b"8 bit", b"8bit"):
        root = read(b"Content-Transfer-Encoding: " + written + b"\n\n")[1]
        assert unpack(pack(root)).encoding == root.encoding


def test_the_last_type_of_a_header() -> None:
    header = b"Content-Type: text/html\r\nContent-type: a/b; c=\r\n d\r\n"
    assert last_type(header) == (b"a", b"b", ((b"c", b"d"),))
    assert last_type(b"Subject: x\r\n\r\n") == (b"text", b"plain", ())


def test_the_last_disposition_counts_and_the_first_type() -> None:
    root = read(
        b"Content-Type: text/plain\nContent-Type: text/html\n"
        b'Content-Disposition: inline\nContent-Disposition: attachment; filename="a b"\n\n'
    )[1]
    assert root.subtype == b"plain"
    assert root.said.disposition == (b"attachment", ((b"filename", b"a b"),))


def test_a_type_that_is_not_one_is_no_text_and_not_looked_into() -> None:
    for kind in (b"binary; x=y", b"text plain", b"/plain", b"; boundary=b"):
        root = typed(kind)
        assert (root.type, root.subtype, root.parts) == (b"", b"", ())
    assert typed(b"text").type == b"text"
    assert typed(b"").type == b"text"


def test_mime_needs_no_version_field() -> None:
    assert typed(b"multipart/mixed; boundary=b", b"--b\n\nx\n--b--\n").is_multipart


def test_lines_without_colon_do_not_end_a_header() -> None:
    root = read(b"From someone Mon\nContent-Type: text/html\nrubbish\n\nx\n")[1]
    assert root.subtype == b"html"


MIME = st.lists(
    st.sampled_from(
        [
            b"Content-Type: multipart/mixed; boundary=a\n",
            b"Content-Type: multipart/digest; boundary=ab\n",
            b"Content-Type: message/rfc822\n",
            b"Content-Type: text/html\n",
            b"Content-Type: application/pdf; name*0=x; name*1*=''y\n",
            b"Content-Transfer-Encoding: base64\n",
            b"Subject: x\n",
            b"--a\n",
            b"--a--\n",
            b"--ab\n",
            b"--ab--\n",
            b"--",
            b"\n",
            b"\r",
            b"text\n",
            b" folded\n",
            b"\0\xff\n",
        ]
    ),
    max_size=40,
).map(b"".join)


def check_nesting(part: Part, size: int) -> None:
    assert 0 <= part.header_start <= part.body_start <= part.body_end <= size
    assert part.is_multipart == (part.type == b"multipart" and bool(part.parts))
    before = part.body_start
    for inner in part.parts:
        assert before <= inner.header_start
        assert inner.body_end <= part.body_end
        before = inner.body_end
        check_nesting(inner, size)


@given(MIME)
def test_offsets_nest_whatever_the_octets_are(text: bytes) -> None:
    data, root = read(text)
    assert (root.header_start, root.body_end) == (0, len(data))
    check_nesting(root, len(data))


@given(st.binary(max_size=300))
def test_any_octets_have_a_structure(data: bytes) -> None:
    root = scan(WireBytes(data))
    check_nesting(root, len(data))
    assert pack(unpack(pack(root))) == pack(root)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MIME)
def test_files_are_scanned_as_bytes_are(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "mail").write_bytes(text)
    wire = WireFile(os.open(tmp_path / "mail", os.O_RDONLY))
    assert scan(wire) == read(text)[1]
    wire.close()


LINES = [
    b"--a\n", b"--a--\n", b"--ab\n", b"--a", b"\n", b"\r", b"text\n", b"X: y\n\n",
    b"Content-Type: text/html\n\n", b"Content-Type: image/gif\n\n",
    b"Content-Type: message/rfc822\n\n", b"Content-Type: multipart/mixed; boundary=a\n\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=12).map(b"".join))
def test_what_is_simple_has_the_structure_that_the_scanner_finds(text: bytes) -> None:
    data = crlf(b"Content-Type: multipart/mixed; boundary=a\n\n" + text)
    simple = simple_structure(data)
    assert simple is None or simple == scanned(data)


def test_most_messages_are_simple() -> None:
    flat = b"Content-Type: multipart/mixed; boundary=a\n\n--a\n\none\n--a\n\ntwo\n--a--\n"
    assert simple_structure(crlf(b"Subject: x\n\ntext\n")) is not None
    assert len(simple_structure(crlf(flat)).parts) == 2
    assert simple_structure(NESTED) is None


def scanned(data: bytes) -> Part:
    """What the scanner says, which reads files."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        wire = WireFile(os.dup(file.fileno()))
        try:
            return scan(wire)
        finally:
            wire.close()


LONG = [b"x: y\n" * (CHUNK // 6), b"text\n" * (CHUNK // 6), b"z" * CHUNK]
PIECES = [
    b"Content-Type: multipart/mixed; boundary=a\n\n--a\n",
    b"Content-Type: multipart/mixed; boundary=ab\n\n--ab\n",
    b"Content-Type: message/rfc822\n\n",
    b"--a\n",
    b"--ab\n",
    b"--ab--\n",
    b"--a--\n",
    b"\n",
]


@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PIECES + LONG), max_size=14).map(b"".join))
def test_large_files_are_scanned_as_bytes_are(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "mail").write_bytes(text)
    wire = WireFile(os.open(tmp_path / "mail", os.O_RDONLY))
    assert scan(wire) == read(text)[1]
    wire.close()


def test_a_header_without_end_is_left_at_the_next_delimiter(tmp_path: Path) -> None:
    inner = b"--b\nContent-Type: message/rfc822\n\n--b\nX: y\n" + b"x: y\n" * CHUNK
    text = b"Content-Type: multipart/mixed; boundary=b\n\n" + inner + b"--b\n\nend\n--b--\n"
    (tmp_path / "mail").write_bytes(text)
    wire = WireFile(os.open(tmp_path / "mail", os.O_RDONLY))
    root = scan(wire)
    wire.close()
    assert root == read(text)[1]
    assert [part.type for part in root.parts] == [b"message", b"text", b"text"]


@pytest.mark.parametrize("shift", range(-12, 13))
@pytest.mark.parametrize("others", [b"", b"Content-Type: multipart/mixed; boundary=x\n\n--x\n"])
def test_delimiters_at_the_edge_of_a_window_are_found(
    shift: int, others: bytes, tmp_path: Path
) -> None:
    filling = b"x" * 62 + b"\n"
    start = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + others + b"\n"
    text = start + filling * ((CHUNK - len(start)) // 64 - 2)
    text += b"y" * (CHUNK - len(crlf(text)) + shift) + b"\n--b\n\nsecond\n--b--\n"
    (tmp_path / "mail").write_bytes(crlf(text))
    wire = WireFile(os.open(tmp_path / "mail", os.O_RDONLY))
    root = scan(wire)
    wire.close()
    assert root == read(text)[1]
    assert len(root.parts) == 2


def test_a_packed_tree_keeps_what_sections_need() -> None:
    root = scan(WireBytes(NESTED))
    kept = unpack(pack(root))
    for path in ((), (1,), (2,), (2, 1), (2, 2), (3,), (3, 1)):
        one, other = find(root, path), find(kept, path)
        assert one is not None and other is not None
        assert (one.header_start, one.body_start, one.body_end, one.lines, one.type, one.subtype,
                one.encoding, one.charset, one.is_message) == (
            other.header_start, other.body_start, other.body_end, other.lines, other.type,
            other.subtype, other.encoding, other.charset, other.is_message)  # fmt: skip
    assert find(kept, (2, 3)) is None
    assert unpack(pack(typed(b"text/plain; charset=GBK"))).charset == b"GBK"


@pytest.mark.parametrize(
    "data", [b"", b"x", b"0 0 0 0 0 1 text plain 7BIT -", b"0 0 0 0 0 0 a b c -\n" * 2]
)
def test_what_was_not_packed_is_not_unpacked(data: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(data.rstrip(b"\n"))
