"""Whatever a client says, and however it arrives: answers in the protocol's form, or the end.

Sessions run over real mailboxes, before and after login. No input is our error; the output stays
in proportion to what was asked; a tag is answered once; and who was not turned away is answered
when he says NOOP. `make test` tries a few hundred inputs of fixed seeds, `make soak` many more.
"""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from random import Random

import pytest

from maa.imap.session import LINE_OCTETS
from maa.pop3.wire import LINE_OCTETS_MAX
from tests.fuzz.inputs import bent, imap_commands, pieces, pop3_commands
from tests.imap.world import SessionClient, SessionWorld
from tests.pop3.world import Client, World

MAIL = ["one.eml", "two.eml"]
SOAK_SECONDS = float(os.environ.get("FUZZ_SECONDS", "600"))
OUTPUT_OCTETS_MAX = 16 << 20
"""Of a few commands over three small messages; what a session says without end is more."""
_LITERAL = re.compile(rb"\{(\d+)\}\Z")


def lines_of(output: bytes) -> list[bytes]:
    """The lines of an IMAP answer, literals left out."""
    lines, line, at = [], b"", 0
    while at < len(output):
        end = output.index(b"\r\n", at)
        line += output[at:end]
        at = end + 2
        literal = _LITERAL.search(line)
        if literal:
            at += int(literal[1])
        else:
            lines.append(line)
            line = b""
    return lines


def tags(output: bytes) -> list[bytes]:
    """The tags of the replies, in order."""
    firsts = [line.partition(b" ")[0] for line in lines_of(output)]
    return [tag for tag in firsts if tag not in (b"*", b"+")]


@pytest.fixture(params=["maildir", "mbox"])
def mbox(request) -> bool:
    return request.param == "mbox"


@pytest.fixture(params=["stranger", "user", "selected"])
def standing(request) -> str:
    return request.param


def imap_client(world: SessionWorld, standing: str) -> SessionClient:
    client = SessionClient(world, world.peer, world.settings)
    client.take()
    if standing != "stranger":
        assert b"l OK" in client.ask(b"l LOGIN joe secret")
    if standing == "selected":
        assert b"s OK" in client.ask(b"s SELECT INBOX")
    return client


def settled(client: SessionClient) -> bytes:
    """What NOOP is answered, once whatever the client began is ended; empty at the end."""
    for ending in (b"", b"\r\n", b"DONE\r\n", b"*\r\n", b"\r\n" * 36_000, b"DONE\r\n", b"*\r\n"):
        if client.closed:
            return b""
        client.take()
        client.send(ending + b"zz NOOP\r\n")
        answer = client.take()
        if b"zz OK" in answer:
            return answer
    raise AssertionError(f"NOOP is not answered: {answer!r}")


def play_imap(world: SessionWorld, standing: str, way: list[bytes]) -> bytes:
    client = imap_client(world, standing)
    for piece in way:
        if not client.closed:
            client.send(piece)
            assert client.session.held_octets <= LINE_OCTETS + 64
            assert len(client.output) < OUTPUT_OCTETS_MAX
    output = client.take()
    closed = client.closed
    if not closed:
        settled(client)
    client.session.lost()
    assert b"SERVERBUG" not in output
    assert not closed or b"* BYE " in output, output[-300:]
    return output


AMOUNT = [
    pytest.param(0.0, id="short"),
    pytest.param(SOAK_SECONDS / 12, id="long", marks=pytest.mark.soak),
]


def seeds(seconds: float, few: int):
    """A few fixed seeds; or fresh ones for so long."""
    if not seconds:
        yield from range(few)
        return
    end, seed = time.monotonic() + seconds, time.time_ns()
    while time.monotonic() < end:
        seed += 1
        yield seed


@pytest.mark.parametrize("seconds", AMOUNT)
def test_any_imap_input_is_answered(
    tmp_path: Path, mbox: bool, standing: str, seconds: float, caplog
) -> None:
    caplog.set_level(logging.ERROR)
    world = SessionWorld(tmp_path, messages=MAIL, mbox=mbox)
    for seed in seeds(seconds, 80):
        random = Random(seed)
        data = b"".join(imap_commands(random, random.randrange(1, 6)))
        if random.random() < 0.7:
            data = bent(random, data)
        begun = {line.partition(b" ")[0] for line in re.split(rb"\r?\n", data)}
        for way in pieces(random, data):
            try:
                output = play_imap(world, standing, way)
                found = [tag for tag in tags(output) if tag in begun and tag.startswith(b"t")]
                assert len(found) <= sum(data.count(tag) for tag in set(found))
            except Exception as error:
                raise AssertionError(f"seed {seed}, {way!r:.3000}") from error
        assert not caplog.records, f"seed {seed}: {data!r:.3000}"


@pytest.mark.parametrize("seconds", AMOUNT[:1])
def test_every_whole_command_is_answered_once_and_in_order(
    tmp_path: Path, mbox: bool, standing: str, seconds: float
) -> None:
    world = SessionWorld(tmp_path, messages=MAIL, mbox=mbox)
    for seed in seeds(seconds, 90):
        random = Random(f"whole {seed}")
        client = imap_client(world, standing)
        for command in imap_commands(random, 8):
            words = command.split()
            if words[1] in (b"IDLE", b"AUTHENTICATE", b"STARTTLS") or b"{" in command:
                continue
            answer = client.ask(command.removesuffix(b"\r\n"))
            if b"* BYE" in answer:
                break
            assert tags(answer) == [words[0]], (seed, command, answer)
        client.session.lost()


@pytest.mark.parametrize("seconds", AMOUNT)
def test_any_pop3_input_is_answered(tmp_path: Path, mbox: bool, seconds: float, caplog) -> None:
    caplog.set_level(logging.ERROR)
    for logged_in in (False, True):
        world = World(
            tmp_path / str(logged_in), ["one.eml", "two.eml"], logged_in=logged_in, mbox=mbox
        )
        for seed in seeds(seconds, 90):
            random = Random(f"pop3 {seed}")
            data = b"".join(pop3_commands(random, random.randrange(1, 8)))
            if random.random() < 0.7:
                data = bent(random, data)
            if b"QUIT" in data.upper():
                continue
            for way in pieces(random, data):
                play_pop3(world, way, f"seed {seed}, {way!r:.3000}")
            assert not caplog.records, f"seed {seed}: {data!r:.3000}"
        assert logged_in is False or mbox or len(world.files()) == 2
        world.close()


def play_pop3(world: World, way: list[bytes], told: str) -> None:
    client = Client(world, world.peer, world.settings)
    client.output.clear()
    if world.logged_in:
        assert client.ask(b"USER joe").startswith(b"+OK"), told
        assert client.ask(b"PASS secret").startswith(b"+OK"), told
    for piece in way:
        if not client.closed:
            client.send(piece)
            assert client.session.held_octets <= LINE_OCTETS_MAX + 1, told[:99]
            assert len(client.output) < OUTPUT_OCTETS_MAX, told
        if client.handshake:
            client.start_tls()
            client.handshake = False
    assert b"internal error" not in client.output, told
    assert not client.output or client.output.startswith((b"+OK", b"-ERR", b"+ ")), told
    for ending in (b"\r\n", b"*\r\n"):
        if client.closed:
            break
        client.output.clear()
        client.send(ending + b"NOOP\r\n")
        said = bytes(client.output)
        if said.endswith((b"+OK\r\n", b"possible now\r\n")) or b"+OK" in said:
            break
    else:
        assert client.output, told
    client.session.lost()
