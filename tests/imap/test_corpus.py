"""The developers' corpus of real messages, asked by its comparer from a real server.

What differs is explained in docs/corpus-differences.md. The comparer counts a SEARCH as one
answer; here every message in which one differs has to be named there with that search.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.imap.comparing import CORPUS, WAYS, comparer

ROOT = Path(__file__).resolve().parents[2]
TWISTD = Path(sys.executable).parent / "twistd"
PAGE = ROOT / "docs" / "corpus-differences.md"
LEAST_PERCENT = 99.5
SEARCHES_AGREED = 92
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
inbox = "{inbox}"
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


@contextmanager
def served(folder: Path, inbox: str) -> Iterator[tuple[int, int]]:
    """The IMAP and POP3 ports of a server for joe, whose mail is below the folder."""
    imap, pop3 = free_port(), free_port()
    (folder / "passwd").write_text(f"joe:{{PLAIN}}pw:{os.getuid()}:{os.getgid()}::{folder}/joe::\n")
    (folder / "passwd").chmod(0o600)
    configuration = CONFIGURATION.format(folder=folder, imap=imap, pop3=pop3, inbox=inbox)
    (folder / "maa.toml").write_text(configuration)
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            [TWISTD, "-n", "--pidfile=", "maa", "--config", folder / "maa.toml"],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "TZ": "UTC"},
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
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    folder = tmp_path_factory.mktemp("corpus")
    loader = [sys.executable, str(CORPUS / "loader.py"), "maildir", str(folder / "joe/Maildir")]
    (folder / "joe").mkdir()
    subprocess.run(loader, check=True)
    with served(folder, "maildir:{home}/Maildir") as found:
        yield found


def compared(way: str, ports: tuple[int, int], *more: str) -> str:
    """What the comparer says of the server."""
    imap, pop3 = map(str, ports)
    command = [
        sys.executable, "-m", "tests.imap.comparing", way, "127.0.0.1", imap, "joe", "pw",
        "--pop3", pop3, "--show", "100000", *more,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def reports(ports: tuple[int, int]) -> Callable[[str], str]:
    return cache(lambda way: compared(way, ports))


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def report(reports: Callable[[str], str], way: str) -> str:
    return reports(way)


@pytest.mark.parametrize("category", CATEGORIES)
def test_answers_agree_with_the_golden_server(report: str, category: str) -> None:
    match = re.search(rf"^{category} +(\d+) +(\d+) ", report, re.MULTILINE)
    assert match is not None, report
    agreed, differ = int(match[1]), int(match[2])
    assert agreed
    assert 100 * agreed / (agreed + differ) >= LEAST_PERCENT, report


def test_R041_rev2_and_compression_change_nothing_but_what_is_explained(
    reports: Callable[[str], str],
) -> None:
    one, other = (reports(way).splitlines() for way in WAYS)
    differ = "\n".join(line for line in {*one} ^ {*other} if not line.startswith("-- "))
    page = PAGE.read_text(encoding="utf-8").partition("\n## IMAP4rev2 and COMPRESS\n")[2]
    named = re.findall(r"\b[0-9a-f]{12}\b", page.partition("\n## ")[0])
    assert set(re.findall(r"^ +([0-9a-f]{12}) ", differ, re.MULTILINE)) == set(named)
    assert len(differ.splitlines()) == len(re.findall("^ +[0-9a-f]{12} ", differ, re.MULTILINE))


class Explained(NamedTuple):
    """A row of the page: which messages some searches find and the golden server does not."""

    messages: set[str]
    searches: set[str]


def explained() -> list[Explained]:
    page = PAGE.read_text(encoding="utf-8").partition("\n## SEARCH\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")]
    return [
        Explained(
            set(re.findall(r"\b[0-9a-f]{12}\b", messages)), set(re.findall("`(.*?)`", searches))
        )
        for messages, searches in rows[1:]
        if set(messages) != set(" -")
    ]


def search_differences(port: int, way: str) -> set[tuple[str, str]]:
    """Message and search: of those that are not debatable, where the answer is another one."""
    compare = comparer(way)
    names = [name for name, _ in compare.manifest(str(CORPUS))]
    rules = json.loads((CORPUS / "debatable.json").read_text())
    judge, disputed = compare.Report(0, rules, False), compare.Disputed()
    with gzip.open(CORPUS / "golden" / "messages.jsonl.gz", "rt") as lines:
        for line in lines:
            message = json.loads(line)
            disputed.see(message["n"], message["env"])
    with gzip.open(CORPUS / "golden" / "queries.jsonl.gz", "rt") as lines:
        golden = {query["q"]: query["a"] for query in map(json.loads, lines)}
    client = compare.Imap("127.0.0.1", port, "joe", "pw", "INBOX")
    differ = set()
    for query, parts in compare.queries():
        if query.startswith("SEARCH "):
            asked, left_out = golden[query], disputed.of(query)
            wrong = set(asked).symmetric_difference(compare.ask_query(client, parts)) - left_out
            if not judge.excused("search", query, "*", (), len(set(asked) - left_out)):
                search = query.removeprefix("SEARCH ").removeprefix("CHARSET UTF-8 ")
                differ |= {(names[number - 1], search) for number in wrong}
    return differ


def test_searches_agree_but_for_what_is_explained(
    ports: tuple[int, int], report: str, way: str
) -> None:
    differ = search_differences(ports[0], way)
    reasons = explained()
    assert {
        (message, search)
        for message, search in differ
        if not any(message in row.messages and search in row.searches for row in reasons)
    } == set()
    for row in reasons:  # which is still true
        found = [pair for pair in differ if pair[0] in row.messages and pair[1] in row.searches]
        assert row == Explained({message for message, _ in found}, {search for _, search in found})
    match = re.search(r"^search +(\d+) +(\d+) ", report, re.MULTILINE)
    assert match is not None, report
    assert int(match[2]) == len({search for _, search in differ})
    # Nor is there more to explain than there was.
    assert int(match[1]) >= SEARCHES_AGREED
    messages = sum(1 for _ in (CORPUS / "eml").iterdir())
    assert len(differ) <= (int(match[1]) + int(match[2])) * messages / 2000


class Asked(NamedTuple):
    """A SORT or THREAD: both answers, and the messages whose place is debatable."""

    golden: Any
    found: Any
    disputed: set[int]


@pytest.fixture(scope="module")
def asked(ports: tuple[int, int], way: str) -> dict[str, Asked]:
    return orders_and_threads(ports[0], way)


def orders_and_threads(port: int, way: str) -> dict[str, Asked]:
    compare = comparer(way)
    disputed = compare.Disputed()
    with gzip.open(CORPUS / "golden" / "messages.jsonl.gz", "rt") as lines:
        for line in lines:
            message = json.loads(line)
            disputed.see(message["n"], message["env"])
    with gzip.open(CORPUS / "golden" / "queries.jsonl.gz", "rt") as lines:
        golden = {query["q"]: query["a"] for query in map(json.loads, lines)}
    client = compare.Imap("127.0.0.1", port, "joe", "pw", "INBOX")
    return {
        query: Asked(golden[query], compare.ask_query(client, parts), disputed.of(query))
        for query, parts in compare.queries()
        if query.startswith(("SORT", "THREAD"))
    }


def same_order(asked: Asked, left_out: set[int]) -> bool:
    left_out = left_out | asked.disputed
    one, other = ([n for n in order if n not in left_out] for order in asked[:2])
    return one == other


def same_threads(asked: Asked, left_out: set[int], parents: bool) -> bool:
    """Whether the same messages are together, and have the same parents."""
    one, other = (comparer().canon_thread(threads) for threads in asked[:2])
    kinds = []
    for edges, groups in (one, other):
        above = {child: parent for parent, child in edges}
        shown = {}
        for child in above.keys() - left_out:
            parent = above[child]
            while parent in left_out:
                parent = above[parent]
            shown[child] = parent
        kinds.append(({group - left_out for group in groups} - {frozenset()}, parents and shown))
    return kinds[0] == kinds[1]


def agrees(query: str, asked: Asked, left_out: set[int]) -> bool:
    if query.startswith("SORT"):
        return same_order(asked, left_out)
    # The first message of a subject is the parent of all others: no more than who is together.
    return same_threads(asked, left_out, parents="ORDEREDSUBJECT" not in query)


def places() -> dict[str, int]:
    """The message number of each message of the corpus."""
    return {name: n for n, (name, _) in enumerate(comparer().manifest(str(CORPUS)), 1)}


def orders_explained(command: str) -> set[int]:
    """The messages that the page names for SORT or THREAD."""
    page = (
        PAGE.read_text(encoding="utf-8")
        .partition("\n## SORT and THREAD\n")[2]
        .partition("\n## ")[0]
    )
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| ")]
    numbers = places()
    return {
        numbers[name]
        for messages, commands in rows
        if command in commands
        for name in re.findall(r"\b[0-9a-f]{12}\b", messages)
    }


@pytest.mark.parametrize("command", ["SORT", "THREAD"])
def test_orders_and_threads_agree_but_for_what_is_explained(
    asked: dict[str, Asked], command: str
) -> None:
    reasons = orders_explained(command)
    answers = {query: both for query, both in asked.items() if query.startswith(command)}
    assert len(answers) == {"SORT": 18, "THREAD": 9}[command]
    assert [query for query, both in answers.items() if not agrees(query, both, reasons)] == []
    needless = {
        number
        for number in reasons
        if all(agrees(query, both, reasons - {number}) for query, both in answers.items())
    }
    assert [name for name, n in places().items() if n in needless] == []
