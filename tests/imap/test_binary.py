"""FETCH BINARY of parts too large for memory (RFC 3516; R227), and NUL on its way in (R012)."""

from __future__ import annotations

import base64
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from imap.desk import Desk
from maa.conversation import CLOSE
from maa.imap import binary
from maa.message.octets import SMALL
from maa.store.errors import Unavailable
from tests.imap.world import SessionWorld

World = Callable[..., SessionWorld]

HEAD = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nfirst\n--b\n"
KIND = b"Content-Type: application/x\nContent-Transfer-Encoding: %b\n\n"


def noise(octets: int) -> bytes:
    return Random(1).randbytes(octets)


def mixed(data: bytes) -> bytes:
    return HEAD + KIND % b"base64" + base64.encodebytes(data) + b"--b--\n"


@pytest.mark.parametrize("start", [b"", b"\0"])
def test_R227_a_large_part_is_decoded_as_it_is_sent(tmp_path: Path, start: bytes) -> None:
    data = start + noise(40 * SMALL).replace(b"\0", b"x")
    desk = Desk(tmp_path, mixed(data))
    tracemalloc.start()
    sent, pieces = 0, []
    for step in desk.started(b"FETCH 1 BINARY.PEEK[2]"):
        if isinstance(step, bytes):
            sent += len(step)
            pieces.append(step[:100] if sent > 100_000 else step)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    begin = b"* 1 FETCH (BINARY[2] %b{%d}\r\n" % (b"~" * bool(start), len(data))
    assert b"".join(pieces).startswith(begin + data[:50_000])
    assert sent == len(begin) + len(data) + len(b")\r\n")
    assert peak < 8 * SMALL


def test_the_size_of_a_large_part_is_found_once(tmp_path: Path) -> None:
    data = noise(3 * SMALL)
    desk = Desk(tmp_path, mixed(data))
    size = b"* 1 FETCH (BINARY.SIZE[2] %d)\r\n" % len(data)
    assert desk.ask(b"FETCH 1 BINARY.SIZE[2]") == size
    kept = desk.mailbox.cached(binary.BINARY, [1])
    assert kept == {1: b"2 %d 1\n" % len(data)}
    # What is remembered is what is told, or this could not be.
    desk.mailbox.remember(binary.BINARY, {1: b"2 7 1\n"})
    assert desk.ask(b"FETCH 1 BINARY.SIZE[2]") == b"* 1 FETCH (BINARY.SIZE[2] 7)\r\n"
    assert desk.ask(b"FETCH 1 BINARY.SIZE[1]") == b"* 1 FETCH (BINARY.SIZE[1] 5)\r\n"


def test_all_that_was_measured_is_remembered(tmp_path: Path) -> None:
    inner = KIND % b"8bit" + b"y" * (2 * SMALL)
    desk = Desk(tmp_path, HEAD + inner + b"\n--b\n" + inner + b"\n--b--\n")
    whole = desk.ask(b"FETCH 1 RFC822.SIZE").split()[-1].rstrip(b")")
    desk.ask(b"FETCH 1 BINARY.SIZE[2]")
    desk.ask(b"FETCH 1 (BINARY.SIZE[3] BINARY.SIZE[] BINARY.PEEK[2])")
    (lines,) = desk.mailbox.cached(binary.BINARY, [1]).values()
    expected = [b"2 %d 0" % (2 * SMALL), b"3 %d 0" % (2 * SMALL), b" %b 0" % whole]
    assert lines.splitlines() == expected


@pytest.mark.parametrize("count", [10, SMALL, 2 * SMALL, 9 * SMALL])
def test_a_part_of_a_large_part(tmp_path: Path, count: int) -> None:
    data = noise(3 * SMALL)
    desk = Desk(tmp_path, mixed(data))
    first = SMALL + 7
    asked = data[first : first + count]
    literal = b"%b{%d}\r\n%b" % (b"~" * (b"\0" in asked), len(asked), asked)
    answer = b"* 1 FETCH (BINARY[2]<%d> %b)\r\n" % (first, literal)
    assert desk.ask(b"FETCH 1 BINARY.PEEK[2]<%d.%d>" % (first, count)) == answer
    beyond = desk.ask(b"FETCH 1 BINARY.PEEK[2]<%d.%d>" % (len(data), count))
    assert beyond == b'* 1 FETCH (BINARY[2]<%d> "")\r\n' % len(data)


@pytest.mark.parametrize("octets", [SMALL, 4 * SMALL])
def test_a_part_that_is_not_as_long_as_was_said_ends_the_connection(
    tmp_path: Path, octets: int
) -> None:
    desk = Desk(tmp_path, mixed(noise(3 * SMALL)))
    desk.mailbox.remember(binary.BINARY, {1: b"2 %d 1\n" % octets})
    steps = []
    with pytest.raises(Unavailable):
        for step in desk.started(b"FETCH 1 BINARY.PEEK[2]"):
            steps.append(step)
    assert steps[-1] is CLOSE
    assert sum(len(step) for step in steps if isinstance(step, bytes)) <= 3 * SMALL + 100


@pytest.mark.parametrize("mbox", [False, True])
@pytest.mark.parametrize("octets", [6, 300_000])
def test_R012_nul_needs_a_literal8(make_world: World, mbox: bool, octets: int) -> None:
    world = make_world(messages=[], mbox=mbox)
    client = world.client(1)
    message = b"a: b\r\n\r\n" + b"y" * octets + b"\0\r\n"
    client.ask(b"s SELECT INBOX")
    refused = client.ask(b"a APPEND INBOX {%d+}\r\n%b" % (len(message), message))
    assert refused.startswith(b"a BAD [CLIENTBUG] ")
    taken = client.ask(b"b APPEND INBOX ~{%d+}\r\n%b" % (len(message), message))
    assert b"* 1 EXISTS" in taken and b"b OK [APPENDUID " in taken
    # BODY cannot have it, BINARY can (R156).
    shown = client.ask(b"c FETCH 1 (BODY.PEEK[] BINARY.PEEK[])")
    octet80 = message.replace(b"\0", b"\x80")
    length = len(message)
    assert b"BODY[] {%d}\r\n%b BINARY[] ~{%d}\r\n%b" % (length, octet80, length, message) in shown
