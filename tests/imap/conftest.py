"""A world for the tests of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.imap.world import SessionWorld


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[Callable[..., SessionWorld]]:
    """Makes the test's world; it is closed behind the test."""
    made: list[SessionWorld] = []

    def make(**arguments: Any) -> SessionWorld:
        arguments.setdefault("messages", ["one.eml", "two.eml"])
        made.append(SessionWorld(tmp_path, **arguments))
        return made[-1]

    yield make
    for world in made:
        world.close()
