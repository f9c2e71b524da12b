"""What one session watches for its client, and what it was told of it last (RFC 5465).

A mailbox that is watched is open and listened to, as the selected one is in IDLE: hints of the
disk and of other processes have it read again, and whoever listens is poked. The list of
mailboxes and the subscriptions are listened to at the account. A poke carries no data: what is
to be told comes of comparing what there is with what was told.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from maa.conversation import SLOW, Step
from maa.imap.listing import attributes
from maa.imap.notify_command import Group, Which
from maa.imap.responses import mailbox as rendered_name
from maa.imap.responses import parenthesised, string
from maa.imap.states import Enabled
from maa.message.numbers import NumberSet
from maa.store.account import Account, Listed
from maa.store.errors import StoreError
from maa.store.mailbox import Mailbox
from maa.store.names import key
from maa.store.snapshot import Snapshot
from maa.store.view import View

WATCHED_MAX: Final = 256
"""Mailboxes of one session: each is open, in memory, and has the kernel watch directories."""

_log = logging.getLogger(__name__)


class Overflow(Exception):
    """More is to be watched than one session may."""


@dataclass(slots=True)
class _Seen:
    """A mailbox that is watched."""

    mailbox: Mailbox
    snapshot: Snapshot
    """What the client was told of last."""


@dataclass(frozen=True, slots=True)
class _Name:
    """A line of LIST, and which mailbox it is."""

    words: tuple[bytes, ...]
    object_id: str | None
    selectable: bool


class Watching:
    """The groups of events of one NOTIFY; `close` it."""

    def __init__(self, account: Account, groups: Iterable[Group], wake: Callable[[], None]) -> None:
        self.selected: Group | None = None
        self.enabled = Enabled()
        """How names are spelled, and whether STATUS tells mod-sequences."""
        self._account = account
        self._groups: list[Group] = []
        for group in groups:
            if group.which in (Which.SELECTED, Which.DELAYED):
                self.selected = group
            elif group.events:
                self._groups.append(group)
        self._keys = {id(group): frozenset(map(key, group.names)) for group in self._groups}
        self._wake = wake
        self._attended: Mailbox | None = None
        self._fetched = 0
        self._brought: list[NumberSet] = []
        self._seen: dict[str, _Seen] = {}
        self._names: dict[str, _Name] = {}
        self._subscribed: frozenset[str] = frozenset()
        self._doubted = False
        self._own: set[str] = set()

    @property
    def quiet(self) -> bool:
        """Of messages in the selected mailbox nothing is to be told (RFC 5465 §3.1)."""
        return self.selected is None or not self.selected.messages

    # --- memory only

    def _poke(self) -> None:
        self._wake()

    def _names_changed(self) -> None:
        self._doubted = True
        self._wake()

    def attend(self, mailbox: Mailbox | None, view: View | None) -> None:
        """This is the selected mailbox now: of it no STATUS is told, and nothing to the quiet."""
        if mailbox is self._attended:
            return
        self._unlisten(self._attended)
        self._attended = mailbox
        if mailbox is not None and view is not None:
            if not self.quiet:
                mailbox.listen(self._poke)
            self._fetched = view.snapshot.uidnext

    def brought_by_client(self, uids: NumberSet) -> None:
        """The client has put these messages into the selected mailbox, and knows them."""
        self._brought.append(uids)

    def unfetched(self, view: View) -> NumberSet | None:
        """The numbers of messages that are new to the client; none of the view is any more."""
        low, self._fetched = self._fetched, view.snapshot.uidnext
        brought, self._brought = self._brought, []
        known = {at for uids in brought for at in uids.positions_of_uids(view.uids)}
        new = (at for at in range(bisect_left(view.uids, low), len(view.uids)) if at not in known)
        numbers = tuple((at + 1, at + 1) for at in new)
        return NumberSet(numbers) if numbers else None

    def done_by_client(self, names: Iterable[str]) -> None:
        """The client itself does something to these names, and need not be told."""
        for name in names:
            while name:
                self._own.add(key(name))
                name = name.rpartition(self._account.separator)[0]

    def close(self) -> None:
        """Watch nothing any more."""
        self._account.unlisten(self._names_changed)
        self._unlisten(self._attended)
        self._attended = None
        for name in tuple(self._seen):
            self._drop(name)

    def _unlisten(self, mailbox: Mailbox | None) -> None:
        if mailbox is not None and all(seen.mailbox is not mailbox for seen in self._seen.values()):
            mailbox.unlisten(self._poke)

    def _drop(self, name: str) -> None:
        seen = self._seen.pop(name)
        if seen.mailbox is not self._attended:
            seen.mailbox.unlisten(self._poke)

    def _wants(self, name: str) -> tuple[bool, bool]:
        """Whether arrivals and expunges, and whether flags are told of another mailbox."""
        groups = list(self._of(name, self._subscribed))
        return any(group.messages for group in groups), any(group.flags for group in groups)

    def _tells(self, name: str, event: bytes, subscribed: frozenset[str]) -> bool:
        return any(event in group.events for group in self._of(name, subscribed))

    def _of(self, name: str, subscribed: frozenset[str]) -> Iterator[Group]:
        """The groups of events that are about a mailbox (RFC 5465 §6)."""
        name = key(name)
        for group in self._groups:
            keys = self._keys[id(group)]
            match group.which:
                case Which.PERSONAL | Which.INBOXES:  # any may have mail delivered to it
                    yield group
                case Which.SUBSCRIBED if name in subscribed:
                    yield group
                case Which.MAILBOXES if name in keys:
                    yield group
                case Which.SUBTREE if not keys.isdisjoint(self._with_parents(name)):
                    yield group

    def _with_parents(self, name: str) -> Iterator[str]:
        while name:
            yield name
            name = name.rpartition(self._account.separator)[0]

    # --- what may block

    def begin(self, status: bool) -> Generator[Step, None, None]:
        """Learn what there is; `status`: and tell it. Overflow."""
        if not self._groups:
            return
        yield SLOW
        self._account.listen(self._names_changed)
        self._names, self._subscribed = self._read()
        yield from self._open()
        if status:
            for name, seen in self._seen.items():
                if seen.mailbox is not self._attended:
                    new, flags = self._wants(name)
                    yield self._status(name, seen.snapshot, new, flags, whole=True)

    def changes(self) -> Generator[Step, None, None]:
        """Tell what happened to all but the selected mailbox. Overflow, StoreError."""
        if not self._groups:
            return
        if self._doubted or any(seen.mailbox.gone for seen in self._seen.values()):
            yield SLOW
            self._doubted = False
            lines = self._name_lines()
            if lines:
                yield lines
                yield SLOW
            yield from self._open()
        for name, seen in self._seen.items():
            before, now = seen.snapshot, seen.mailbox.snapshot
            if before is now:
                continue
            seen.snapshot = now
            if seen.mailbox is self._attended:
                continue
            wants_new, wants_flags = self._wants(name)
            if wants_new and (len(before), before.uidnext) != (len(now), now.uidnext):
                yield self._status(name, now, True, False)
            elif wants_flags and (self.enabled.condstore or before.unseen != now.unseen):
                yield self._status(name, now, False, True)

    def _status(
        self, name: str, now: Snapshot, new: bool, flags: bool, whole: bool = False
    ) -> bytes:
        """STATUS with what the events ask for (RFC 5465 §3.1, §5.1-3)."""
        items = []
        if new:
            items += [b"MESSAGES %d" % len(now), b"UIDNEXT %d" % now.uidnext]
        if whole or flags:
            items.append(b"UIDVALIDITY %d" % now.uidvalidity)
        if flags:
            items.append(b"UNSEEN %d" % now.unseen)
        if self.enabled.condstore or (whole and flags):
            items.append(b"HIGHESTMODSEQ %d" % now.highest_modseq)
        return b"* STATUS %b %b\r\n" % (self._spelled(name), parenthesised(items))

    def _spelled(self, name: str) -> bytes:
        return rendered_name(name, self.enabled.unicode)

    # --- mailboxes

    def _open(self) -> Generator[Step, None, None]:
        """Watch the mailboxes that are to be watched, and no others."""
        wanted = [
            name for name, known in self._names.items() if known.selectable and self._wants(name)[0]
        ]
        if len(wanted) > WATCHED_MAX:
            raise Overflow
        for name in self._seen.keys() - frozenset(wanted):
            self._drop(name)
        for name in wanted:
            seen = self._seen.get(name)
            if seen is not None and not seen.mailbox.gone:
                continue
            yield SLOW
            if seen is not None:
                self._drop(name)
            try:
                mailbox = self._account.open(name)
                self._seen[name] = _Seen(mailbox, mailbox.snapshot)
                mailbox.listen(self._poke)
                if not mailbox.fresh():  # before anybody listened: nobody would look
                    mailbox.sync()
            except StoreError as error:
                _log.info("%s cannot be watched: %s", name, error)
                continue
            if seen is not None and seen.mailbox.uidvalidity != mailbox.uidvalidity:
                yield self._status(name, mailbox.snapshot, True, False, whole=True)

    # --- names

    def _read(self) -> tuple[dict[str, _Name], frozenset[str]]:
        ids = self._account.object_ids()
        names = {
            listed.name: _Name(_words(listed), ids.get(key(listed.name)), listed.selectable)
            for listed in self._account.mailboxes()
        }
        return names, frozenset(map(key, self._account.subscriptions()))

    def _name_lines(self) -> bytes:
        """LIST of the names that others made, removed, renamed or (un)subscribed."""
        old, before = self._names, self._subscribed
        new, subscribed = self._names, self._subscribed = self._read()
        either, own = before | subscribed, self._own
        self._own = set()
        renamed = _renamed(old, new)
        former = frozenset(renamed.values())
        touched = {
            name for name in old.keys() ^ new.keys() if name not in renamed and name not in former
        }
        parents = {name.rpartition(self._account.separator)[0] for name in touched} - {""}
        changed = {name for name in old.keys() & new.keys() if old[name].words != new[name].words}
        told: dict[str, str | None] = {
            name: None
            for name in touched | parents | changed
            if self._tells(name, b"MailboxName", either)
        }
        for name, source in renamed.items():
            parent, had = (one.rpartition(self._account.separator)[0] for one in (name, source))
            if renamed.get(parent) == had:
                continue  # it went with its parent (RFC 5465 §5.4)
            if any(self._tells(one, b"MailboxName", either) for one in (name, source)):
                told[name] = source
        spelled = {key(name): name for name in new}
        sources = {key(source) for source in told.values() if source}  # OLDNAME tells of them
        for name in (before ^ subscribed) - sources:
            if self._tells(name, b"SubscriptionChange", either):
                told.setdefault(spelled.get(name, name), None)
        lines = [self._line(name, told[name]) for name in sorted(told) if key(name) not in own]
        return b"".join(lines)

    def _line(self, name: str, source: str | None) -> bytes:
        known = self._names.get(name)
        words = [b"\\NonExistent"] if known is None else [*known.words]
        if key(name) in self._subscribed:
            words.append(b"\\Subscribed")
        extra = b"" if source is None else b' ("OLDNAME" (%b))' % self._spelled(source)
        separator = string(self._account.separator.encode("ascii"))
        values = (parenthesised(words), separator, self._spelled(name), extra)
        return b"* LIST %b %b %b%b\r\n" % values


def _words(listed: Listed) -> tuple[bytes, ...]:
    words = list(attributes(listed))
    if not listed.selectable:
        words[0] = b"\\NonExistent"  # which implies \Noselect (RFC 5258 §3.4)
    return tuple(words)


def _renamed(old: dict[str, _Name], new: dict[str, _Name]) -> dict[str, str]:
    """The names of mailboxes that had others before, and those."""
    gone = {old[name].object_id: name for name in old.keys() - new.keys()}
    gone.pop(None, None)
    come = {name: new[name].object_id for name in new.keys() - old.keys()}
    return {name: gone[object_id] for name, object_id in come.items() if object_id in gone}
