"""Rules and their proofs, found in the tests themselves."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maa.imap.capabilities import CAPABILITIES

HERE: Final = Path(__file__).parent
TESTS: Final = HERE.parent
DOCUMENT: Final = TESTS.parent / "docs" / "rules.md"
_TEST: Final = re.compile(r"^\s*(?:async )?def (test_\w+)", re.MULTILINE)
_NUMBER: Final = re.compile(r"(?<![A-Za-z0-9])R([0-9]{3})(?:\s*-\s*R?([0-9]{3}))?(?![0-9])")
_IN_NAME: Final = re.compile(r"_R([0-9]{3})(?=_)")
_SHOWN_MAX: Final = 4


def listed(name: str) -> dict[str, str]:
    """A file of lines, each a rule and what is said of it."""
    lines = (HERE / name).read_text("utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines)


def proofs() -> dict[str, list[str]]:
    """By rule: names of tests, and of transcripts."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("*.py")):
        for name in _TEST.findall(path.read_text("utf-8")):
            for number in _IN_NAME.findall(name):
                found[f"R{number}"].append(f"{path.relative_to(TESTS)}: `{name}`")
    for path in sorted((TESTS / "transcripts").rglob("*.txt")):
        for rule in sorted(_named(path.read_text("utf-8"))):
            found[rule].append(str(path.relative_to(TESTS)))
    return found


def _named(transcript: str) -> set[str]:
    comments = "\n".join(line for line in transcript.splitlines() if line.startswith("#"))
    return {
        f"R{number:03}"
        for first, last in _NUMBER.findall(comments)
        for number in range(int(first), int(last or first) + 1)
    }


def document() -> str:
    """docs/rules.md."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    found, skipped = proofs(), listed("not_offered.txt")
    yield "# Rules and capabilities"
    yield ""
    yield "Written by `python -m tests.rules`; a test compares it with the tests that there are."
    yield ""
    yield "## What is proved, and by what"
    yield ""
    yield "| rule | what it is about | proved by (below tests/) |"
    yield "| --- | --- | --- |"
    for rule, title in listed("titles.txt").items():
        shown = found.get(rule, [])
        more = [f"and {len(shown) - _SHOWN_MAX} more"] if len(shown) > _SHOWN_MAX else []
        proof = "<br>".join([*shown[:_SHOWN_MAX], *more]) or f"({skipped.get(rule, 'OPEN')})"
        yield f"| {rule} | {_escaped(title)} | {proof} |"
    yield ""
    yield "## Capabilities"
    yield ""
    yield "| capability | document | status |"
    yield "| --- | --- | --- |"
    for row in CAPABILITIES:
        yield f"| `{row.name.decode()}` | {row.document} | offered |"
    for line in (HERE / "not_offered_capabilities.txt").read_text("utf-8").splitlines():
        name, source, why = line.split(" | ")
        yield f"| {name} | {source} | not offered: {why} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
