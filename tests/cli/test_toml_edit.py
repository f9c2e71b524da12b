"""One value of a TOML file is changed, and nothing else."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.cli.toml_edit import CannotEdit, with_value

NEW = '["fcntl"]'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[mail]\nlocks = ["a"] # why\n', '[mail]\nlocks = ["fcntl"] # why\n'),
        ('[mail]\n  locks=[\n "a", # ]\n "b",\n]\nx = 1\n', '[mail]\n  locks=["fcntl"]\nx = 1\n'),
        ("mail.locks = []\n[auth]\nlocks = [1]\n", 'mail.locks = ["fcntl"]\n[auth]\nlocks = [1]\n'),
        (
            "# all\n[mail] # of it\nhome = 1\n",
            '# all\n[mail] # of it\nlocks = ["fcntl"]\nhome = 1\n',
        ),
        ("[mail]", '[mail]\nlocks = ["fcntl"]\n'),
        ("x = 1", 'x = 1\n\n[mail]\nlocks = ["fcntl"]\n'),
        ("", '\n[mail]\nlocks = ["fcntl"]\n'),
        ("[mail]\r\nlocks = ['a']\r\n", '[mail]\r\nlocks = ["fcntl"]\r\n'),
        ("[mail]\nlocks = 3 # no list\n", '[mail]\nlocks = ["fcntl"]\n'),
    ],
)
def test_the_rest_stays_as_it_is(before: str, after: str) -> None:
    assert with_value(before, "mail", "locks", NEW) == after


@pytest.mark.parametrize(
    "text",
    [
        'mail = {locks = ["a"]}\n',
        'x = """\n[mail]\nlocks = ["a"]\n"""\n[mail]\nhome = 1\n',
        '["mail"]\nlocks = ["a"]\n',
    ],
)
def test_what_is_not_understood_is_not_changed(text: str) -> None:
    with pytest.raises(CannotEdit):
        with_value(text, "mail", "locks", NEW)


words = st.sampled_from(
    ["[mail]\n", "[auth]\n", 'locks = ["a"]\n', "home = 'x' # [y]\n", "# locks = []\n", "\n"]
)


@given(st.lists(words, max_size=8))
def test_either_the_one_value_is_changed_or_nothing(lines: list[str]) -> None:
    text = "".join(lines)
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    try:
        changed = with_value(text, "mail", "locks", NEW)
    except CannotEdit:
        return
    before.setdefault("mail", {})["locks"] = ["fcntl"]
    assert tomllib.loads(changed) == before
    assert [line for line in changed.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]
