"""Who never logs in leaves nothing behind: no descriptor, no memory, no connection."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from . import messages
from .clients import Wire, bodies, imap, imap_wire, pop3_wire, trust
from .messages import as_sent
from .server import Server
from .users import User

MIB = 1 << 20
RESETS = 500
DESCRIPTORS = 40
HALF_CLOSE_SECONDS = 5
ENDLESS_OCTETS = 64 * MIB
GROWTH_OCTETS = 16 * MIB
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with which close() is a RST."""
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
"""How a TLS handshake begins."""

BEGINNINGS = {
    "nothing": b"",
    "half a line": b"a LOG",
    "half a literal": b"a LOGIN {100+}\r\nabc",
    "a dialogue": b"a AUTHENTICATE PLAIN\r\n",
    "half a handshake": HELLO,
}


def descriptors(server: Server) -> int:
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in server.processes())


def settled(server: Server, most: int, seconds: float) -> int:
    """How many descriptors there are, once they are so few, or when the time is up."""
    end = time.monotonic() + seconds
    while (now := descriptors(server)) > most and time.monotonic() < end:
        time.sleep(0.05)
    return now


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def test_R222_500_resets_leave_no_descriptor(own_server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    imap(own_server, user).logout()
    before = settled(own_server, 0, 1)
    ports = (own_server.imap, own_server.imaps, own_server.pop3, own_server.pop3s)
    kinds = itertools.cycle(itertools.product(ports, BEGINNINGS.values()))
    for number in range(RESETS):
        port, said = next(kinds)
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(said)
        if number % 2 and port in (own_server.imap, own_server.pop3):
            client.recv(100)
        with suppress(OSError):
            reset(client)
    assert settled(own_server, before, 5) <= before + DESCRIPTORS
    assert bodies(imap(own_server, user)) == [as_sent(messages.PLAIN)]


def test_resets_of_users_leave_no_descriptor(own_server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    work = (
        b"i IDLE\r\n",
        b"f FETCH 1 BODY[]\r\n",
        b"a APPEND INBOX {1000+}\r\nabc",
        b"c COMPRESS DEFLATE\r\n",
    )
    with imap_wire(own_server, user) as wire:
        for said in work:
            wire.send(said)
    before = settled(own_server, 0, 1)
    for _ in range(25):
        for said in work:
            wire = imap_wire(own_server, user)
            wire.send(said)
            reset(wire.socket)
        reset(pop3_wire(own_server, user).socket)
    assert settled(own_server, before, 5) <= before + DESCRIPTORS
    assert bodies(imap(own_server, user)) == [as_sent(messages.PLAIN)]
    assert not list((user.maildir / "tmp").iterdir())


def half_closed(client: socket.socket) -> float:
    """Send no more; seconds until the server has ended, too."""
    begun = time.monotonic()
    client.shutdown(socket.SHUT_WR)
    client.settimeout(HALF_CLOSE_SECONDS)
    with suppress(ConnectionResetError):
        while client.recv(1 << 16):
            pass
    return time.monotonic() - begun


@pytest.mark.parametrize("port", ["imap", "imaps", "pop3", "pop3s"])
@pytest.mark.parametrize("begun", BEGINNINGS)
def test_a_half_closed_connection_ends_soon(server: Server, port: str, begun: str) -> None:
    client = socket.create_connection(("127.0.0.1", getattr(server, port)))
    with client:
        client.sendall(BEGINNINGS[begun])
        time.sleep(0.05)
        assert half_closed(client) < HALF_CLOSE_SECONDS


@pytest.mark.parametrize("port", ["imaps", "pop3s"])
def test_a_half_closed_connection_ends_soon_under_tls(server: Server, port: str) -> None:
    client = socket.create_connection(("127.0.0.1", getattr(server, port)))
    with client:
        secure = trust(server.certificate).wrap_socket(
            client.dup(), server_hostname="localhost", suppress_ragged_eofs=False
        )
        assert secure.recv(100)
        # Of the TCP connection, without a word of TLS.
        assert half_closed(client) < HALF_CLOSE_SECONDS
        with suppress(OSError, ssl.SSLError):
            secure.close()


@pytest.mark.parametrize(
    "wire_of",
    [imap_wire, pop3_wire],
    ids=["imap", "pop3"],
)
def test_a_half_closed_connection_of_a_user_ends_soon(
    server: Server, user: User, wire_of: Callable[[Server, User], Wire]
) -> None:
    user.deliver(messages.PLAIN)
    with wire_of(server, user) as wire:
        if wire_of is imap_wire:
            wire.send(b"i IDLE\r\n")
        assert half_closed(wire.socket) < HALF_CLOSE_SECONDS


@pytest.mark.parametrize("port", ["imap", "pop3"])
@pytest.mark.parametrize("begun", [b"", b"a LOGIN joe {10}\r\n", b"a LOGIN joe {4096+}\r\n"])
def test_R222_an_endless_line_is_cut_off_and_not_kept(
    own_server: Server, port: str, begun: bytes
) -> None:
    before = own_server.forget_peak()
    sent = 0
    with Wire(getattr(own_server, port)) as wire, suppress(ConnectionError):
        wire.send(begun)
        while sent < ENDLESS_OCTETS:
            wire.send(b"x" * 65536)
            sent += 65536
    assert sent < ENDLESS_OCTETS, "it is read for ever"
    assert own_server.peak_octets() - before < GROWTH_OCTETS
