"""One mailbox: a maildrop and what the index knows of it, joined.

Order of writes, so that kill -9 between any two of them loses nothing (R247)
-----------------------------------------------------------------------------
* *A message comes in* (APPEND): it is written and flushed beside the mailbox, the index commits
  its UID, then it is moved to its place and the directory flushed; only then is the client
  told. A crash after the commit leaves a row whose file still waits in `tmp`: the next scan
  finds the row's message missing and settles it.
* *A message replaces another* (REPLACE): it comes in, then the other is expunged. A crash between
  leaves both.
* *Messages are brought from another mailbox* (COPY, MOVE): the index commits their UIDs and
  places, then the files are linked or renamed to those places. A crash between leaves rows
  without files, which the next scan expunges; a message being moved is always in one of the two
  mailboxes, with a row there.
* *A message is expunged*: the file goes first, the commit follows. A crash between leaves a
  row without a file, which the next scan expunges.
* *Flags change*: the index commits, the reply is sent, and the file is renamed behind it
  (`tidy`). A crash between leaves an old file name; the three-way merge knows that nobody
  changed it, and the index's flags stay.

What is known in memory, and every commit, is `maa.store.page`'s; what other programs do to the
files is followed by `maa.store.disk`; a mailbox is `fresh` when neither has anything to look at.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from maa.message.flags import Flags
from maa.message.numbers import MAX_NUMBER, NumberSet, Ranges
from maa.store import changing, reading
from maa.store.disk import Disk
from maa.store.errors import MailboxGone, MessageGone, NoSpace, StoreError
from maa.store.index import MailboxRow
from maa.store.ledger import Ledger
from maa.store.maildrop import Maildrop
from maa.store.memo import Memo
from maa.store.page import Fact, Page
from maa.store.snapshot import Copied, Snapshot, Stored, StoreMode, Unchanged
from maa.store.view import View

if TYPE_CHECKING:
    from maa.store.quota import Admit

_TIDY_AT_ONCE = 200

_log = logging.getLogger(__name__)


class Mailbox:
    """A mailbox, shared by all sessions of this process."""

    on_stale: ClassVar[Callable[[Mailbox], None] | None] = None
    """Called once when a mailbox with listeners goes stale, on any thread; must not block."""
    on_untidy: ClassVar[Callable[[Mailbox], None] | None] = None
    """Called when there is work for `tidy`, on any thread; must not block."""

    def __init__(self, row: MailboxRow, maildrop: Maildrop, ledger: Ledger) -> None:
        """A mailbox not read yet: `sync` first."""
        self.row = row
        self.maildrop = maildrop
        self.ledger = ledger
        self._page = Page(row, ledger)
        self._disk = Disk(self._page, maildrop, self._went_stale)
        self._untidy: set[int] = set()
        self._facts_due: list[Fact] = []
        self.memo = Memo()

    @property
    def name(self) -> str:
        """The name under which the account has it."""
        return self.row.name

    @property
    def uidvalidity(self) -> int:
        """UIDVALIDITY (RFC 3501 §2.3.1.1)."""
        return self.row.uidvalidity

    # --- memory only

    @property
    def snapshot(self) -> Snapshot:
        """The newest state."""
        return self._page.snapshot

    @property
    def gone(self) -> bool:
        """The mailbox was deleted or renamed away: nothing more may be done with it."""
        return self._page.gone

    def fresh(self) -> bool:
        """Whether nothing happened on disk since `snapshot`."""
        if not self._page.loaded or self._page.gone or not self._disk.quiet():
            return False
        return not self.ledger.bulletin.has_news(self.row.id)

    @property
    def watched(self) -> bool:
        """Whether hints come and are followed; else somebody must look now and then (R246)."""
        return self._disk.watched

    def view(self, claim_recent: bool) -> View:
        """A session's numbering of the present snapshot."""
        return View.of(self, claim_recent)

    def listen(self, callback: Callable[[], None]) -> None:
        """Call back, on any thread, whenever there is a new snapshot."""
        self._page.listeners |= {callback}

    def unlisten(self, callback: Callable[[], None]) -> None:
        """Call back no more."""
        self._page.listeners -= {callback}

    @property
    def listened(self) -> bool:
        """Whether anybody waits for changes."""
        return bool(self._page.listeners)

    def changed_since(self, modseq: int) -> Sequence[int]:
        """UIDs with a greater mod-sequence, ascending; some may be gone."""
        return self._page.history.since(modseq, self.snapshot)

    def remembers(self, modseq: int) -> bool:
        """Whether `changed_since` need not look at every message."""
        return self._page.history.reaches(modseq)

    def expunged_after(self, modseq: int) -> bool:
        """Whether anything may have been expunged with a greater mod-sequence."""
        return self._page.last_expunge > modseq

    @property
    def recent_unclaimed(self) -> int:
        """How many messages no session was told of as recent; nobody is told by asking (R116)."""
        snapshot = self.snapshot
        low = self._page.recent.lowest(snapshot.uidnext)
        return len(snapshot) - bisect_left(snapshot.uids, low)

    def recent_span(self, claim: bool) -> tuple[int, int]:
        """The UIDs [low, high) not yet recent for anybody; `claim`: now they are taken (R081)."""
        recent, uidnext = self._page.recent, self.snapshot.uidnext
        if not claim:
            return recent.lowest(uidnext), uidnext
        low, high = recent.claim(uidnext)
        if low < high:
            self._untidied()
        return low, high

    def uidls(self, uids: Sequence[int]) -> list[bytes]:
        """UIDLs (RFC 1939 §7): those that another server gave, else made of numbers (R211)."""
        validity = b"%08x" % self.uidvalidity
        made = (b"%08x" % uid + validity for uid in uids)
        if not self._page.uidls:
            return list(made)
        kept = self._page.uidls.get
        return [kept(uid, name) for uid, name in zip(uids, made, strict=True)]

    def retire(self) -> None:
        """The mailbox was deleted or renamed away: whoever waits for changes is to hear of it."""
        self._page.retire()

    # --- keeping up with the disk

    def sync(self, whole: bool = False) -> Snapshot:
        """Catch up with what other programs did; `whole`: list everything, whatever was seen."""
        with self.held():
            self.check()
            self._disk.watch()
            if not self._page.loaded:
                self._page.load(self._went_stale)
            try:
                untidy, facts = self._disk.catch_up(whole)
            except MessageGone:  # the directory itself is not there
                raise MailboxGone(self.name) from None
            if untidy:
                self.untidy(untidy)
            if facts:
                self.learn(facts)
            return self.snapshot

    @contextmanager
    def held(self) -> Iterator[None]:
        """The ledger, with `snapshot` as all processes left the index; MailboxGone."""
        with self.ledger.held():
            if self._page.loaded and not self._page.gone:
                self._disk.explain(self._page.follow())
            yield

    def check(self) -> None:
        """MailboxGone, when nothing may be done here any more (R058)."""
        self._page.check()

    def _went_stale(self) -> None:
        if self.listened and Mailbox.on_stale is not None:
            Mailbox.on_stale(self)

    # --- for maa.store.reading and maa.store.changing, with the ledger held

    def expect(self, places: Iterable[bytes]) -> None:
        """Each of these places is about to change by our own hand: its event says nothing new."""
        self._disk.expect(places)

    def doubt(self) -> None:
        """What was expected may not have come about: look at everything next time."""
        self._disk.doubt()

    def commit(
        self,
        arrivals: Sequence[tuple[bytes, int]] = (),
        flags: Sequence[tuple[int, int]] = (),
        expunged: Sequence[int] = (),
        files: Callable[[], None] | None = None,
        email_ids: Sequence[str] = (),
    ) -> Sequence[int]:
        """`Page.commit`: one transaction; the UIDs given to the arrivals."""
        try:
            return self._page.commit(arrivals, flags, (), expunged, files, email_ids)
        except StoreError:
            # Files may not be as the index has them by now, and nothing else would tell.
            self._disk.doubt()
            raise

    # --- behind the replies

    def learn(self, facts: Sequence[Fact]) -> None:
        """Remember (UID, size, date), -1 for what is not known: in memory now, on disk soon.

        Takes no lock: two threads that learn the same write the same.
        """
        self._page.fill(facts)
        self._facts_due += facts
        if len(self._facts_due) == len(facts):
            self._untidied()

    def untidy(self, uids: Iterable[int]) -> None:
        """The files of these messages are not yet named as their flags say."""
        self._untidy.update(uids)
        self._untidied()

    def _untidied(self) -> None:
        if Mailbox.on_untidy is not None:
            Mailbox.on_untidy(self)

    def tidy(self) -> bool:
        """Do some of what was put off until after the reply; whether more is left."""
        with self.held():
            if self.gone or not self._page.loaded:
                return False
            some = [self._untidy.pop() for _ in range(min(_TIDY_AT_ONCE, len(self._untidy)))]
            moved = []
            for uid in some:
                position = self.snapshot.position(uid)
                if position is not None:
                    moved += self._renamed(uid, position)
            due, self._facts_due = self._facts_due, []
            if due:
                self.ledger.cache.put_facts(self.row.id, due)
            if self._page.recent.claims() or moved:
                self._page.note(moved)
            return bool(self._untidy)

    def _renamed(self, uid: int, position: int) -> list[tuple[int, bytes]]:
        place = self.snapshot.places[position]
        target = self.maildrop.wanted_place(place, self.snapshot.flags(position))
        if target == place:
            return []
        self.expect((place, target))
        try:
            self.maildrop.rename(place, target)
        except MessageGone:
            self._disk.doubt()  # another program was faster: the next sync will see
            return []
        except NoSpace as error:
            _log.warning("%s: flags stay in the index only: %s", self.name, error)
            return []
        except StoreError:
            return []  # logged where it was raised; the index has the flags (R239)
        self.snapshot.places[position] = target
        return [(uid, target)]

    # --- reading: maa.store.reading

    def read(self, uids: Sequence[int]) -> list[reading.Opened]:
        """Open the leading messages, about 256 KiB worth and at least one; close each Wire."""
        return reading.read(self, uids)

    def heads(self, uids: Sequence[int]) -> list[reading.Head]:
        """The headers as sent of the leading messages, at most 256."""
        return reading.heads(self, uids)

    def sizes(self, uids: Sequence[int]) -> list[int | None]:
        """RFC822.SIZE of each; None when the message can't be read."""
        return reading.sizes(self, uids)

    def internal_dates(self, uids: Sequence[int]) -> list[int | None]:
        """INTERNALDATE of each, in seconds since the epoch; None when it can't be read."""
        return reading.internal_dates(self, uids)

    def cached(self, item: str, uids: Sequence[int]) -> dict[int, bytes]:
        """Derived values remembered under `item` of these messages (ascending UIDs)."""
        with self.ledger.identity:
            return self.ledger.cache.get(self.row.id, item, uids)

    def remember(self, item: str, values: Mapping[int, bytes]) -> None:
        """Remember derived values; `item` carries a version."""
        with self.ledger.identity:
            self.ledger.cache.put(self.row.id, item, values)

    def details(self, uids: Sequence[int]) -> dict[int, tuple[int, str]]:
        """When messages came into the mailbox (SAVEDATE, in seconds), and their EMAILIDs."""
        with self.held():
            rows = self.ledger.index.details(self.row.id, sorted(uids))
        own = self.row.email_id
        return {uid: (saved, email_id or own(uid)) for uid, saved, email_id in rows}

    def expunged(self, since: int, until: int) -> Ranges | None:
        """UIDs that went with a mod-sequence above `since`, up to `until`; None: not known."""
        with self.held():
            sets = self.ledger.index.expunged(self.row.id, since, until)
        if sets is None:
            return None
        return NumberSet.parse(b",".join(sets)).resolved(MAX_NUMBER) if sets else ()

    # --- changing: maa.store.changing

    def store(
        self, uids: Sequence[int], mode: StoreMode, flags: Flags, unchanged: Unchanged | None = None
    ) -> Stored:
        """STORE (RFC 3501 §6.4.6); messages that are gone are passed over."""
        return changing.store(self, uids, mode, flags, unchanged)

    def expunge(self, uids: Sequence[int] | None = None) -> tuple[int, ...]:
        """Remove those with \\Deleted, of `uids` or of all; the UIDs removed."""
        return changing.expunge(self, uids)

    def remove(self, uids: Sequence[int]) -> tuple[int, ...]:
        """Remove messages whatever their flags; the UIDs removed."""
        return changing.remove(self, uids)

    def copy(self, uids: Sequence[int], target: Mailbox, admit: Admit | None = None) -> Copied:
        """COPY, all or nothing (R125); MessageGone, and what `admit` raises."""
        return changing.copy(self, uids, target, admit)

    def move(self, uids: Sequence[int], target: Mailbox) -> Copied:
        """MOVE (RFC 6851): what was copied is removed here."""
        return changing.move(self, uids, target)

    def incoming(self) -> changing.Incoming:
        """Begin to write a new message into this mailbox."""
        return changing.Incoming(self)
