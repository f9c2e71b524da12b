"""One user's mailboxes adopted: looked at (`Adoption`), then put into the index (`adopt`).

A mailbox is one transaction, so a crash leaves it adopted or not, and the next run goes on. It
gets a new id: whoever has the old one open, in this process or another, finds it gone, as after
DELETE (R058). While POP3 sessions hold the maildrop nothing is adopted, for their numbers are
fixed.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from maa.message.flags import Flags, interned, is_system
from maa.store import names
from maa.store.account import Account
from maa.store.adopt.gather import Options, gather, read_file
from maa.store.adopt.plan import Known, Plan, Verdict, planned
from maa.store.errors import InvalidName, MailboxGone, MessageGone, TooManyKeywords
from maa.store.foreign import courier, dovecot, uw
from maa.store.index import Adopted, Counters, DetailRow, Index
from maa.store.maildrop import Maildrop
from maa.store.maildrops import folders_of, maildrop_of
from maa.store.names import INBOX, key
from maa.store.places import MBOX_FORMATS, MailPaths
from maa.store.snapshot import FlagTable

ADOPTED: Final = "adopted"
"""The setting that says that subscriptions were taken over."""

Given = Callable[[int], Counters | None]


def _nothing(uidvalidity: int) -> Counters | None:
    return None


@dataclass(frozen=True, slots=True)
class Adoption:
    """What there is of one user's to adopt. Every method reads the disk as the user."""

    paths: MailPaths
    home: str
    options: Options
    state: str
    """The account's state directory; one that is not there is not made."""

    def mailboxes(self) -> list[tuple[str, Maildrop]]:
        """Every mailbox, INBOX first."""
        paths = self.paths
        found: list[tuple[str, Maildrop]] = []
        if os.path.exists(paths.inbox):
            found.append((INBOX, maildrop_of(paths, self.state, None)))
        if os.path.isdir(paths.folders):
            found += [
                (folder.name, maildrop_of(paths, self.state, folder.path))
                for _, folder in sorted(folders_of(paths).scan().folders.items())
            ]
        return found

    def plan(self, name: str, maildrop: Maildrop, known: Known, given: Given = _nothing) -> Plan:
        """What adopting the mailbox would do."""
        places = sorted(maildrop.scan().places)
        places.sort(key=maildrop.order)
        inbox = name == INBOX
        old = gather(maildrop, places, self.options, inbox, self.paths.folders)
        before = given(old.uidvalidity) if old.uidvalidity else None
        return planned(
            name, old, known, maildrop, places, before,
            inbox=inbox, replace=self.options.replace,
        )  # fmt: skip

    def plans(self, index: Index | None) -> list[Plan]:
        """Of every mailbox; what `index` has of it, if there is one, is regarded."""
        found = []
        for name, maildrop in self.mailboxes():
            known = Known() if index is None else known_of(index, name)
            with suppress(MailboxGone, MessageGone):  # just removed
                found.append(self.plan(name, maildrop, known))
        return found

    def subscriptions(self) -> list[str] | None:
        """The names that were subscribed with the old server; None: it left no list."""
        folders = self.paths.folders
        separator = "/" if self.paths.folders_format in MBOX_FORMATS else "."
        for source, path, read in (
            ("dovecot", f"{folders}/subscriptions", lambda data: self._dovecot(data, separator)),
            ("dovecot", f"{folders}/.subscriptions", lambda data: self._dovecot(data, separator)),
            ("courier", f"{folders}/{courier.SUBSCRIBED}", _courier),
            ("uw", f"{self.home}/{uw.SUBSCRIPTIONS}", self._uw),
        ):
            if self.options.source not in ("auto", source):
                continue
            data = read_file(path)
            if data is not None:
                found = [_usable(name) for name in read(data)]
                return [name for name in found if name]
        return None

    def _dovecot(self, data: bytes, separator: str) -> list[str]:
        found = dovecot.subscriptions(data, separator)
        return [self._without_prefix(_inner(name.split("\0"), separator)) for name in found]

    def _without_prefix(self, name: str) -> str:
        """Dovecot may have had Courier's prefix; or there are folders below INBOX."""
        there = os.path.isdir(os.path.join(self.paths.folders, names.directory(name)))
        return name if there else name.removeprefix(courier.PREFIX)

    def _uw(self, data: bytes) -> list[str]:
        below = os.path.relpath(self.paths.folders, self.home) + "/"
        found = [name.removeprefix("~/").removeprefix(below) for name in uw.mailboxlist(data)]
        return [_inner(name.split("/"), "/") for name in found]

    def last_uidvalidity(self) -> int:
        """The greatest UIDVALIDITY that Dovecot gave; 0: not known."""
        for path in (self.paths.folders, f"{self.paths.folders}/.imap"):
            data = read_file(f"{path}/{dovecot.UIDVALIDITY}")
            if data is not None:
                return dovecot.last_uidvalidity(data)
        return 0


def _courier(data: bytes) -> list[str]:
    return [names.decoded(name).removeprefix(courier.PREFIX) for name in courier.subscribed(data)]


def _inner(elements: list[str], separator: str) -> str:
    """A name as the store has it: see `names.swapped`."""
    name = separator.join(elements)
    return names.swapped(name) if separator == "/" else name


def _usable(name: str) -> str:
    try:
        return names.checked(name)
    except InvalidName:
        return ""


def known_of(index: Index, name: str) -> Known:
    """What an index has of a mailbox."""
    rows = [row for row in index.mailboxes().values() if key(row.name) == key(name)]
    if not rows:
        return Known()
    (row,) = rows
    sets = dict(index.flag_sets())
    messages = [
        (uid, place, interned(sets.get(number, "").split()))
        for uid, place, number, _ in index.messages(row.id)
    ]
    return Known(row, index.counters(row.id), messages, index.uidls(row.id))


