"""From inotify to the sessions that wait: a mailbox that somebody watches is looked at again.

The reactor drains the queue as soon as it is readable. A mark of a mailbox with listeners comes
here (`Mailbox.on_stale`), from whatever thread drained; the mailbox is synced on a worker
thread, and its listeners, woken by `Mailbox`, are poked by their pumps. A poke carries no
data, so a lost or doubled one does no harm.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

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

    @property
    def watched(self) -> bool:
        """Hints come for it."""

    def fresh(self) -> bool:
        """Nothing has happened on disk since it was read."""

    def sync(self) -> object:
        """Read it again. May block."""


class Untidy(Protocol):
    """`maa.store.mailbox.Mailbox`, as far as it is used here."""

    def tidy(self) -> bool:
        """Do some of what was put off; whether more is left. May block."""


Box = TypeVar("Box")
Watchable = TypeVar("Watchable", bound=Stale)


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


class Chores(Generic[Box]):
    """Does one kind of work for mailboxes on worker threads; at most one job of each waits."""

    def __init__(
        self,
        lane: Lane,
        work: Callable[[Box], bool],
        later: Callable[[Callable[[], None]], object] = lambda begin: begin(),
    ) -> None:
        """`work` may block, and says whether there is more of it.

        `later` calls what it is given when the work may begin, at once or in a while; it is
        asked on any thread, and must not block.
        """
        self._lane = lane
        self._work = work
        self._later = later
        self._changing = threading.Lock()
        self._due: dict[int, Box] = {}

    def put(self, mailbox: Box) -> None:
        """Have the work done soon; from any thread, never blocks."""
        if self._is_new(mailbox):
            self._later(lambda: self._begin(mailbox))

    def hurry(self) -> None:
        """Begin at once with all that waits: the lane is about to stop."""
        with self._changing:
            due = list(self._due.values())
        for mailbox in due:
            self._begin(mailbox)

    def _is_new(self, mailbox: Box) -> bool:
        with self._changing:
            if id(mailbox) in self._due:
                return False
            self._due[id(mailbox)] = mailbox
            return True

    def _begin(self, mailbox: Box) -> None:
        self._lane.put(lambda: self._do(mailbox))

    def _do(self, mailbox: Box) -> None:
        # What comes from here on may find nothing to do; what came before is done below.
        with self._changing:
            if self._due.pop(id(mailbox), None) is None:
                return  # it was hurried, and is done
        try:
            if self._work(mailbox) and self._is_new(mailbox):
                self._begin(mailbox)
        except StoreError as error:
            _log.info("a mailbox could not be looked after: %s", error)


def unwatched(mailboxes: Iterable[Watchable]) -> list[Watchable]:
    """Those that somebody has to look at now and then, because no hints come (NFS; R246)."""
    return [mailbox for mailbox in mailboxes if not mailbox.watched]


def synced(mailbox: Stale) -> bool:
    """Read a stale mailbox again; whether it went stale meanwhile."""
    mailbox.sync()
    # Without hints it is never known to be fresh: the server's rounds come back to it.
    return mailbox.watched and not mailbox.fresh()


def tidied(mailbox: Untidy) -> bool:
    """Do some of what a mailbox put off until after a reply; whether more is left."""
    return mailbox.tidy()
