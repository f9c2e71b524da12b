"""maa.pop3.sending: any message as a multi-line answer, in memory and from a file alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.conversation import SLOW, Step
from maa.message.octets import CHUNK, WireBytes, WireFile, crlf
from maa.pop3 import sending
from tests.pop3.world import World

PIECES = [b"a", b".", b"..", b"\r\n", b"\n", b"\0", b"\r\n.", b"\r\n\r\n", b"Subject: x\r\n", b"\r"]
MESSAGES = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


class Chopped(WireBytes):
    """A large message, as if it came from a file: in chunks of a few octets."""

    step = 3

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        data = self.data[start:stop]
        return (data[at : at + self.step] for at in range(0, len(data), self.step))


class Streamed:
    """The same message, but not known to be in memory."""

    def __init__(self, data: bytes) -> None:
        self._wire = Chopped(data)
        self.size = len(data)
        self.chunks = self._wire.chunks
        self.slice = self._wire.slice
        self.close = self._wire.close


def octets(steps: Iterator[Step]) -> bytes:
    return b"".join(step for step in steps if isinstance(step, bytes))


def received(answer: bytes) -> bytes:
    """What a client makes of a multi-line answer (RFC 1939 §3)."""
    assert answer.endswith(b"\r\n.\r\n") or answer == b".\r\n"
    assert b"\r\n.\r\n" not in answer[:-3]
    lines = answer[:-3].split(b"\r\n")
    assert lines.pop() == b""
    return b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines)


def complete(data: bytes) -> bytes:
    """The message with the ends that POP3 gives it (Q-4, Q-5, R204)."""
    data = data.replace(b"\0", b"\x80")
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    if b"\r\n\r\n" not in b"\r\n" + data:
        data += b"\r\n"
    return data


@given(MESSAGES)
def test_R204_any_message_arrives_as_it_is(data: bytes) -> None:
    data = crlf(data)
    answer = octets(sending.message(WireBytes(data)))
    expected = complete(data) if data else b"\r\n"
    assert received(answer) == expected


@given(MESSAGES.filter(bool))
def test_R204_in_chunks_as_in_one_piece(data: bytes) -> None:
    data = crlf(data)
    assert octets(sending.message(Streamed(data))) == sending.whole(data)


@given(MESSAGES.filter(bool), st.integers(0, 6))
def test_R206_top_is_the_header_and_so_many_lines(data: bytes, lines: int) -> None:
    data = crlf(data)
    wanted = complete(data)
    header = (b"\r\n" + wanted).index(b"\r\n\r\n") + 2
    body = wanted[header:].split(b"\r\n")[:-1][:lines]
    expected = wanted[:header] + b"".join(line + b"\r\n" for line in body)
    assert received(octets(sending.top(WireBytes(data), lines))) == expected
    assert received(octets(sending.top(Streamed(data), lines))) == expected


@given(MESSAGES)
def test_R203_what_is_counted_is_what_is_sent(data: bytes) -> None:
    data = crlf(data)
    counted = len(data) + sending.counted_octets_of(WireBytes(data))
    sent = len(received(octets(sending.message(WireBytes(data)))))
    # An unfinished last line is finished by the answer; that belongs to no message.
    assert sent == counted or not data.endswith(b"\r\n")
    assert sending.counted_octets_of(Streamed(data)) == counted - len(data)


def test_every_piece_of_a_large_message_is_read_on_a_thread(tmp_path: Path) -> None:
    path = tmp_path / "large"
    data = b"A: b\n\n" + b".line\n" * 500_000
    path.write_bytes(data)
    wire = WireFile(os.open(path, os.O_RDONLY))
    slow = False
    received_octets = 0
    for step in sending.message(wire):
        if step is SLOW:
            slow = True
        else:
            assert slow
            assert isinstance(step, bytes)
            assert len(step) <= 2 * CHUNK
            received_octets += len(step)
            slow = False
    wire.close()
    assert received_octets == len(crlf(data)) + 500_000 + 3


@pytest.mark.parametrize("lines", [0, 1, 100_000])
def test_top_of_a_large_message(tmp_path: Path, lines: int) -> None:
    world = World(tmp_path)
    world.add(b"A: b\n\n" + b".line\n" * 300_000)
    client = world.client()
    answer = client.ask(b"TOP 1 %d" % lines)
    assert answer.split(b"\r\n", 1)[1] == b"A: b\r\n\r\n" + b"..line\r\n" * lines + b".\r\n"
    assert client.ask(b"LIST 1") == b"+OK 1 2100008\r\n"
    answer = client.ask(b"RETR 1")
    assert answer == b"+OK 2100008 octets\r\nA: b\r\n\r\n" + b"..line\r\n" * 300_000 + b".\r\n"
    world.close()


def test_a_large_header_without_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add(b"A: b\n" * 300_000)
    client = world.client()
    assert client.ask(b"LIST 1") == b"+OK 1 1800002\r\n"
    answer = client.ask(b"RETR 1")
    assert answer == b"+OK 1800002 octets\r\n" + b"A: b\r\n" * 300_000 + b"\r\n.\r\n"
    assert client.ask(b"QUIT") == b"+OK bye\r\n"
    world.close()


def test_a_client_that_goes_in_the_middle_of_a_large_message(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.add(b"A: b\n\n" + b"line\n" * 300_000)
    client = world.client()

    def messages_open() -> int:
        # Its own alone: what other tests left behind may be given back at any moment.
        links = (os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink())
        return sum(str(tmp_path) in link and ".host" in link for link in links)

    assert messages_open() == 0
    client.session.feed(b"RETR 1\r\n")
    steps = client.session.steps()
    for _ in range(6):
        next(steps)
    assert messages_open() == 1
    steps.close()
    client.session.lost()
    del world.clients[1]
    assert messages_open() == 0
    world.close()
