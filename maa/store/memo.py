"""What sessions work out about a mailbox's messages, in memory while these stay the same."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, TypeAlias

VALUES_MAX: Final = 8
OCTETS_MAX: Final = 4 << 20
"""Of one value; what is larger is worked out each time."""

Worked: TypeAlias = "array[int] | bytes"


class Memo:
    """Values by name, of one set of messages; shared by all sessions, on any thread.

    A snapshot's array of UIDs is never changed, and stays the same object while flags change:
    so it stands for the set of messages.
    """

    def __init__(self) -> None:
        self._kept: tuple[Sequence[int], dict[str, Worked]] = ((), {})

    def get(self, uids: Sequence[int], name: str) -> Worked | None:
        """What is known of just these messages."""
        known, values = self._kept
        return values.get(name) if known is uids else None

    def keep(self, uids: Sequence[int], name: str, value: Worked) -> None:
        """Remember something that these messages have for as long as they are the same."""
        octets = len(value) * (value.itemsize if isinstance(value, array) else 1)
        if octets > OCTETS_MAX:
            return
        known, values = self._kept
        kept = {**values, name: value} if known is uids else {name: value}
        if len(kept) > VALUES_MAX:
            del kept[next(iter(kept))]
        self._kept = (uids, kept)
