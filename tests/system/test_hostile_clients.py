"""A user who means harm costs the server little memory, and others hardly a wait."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.message.hostile_mail import NAMES, message

from . import messages
from .clients import Wire, bodies, imap, imap_wire, literal_digests
from .messages import as_sent
from .server import Server
from .test_large import MIB, crlf, fill, large_message
from .users import User

READERS, ASKED_OCTETS = 5, 80 * MIB
READERS_GROWTH_OCTETS = 64 * MIB
LINE_OCTETS, LINE_GROWTH_OCTETS = 64 * MIB, 16 * MIB
APPEND_GROWTH_OCTETS = 16 * MIB
BOMB_OCTETS, BOMB_GROWTH_OCTETS = 256 * MIB, 32 * MIB
MAIL_GROWTH_OCTETS = 96 * MIB
TIB = 1 << 40
OTHERS_SECONDS = 1.0
KEYWORDS, KEYWORDS_EACH = 20_000, 100
SELECT_SECONDS = 5


@contextmanager
def growing_less(server: Server, octets: int) -> Iterator[None]:
    """The server's memory, at its highest meanwhile."""
    before = server.forget_peak()
    yield
    grown = server.peak_octets() - before
    print(f"resident memory grew by {grown / MIB:.1f} MiB at most")
    assert grown < octets


@pytest.fixture
def other(own_server: Server, new_user: Callable[[], User]) -> User:
    """Somebody with one message, whose mailbox is open already."""
    user = new_user()
    user.deliver(messages.PLAIN)
    is_served(own_server, user)
    return user


def is_served(server: Server, user: User) -> None:
    """Logs in, reads and leaves."""
    begun = time.monotonic()
    client = imap(server, user)
    assert bodies(client) == [as_sent(messages.PLAIN)]
    client.logout()
    assert time.monotonic() - begun < OTHERS_SECONDS


def pushed(wire: Wire, data: bytes) -> threading.Thread:
    """Send beside reading; the server may close."""

    def push() -> None:
        with suppress(OSError):
            wire.send(data)

    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    return thread


