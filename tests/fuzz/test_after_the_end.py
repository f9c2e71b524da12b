"""Who was turned away may go on talking: nothing of it is kept, nor answered."""

from __future__ import annotations

from pathlib import Path

from tests.imap.world import SessionWorld
from tests.pop3.world import World


def test_what_comes_behind_the_end_of_an_imap_session_is_dropped(tmp_path: Path) -> None:
    client = SessionWorld(tmp_path).client(1)
    assert b"a OK" in client.ask(b"a LOGOUT\r\nb NOOP")
    assert client.closed
    client.send(b"x" * 100_000)
    assert client.take() == b""
    assert client.session.held_octets == 0


def test_what_comes_behind_the_end_of_a_pop3_session_is_dropped(tmp_path: Path) -> None:
    client = World(tmp_path, ["one.eml"]).client()
    client.output.clear()
    client.send(b"x" * 100_000)
    assert bytes(client.output) == b"-ERR line too long\r\n"
    assert client.closed
    client.send(b"x" * 100_000)
    assert client.session.held_octets == 0
