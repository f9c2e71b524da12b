"""Which messages of a mailbox nobody was told of as \\Recent yet (RFC 3501 §2.3.2; R081)."""

from __future__ import annotations

import threading

from maa.store.shared import Shared


class Recent:
    """The UIDs from `first` on are recent for whoever asks next, of all processes' sessions."""

    def __init__(self, shared: Shared, mailbox_id: int, uidvalidity: int) -> None:
        """Nothing was claimed as far as is known."""
        self.first = 1
        self._shared = shared
        self._slot = (mailbox_id, uidvalidity)
        self._lock = threading.Lock()
        self._claimed = False

    def known(self, first: int) -> None:
        """The index has it that all below were told of."""
        self.first = max(self.first, first)

    def lowest(self, uidnext: int) -> int:
        """The lowest UID that nobody was told of; memory only."""
        if self.first < uidnext:
            self.known(self._shared.first_recent(*self._slot))
        return self.first

    def claim(self, uidnext: int) -> tuple[int, int]:
        """Take all that is left below `uidnext`, as [low, high); never waits long."""
        with self._lock:
            low = self.lowest(uidnext)
            if low < uidnext:
                # Another process may be faster: then what is left is nothing.
                low = self._shared.claim_recent(*self._slot, low, uidnext)
                self.first = max(low, uidnext)
                self._claimed = True
        return low, uidnext

    def claims(self) -> bool:
        """Whether anything was claimed since this was asked: the index is still to hear of it."""
        claimed, self._claimed = self._claimed, False
        return claimed
