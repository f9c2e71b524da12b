"""From where logins have failed a short time ago: who logs in elsewhere comes first.

Checking a password takes tens of milliseconds, and guesses from hundreds of addresses more of
them than there are. `maa.auth.penalties` refuses who has guessed a dozen times; until then a user
would wait behind all of them. So each failure puts the next logins from that address (a /64 of
IPv6) some seconds further back in the line. That is felt only where there is a line, and in
memory of one process: it need not be right, as nobody is refused for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LATE_SECONDS: Final = 10.0
"""For each failure; time alone makes up for it."""
LATEST_SECONDS: Final = 60.0
"""The longest that anybody is put back: longer than the whole line is."""
REMEMBERED_MAX: Final = 20_000


class Guessers:
    """Of each address when its next login is due."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._due: dict[str, float] = {}
        """In the order of the last failures, so that the first is the first to be forgotten."""

    def failed(self, where: str) -> None:
        """A login from there was refused."""
        now = self._seconds()
        due = max(now, self._due.pop(where, now)) + LATE_SECONDS
        self._due[where] = min(due, now + LATEST_SECONDS)
        while (first := next(iter(self._due))) != where and (
            self._due[first] <= now or len(self._due) > REMEMBERED_MAX
        ):
            del self._due[first]

    def late_seconds(self, where: str) -> float:
        """How far behind others a login from there stands in line."""
        due = self._due.get(where)
        return 0.0 if due is None else max(0.0, due - self._seconds())
