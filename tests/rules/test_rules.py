"""Every rule that touches what maa offers is proved by a test that has its number."""

from __future__ import annotations

from maa.imap.capabilities import CAPABILITIES
from tests.rules.table import DOCUMENT, HERE, document, listed, proofs


def test_every_rule_is_proved_or_about_what_is_not_offered() -> None:
    titles, skipped, found = listed("titles.txt"), listed("not_offered.txt"), proofs()
    assert list(titles) == [f"R{number:03}" for number in range(1, 254)]
    assert sorted(set(titles) - set(found) - set(skipped)) == []
    assert sorted(set(skipped) & set(found)) == [], "proved, so it is offered"
    assert sorted(set(found) - set(titles)) == [], "there is no such rule"


def test_no_capability_is_both_offered_and_not() -> None:
    offered = {row.name.decode().partition("=")[0] for row in CAPABILITIES}
    lines = (HERE / "not_offered_capabilities.txt").read_text("utf-8").splitlines()
    names = {name for line in lines for name in line.split(" | ")[0].split(", ")}
    whole = {row.name.decode() for row in CAPABILITIES}
    assert not names & whole
    assert not {name for name in names if "=" not in name} & offered


def test_the_document_is_what_the_tests_say() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "python -m tests.rules writes it anew"
