"""A real `twistd maa`: it starts, says what is wrong, serves, and stops."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.service.demo import new_certificate

PATIENCE_SECONDS = 30
CONFIGURATION = """
hostname = "mail.example.org"
state = "state"
workers = {workers}
[listen]
imap = ["tcp:{imap}:interface=127.0.0.1"]
imaps = [
    "tcp:{imaps}:interface=127.0.0.1",
    {{endpoint = "tcp:{balanced}:interface=127.0.0.1", \
proxies = ["127.0.0.1"], allow = ["203.0.113.0/24"]}},
]
pop3 = ["tcp:{pop3}:interface=127.0.0.1"]
http = ["tcp:{http}:interface=127.0.0.1"]
[tls]
certificate = "cert.pem"
key = "key.pem"
[auth]
password-file.path = "passwd"
[mail]
home = "{folder}/{{user}}"
"""


def twistd(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [Path(sys.executable).with_name("twistd"), "-n", "--pidfile=", "maa", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Running:
    """A server of its own in a folder."""

    workers = 1
    more = ""
    """Further tables of the configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        probes = [socket.socket() for _ in range(5)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
        self.imap, self.imaps, self.pop3, self.http, self.balanced = ports
        for probe in probes:
            probe.close()
        new_certificate(folder / "cert.pem", folder / "key.pem")
        (folder / "passwd").write_text("joe:{PLAIN}secret\n")
        (folder / "passwd").chmod(0o600)
        text = CONFIGURATION.format(workers=self.workers, **vars(self)) + self.more
        (folder / "maa.toml").write_text(text)
        self.process = twistd(folder, "--config", "maa.toml")
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "serves as" in line:
                return
        raise AssertionError("it did not start")

    def connected(self, port: int) -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)

    def asked(self, client: socket.socket, line: bytes, end: bytes) -> bytes:
        client.sendall(line)
        data = b""
        while end not in data:
            piece = client.recv(65536)
            assert piece, data
            data += piece
        return data

    def stop(self) -> tuple[int, str]:
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, output


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("server"))
    yield running
    _, output = running.stop()
    assert "Traceback" not in output


def test_imap_is_served(server: Running) -> None:
    with server.connected(server.imap) as client:
        assert b"mail.example.org" in server.asked(client, b"", b"\r\n")
        assert b"a OK" in server.asked(client, b"a LOGIN joe secret\r\n", b"a ")
        assert b"* 0 EXISTS" in server.asked(client, b"b SELECT INBOX\r\n", b"b ")


def test_pop3_is_served(server: Running) -> None:
    with server.connected(server.pop3) as client:
        assert server.asked(client, b"", b"\r\n").startswith(b"+OK")
        assert b"+OK" in server.asked(client, b"CAPA\r\n", b"\r\n.\r\n")


def test_tls_behind_a_balancer_is_served_to_the_networks_allowed(server: Running) -> None:
    def greeted(address: str) -> bytes:
        context = ssl.create_default_context(cafile=str(server.folder / "cert.pem"))
        raw = server.connected(server.balanced)
        raw.sendall(b"PROXY TCP4 %b 192.0.2.1 5000 993\r\n" % address.encode("ascii"))
        with context.wrap_socket(raw, server_hostname="localhost") as client:
            return client.recv(1000)

    assert greeted("203.0.113.7").startswith(b"* OK")
    with pytest.raises(OSError):
        greeted("198.51.100.1")


def test_figures_are_served(server: Running) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/metrics") as answer:
        assert b"\nmaa_connections_total " in answer.read()
    with urllib.request.urlopen(f"http://127.0.0.1:{server.http}/") as answer:
        assert b"maa" in answer.read()


def test_what_a_client_sends_before_it_stops_sending_is_answered(server: Running) -> None:
    with server.connected(server.imap) as client:
        client.sendall(b"a LOGIN joe secret\r\nb SELECT INBOX\r\nc LOGOUT\r\n")
        client.shutdown(socket.SHUT_WR)
        data = b""
        while piece := client.recv(65536):
            data += piece
        assert b"\r\nc OK" in data


def test_SIGHUP_takes_a_new_certificate(server: Running) -> None:
    def certificate() -> str:
        return ssl.get_server_certificate(("127.0.0.1", server.imaps))

    before = certificate()
    new_certificate(server.folder / "cert.pem", server.folder / "key.pem")
    server.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + PATIENCE_SECONDS
    while certificate() == before:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_R252_SIGTERM_says_goodbye_and_ends(tmp_path: Path) -> None:
    running = Running(tmp_path)
    with running.connected(running.imap) as client:
        running.asked(client, b"", b"\r\n")
        running.asked(client, b"a LOGIN joe secret\r\n", b"a ")
        running.asked(client, b"b SELECT INBOX\r\nc IDLE\r\n", b"\r\n+ ")
        begun = time.monotonic()
        _, output = running.stop()
        assert time.monotonic() - begun < 5
        assert client.recv(1000).startswith(b"* BYE [UNAVAILABLE]")
        assert client.recv(1000) == b""
    assert "Traceback" not in output


def test_a_faulty_configuration_is_told_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "maa.toml").write_text('workers = "many"\n[listen]\nimap = ["tcp:0"]\n')
    process = twistd(tmp_path, "--config", "maa.toml")
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "maa.toml: workers: 'many' is not allowed" in output
    assert "Traceback" not in output


def test_a_start_says_which_secrets_everybody_can_read(tmp_path: Path) -> None:
    running = Running(tmp_path)
    _, output = running.stop()
    assert "everybody" not in output
    for name in ("passwd", "key.pem"):
        (tmp_path / name).chmod(0o644)
    running.process = twistd(tmp_path, "--config", "maa.toml")
    assert running.process.stdout is not None
    said = "".join(
        itertools.takewhile(lambda line: "serves as" not in line, running.process.stdout)
    )
    running.stop()
    for name in ("passwd", "key.pem"):
        assert f"{tmp_path / name}: everybody on this machine can read it: chmod o-r" in said


def test_a_pid_file_of_a_killed_server_whose_number_is_anothers_stops_no_start(
    tmp_path: Path,
) -> None:
    (tmp_path / "twistd.pid").write_text(f"{os.getpid()}\n")
    for _ in range(2):
        running = Running(tmp_path)
        with running.connected(running.imap) as client:
            assert running.asked(client, b"", b"\r\n").startswith(b"* OK ")
        running.process.kill()
        running.process.communicate(timeout=PATIENCE_SECONDS)
    assert (tmp_path / "twistd.pid").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize(
    "file", ["README.md", "Makefile", "docs/operations.md", "docs/configuration.md"]
)
def test_whoever_starts_a_server_as_told_has_no_pid_file(file: str) -> None:
    text = (Path(__file__).parents[2] / file).read_text()
    starts = [line for line in text.splitlines() if re.search(r"twistd -.* maa\b", line)]
    assert starts
    assert all("--pidfile= " in line for line in starts), starts


def test_a_port_that_is_taken_is_told_and_nothing_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        (tmp_path / "maa.toml").write_text(f'state = "s"\n[listen]\nimap = ["{endpoint}"]\n')
        process = twistd(tmp_path, "--config", "maa.toml")
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert f'listen.imap = "{endpoint}"' in output
    assert "Traceback" not in output