def adopt(account: Account, adoption: Adoption, seen: Sequence[Plan], *, new: bool) -> list[Plan]:
    """Adopt every mailbox, and then the subscriptions; what was done with each.

    `seen` is what was planned before; each plan is made again while nobody can change anything.
    `new`: no client of maa's has seen the account yet. MaildropInUse, NoSpace, Unavailable.
    """
    ledger = account.ledger
    done = []
    with account.hold_maildrop():
        with ledger.held():
            adopting = _Adopting.of(account, adoption, seen)
            mailboxes = adoption.mailboxes()
        for name, maildrop in mailboxes:
            # The lock is given back between two mailboxes, for users who are being served.
            with ledger.held(), suppress(MailboxGone, MessageGone):
                done.append(adopting.one(name, maildrop))
        with ledger.held():
            _subscribe(ledger.index, adoption, {key(plan.name) for plan in seen if new})
    return done


@dataclass(frozen=True, slots=True)
class _Adopting:
    """What holds for all mailboxes of an account while they are adopted; the ledger is held."""

    account: Account
    adoption: Adoption
    given_before: Mapping[int, Counters | None]
    """By UIDVALIDITY, from before the first of those that share it was adopted."""
    shared: Container[int]
    """UIDVALIDITYs of several mailboxes: Courier gives one to all that are new in a second."""
    above: int

    @classmethod
    def of(cls, account: Account, adoption: Adoption, seen: Sequence[Plan]) -> _Adopting:
        index = account.ledger.index
        old = {key(plan.name): plan.uidvalidity for plan in seen if plan.uidvalidity}
        rows = {key(row.name): row.uidvalidity for row in index.mailboxes().values()}
        count = Counter((rows | old).values())
        return cls(
            account,
            adoption,
            {uidvalidity: index.given(uidvalidity) for uidvalidity in old.values()},
            {uidvalidity for uidvalidity, times in count.items() if times > 1},
            adoption.last_uidvalidity(),
        )

    def given(self, uidvalidity: int) -> Counters | None:
        """Numbers greater than those that maa gave under a UIDVALIDITY before."""
        if uidvalidity in self.given_before:
            return self.given_before[uidvalidity]
        return self.account.ledger.index.given(uidvalidity)

    def one(self, name: str, maildrop: Maildrop) -> Plan:
        """Adopt a mailbox, if its plan is to do so."""
        index = self.account.ledger.index
        known = known_of(index, name)
        plan = self.adoption.plan(name, maildrop, known, self.given)
        if plan.verdict is Verdict.TAKE and not plan.uidvalidity:
            index.create_mailbox(name)
            known = known_of(index, name)
            plan = self.adoption.plan(name, maildrop, known, self.given)
        if plan.verdict is Verdict.TAKE:
            self._take(plan, known, maildrop)
        return plan

    def _take(self, plan: Plan, known: Known, maildrop: Maildrop) -> None:
        ledger, row = self.account.ledger, known.row
        modseq = _above_all(known, ledger.index.given(plan.uidvalidity))
        adopted = Adopted(
            plan.name if row is None else row.name,
            None if row is None else row.id,
            plan.uidvalidity,
            plan.uidvalidity in self.shared,
            [
                (uid, place, _number(ledger.table, flags), modseq)
                for uid, place, flags in plan.messages
            ],
            list(plan.uidls.items()),
            Counters(plan.uidnext, modseq, plan.uidnext),
            self._details(plan, known, maildrop),
            self.above,
        )
        if row is not None:
            ledger.bulletin.post(row.id, None)
        ledger.index.adopt_mailbox(adopted)
        if row is not None:
            ledger.cache.forget(row.id, None)
        self.account.replaced(plan.name)

    def _details(self, plan: Plan, known: Known, maildrop: Maildrop) -> list[DetailRow]:
        """SAVEDATE and EMAILID of messages that maa had before: they never change (RFC 8474)."""
        row = known.row
        if row is None:
            return []
        before = {maildrop.key(place): uid for uid, place, _ in known.messages}
        rows = self.account.ledger.index.details(row.id, [uid for uid, _, _ in known.messages])
        had = {uid: (saved, email_id or row.email_id(uid)) for uid, saved, email_id in rows}
        return [
            (uid, *had[before[key_]])
            for uid, place, _ in plan.messages
            if (key_ := maildrop.key(place)) in before
        ]


def _above_all(known: Known, given: Counters | None) -> int:
    """A mod-sequence above any that maa or the old server gave.

    Theirs are not in the files that are read; but they count changes, and no mailbox had one a
    second ever since the epoch (R176).
    """
    before = max(known.counters.highest_modseq, given.highest_modseq if given else 0)
    return max(before + 1, int(time.time()))


def _number(table: FlagTable, flags: Flags) -> int:
    flags = table.spelled(flags)
    try:
        table.check(flags)
    except TooManyKeywords:
        flags = interned(flag for flag in flags if is_system(flag))
    return table.number(flags)


def _subscribe(index: Index, adoption: Adoption, found: Set[str]) -> None:
    """Take the list over; of mailboxes that maa subscribed when it `found` them, others go."""
    wanted = adoption.subscriptions()
    if wanted is None or index.get_setting(ADOPTED) is not None:
        return
    chosen = {INBOX, *map(key, wanted)}
    for name in index.subscriptions():
        if key(name) in found - chosen:
            index.unsubscribe(name)
    for name in wanted:
        index.subscribe(name)
    index.set_setting(ADOPTED, "subscriptions")