def test_R226_five_who_never_read_what_they_asked_for(
    own_server: Server, user: User, other: User
) -> None:
    fill(user, count=ASKED_OCTETS // MIB, octets=MIB, distinct=4)
    wires = [imap_wire(own_server, user) for _ in range(READERS)]
    with growing_less(own_server, READERS_GROWTH_OCTETS):
        for wire in wires:
            wire.send(b"f FETCH 1:* BODY.PEEK[]\r\n" + b"n NOOP\r\n" * 1000)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            is_served(own_server, other)
    for wire in wires:
        wire.socket.close()


BOMBS = {
    "one line": b"x" * MIB,
    "blank lines": b"\r\n" * (MIB // 2),
    "zeros": bytes(MIB),
    "commands": b"n NOOP\r\n" * (MIB // 8),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_R027_a_bomb_of_256_mib(own_server: Server, user: User, other: User, bomb: str) -> None:
    user.deliver(messages.PLAIN)
    packed = zlib.compressobj(9, wbits=-15)
    data = b"".join(packed.compress(BOMBS[bomb]) for _ in range(BOMB_OCTETS // MIB))
    data += packed.compress(b"\r\nz NOOP\r\n") + packed.flush(zlib.Z_SYNC_FLUSH)
    with imap_wire(own_server, user) as wire, growing_less(own_server, BOMB_GROWTH_OCTETS):
        wire.command(b"COMPRESS DEFLATE")
        pushed(wire, data)
        end = time.monotonic() + 5  # the answers are not read
        while time.monotonic() < end:
            is_served(own_server, other)


@pytest.mark.parametrize("said", [b"", b"i IDLE\r\n", b"a SELECT {5+}\r\nINBOX "])
def test_R223_a_line_of_64_mib(own_server: Server, user: User, said: bytes) -> None:
    user.deliver(messages.PLAIN)
    with imap_wire(own_server, user) as wire, growing_less(own_server, LINE_GROWTH_OCTETS):
        wire.send(said)
        for _ in range(LINE_OCTETS // MIB):
            wire.send(b"x" * MIB)
        wire.send(b"\r\n")
        while b" BAD " not in (line := wire.line()):
            assert line.startswith(b"+ ")
        wire.command(b"NOOP")


def test_an_append_of_a_tebibyte_is_refused_before_it_is_sent(
    own_server: Server, user: User
) -> None:
    with imap_wire(own_server, user) as wire, growing_less(own_server, APPEND_GROWTH_OCTETS):
        wire.send(b"a APPEND INBOX {%d}\r\n" % TIB)
        assert wire.line().startswith(b"a NO [TOOBIG] ")
        wire.command(b"NOOP")
        wire.send(b"b APPEND INBOX {%d+}\r\n" % TIB)
        assert wire.line().startswith(b"b NO [TOOBIG] ")
        assert wire.line().startswith(b"* BYE [TOOBIG] ")
        assert wire.ended() == b""
    assert user.files() == []


def test_R227_an_append_of_100_mib_is_never_in_memory_and_torn_leaves_nothing(
    own_server: Server, user: User
) -> None:
    with imap_wire(own_server, user) as wire, growing_less(own_server, APPEND_GROWTH_OCTETS):
        wire.send(b"a APPEND INBOX {%d}\r\n" % (100 * MIB))
        assert wire.line().startswith(b"+ ")
        for piece in crlf(large_message(0, 90 * MIB)):
            wire.send(piece)
        end = time.monotonic() + 5
        while not any(path.stat().st_size for path in (user.maildir / "tmp").iterdir()):
            assert time.monotonic() < end
            time.sleep(0.05)
    end = time.monotonic() + 5
    while list((user.maildir / "tmp").iterdir()):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert user.files() == []


def test_R225_hostile_mail_read_again_and_again(
    own_server: Server, user: User, other: User
) -> None:
    for name in NAMES:
        user.deliver(message(name))
    with imap_wire(own_server, user) as wire:
        wire.command(b"CHECK")
    with growing_less(own_server, MAIL_GROWTH_OCTETS):
        for _ in range(3):
            with imap_wire(own_server, user) as wire:
                for number in range(1, len(NAMES) + 1):
                    wire.send(
                        b"f FETCH %d (ENVELOPE BODYSTRUCTURE BODY.PEEK[1.1.MIME])\r\n" % number
                    )
                    for _ in literal_digests(wire, b"f", 0, MIB):
                        pass
                    wire.command(b"SEARCH %d TEXT zzz CC zzz" % number)
            is_served(own_server, other)


def test_R084_a_mailbox_opens_after_a_flood_of_keywords(
    own_server: Server, user: User, other: User
) -> None:
    for _ in range(KEYWORDS // KEYWORDS_EACH):
        user.deliver(messages.PLAIN)
    refused = 0
    with imap_wire(own_server, user) as wire:
        for number in range(KEYWORDS // KEYWORDS_EACH):
            words = b" ".join(b"k%d_%d" % (number, n) for n in range(KEYWORDS_EACH))
            wire.send(b"s STORE %d +FLAGS.SILENT (%b)\r\n" % (number + 1, words))
            refused += b" NO [LIMIT]" in wire.until(b"s")[-1]
    assert refused > KEYWORDS // KEYWORDS_EACH / 2
    own_server.stop()
    own_server.start()
    begun = time.monotonic()
    with imap_wire(own_server, user) as wire:
        lines = wire.command(b"EXAMINE INBOX")
    assert time.monotonic() - begun < SELECT_SECONDS
    flags = next(line for line in lines if line.startswith(b"* FLAGS"))
    assert len(flags.split()) < 1100
    is_served(own_server, other)
