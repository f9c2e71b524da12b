"""What single POP3 clients need (shared list of quirks), where a dialogue cannot show it."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pop3.world import World


def test_Q34_uidl_lines_are_strict(tmp_path: Path) -> None:
    world = World(tmp_path, ["one.eml", "two.eml", "three.eml"])
    try:
        client = world.client()
        before = client.slow
        lines = client.ask(b"UIDL").split(b"\r\n")
        assert lines[-2:] == [b".", b""]
        assert len(lines) == 6
        for number, line in enumerate(lines[1:4], 1):
            assert re.fullmatch(rb"%d [\x21-\x7e]{1,70}" % number, line)
        assert client.slow == before  # nothing is read for it
    finally:
        world.close()


def test_Q40_top_0_reads_no_body(tmp_path: Path) -> None:
    world = World(tmp_path, [])
    try:
        world.add(b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 200_000)
        client = world.client()
        client.ask(b"STAT")
        before = read_octets()
        answer = client.ask(b"TOP 1 0")
        assert answer.startswith(b"+OK")
        assert answer.endswith(b"\r\nSubject: large\r\n\r\n.\r\n")
        assert read_octets() - before < 1 << 20  # of 15 MB
    finally:
        world.close()


def read_octets() -> int:
    """What this process has read so far."""
    found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
    assert found is not None
    return int(found[1])


def test_Q41_no_status_line_in_pop3(tmp_path: Path) -> None:
    message = b"From: a@example.org\nStatus: RO\nX-Status: A\nX-UID: 7\nSubject: x\n\nbody\n"
    shown = b"From: a@example.org\r\nSubject: x\r\n\r\nbody\r\n"
    world = World(tmp_path, [], mbox=True)
    try:
        assert world.spool is not None
        world.spool.write_bytes(b"From a@example.org Thu Jan  1 00:00:00 2026\n" + message + b"\n")
        client = world.client()
        assert client.ask(b"LIST 1") == b"+OK 1 %d\r\n" % len(shown)
        uidl = client.ask(b"UIDL 1")
        assert client.ask(b"RETR 1") == b"+OK %d octets\r\n" % len(shown) + shown + b".\r\n"
        assert b"Status" not in client.ask(b"TOP 1 1")
        client.session.lost()
        # As ipop3d would: the line grows, and with it the size it told.
        grown = world.spool.read_bytes().replace(b"Status: RO", b"Status: ROO")
        world.spool.write_bytes(grown)
        del world.clients[1]
        assert world.client().ask(b"UIDL 1") == uidl
    finally:
        world.close()
