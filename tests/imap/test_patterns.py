"""LIST patterns against a plain definition of what they mean, and their cost."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.imap.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a.b.c", True),
        ("%", "a", True),
        ("%", "a.b", False),
        ("a.%", "a.b", True),
        ("a.%", "a.b.c", False),
        ("a.*", "a.b.c", True),
        ("a*", "a", True),
        ("%.%", "a.b", True),
        ("*%", "a.b", True),
        ("%*", "a.b", True),
        ("", "", True),
        ("", "a", False),
        ("a", "ab", False),
        ("*b", "abab", True),
        ("%b%", "xbx", True),
    ],
)
def test_R104_percent_stops_at_the_separator(pattern: str, name: str, matches: bool) -> None:
    assert Pattern(pattern, ".").matches(name) is matches


@given(st.text("ab.*%", max_size=9), st.text("ab.", max_size=9))
def test_patterns_mean_what_a_regular_expression_would(pattern: str, name: str) -> None:
    parts = {"*": ".*", "%": "[^.]*"}
    expression = "".join(parts.get(token, re.escape(token)) for token in pattern)
    assert Pattern(pattern, ".").matches(name) is bool(re.fullmatch(expression, name))


def test_R104_a_hostile_pattern_takes_linear_time() -> None:
    pattern = Pattern("a*" * 2000 + "b", ".")
    begun = time.process_time()
    assert not pattern.matches("a" * 4000)
    assert time.process_time() - begun < 2


def test_a_pattern_with_more_text_than_the_name_is_not_walked() -> None:
    assert not Pattern("x" * 60_000, ".").matches("x" * 250)
