"""Compressed connections: any split, bombs, damage (RFC 4978)."""

from __future__ import annotations

import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.transport.deflate import PIECE_OCTETS, DamagedStream, Deflate
from tests.transport.net import Client, Net
from tests.transport.streams import Streams


def compressed() -> tuple[Net, Client, Streams]:
    net = Net()
    client = net.greeted()
    assert client.send(b"compress\r\necho lost\r\n") == b"active\r\n"
    return net, client, Streams()


def test_R027_the_stream_changes_behind_the_answer_and_what_was_pipelined_is_dropped() -> None:
    _, client, streams = compressed()
    answer = client.send(streams.packed(b"echo one\r\n"))
    assert streams.unpacked(answer) == b"one\r\n"
    assert "echo lost" not in client.talk.heard[1:]


@given(st.lists(st.integers(1, 40), max_size=30))
def test_commands_split_anywhere_are_answered_all_the_same(cuts: list[int]) -> None:
    _, client, streams = compressed()
    octets = streams.packed(b"".join(b"echo %d\r\n" % number for number in range(20)))
    answers = b""
    for cut in cuts:
        answers += client.send(octets[:cut])
        octets = octets[cut:]
    answers += client.send(octets)
    assert streams.unpacked(answers) == b"".join(b"%d\r\n" % n for n in range(20))


def test_an_answer_from_a_thread_is_compressed_too() -> None:
    net, client, streams = compressed()
    answer = client.send(streams.packed(b"slow work\r\n"))
    net.strangers.run()
    answer += client.wire.take()
    assert streams.unpacked(answer) == b"going to work\r\n"


def test_a_bomb_is_inflated_a_bounded_piece_at_a_time() -> None:
    deflate = Deflate()
    bomb = Streams().packed(b"\0" * (64 << 20))
    assert len(bomb) < 1 << 17
    pieces = total = 0
    piece = deflate.inflated(bomb)
    while piece or deflate.more:
        assert len(piece) <= PIECE_OCTETS
        assert deflate.held_octets <= len(bomb)
        pieces, total = pieces + 1, total + len(piece)
        piece = deflate.inflated(b"")
    assert total == 64 << 20
    assert pieces >= total // PIECE_OCTETS


def test_what_a_bomb_hides_is_heard_in_the_end() -> None:
    net, client, streams = compressed()
    answer = client.send(streams.packed(b"echo " + b"x" * (5 << 20) + b"\r\necho end\r\n"))
    net.clock.advance(0)
    for _ in range(1000):
        net.clock.advance(0.001)
        answer += client.wire.take()
    assert streams.unpacked(answer).endswith(b"xxx\r\nend\r\n")


@pytest.mark.parametrize("octets", [b"a NOOP\r\n", b"\xff\xff\xff"])
def test_what_is_not_compressed_ends_the_connection(octets: bytes) -> None:
    _, client, _ = compressed()
    client.send(octets)
    assert not client.wire.connected


def test_a_stream_that_ends_ends_the_connection() -> None:
    _, client, streams = compressed()
    client.send(streams.deflater.compress(b"echo one\r\n") + streams.deflater.flush(zlib.Z_FINISH))
    assert not client.wire.connected


@given(st.binary(max_size=200))
def test_any_octets_are_read_or_damage(octets: bytes) -> None:
    with suppress(DamagedStream):
        assert len(Deflate().inflated(octets)) <= PIECE_OCTETS
