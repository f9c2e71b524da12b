"""What all mailboxes of an account hold, counted without looking where nothing happened.

Of a mailbox that is open and fresh the sum is in memory. Of another it is remembered together with
the times of its directories (or time and size of the file): while these stay, so does the sum,
whoever may have the mail in hand. Only what has changed is opened, and what is new in it looked
at. What is remembered is in the cache, too, so that not even a start costs more.

Takes no lock while it counts but the account's for each mailbox it opens, so two threads may do
the same work at once, with the same result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from weakref import WeakKeyDictionary

from maa.limits import Usage
from maa.store.errors import MailboxGone, MailboxNotFound, MessageGone, StoreError
from maa.store.maildrop import GRANULARITY_NS, Maildrop
from maa.store.tally import Tally

if TYPE_CHECKING:
    from maa.store.folders import Folder
    from maa.store.mailbox import Mailbox

ITEM: Final = "usage/1"
"""Cache item of UID 0, which no message has: octets, messages and the stamp's numbers, as JSON."""


class Mailboxes(Protocol):
    """`maa.store.account.Account`, as far as it is used here."""

    def everything(self) -> Sequence[Folder | None]:
        """Every mailbox; None is INBOX. May block."""

    def opened_folder(self, folder: Folder | None) -> Mailbox | None:
        """The mailbox, if it is open and fresh; memory only."""

    def open_folder(self, folder: Folder | None, *, keep: bool) -> Mailbox:
        """The mailbox, up to date; `keep`: it is likely to be asked for again soon."""

    def maildrop(self, folder: Folder | None) -> Maildrop:
        """The files of a mailbox."""

    def remembered(self, folder: Folder | None, item: str) -> bytes:
        """What the cache has of a mailbox as a whole."""


@dataclass(frozen=True, slots=True)
class _Counted:
    stamp: tuple[int, ...]
    usage: Usage

    def packed(self) -> bytes:
        return json.dumps([self.usage.octets, self.usage.messages, *self.stamp]).encode("ascii")

    @classmethod
    def unpacked(cls, data: bytes) -> _Counted | None:
        try:
            octets, messages, *stamp = map(int, json.loads(data))
        except (ValueError, TypeError, OverflowError, RecursionError):
            return None  # nothing was remembered, or nonsense
        return cls(tuple(stamp), Usage(octets, messages))


class Census:
    """The sum of all mailboxes of one account; may block, from any thread."""

    def __init__(self, mailboxes: Mailboxes) -> None:
        self._mailboxes = mailboxes
        self._known: dict[str, _Counted] = {}
        self._tallies: WeakKeyDictionary[Mailbox, Tally] = WeakKeyDictionary()

    def usage(self) -> Usage:
        """What there is now; what another program is just changing may be seen next time."""
        total = Usage()
        folders = self._mailboxes.everything()
        for folder in folders:
            total += self._of(folder)
        if len(self._known) > len(folders):
            there = {_path(folder) for folder in folders}
            self._known = {path: known for path, known in self._known.items() if path in there}
        return total

    def _of(self, folder: Folder | None) -> Usage:
        mailbox = self._mailboxes.opened_folder(folder)
        if mailbox is not None:
            return self._tallied(mailbox)
        path = _path(folder)
        known = self._known.get(path) or _Counted.unpacked(self._mailboxes.remembered(folder, ITEM))
        try:
            stamp = self._mailboxes.maildrop(folder).stamp()
            if known is None or known.stamp != stamp:
                known = self._looked(folder, stamp)
        except (MailboxGone, MailboxNotFound, MessageGone):
            return Usage()  # it is just going
        except StoreError:
            # Logged where it was raised. A mailbox that cannot be read is no reason to bring
            # nothing into another.
            return Usage() if known is None else known.usage
        if known.stamp:
            self._known[path] = known
        return known.usage

    def _looked(self, folder: Folder | None, stamp: tuple[int, ...]) -> _Counted:
        settled = time.time_ns() - max(stamp) > GRANULARITY_NS
        mailbox = self._mailboxes.open_folder(folder, keep=not settled)
        usage = self._tallied(mailbox)
        if not settled:
            return _Counted((), usage)
        counted = _Counted(stamp, usage)
        mailbox.remember(ITEM, {0: counted.packed()})
        return counted

    def _tallied(self, mailbox: Mailbox) -> Usage:
        tally = self._tallies.get(mailbox)
        if tally is None:
            tally = self._tallies.setdefault(mailbox, Tally())
        return tally.usage(mailbox)


def _path(folder: Folder | None) -> str:
    return "" if folder is None else folder.path
