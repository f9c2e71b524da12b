"""`maa log` over what a running server noted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.logger import eventsFromJSONLogFile, formatEvent

from maa.cli import main
from tests.service.test_server import PATIENCE_SECONDS, Running

MESSAGE = b"Subject: private words\n\nbody\n"


class Audited(Running):
    """With an audit log."""

    more = '[log]\naudit = "audit.log"\n'


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "workers"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Audited]:
    folder = tmp_path_factory.mktemp("audited")
    new = folder / "joe" / "Maildir" / "new"
    for place in ("cur", "new", "tmp"):
        (new.parent / place).mkdir(parents=True)
    for number in range(6):
        (new / f"{number}.M1.host").write_bytes(MESSAGE)
    kind = type("Audited", (Audited,), {"workers": request.param})
    running = kind(folder)
    used(running)
    yield running
    running.stop()


def used(server: Running) -> None:
    """What somebody did with it."""
    with server.connected(server.imap) as client:
        server.asked(client, b"", b"\r\n")
        for version in (b"6", b"7"):
            line = b'i ID ("name" "Clever\\"Mail" "version" "%b")\r\n' % version
            server.asked(client, line, b"i OK")
        server.asked(client, b"x LOGIN joe wrong-secret\r\n", b"x NO")
        server.asked(client, b"a LOGIN joe secret\r\n", b"a OK")
        server.asked(client, line, b"i OK")  # nothing new
        for line in (
            b"SELECT INBOX",
            b"STORE 1:2 +FLAGS (\\Deleted)",
            b"EXPUNGE",
            b"CREATE Archive/2026",
            b"MOVE 1 Archive/2026",
            b"DELETE Archive/2026",
            b"STORE 1 +FLAGS (\\Deleted)",
            b"CLOSE",
            b"LOGOUT",
        ):
            server.asked(client, b"b " + line + b"\r\n", b"b OK")
    with server.connected(server.pop3) as client:
        for line in (b"", b"USER joe\r\n", b"PASS secret\r\n", b"DELE 1\r\n", b"QUIT\r\n"):
            server.asked(client, line, b"+OK")


def told(server: Running, capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines that the command prints, without their times."""
    assert main(["log", "--config", str(server.folder / "maa.toml"), *arguments]) == 0
    return [line[20:] for line in capsys.readouterr().out.splitlines()]


def test_logins_and_deletions_are_told_in_order(
    server: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while len(lines := told(server, capsys)) < 9 and time.monotonic() < until:
        time.sleep(0.05)
    session = lines[0].partition("session=")[2].split()[0]
    client = r'"name" "Clever\"Mail" "version" "7"'
    assert lines[:7] == [
        f"refused joe from 127.0.0.1 session={session} service=imap tls=False why=BadCredentials",
        f"client joe from 127.0.0.1 session={session} client={client}",
        f"login joe from 127.0.0.1 session={session} service=imap mechanism=LOGIN tls=False "
        f"client={client}",
        f"expunged joe from 127.0.0.1 session={session} mailbox=INBOX messages=2 uids=1:2 "
        "command=EXPUNGE",
        f"moved joe from 127.0.0.1 session={session} mailbox=INBOX messages=1 uids=3 "
        "command=MOVE to=Archive/2026",
        f"deleted joe from 127.0.0.1 session={session} mailbox=Archive/2026",
        f"expunged joe from 127.0.0.1 session={session} mailbox=INBOX messages=1 uids=4 "
        "command=CLOSE",
    ]
    assert "service=pop mechanism=PASS" in lines[7]
    assert lines[8].endswith("mailbox=INBOX messages=1 uids=5 command=DELE")
    assert len(lines) == 9


def test_conditions_choose(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(told(server, capsys, "--event", "login")) == 2
    assert len(told(server, capsys, "--event", "expunged", "--event", "deleted")) == 4
    assert len(told(server, capsys, "--user", "joe", "--mailbox", "Archive/2026")) == 1
    assert told(server, capsys, "--user", "ann") == []
    assert told(server, capsys, "--address", "192.0.2.1") == []
    assert told(server, capsys, "--until", "2h") == []
    assert len(told(server, capsys, "--since", "2h")) == 9
    file = server.folder / "audit.log"
    session = json.loads(file.read_text().splitlines()[-1])["session"]
    assert len(told(server, capsys, "--session", session)) == 2
    assert main(["log", "--since", "yesterday", str(file)]) == 1
    assert "is no moment" in capsys.readouterr().err


def test_there_is_nothing_of_passwords_or_mail_in_it(server: Running) -> None:
    text = (server.folder / "audit.log").read_text()
    assert "secret" not in text
    assert "private words" not in text
    assert (server.folder / "audit.log").stat().st_mode & 0o777 == 0o600


def test_twisted_reads_it_too(server: Running) -> None:
    with open(server.folder / "audit.log", encoding="utf-8") as stream:
        events = list(eventsFromJSONLogFile(stream, recordSeparator=""))
    assert len(events) == 9
    assert formatEvent(events[2]).startswith("login joe 127.0.0.1 ")
    assert all(event["log_namespace"] == "maa.audit" for event in events)


def test_a_renamed_file_is_begun_anew(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    file = server.folder / "audit.log"
    old = file.rename(server.folder / "audit.log.1")
    try:
        with server.connected(server.imap) as client:
            server.asked(client, b"", b"\r\n")
            server.asked(client, b"a LOGIN joe secret\r\n", b"a OK")
        until = time.monotonic() + PATIENCE_SECONDS
        while not (file.exists() and file.read_text()):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert len(told(server, capsys)) == 1
        assert len(told(server, capsys, str(old), str(file))) == 10
    finally:
        old.rename(file)


def test_without_an_audit_log_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "maa.toml").write_text('listen.imap = ["tcp:143"]\n')
    assert main(["log", "--config", str(tmp_path / "maa.toml")]) == 1
    assert "no audit log is kept" in capsys.readouterr().err


def test_a_damaged_line_is_passed_over_and_nothing_forges_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = {"event": "login", "log_time": 0, "user": "joe\n2026 login root", "x": "\x1b[31m"}
    file = tmp_path / "audit.log"
    file.write_text('{"event": "log\n' + json.dumps(event) + "\n[]\n")
    assert main(["log", str(file)]) == 0
    heard = capsys.readouterr()
    assert "line 1 is damaged" in heard.err
    (line,) = heard.out.splitlines()
    assert line.endswith("login joe\\x0a2026 login root x=\\x1b[31m")


def test_a_login_has_the_client_that_named_itself_later(
    server: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with server.connected(server.imap) as client:
        server.asked(client, b"", b"\r\n")
        server.asked(client, b"a LOGIN joe secret\r\n", b"a OK")
        server.asked(client, b'b ID ("name" "Later")\r\n', b"b OK")
    until = time.monotonic() + PATIENCE_SECONDS
    while not any("Later" in line for line in told(server, capsys)) and time.monotonic() < until:
        time.sleep(0.05)
    *_, login = told(server, capsys, "--event", "login")
    assert login.endswith('mechanism=LOGIN tls=False client="name" "Later"')
