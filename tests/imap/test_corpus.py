"""The developers' corpus of real messages, asked by its comparer from a real server.

The comparer counts a SEARCH as one answer; here each message that a SEARCH finds or does not
find is one. What differs is explained in docs/corpus-differences.md.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "corpus"
TWISTD = Path(sys.executable).parent / "twistd"
LEAST_PERCENT = 99.5
CATEGORIES = [
    "size", "envelope", "body", "bodystructure", "whole", "fields", "section", "partial", "mime",
    "flags", "internaldate", "pop3",
]  # fmt: skip
CONFIGURATION = """
hostname = "localhost"
state = "{folder}/state"
workers = 1
[listen]
imap = ["tcp:{imap}:interface=127.0.0.1"]
pop3 = ["tcp:{pop3}:interface=127.0.0.1"]
[tls]
plaintext_login = "loopback"
[auth]
sources = ["password-file"]
password-file.path = "{folder}/passwd"
[mail]
home = "{folder}/{{user}}"
inbox = "maildir:{{home}}/Maildir"
folders = "maildir:{{home}}/Maildir"
"""

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not CORPUS.is_dir(), reason="the shared corpus is not here"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    folder = tmp_path_factory.mktemp("corpus")
    loader = [sys.executable, str(CORPUS / "loader.py"), "maildir", str(folder / "joe/Maildir")]
    (folder / "joe").mkdir()
    subprocess.run(loader, check=True)
    imap, pop3 = free_port(), free_port()
    (folder / "passwd").write_text(f"joe:{{PLAIN}}pw:{os.getuid()}:{os.getgid()}::{folder}/joe::\n")
    (folder / "passwd").chmod(0o600)
    (folder / "maa.toml").write_text(CONFIGURATION.format(folder=folder, imap=imap, pop3=pop3))
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [TWISTD, "-n", "--pidfile=", "maa", "--config", folder / "maa.toml"],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while any(socket.socket().connect_ex(("127.0.0.1", port)) for port in (imap, pop3)):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.05)
        yield imap, pop3
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def report(ports: tuple[int, int]) -> str:
    imap, pop3 = ports
    command = [
        sys.executable, str(CORPUS / "compare.py"), "127.0.0.1", str(imap), "joe", "pw",
        "--pop3", str(pop3), "--show", "100000",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("category", CATEGORIES)
def test_answers_agree_with_the_golden_server(report: str, category: str) -> None:
    match = re.search(rf"^{category} +(\d+) +(\d+) ", report, re.MULTILINE)
    assert match is not None, report
    agreed, differ = int(match[1]), int(match[2])
    assert agreed
    assert 100 * agreed / (agreed + differ) >= LEAST_PERCENT, report


def test_searches_agree_with_the_golden_server(report: str) -> None:
    match = re.search(r"^search +(\d+) +(\d+) ", report, re.MULTILINE)
    assert match is not None, report
    queries = int(match[1]) + int(match[2])
    messages = sum(1 for _ in (CORPUS / "eml").iterdir())
    decided = re.findall(r"^ +\* SEARCH .*\(missing (\d+): .*; extra (\d+): ", report, re.MULTILINE)
    assert len(decided) == int(match[2]), report
    differ = sum(int(missing) + int(extra) for missing, extra in decided)
    assert 100 * (1 - differ / (queries * messages)) >= LEAST_PERCENT, report
