"""A program for people, at a terminal of our own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

from .users import CLIENT

PATIENCE_SECONDS = 30.0
COLUMNS, LINES = 120, 40


class Terminal:
    """The program's screen, and its keyboard."""

    def __init__(self, command: Sequence[str | Path], folder: Path) -> None:
        """Run it as the person who owns `folder`, its home."""

        def become() -> None:
            os.setgroups([])
            os.setgid(CLIENT.pw_gid)
            os.setuid(CLIENT.pw_uid)

        self.screen = pyte.Screen(COLUMNS, LINES)
        self.stream = pyte.ByteStream(self.screen)
        self.process = pexpect.spawn(
            str(command[0]),
            [str(word) for word in command[1:]],
            cwd=str(folder),
            env={
                "HOME": str(folder),
                "PATH": "/usr/bin:/bin",
                "LC_ALL": "C.UTF-8",
                "TERM": "linux",
                "USER": CLIENT.pw_name,
            },
            preexec_fn=become,
            dimensions=(LINES, COLUMNS),
            timeout=None,
        )

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.process.close(force=True)

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def type(self, keys: str) -> None:
        """Press keys; Return is `\\r`."""
        self.process.send(keys)

    def wait(self, *texts: str) -> str:
        """Until one of the texts stands on the screen; which of them."""
        return self.until(lambda: next((text for text in texts if text in self.text), ""), texts)

    def gone(self, text: str) -> None:
        """Until the text stands there no more."""
        self.until(lambda: "" if text in self.text else "gone", ("the end of " + text,))

    def until(self, found: Callable[[], str], wanted: Sequence[str]) -> str:
        """Until something is found."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            if answer := found():
                return answer
            assert time.monotonic() < deadline, f"no {wanted} on the screen:\n{self.text}"
            try:
                self.stream.feed(self.process.read_nonblocking(65536, timeout=0.1))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                raise AssertionError(f"it ended without {wanted}:\n{self.text}") from None

    def ends(self) -> None:
        """The program ends by itself."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                self.stream.feed(self.process.read_nonblocking(65536, timeout=0.1))
            except pexpect.TIMEOUT:
                continue
            except pexpect.EOF:
                return
        raise AssertionError(f"it does not end:\n{self.text}")
