"""Mail made to hurt: everything stays linear, bounded and free of exceptions (R142, R224, R225)."""

from __future__ import annotations

import os
import resource
import sys
import time
from pathlib import Path

import pytest

from maa.message.addresses import parse
from maa.message.headers import envelope, fields, first, selected
from maa.message.octets import HEADER_OCTETS_MAX, WireBytes, WireFile, open_wire, read_head
from maa.message.parameters import PIECES_MAX, content_type
from maa.message.structure import DEPTH_MAX, PARTS_MAX, Part, find, pack, scan, unpack
from maa.message.text import search_text
from maa.message.words import decoded

# Each takes well under a second; what is not linear would take minutes.
SECONDS = 20.0 if sys.gettrace() else 2.0


def depth(part: Part) -> int:
    levels = 1
    while part.parts:
        part = part.parts[0]
        levels += 1
    return levels


def count(root: Part) -> int:
    waiting, number = [root], 0
    while waiting:
        part = waiting.pop()
        number += 1
        waiting.extend(part.parts)
    return number


def nested_multiparts(levels: int) -> bytes:
    opening = [
        b"Content-Type: multipart/mixed; boundary=b%05d\r\n\r\n--b%05d\r\n" % (level, level)
        for level in range(levels)
    ]
    return b"".join(opening) + b"\r\nthe core\r\n"


def nested_messages(levels: int) -> bytes:
    return b"Content-Type: message/rfc822\r\n\r\n" * levels + b"Subject: core\r\n\r\nhello\r\n"


def siblings(number: int) -> bytes:
    return (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"--b\r\n\r\nx\r\n" * number
        + b"--b--\r\n"
    )


