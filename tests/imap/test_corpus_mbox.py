"""The developers' corpus in a spool file, asked by its comparer from a real server.

What no mbox can carry is left out (`UNLIKE`), and so are flags: what the headers of new mail say
of them counts for nothing (R236). The loader quotes as mboxrd does; where that is not undone
(`mbox:`), messages that it quoted are left out too.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.imap import test_corpus
from tests.imap.test_corpus import (
    CATEGORIES,
    CORPUS,
    LEAST_PERCENT,
    Asked,
    agrees,
    compared,
    orders_and_threads,
    orders_explained,
    places,
    served,
)

pytestmark = test_corpus.pytestmark

UNLIKE = {
    "a field that is metadata in an mbox": re.compile(
        rb"^(status|x-status|x-keywords|x-uid|x-imap|x-imapbase|content-length):", re.I | re.M
    ),
    "a last line without end": re.compile(rb"[^\n]\Z"),
    "a header without end": re.compile(rb"\A(?!.*\n\r?\n)", re.S),
}
QUOTED = re.compile(rb"^>*From ", re.M)


def unlike(mboxrd: bool) -> list[str]:
    """The messages that cannot be in an mbox as they are."""
    reasons = [*UNLIKE.values(), *([] if mboxrd else [QUOTED])]
    return [
        path.stem
        for path in sorted((CORPUS / "eml").iterdir())
        if any(reason.search(path.read_bytes()) for reason in reasons)
    ]


class Answers(NamedTuple):
    """What one server says."""

    report: str
    ordered: dict[str, Asked]
    left_out: set[int]


@pytest.fixture(scope="module", params=["mbox rev1", "mbox rev2+compress", "mboxrd rev1"])
def answers(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Answers]:
    kind, way = request.param.split()
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "joe").mkdir()
    left_out = unlike(kind == "mboxrd")
    (folder / "left-out.txt").write_text("\n".join(left_out))
    loader = [sys.executable, str(CORPUS / "loader.py"), "mbox", str(folder / "joe/spool")]
    subprocess.run(loader, check=True)
    with served(folder, f"{kind}:{{home}}/spool") as ports:
        report = compared(way, ports, "--skip-altered", str(folder / "left-out.txt"))
        ordered = orders_and_threads(ports[0], way)
    numbers = places()
    yield Answers(report, ordered, {numbers[name] for name in left_out})


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name != "flags"])
def test_answers_over_an_mbox_agree_with_the_golden_server(answers: Answers, category: str) -> None:
    report = answers.report
    match = re.search(rf"^{category} +(\d+) +(\d+) ", report, re.MULTILINE)
    assert match is not None, report
    agreed, differ = int(match[1]), int(match[2])
    assert agreed
    assert 100 * agreed / (agreed + differ) >= LEAST_PERCENT, report


@pytest.mark.parametrize("command", ["SORT", "THREAD"])
def test_orders_over_an_mbox_are_those_of_the_golden_server(answers: Answers, command: str) -> None:
    left_out = answers.left_out | orders_explained(command)
    ordered = {query: both for query, both in answers.ordered.items() if query.startswith(command)}
    assert ordered
    assert [query for query, both in ordered.items() if not agrees(query, both, left_out)] == []


def test_what_no_mbox_can_carry_is_as_much_as_the_page_says() -> None:
    page = (Path(__file__).parents[2] / "docs/corpus-differences.md").read_text(encoding="utf-8")
    part = page.partition("\n## The corpus in an mbox\n")[2]
    messages = len(list((CORPUS / "eml").iterdir()))
    counts = [len(unlike(True)), len(unlike(False)) - len(unlike(True))]
    for reason in UNLIKE.values():
        counts.append(
            sum(reason.search(path.read_bytes()) is not None for path in (CORPUS / "eml").iterdir())
        )
    assert [int(n) for n in re.findall(r"\b\d+\b(?= messages?\b)", part)] == counts
    assert f"{messages - counts[0]:,}" in part
