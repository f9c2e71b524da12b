"""What a user's clients and the server say to each other, written down by the server itself."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .server import Server
from .users import User

MAA = Path(sys.executable).with_name("maa")
LOOK_SECONDS = 1.5
"""The server looks every second whose sessions are wanted."""


@contextmanager
def recorded(server: Server, user: User) -> Iterator[Callable[[], bytes]]:
    """Record the user's sessions meanwhile; gives what was said up to the moment."""
    folder = server.folder / "state/rawlog"
    before = set(folder.glob("*.log"))
    _ask(server, "--user", user.name)
    time.sleep(LOOK_SECONDS)

    def said() -> bytes:
        return b"".join(path.read_bytes() for path in sorted(set(folder.glob("*.log")) - before))

    try:
        yield said
    finally:
        _ask(server, "--off")


def _ask(server: Server, *arguments: str) -> None:
    command = [MAA, "rawlog", "--config", server.folder / "maa.toml", *arguments]
    subprocess.run(command, check=True, capture_output=True)
