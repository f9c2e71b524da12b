"""A user's quota: who may still bring messages in (RFC 9208), and how many.

It covers every mailbox of the user. What an MDA delivers is the MDA's to refuse, and counts; what
a client brings is refused when it does not fit: an APPEND before it is sent, as far as others
that are being sent leave no room, and again with the account's lock held, when it is whole. That
lock is one among all processes, so of two that fit singly only the first gets in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from maa.limits import Limits, Usage
from maa.store.census import Census
from maa.store.errors import OverQuota
from maa.store.maildirsize import NAME, Maildirsize
from maa.store.watch import Watch, Watcher

if TYPE_CHECKING:
    from maa.store.identity import Identity
    from maa.store.mailbox import Mailbox

TRASH_PERCENT: Final = 10
"""So much above the quota COPY may fill Trash: many clients copy there before they delete."""

Admit = Callable[[Usage], None]
"""Asked with the account's lock held whether so much may come in; OverQuota."""


class Quota:
    """One account's quota. `unlimited` is memory only; everything else may block."""

    def __init__(
        self,
        configured: Limits | None,
        root: str | None,
        census: Census,
        identity: Identity,
        watcher: Watcher,
    ) -> None:
        """`configured` None: the file `maildirsize` in the Maildir `root`, if any, has it."""
        self._limits = configured
        self._file = None if root is None or configured is not None else Maildirsize(root)
        self._root = root
        if self._file is None and configured is None:
            self._limits = Limits()
        self._census = census
        self._identity = identity
        self._watcher = watcher
        self._watch: Watch | None = None
        # For what follows; nobody waits for anything inside.
        self._lock = threading.Lock()
        self._marks = 0
        self._reserved = Usage()

    @property
    def unlimited(self) -> bool:
        """Whether it is known that there is no quota; drain the watcher before."""
        limits = self._limits
        return limits is not None and limits.absent and self._trusted

    @property
    def _trusted(self) -> bool:
        return self._file is None or (self._watch is not None and self._watch.live)

    def limits(self) -> Limits:
        """The limits as they are now."""
        if self._file is None and self._limits is not None:
            return self._limits
        self._watcher.drain()
        if self._limits is None or not self._trusted:
            return self._read()
        return self._limits

    def _read(self) -> Limits:
        assert self._file is not None  # else they are configured
        with self._identity:
            if not self._trusted:
                if self._watch is not None:
                    self._watcher.remove(self._watch)
                self._watch = self._watcher.add(f"{self._root}/.", self._mark)
            marks = self._marks
            limits = self._file.limits()
        with self._lock:
            if marks == self._marks:  # else it may have been read too early
                self._limits = limits
        return limits

    def _mark(self, name: str) -> None:
        if name in ("", NAME):
            with self._lock:
                self._marks += 1
                self._limits = None

    def usage(self) -> Usage:
        """What all mailboxes hold."""
        with self._identity:
            return self._census.usage()

    def reserve(self, octets: int, leaving: Callable[[], Usage] = Usage) -> Reservation:
        """Room for a message that is about to be sent; OverQuota. `release` it, whatever comes.

        `leaving`: what goes when it comes, so that the rest alone needs room (RFC 8508 §3.4).
        """
        limits = self.limits()
        if limits.absent:
            return Reservation(self, Usage(), None)
        message, less = Usage(octets, 1), leaving()
        usage = self.usage()
        with self._lock:
            _check(limits, usage + self._reserved, message - less)
            self._reserved += message
        return Reservation(self, message, partial(self._admit, limits, less))

    def admission(self, target: Mailbox) -> Admit | None:
        """Who is to ask whether copies may come in; None: nobody need."""
        limits = self.limits()
        if limits.absent:
            return None
        self.usage()  # what takes long is done before the lock is taken
        if target.row.use == "\\Trash":
            limits = limits.plus_percent(TRASH_PERCENT)
        return partial(self._admit, limits, Usage())

    def _admit(self, limits: Limits, leaving: Usage, coming: Usage) -> None:
        _check(limits, self.usage(), coming - leaving)

    def release(self, message: Usage) -> None:
        """Give back what was reserved."""
        with self._lock:
            self._reserved -= message


class Reservation:
    """Room for one message while it is being received."""

    def __init__(self, quota: Quota, message: Usage, admit: Admit | None) -> None:
        self._quota = quota
        self._message = message
        self.admit = admit
        """To be asked once more when the message is whole."""

    def release(self) -> None:
        """Give the room back; memory only. Doing so twice is no error."""
        message, self._message = self._message, Usage()
        if message != Usage():
            self._quota.release(message)


def _check(limits: Limits, usage: Usage, more: Usage) -> None:
    """OverQuota; a limit that is exceeded already does not hinder what takes nothing more."""
    concerned = Limits(
        limits.octets if more.octets > 0 else None,
        limits.messages if more.messages > 0 else None,
    )
    if concerned.exceeded_by(usage + more):
        raise OverQuota("the quota leaves no room")
