"""What is said once a minute at most, lest a flood of logins make one of log lines (R228)."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Final

AGAIN_SECONDS: Final = 60.0
TOLD_MAX: Final = 1000
"""So many things are remembered; what was said first is forgotten first."""


class Told:
    """What was said a short time ago; safe to use from several threads."""

    def __init__(self) -> None:
        self._until: dict[Hashable, float] = {}
        self._changing = threading.Lock()

    def due(self, what: Hashable) -> bool:
        """Whether it is to be said now; then it counts as said."""
        now = time.monotonic()
        with self._changing:
            if self._until.get(what, 0.0) > now:
                return False
            self._until.pop(what, None)
            self._until[what] = now + AGAIN_SECONDS
            if len(self._until) > TOLD_MAX:
                del self._until[next(iter(self._until))]
            return True
