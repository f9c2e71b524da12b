"""Nothing of a password is written anywhere, however it was sent."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.cli import main
from tests.service.test_server import Running

RIGHT, WRONG = "secret", "hunter2-is-my-bank"


class Audited(Running):
    """With every log there is."""

    more = '[log]\naudit = "audit.log"\n'


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Audited]:
    new = tmp_path / "joe" / "Maildir"
    for place in ("cur", "new", "tmp"):
        (new / place).mkdir(parents=True)
    running = Audited(tmp_path)
    yield running
    if running.process.poll() is None:
        running.stop()


def encoded(*words: str) -> bytes:
    return base64.b64encode("\0".join(words).encode())


def say(server: Running, port: int, *lines: tuple[bytes, bytes]) -> None:
    """A connection of its own; each line, and what its answer has in it."""
    with server.connected(port) as client:
        server.asked(client, b"", b"\r\n")
        for line, end in lines:
            server.asked(client, line, end)


def test_no_password_is_in_any_log_or_recording(server: Audited) -> None:
    config = ["--config", str(server.folder / "maa.toml")]
    assert main(["rawlog", *config, "--address", "127.0.0.1"]) == 0
    time.sleep(1.5)  # the server looks every second
    for password in (RIGHT, WRONG):
        word = password.encode()
        plain, alone = encoded("", "joe", password), encoded(password)
        joe = encoded("joe")
        say(server, server.imap, (b'a LOGIN joe "%b"\r\n' % word, b"a "))
        say(
            server,
            server.imap,
            (b"a LOGIN joe {%d}\r\n" % len(word), b"+"),
            (word + b"\r\n", b"a "),
        )
        say(server, server.imap, (b"a AUTHENTICATE PLAIN %b\r\n" % plain, b"a "))
        say(
            server,
            server.imap,
            (b"a AUTHENTICATE LOGIN\r\n", b"+"),
            (joe + b"\r\n", b"+"),
            (alone + b"\r\n", b"a "),
        )
        say(server, server.imap, (b"a LOGIN joe {%d+}\r\n%b extra\r\n" % (len(word), word), b"a "))
        say(server, server.imap, (b"a LOGON joe %b\r\n" % word, b"a BAD"))
        say(server, server.pop3, (b"USER joe\r\n", b"+OK"), (b"PASS %b\r\n" % word, b"\r\n"))
        say(server, server.pop3, (b"AUTH PLAIN %b\r\n" % plain, b"\r\n"))
        say(server, server.pop3, (b"PASS %b\r\n" % word, b"-ERR"))
    _, output = server.stop()
    audit = (server.folder / "audit.log").read_text()
    assert audit.count('"login"') >= 6
    recordings = list((server.folder / "state/rawlog").glob("*.log"))
    assert len(recordings) >= 12
    texts = [output, audit, *(path.read_bytes().decode("latin-1") for path in recordings)]
    for password in (RIGHT, WRONG):
        for shape in (
            password,
            *(encoded(*words).decode() for words in (("", "joe", password), (password,))),
        ):
            assert not any(shape in text for text in texts), shape
