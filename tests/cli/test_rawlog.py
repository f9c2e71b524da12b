"""`maa rawlog` and `maa replay` beside a running server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.cli import main
from tests.service.test_server import PATIENCE_SECONDS, Running

MESSAGE = b"Subject: hello\n\nbody\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    new = tmp_path / "joe" / "Maildir" / "new"
    for folder in ("cur", "new", "tmp"):
        (new.parent / folder).mkdir(parents=True)
    for number in range(3):
        (new / f"{number}.M1.host").write_bytes(MESSAGE)
    running = Running(tmp_path)
    yield running
    running.stop()


def recording(server: Running) -> Path:
    until = time.monotonic() + PATIENCE_SECONDS
    while not (found := list((server.folder / "state" / "rawlog").glob("joe-*.log"))):
        assert time.monotonic() < until
        time.sleep(0.05)
    return found[0]


def test_a_user_is_recorded_and_the_recording_can_be_replayed(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(server.folder / "maa.toml")]
    assert main(["rawlog", *config]) == 0
    assert "nothing is written down" in capsys.readouterr().out
    assert main(["rawlog", *config, "--user", "joe"]) == 0
    assert "user joe until" in capsys.readouterr().out
    time.sleep(1.5)  # the server looks every second
    with server.connected(server.imap) as client:
        server.asked(client, b"", b"ready\r\n")
        server.asked(client, b"a LOGIN joe secret\r\n", b"a OK")
        server.asked(client, b"b SELECT INBOX\r\n", b"\nb OK")
        server.asked(client, b"c FETCH 1:2 BODY.PEEK[]\r\n", b"\nc OK")
        server.asked(client, b"d STORE 3 +FLAGS (\\Flagged)\r\n", b"\nd OK")
        server.asked(client, b"e LOGOUT\r\n", b"\ne OK")
    file = recording(server)
    until = time.monotonic() + PATIENCE_SECONDS
    while b"e OK" not in file.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert b"secret" not in file.read_bytes()
    maildir = server.folder / "joe" / "Maildir"
    while not list(maildir.glob("cur/*:2,*F*")):  # it is renamed behind the reply
        assert time.monotonic() < until
        time.sleep(0.05)
    before = sorted(path.name for path in maildir.rglob("*"))

    status = main(["replay", *config, "--user", "joe", str(file)])
    output = capsys.readouterr().out
    assert "'c FETCH 1:2 BODY.PEEK[]'" in output
    lines = {line.split("'")[1][:1]: line for line in output.splitlines() if "'" in line}
    # Nobody is told of a message as recent twice, so SELECT and STORE answer otherwise.
    assert status == 1
    assert "2 answers differ" in output
    assert "    -* 3 RECENT\n    +* 0 RECENT\n" in output
    assert "same" in lines["c"]
    assert "same" in lines["e"]
    after = sorted(path.name for path in maildir.rglob("*"))
    assert before == after
    assert main(["rawlog", *config, "--off"]) == 0
    assert "nothing is written down" in capsys.readouterr().out


def test_pop3_is_recorded_without_its_mail_and_replayed(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(server.folder / "maa.toml")]
    assert main(["rawlog", *config, "--user", "joe", "--no-bodies"]) == 0
    assert "without mail" in capsys.readouterr().out
    time.sleep(1.5)
    with server.connected(server.pop3) as client:
        server.asked(client, b"", b"\r\n")
        server.asked(client, b"USER joe\r\n", b"\r\n")
        server.asked(client, b"PASS secret\r\n", b"\r\n")
        server.asked(client, b"RETR 1\r\n", b"\r\n.\r\n")
        server.asked(client, b"UIDL\r\n", b"\r\n.\r\n")
        server.asked(client, b"QUIT\r\n", b"\r\n")
    file = recording(server)
    until = time.monotonic() + PATIENCE_SECONDS
    while b"QUIT" not in file.read_bytes():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert b"hello" not in file.read_bytes()
    assert main(["replay", *config, "--user", "joe", "--pop3", str(file)]) == 0
    output = capsys.readouterr().out
    assert "hidden in part  'RETR 1'" in output
    assert "same       'UIDL'" in output


def test_what_cannot_be_replayed_is_said(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ["--config", str(server.folder / "maa.toml")]
    assert main(["replay", *config, "--user", "joe", str(server.folder / "missing")]) == 2
    assert "missing" in capsys.readouterr().err