HOSTILE = {
    "nested multiparts": nested_multiparts(20_000),
    "nested messages": nested_messages(20_000),
    "siblings": siblings(20_000),
    "siblings without blank lines": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    + b"--b\r\nX: y\r\n" * 20_000,
    "siblings that are multiparts with boundaries of their own": (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        + b"".join(
            b"--b\r\nContent-Type: multipart/mixed; boundary=x%d\r\n\r\n" % number
            for number in range(20_000)
        )
    ),
    "lines that look like delimiters": nested_multiparts(90) + b"--b\r\n" * 400_000,
    "boundaries that are prefixes": (
        b"".join(
            b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\n" % (b"a" * n, b"a" * n)
            for n in range(1, 90)
        )
        + (b"--" + b"a" * 88 + b"b\r\n") * 20_000
    ),
    "one line of 5 MB": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b" + b"x" * 5_000_000,
    "header of 5 MB in one field": b"Subject: " + b"x " * 2_500_000 + b"\r\n\r\nbody",
    "header of 5 MB of folds": b"Content-Type: text/plain;" + b"\r\n a=b;" * 700_000 + b"\r\n\r\n",
    "header of 5 MB of fields": b"X: y\r\n" * 800_000 + b"\r\n",
    "header of 5 MB of types": b"Content-Type: text/plain\r\n" * 200_000 + b"\r\n",
    "header without line ends": b"x" * 5_000_000,
    "bare carriage returns": b"Subject: " + b"\r" * 5_000_000,
    "comments": b"Content-Type: " + b"(" * 50_000 + b"text/plain" + b")" * 50_000 + b"\r\n\r\n",
    "quotes": b'Content-Type: text/plain; a="' + b"\\" * 1_000_000 + b"\r\n\r\n",
    "open quotes": b"Content-Type: text/plain" + b'; a="' * 200_000 + b"\r\n\r\n",
    "tokens": b"Content-Type: " + b"text/" * 200_000 + b"\r\n\r\n",
    "parameters without values": b"Content-Type: text/plain" + b"; a=" * 200_000 + b"\r\n\r\n",
    "blanks": b"Content-Type: text/plain;" + b" " * 1_000_000 + b"x\r\n\r\n",
    "pieces": b"Content-Type: text/plain"
    + b"".join(b"; name*%d=x" % number for number in range(100_000))
    + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_R142_hostile_structure_is_scanned_in_seconds(name: str) -> None:
    data = HOSTILE[name]
    started = time.process_time()
    root = scan(WireBytes(data))
    assert time.process_time() - started < SECONDS
    assert depth(root) <= DEPTH_MAX
    assert count(root) <= 2 * PARTS_MAX  # a multipart without parts is shown with one
    assert pack(unpack(pack(root))) == pack(root)


@pytest.mark.parametrize(
    "name", ["nested multiparts", "siblings", "lines that look like delimiters"]
)
def test_R142_hostile_structure_is_scanned_from_a_file_as_from_memory(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "mail"
    path.write_bytes(HOSTILE[name])
    started = time.process_time()
    root = scan(WireFile(os.open(path, os.O_RDONLY)))
    assert time.process_time() - started < 2 * SECONDS
    assert root == scan(WireBytes(HOSTILE[name]))


def test_R142_what_is_nested_too_deeply_is_one_opaque_part() -> None:
    part = scan(WireBytes(nested_multiparts(DEPTH_MAX + 5)))
    levels = 1
    while part.parts:
        part = part.parts[0]
        levels += 1
    assert levels == DEPTH_MAX
    assert (part.type, part.subtype) == (b"application", b"octet-stream")
    assert part.body_end == len(nested_multiparts(DEPTH_MAX + 5))


def test_R142_parts_beyond_the_limit_are_one_opaque_part() -> None:
    data = siblings(PARTS_MAX + 50)
    root = scan(WireBytes(data))
    assert len(root.parts) == PARTS_MAX - 1
    last = root.parts[-1]
    assert (last.type, last.subtype) == (b"application", b"octet-stream")
    assert last.body_end == len(data)
    assert find(root, (PARTS_MAX - 1,)) is last


def test_R224_pieces_of_a_parameter_are_bounded() -> None:
    pieces = b"".join(b"; name*%d=x" % number for number in range(PIECES_MAX + 1))
    found = content_type(b"text/plain" + pieces)
    assert (b"name*0", b"x") in found[2]  # not joined
    found = content_type(b"text/plain" + b"".join(b"; name*%d=x" % n for n in range(PIECES_MAX)))
    assert found[2] == ((b"name", b"x" * PIECES_MAX),)


HOSTILE_ADDRESSES = {
    "many": b", ".join(b"user%d@example.org" % number for number in range(50_000)),
    "many that need the slow reader": b'"a\\"b" <a@b.example>, ' * 20_000,
    "commas": b"," * 300_000,
    "groups": b"a:" * 100_000,
    "group ends": b";" * 300_000,
    "open angles": b"<" * 300_000,
    "angles": b"<>" * 100_000,
    "ats": b"@" * 300_000,
    "routes": b"<@a,@b:" * 40_000,
    "comments 50,000 deep": b"(" * 50_000 + b")" * 50_000 + b" a@b",
    "open comments": b"(" * 300_000,
    "comments": b"() " * 100_000,
    "open quotes": b'"' * 299_999,
    "open quote": b'"' + b"a" * 1_000_000,
    "backslashes": b'"' + b"\\" * 999_999,
    "blanks": b" " * 1_000_000,
    "words": b"a " * 250_000,
    "dots": b"." * 300_000,
    "dotted words": b"a." * 250_000,
    "words and an end": b"a " * 250_000 + b"\x00<",
    "brackets": b"[" * 300_000,
    "octets": bytes(range(256)) * 1_000,
}


@pytest.mark.parametrize("name", HOSTILE_ADDRESSES)
def test_R225_hostile_addresses_are_read_in_seconds(name: str) -> None:
    started = time.process_time()
    parse(HOSTILE_ADDRESSES[name])
    assert time.process_time() - started < SECONDS


def test_a_hundred_thousand_addresses_make_an_envelope_in_seconds() -> None:
    listed = b",\r\n ".join(b"u%d@a.bc" % number for number in range(100_000))
    header = b"From: me@example.org\r\nTo: " + listed + b"\r\n\r\n"
    started = time.process_time()
    found = envelope(header)
    assert time.process_time() - started < SECONDS
    assert 60_000 < len(found.to) <= 100_000  # of one field no more than 1 MiB is shown (R224)


def test_R224_a_header_of_5_MB_is_read_in_seconds() -> None:
    header = b"Subject: a\r\n" + b"X-Long: y\r\n" * 500_000 + b"To: a@b\r\n\r\n"
    started = time.process_time()
    assert envelope(header).to
    assert first(header, b"to") == b"a@b"
    assert selected(header, [b"SUBJECT"]) == b"Subject: a\r\n\r\n"
    assert time.process_time() - started < 2 * SECONDS
    assert len(fields(header[: 1 << 20])) > 90_000


@pytest.mark.parametrize(
    "value",
    [
        b"=?" * 300_000,
        b"=?utf-8?q?a" * 90_000,
        b"=?utf-8?b?" + b"=" * 1_000_000 + b"?=",
        b"=?utf-8?q?=41?= " * 50_000,
        b"=?utf-8?q?" * 100_000 + b"?=",
        b"\xff" * 1_000_000,
    ],
)
def test_R225_hostile_encoded_words_are_decoded_in_seconds(value: bytes) -> None:
    started = time.process_time()
    decoded(value)
    assert time.process_time() - started < SECONDS


def test_a_large_message_is_scanned_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as out:
        out.write(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\n")
        for _ in range(400):
            out.write(b"a line of text that is about seventy octets long, as in mail\n" * 1000)
        out.write(b"--b\nContent-Type: text/plain\n\nlast\n--b--\n")
    wire = open_wire(os.open(path, os.O_RDONLY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    root = scan(wire)
    assert (len(root.parts), root.parts[0].lines) == (2, 399_999)
    assert wire.slice(root.parts[1].body_start, root.parts[1].body_end) == b"last"
    total = sum(len(text) for text in search_text(wire, root))
    assert total > 24_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    wire.close()


def test_R224_no_more_of_a_header_is_read_than_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "header"
    with path.open("wb") as out:
        for _ in range(12):
            out.write(b"X-Field: " + b"y" * (1 << 20) + b"\n")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert len(read_head(descriptor)) == HEADER_OCTETS_MAX
    finally:
        os.close(descriptor)
