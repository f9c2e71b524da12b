"""What strangers hear: printable ASCII, and nothing of what a browser was made to send (ALPACA)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.inputs import bent, imap_commands, pop3_commands
from tests.imap.world import SessionClient, SessionWorld
from tests.pop3.world import Client, World

LINES_MAX = 10
MARK = b"<img/src=x/onerror=alert`1`>"
REQUESTS = [
    b"GET /%b HTTP/1.1\r\nHost: %b\r\nCookie: %b\r\n\r\n" % (MARK, MARK, MARK),
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n%b NOOP\r\n%b\r\n" % (MARK, MARK),
    b"POST %b HTTP/1.0\r\n\r\n%b CAPABILITY\r\n" % (MARK, MARK),
    b"PUT /a HTTP/1.1\r\n%b: x\r\na LOGIN joe secret\r\nb SELECT %b\r\n" % (MARK, MARK),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04" + MARK,
]
COMMANDS = b"x LOGIN joe secret\r\ny CAPABILITY\r\nz LOGOUT\r\n"
_HEARD = re.compile(rb"(?:[\x20-\x7e]*\r\n)*")


@pytest.fixture
def imap(tmp_path: Path) -> Iterator[SessionWorld]:
    world = SessionWorld(tmp_path / "imap")
    yield world
    world.close()


@pytest.fixture
def pop3(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path / "pop3", [])
    yield world
    world.close()


def by_imap(world: SessionWorld, data: bytes) -> tuple[bytes, bool]:
    client = SessionClient(world, world.peer, world.settings)
    client.take()
    for line in data.splitlines(keepends=True):
        if not client.closed:
            client.send(line)
    client.session.lost()
    return client.take(), client.closed


def by_pop3(world: World, data: bytes) -> tuple[bytes, bool]:
    client = Client(world, world.peer, world.settings)
    client.output.clear()
    for line in data.splitlines(keepends=True):
        if not client.closed:
            client.send(line)
    client.session.lost()
    return bytes(client.output), client.closed


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_browser_is_turned_away_from_imap_at_its_first_line(
    imap: SessionWorld, request_: bytes
) -> None:
    said, closed = by_imap(imap, request_)
    assert closed
    assert said.endswith(b"* BYE [CLIENTBUG] This is no web server\r\n")
    assert said.count(b"\r\n") <= LINES_MAX
    assert MARK not in said


@pytest.mark.parametrize("request_", REQUESTS)
def test_pop3_says_nothing_of_a_browsers_request_and_not_much(pop3: World, request_: bytes) -> None:
    said, closed = by_pop3(pop3, request_ + b"%b\r\n" % MARK * LINES_MAX)
    assert closed
    assert said.count(b"\r\n") <= LINES_MAX
    assert MARK not in said


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_strangers_hear_printable_ascii_alone(
    imap: SessionWorld, pop3: World, protocol: str
) -> None:
    for seed in range(150):
        random = Random(f"strangers {seed}")
        if protocol == "imap":
            data = bent(random, b"".join(imap_commands(random, 4)))
            said, _ = by_imap(imap, data.replace(b"secret", b"wrong"))
        else:
            data = bent(random, b"".join(pop3_commands(random, 4)))
            said, _ = by_pop3(pop3, data.replace(b"secret", b"wrong"))
        assert _HEARD.fullmatch(said), (seed, data, said)


@pytest.mark.parametrize("octets", [4097, 65_536])
def test_R011_what_is_in_a_refused_literal_is_no_command(imap: SessionWorld, octets: int) -> None:
    """Before login more than 4 KiB are refused, and up to 64 KiB passed over."""
    said, closed = by_imap(
        imap,
        b"a LOGIN {%d+}\r\n%b\r\nb NOOP\r\n" % (octets, (COMMANDS * 3000)[:octets]),
    )
    assert said.startswith(b"a NO [TOOBIG] ")
    assert said.endswith(b"\r\nb OK NOOP completed\r\n")
    assert said.count(b"\r\n") == 2
    assert not closed


@pytest.mark.parametrize("name", [b"joe\0", b"joe\0x", b"\0joe"])
def test_R012_a_name_with_nul_is_nobodys(imap: SessionWorld, pop3: World, name: bytes) -> None:
    for data in (
        b"a LOGIN {%d+}\r\n%b secret\r\n" % (len(name), name),
        b'a LOGIN "%b" secret\r\n' % name,
        b"a LOGIN %b secret\r\n" % name,
        b"a LOGIN joe {%d+}\r\n%b\r\n" % (len(name) + 3, name.replace(b"joe", b"secret")),
    ):
        said, _ = by_imap(imap, data)
        assert b"a BAD " in said and b"a OK" not in said
    said, _ = by_pop3(pop3, b"USER %b\r\nPASS secret\r\n" % name)
    assert said.splitlines()[-1].startswith(b"-ERR")
