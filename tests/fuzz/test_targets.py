"""The seeds of the coverage-guided runs, and what these found, are no findings any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

SEEDS = Path(__file__).parent / "seeds"


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_what_was_found_once_are_read(name: str) -> None:
    seeds = sorted((SEEDS / name).iterdir())
    assert seeds
    for seed in seeds:
        data = seed.read_bytes()
        for end in {*range(0, len(data), max(1, len(data) // 200)), len(data)}:
            TARGETS[name](data[:end])
