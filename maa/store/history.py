"""The newest changes of a mailbox, so that nobody looks for them among all its messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from maa.store.snapshot import Snapshot

CHANGES_KEPT: Final = 256
UIDS_KEPT: Final = 50_000
"""Of all changes together: of more messages, a look at each is as good."""


class History:
    """Which messages got which mod-sequence, as far back as is worth it; memory only.

    Written under the account's lock, read from any thread.
    """

    def __init__(self, begin: int) -> None:
        """Whatever comes has a mod-sequence above `begin`."""
        self._changes: deque[tuple[int, Sequence[int]]] = deque()
        self._uids = 0
        self._begin = begin

    def add(self, changes: Iterable[tuple[int, Sequence[int]]]) -> None:
        """(mod-sequence, UIDs that got it, as arrivals or with other flags), ascending."""
        for change in changes:
            self._changes.append(change)
            self._uids += len(change[1])
        while len(self._changes) > CHANGES_KEPT or self._uids > UIDS_KEPT:
            self._begin, uids = self._changes.popleft()
            self._uids -= len(uids)

    def reaches(self, modseq: int) -> bool:
        """Whether all that came after a mod-sequence is known here."""
        return self._begin <= modseq

    def since(self, modseq: int, snapshot: Snapshot) -> Sequence[int]:
        """UIDs with a greater mod-sequence, ascending; some may be gone, or newer than it."""
        changes = tuple(self._changes)
        if self.reaches(modseq):  # asked after the copy was made
            return sorted({uid for at, uids in changes if at > modseq for uid in uids})
        return [snapshot.uids[p] for p, at in enumerate(snapshot.modseqs) if at > modseq]
