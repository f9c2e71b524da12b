"""More mail than memory: what passes through the server does not stay in it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from . import messages
from .clients import Wire, bodies, imap, imap_wire, literal_digests, pop3_wire
from .messages import as_sent
from .server import Server
from .users import User

MIB = 1 << 20
GROWTH_OCTETS = 60 * MIB
LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-*/=\n"


def large_message(number: int, octets: int) -> Iterator[bytes]:
    """A message of about so many octets with LF line ends, in pieces."""
    yield b"From: a@example.org\nSubject: large %d\nMIME-Version: 1.0\n\n" % number
    piece = (b"%07d " % number + LINE) * (MIB // (len(LINE) + 8))
    for _ in range(octets // len(piece)):
        yield piece


def crlf(pieces: Iterator[bytes]) -> Iterator[bytes]:
    return (piece.replace(b"\n", b"\r\n") for piece in pieces)


def digest(pieces: Iterator[bytes]) -> str:
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def fill(user: User, count: int, octets: int, distinct: int) -> dict[str, int]:
    """Fill the Maildir; each of the distinct messages lies there many times, by hard links.

    Gives how often each digest must come.
    """
    expected: dict[str, int] = {}
    originals: list[Path] = []
    for number in range(distinct):
        path = user.maildir / "cur" / f"{1_700_000_000 + number}.M1P1.large:2,S"
        with open(path, "wb") as file:
            file.writelines(large_message(number, octets))
        user.give(path)
        originals.append(path)
    for number in range(count):
        source = number % distinct
        if number >= distinct:
            name = f"{1_700_000_000 + number}.M1P1.large:2,S"
            os.link(originals[source], user.maildir / "cur" / name)
    for number in range(distinct):
        key = digest(crlf(large_message(number, octets)))
        expected[key] = len(range(number, count, distinct))
    return expected


def test_R226_a_slow_client_fetches_a_gib(own_server: Server, new_user: Callable[[], User]) -> None:
    user, other = new_user(), new_user()
    other.deliver(messages.PLAIN)
    expected = fill(user, count=1024, octets=MIB, distinct=16)
    with imap_wire(own_server, user, receive_octets=1 << 16) as wire:
        before = own_server.forget_peak()
        wire.send(b"f FETCH 1:* (BODY.PEEK[])\r\n")
        # Long enough for a careless server to read all of it into memory, and others go on.
        end = time.monotonic() + 3
        while time.monotonic() < end:
            begun = time.monotonic()
            client = imap(own_server, other)
            assert bodies(client) == [as_sent(messages.PLAIN)]
            client.logout()
            assert time.monotonic() - begun < 1
        got: dict[str, int] = {}
        for key in literal_digests(wire, b"f", pause_seconds=0.01, every=MIB):
            got[key] = got.get(key, 0) + 1
        assert got == expected
        growth = own_server.peak_octets() - before
    print(f"resident memory grew by {growth / MIB:.1f} MiB at most")
    assert growth < GROWTH_OCTETS


def test_R227_a_message_of_100_mib_is_appended_and_fetched(own_server: Server, user: User) -> None:
    octets = sum(map(len, crlf(large_message(0, 100 * MIB))))
    expected = digest(crlf(large_message(0, 100 * MIB)))
    with imap_wire(own_server, user) as wire:
        before = own_server.forget_peak()
        wire.send(b"a APPEND INBOX {%d}\r\n" % octets)
        assert wire.line().startswith(b"+ ")
        for piece in crlf(large_message(0, 100 * MIB)):
            wire.send(piece)
        wire.send(b"\r\n")
        assert wire.until(b"a")[-1].startswith(b"a OK")
        wire.send(b"f FETCH 1 (RFC822.SIZE BODY.PEEK[])\r\n")
        assert list(literal_digests(wire, b"f", 0.0, MIB)) == [expected]
        wire.send(b"p FETCH 1 (BODY.PEEK[TEXT]<%d.70>)\r\n" % (90 * MIB))
        assert len(list(literal_digests(wire, b"p", 0.0, MIB))) == 1
        lines = wire.command(b"FETCH 1 (RFC822.SIZE BODYSTRUCTURE)")
        assert b"RFC822.SIZE %d" % octets in lines[0]
    with pop3_wire(own_server, user) as wire:
        wire.send(b"RETR 1\r\n")
        assert wire.line().startswith(b"+OK")
        assert retrieved(wire, octets) == expected
    growth = own_server.peak_octets() - before
    print(f"resident memory grew by {growth / MIB:.1f} MiB at most")
    assert growth < GROWTH_OCTETS


def retrieved(wire: Wire, octets: int) -> str:
    """SHA-256 of a message none of whose lines begins with a dot."""
    total = hashlib.sha256()
    left = octets
    while left:
        data = wire.buffer or wire.more(1 << 18)
        total.update(data[:left])
        wire.buffer = data[left:]
        left -= len(data[:left])
    assert wire.exactly(3) == b".\r\n"
    return total.hexdigest()
