"""Messages as sent: line ends, slices, heads and dot-stuffing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maa.message.octets import (
    CHUNK,
    SMALL,
    Wire,
    WireBytes,
    WireFile,
    crlf,
    dot_stuffed,
    open_wire,
    read_head,
    without_nul,
)

MAIL = st.lists(
    st.sampled_from([b"\r\n", b"\n", b"\r", b"a", b".", b"..", b"Subject: x", b"\0", b"\xff"])
).map(b"".join)
TMP_PATH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def opened(path: Path, data: bytes) -> int:
    path.write_bytes(data)
    return os.open(path, os.O_RDONLY)


@pytest.mark.parametrize(
    ("disk", "wire"),
    [
        (b"", b""),
        (b"a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\r\nb\nc", b"a\r\nb\r\nc"),
        (b"a\rb\n", b"a\rb\r\n"),
        (b"a\r\r\n\n", b"a\r\r\n\r\n"),
        (b"\n", b"\r\n"),
        (b"\r", b"\r"),
    ],
)
def test_every_line_is_sent_with_crlf(disk: bytes, wire: bytes) -> None:
    assert crlf(disk) == wire
    assert crlf(wire) == wire


@given(MAIL)
def test_crlf_changes_bare_line_feeds_alone(data: bytes) -> None:
    sent = crlf(data)
    assert sent.count(b"\n") == sent.count(b"\r\n") == data.count(b"\n")
    assert sent.replace(b"\r\n", b"\n") == data.replace(b"\r\n", b"\n")


def kinds_of_lines() -> dict[str, bytes]:
    lines = [b"line %d of a message\n" % number for number in range(12_000)]
    lf = b"".join(lines)
    mixed = b"".join(
        line if number % 3 else line[:-1] + b"\r\n" for number, line in enumerate(lines)
    )
    # A CR as the last octet of a block, and an LF as the first of the next.
    edge = b"x" * (CHUNK - 1) + b"\r\n" + b"y" * (CHUNK - 2) + b"\n" + b"\nz" * CHUNK + b"\r"
    return {
        "lf": lf,
        "crlf": crlf(lf),
        "mixed": mixed,
        "edge": edge,
        "bare cr": b"\r" * CHUNK + b"\n\n",
        "no line end": b"x" * (2 * CHUNK + 1),
        "line ends": b"\n" * (2 * CHUNK + 1),
        "empty": b"",
    }


@pytest.mark.parametrize("kind", kinds_of_lines())
def test_a_large_message_is_sliced_as_a_small_one(kind: str, tmp_path: Path) -> None:
    data = kinds_of_lines()[kind]
    small, large = WireBytes(crlf(data)), WireFile(opened(tmp_path / "mail", data))
    assert large.size == small.size
    assert b"".join(large.chunks()) == b"".join(small.chunks()) == small.data
    assert all(0 < len(chunk) <= CHUNK for chunk in large.chunks())
    assert all(0 < len(chunk) <= CHUNK for chunk in small.chunks())
    edges = {0, 1, 2, small.size, small.size - 1, small.size + 5, -3}
    for block in range(0, small.size, CHUNK):
        edges |= {block - 2, block - 1, block, block + 1, block + 2}
    for start in sorted(edges):
        for octets in (0, 1, 2, 3, 100, CHUNK):
            assert large.slice(start, start + octets) == small.slice(start, start + octets)
    large.close()
    large.close()


@TMP_PATH
@given(MAIL, st.integers(-5, 60), st.integers(-5, 60))
def test_slices_of_files_equal_slices_of_bytes(
    tmp_path: Path, data: bytes, start: int, stop: int
) -> None:
    small, large = WireBytes(crlf(data)), WireFile(opened(tmp_path / "mail", data))
    assert large.slice(start, stop) == small.slice(start, stop)
    assert b"".join(large.chunks(start, stop)) == b"".join(small.chunks(start, stop))
    large.close()


def test_small_messages_give_their_file_back_at_once(tmp_path: Path) -> None:
    descriptor = opened(tmp_path / "mail", b"a\nb")
    wire = open_wire(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    assert (wire.size, wire.slice(0, 99)) == (4, b"a\r\nb")
    wire.close()


def test_large_messages_keep_their_file_until_closed(tmp_path: Path) -> None:
    descriptor = opened(tmp_path / "mail", b"a\n" * SMALL)
    wire = open_wire(descriptor)
    assert wire.size == 3 * SMALL
    assert wire.slice(wire.size - 4, wire.size) == b"\na\r\n"
    wire.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_file_with_more_than_its_size_is_read_whole() -> None:
    # As when a delivery appends meanwhile: files of /proc have the size 0.
    wire = open_wire(os.open("/proc/self/limits", os.O_RDONLY))
    assert wire.slice(0, 9999).startswith(b"Limit ")
    assert wire.slice(0, 9999).endswith(b"\r\n")
    wire.close()


def test_what_cannot_be_read_leaves_no_descriptor_open(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)  # a directory
    with pytest.raises(IsADirectoryError):
        open_wire(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_message_file_that_became_shorter_is_an_error(tmp_path: Path, line_end: bytes) -> None:
    wire = WireFile(opened(tmp_path / "mail", (b"x" * 62 + line_end) * 3000))
    os.truncate(tmp_path / "mail", 100)
    with pytest.raises(OSError, match="became shorter"):
        wire.slice(150_000, 150_100)
    with pytest.raises(OSError, match="became shorter"):
        list(wire.chunks())
    wire.close()


@TMP_PATH
@given(MAIL)
def test_the_head_of_a_file_is_its_header(tmp_path: Path, data: bytes) -> None:
    descriptor = opened(tmp_path / "mail", data)
    head = read_head(descriptor)
    os.close(descriptor)
    sent = crlf(data)
    end = 2 if sent[:2] == b"\r\n" else sent.find(b"\r\n\r\n") + 4
    assert head == (sent[:end] if end > 3 or sent[:2] == b"\r\n" else sent)


@pytest.mark.parametrize("before", range(8180, 8200))
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_header_that_ends_at_a_block_is_read_whole(
    before: int, line_end: bytes, tmp_path: Path
) -> None:
    header = b"X: " + b"y" * (before - 3) + line_end + line_end
    descriptor = opened(tmp_path / "mail", header + b"body" + line_end)
    assert read_head(descriptor) == crlf(header)
    os.close(descriptor)


def stuffed(data: bytes, sizes: list[int]) -> bytes:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return b"".join(dot_stuffed([*pieces, data[at:]]))


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n.\r\n..x\r\n", b"..\r\n..\r\n...x\r\n.\r\n"),
        (b"a\r.b\n.c\r\n", b"a\r.b\n.c\r\n.\r\n"),
        (b"nul \0\r\n", b"nul \x80\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
    ],
)
def test_R204_lines_that_begin_with_a_dot_get_one_more(message: bytes, sent: bytes) -> None:
    assert stuffed(message, []) == sent
    assert stuffed(message, [1] * len(message)) == sent


def test_R204_a_line_end_cut_in_two_still_ends_a_line() -> None:
    assert b"".join(dot_stuffed([b"a\r", b"\n.b"])) == b"a\r\n..b\r\n.\r\n"
    assert b"".join(dot_stuffed([b"a", b"\n.b"])) == b"a\n.b\r\n.\r\n"


@given(MAIL, st.lists(st.integers(0, 5), max_size=40))
def test_R204_stuffing_does_not_depend_on_chunk_edges(data: bytes, sizes: list[int]) -> None:
    assert stuffed(crlf(data), sizes) == stuffed(crlf(data), [])


@given(MAIL)
def test_R204_a_client_gets_back_what_was_stuffed(data: bytes) -> None:
    lines = stuffed(crlf(data), []).split(b"\r\n")
    assert lines[-2:] == [b".", b""]
    received = [line[1:] if line.startswith(b".") else line for line in lines[:-2]]
    assert all(line != b"." for line in lines[:-2])
    body = b"".join(line + b"\r\n" for line in received)
    expected = crlf(data).replace(b"\0", b"\x80")
    assert body == expected + (b"" if expected.endswith(b"\r\n") or not expected else b"\r\n")


def test_R156_nul_is_replaced_without_changing_sizes() -> None:
    assert without_nul(b"a\0b\0") == b"a\x80b\x80"


def test_both_kinds_of_message_are_wires(tmp_path: Path) -> None:
    wires: list[Wire] = [WireBytes(b"ab"), WireFile(opened(tmp_path / "mail", b"ab"))]
    for wire in wires:
        assert list(wire.chunks(1)) == [b"b"]
        wire.close()
