"""From inotify to the sessions that wait: a mailbox that somebody watches is looked at again.

The reactor drains the queue as soon as it is readable. A mark of a mailbox with listeners comes
here (`Mailbox.on_stale`), from whatever thread drained; the mailbox is synced on a worker
thread, and its listeners, woken by `Mailbox`, are poked by their pumps. A poke carries no
data, so a lost or doubled one does no harm.
"""

from __future__ import annotations

import logging
import threading
from typing import Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from maa.store.errors import StoreError
from maa.transport.lanes import Lane

_log = logging.getLogger(__name__)


class Hints(Protocol):
    """`maa.store.watch.Watcher`, as far as it is used here."""

    def fileno(self) -> int:
        """Readable when there are hints."""

    def drain(self) -> None:
        """Pass all hints on, without blocking."""


class Stale(Protocol):
    """`maa.store.mailbox.Mailbox`, as far as it is used here."""

    def fresh(self) -> bool:
        """Nothing has happened on disk since it was read."""

    def sync(self) -> object:
        """Read it again. May block."""


@implementer(IReadDescriptor)
class HintReader:
    """Lets the reactor drain the hints."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints

    def fileno(self) -> int:
        """The queue's descriptor."""
        return self._hints.fileno()

    def doRead(self) -> None:
        """There are hints."""
        self._hints.drain()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor stops reading; the queue is closed by whoever opened it."""

    def logPrefix(self) -> str:
        """For Twisted's log."""
        return "hints"


class Resync:
    """Syncs stale mailboxes on worker threads, one sync of a mailbox at a time."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._changing = threading.Lock()
        self._due: dict[int, Stale] = {}

    def stale(self, mailbox: Stale) -> None:
        """Have the mailbox synced soon; from any thread, never blocks."""
        with self._changing:
            if id(mailbox) in self._due:
                return
            self._due[id(mailbox)] = mailbox
        self._lane.put(lambda: self._sync(mailbox))

    def _sync(self, mailbox: Stale) -> None:
        try:
            mailbox.sync()
        except StoreError as error:
            _log.info("a watched mailbox cannot be read: %s", error)
            with self._changing:
                del self._due[id(mailbox)]
            return
        # What came meanwhile was refused above, so it is looked for after the refusing ends.
        with self._changing:
            del self._due[id(mailbox)]
        if not mailbox.fresh():
            self.stale(mailbox)
