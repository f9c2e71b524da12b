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

import pytest

from tests.imap import test_corpus
from tests.imap.test_corpus import CATEGORIES, CORPUS, LEAST_PERCENT, served

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


@pytest.fixture(scope="module", params=["mbox", "mboxrd"])
def report(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "joe").mkdir()
    left_out = folder / "left-out.txt"
    left_out.write_text("\n".join(unlike(request.param == "mboxrd")))
    loader = [sys.executable, str(CORPUS / "loader.py"), "mbox", str(folder / "joe/spool")]
    subprocess.run(loader, check=True)
    with served(folder, f"{request.param}:{{home}}/spool") as (imap, pop3):
        command = [
            sys.executable, str(CORPUS / "compare.py"), "127.0.0.1", str(imap), "joe", "pw",
            "--pop3", str(pop3), "--show", "100000", "--skip-altered", str(left_out),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    yield done.stdout


@pytest.mark.parametrize("category", [name for name in CATEGORIES if name != "flags"])
def test_answers_over_an_mbox_agree_with_the_golden_server(report: str, category: str) -> None:
    match = re.search(rf"^{category} +(\d+) +(\d+) ", report, re.MULTILINE)
    assert match is not None, report
    agreed, differ = int(match[1]), int(match[2])
    assert agreed
    assert 100 * agreed / (agreed + differ) >= LEAST_PERCENT, report


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
