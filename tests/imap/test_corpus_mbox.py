"""The developers' corpus in a spool file, asked by its comparer from a real server.

A spool file cannot hold every message unchanged; the loader says which it altered, and those
are left out. So are flags: what the headers of new mail say of them counts for nothing (R236).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.imap import test_corpus
from tests.imap.test_corpus import CATEGORIES, CORPUS, LEAST_PERCENT, served

pytestmark = test_corpus.pytestmark


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "joe").mkdir()
    altered = folder / "altered.txt"
    loader = [sys.executable, str(CORPUS / "loader.py"), "mbox", str(folder / "joe/spool")]
    subprocess.run([*loader, "--altered", str(altered)], check=True)
    with served(folder, "mbox:{home}/spool") as (imap, pop3):
        command = [
            sys.executable, str(CORPUS / "compare.py"), "127.0.0.1", str(imap), "joe", "pw",
            "--pop3", str(pop3), "--show", "100000", "--skip-altered", str(altered),
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
