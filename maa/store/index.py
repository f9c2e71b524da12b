"""The narrow interface to an account's index: what is remembered beside the message files.

The one implementation is `maa.store.sqlite_index`; another must pass the same contract tests. Every
method is one transaction and may block. Callers hold the account's lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class MailboxRow:
    """A mailbox as the index knows it."""

    id: int
    """Never used again for another mailbox of the account."""
    name: str
    uidvalidity: int
    use: str | None
    """Special use, such as `\\Sent` (RFC 6154)."""
    mark: int = 0
    """What the beacon calls it: a UIDVALIDITY that no other mailbox ever had; 0: its own."""

    @property
    def beacon_mark(self) -> int:
        """The number under which the beacon has the mailbox."""
        return self.mark or self.uidvalidity

    @property
    def object_id(self) -> str:
        """MAILBOXID: it stays with a rename, and no other mailbox has it (RFC 8474 §4)."""
        return f"F{self.beacon_mark:x}"

    def email_id(self, uid: int) -> str:
        """EMAILID of a message that is no copy of another (RFC 8474 §5.1)."""
        return f"M{self.beacon_mark:x}-{uid:x}"


@dataclass(frozen=True, slots=True)
class Counters:
    """The numbers of a mailbox that only grow."""

    uidnext: int
    """Greater than every UID ever given out (R075)."""
    highest_modseq: int
    """The mod-sequence of the newest change; at least 1 (RFC 7162 §3.1)."""
    first_recent: int
    """The lowest UID that no session has been told of as recent (R081)."""


MessageRow = tuple[int, bytes, int, int]
"""One message as the index knows it: UID; place, where the maildrop last had it, in the
maildrop's own form; flag id; mod-sequence. A plain tuple, for there are many of them."""


DetailRow = tuple[int, int, str | None]
"""UID; when the message came into the mailbox, in seconds since the epoch; EMAILID, None where it
is `MailboxRow.email_id`."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one transaction changes in one mailbox."""

    arrivals: Sequence[MessageRow] = ()
    flags: Sequence[tuple[int, int]] = ()
    """(UID, new flag id): each gets the transaction's mod-sequence."""
    places: Sequence[tuple[int, bytes]] = ()
    """(UID, new place): no change that a client can see."""
    expunged: Sequence[int] = ()
    counters: Counters = field(default_factory=lambda: Counters(1, 1, 1))
    durable: bool = True
    """Wait for the disk before returning: UIDs handed out, messages expunged."""
    email_ids: Sequence[tuple[int, str]] = ()
    """(UID, EMAILID) of arrivals that are copies."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """A mailbox whose numbers come from another server's index."""

    name: str
    replaces: int | None
    """The id of the mailbox that has the name now."""
    uidvalidity: int
    shared: bool
    """Another mailbox of the account has the same UIDVALIDITY, or may have."""
    messages: Sequence[MessageRow]
    uidls: Sequence[tuple[int, bytes]]
    """(UID, UIDL): those that differ from what the mailbox would call the message."""
    counters: Counters
    details: Sequence[DetailRow] = ()
    """Of messages that maa had before."""
    above: int = 0
    """No mailbox made later gets a UIDVALIDITY up to this one."""


class Guard(Protocol):
    """Who remembers outside the index which numbers it gave (`maa.store.beacon`)."""

    @property
    def greatest(self) -> int:
        """The greatest UIDVALIDITY ever given."""

    def reach(self, uidvalidity: int, counters: Counters) -> None:
        """These numbers are about to be given."""

    def given(self, uidvalidity: int) -> Counters | None:
        """Numbers greater than all that were given under a UIDVALIDITY; None: none were."""

    def close(self) -> None:
        """Give the file back."""


class Index(Protocol):
    """An account's index."""

    def mailboxes(self) -> dict[str, MailboxRow]:
        """Every mailbox by name."""

    def create_mailbox(self, name: str, use: str | None = None) -> MailboxRow:
        """A new mailbox with a UIDVALIDITY greater than every earlier one's (R077)."""

    def rename_mailboxes(self, names: Sequence[tuple[int, str]]) -> None:
        """Give mailboxes new names, all or none."""

    def drop_mailbox(self, mailbox_id: int) -> None:
        """Forget a mailbox and all that is known of its messages."""

    def adopt_mailbox(self, adopted: Adopted) -> MailboxRow:
        """A mailbox with given numbers, in place of the one that has its name."""

    def given(self, uidvalidity: int) -> Counters | None:
        """Numbers greater than all that maa gave under a UIDVALIDITY; None: none that it knows."""

    def set_use(self, mailbox_id: int, use: str | None) -> None:
        """Set or clear the special use."""

    def subscriptions(self) -> frozenset[str]:
        """The subscribed names, whether or not such mailboxes exist."""

    def subscribe(self, name: str) -> None:
        """Add a subscription; one that is there stays."""

    def unsubscribe(self, name: str) -> None:
        """Remove a subscription, if it is there."""

    def get_setting(self, key: str) -> str | None:
        """A remembered fact about the account."""

    def set_setting(self, key: str, value: str) -> None:
        """Remember a fact about the account."""

    def flag_sets(self) -> list[tuple[int, str]]:
        """Every flag set ever used: its id and its flags, blank-separated."""

    def add_flag_set(self, flags: str) -> int:
        """The id of a flag set, made when it is new."""

    def counters(self, mailbox_id: int) -> Counters:
        """The counters of a mailbox; MailboxGone."""

    def messages(self, mailbox_id: int, uids: Sequence[int] | None = None) -> list[MessageRow]:
        """Messages by ascending UID: all, or those there are of ascending `uids`."""

    def details(self, mailbox_id: int, uids: Sequence[int]) -> list[DetailRow]:
        """What is seldom asked of messages, of those there are of ascending `uids`."""

    def uidls(self, mailbox_id: int) -> dict[int, bytes]:
        """By UID the POP3 names that are not made of UID and UIDVALIDITY."""

    def apply(self, mailbox_id: int, change: Change) -> None:
        """Carry out a change, all or nothing."""

    def expunged(self, mailbox_id: int, since: int, until: int) -> Sequence[bytes] | None:
        """Sets of UIDs that were expunged with a mod-sequence above `since`, up to `until`.

        None: the log does not reach so far back.
        """

    def last_expunge(self, mailbox_id: int) -> int:
        """The mod-sequence of the newest expunge, also one that the log has no more; or 0."""

    def prune(self, mailbox_id: int, kept: int, before: int) -> None:
        """Drop expunges from before that time, in seconds, and all but the newest `kept`."""

    def skip(self, mailbox_id: int, uidnext: int, modseq: int) -> None:
        """Never give the numbers below; every message is as if it changed just now (R176)."""

    def guard(self, guard: Guard, generation: str) -> None:
        """From now on `guard` hears of every number before it is given; take this generation."""

    def replaced(self) -> bool:
        """Whether there is another index in its place by now, or none: it must not be used."""

    def close(self) -> None:
        """Give the files back."""


class Cache(Protocol):
    """An account's derived data: may be lost at any time, never waits for the disk."""

    def get(self, mailbox_id: int, item: str, uids: Sequence[int]) -> dict[int, bytes]:
        """What is remembered under `item` of these messages."""

    def put(self, mailbox_id: int, item: str, values: Mapping[int, bytes]) -> None:
        """Remember derived values."""

    def facts(self, mailbox_id: int, since: int = 0) -> list[tuple[int, int, int]]:
        """(UID, size as sent, internal date) where they are known, from UID `since`; -1 unknown."""

    def put_facts(self, mailbox_id: int, rows: Iterable[tuple[int, int, int]]) -> None:
        """Remember sizes and internal dates; -1 leaves the remembered one."""

    def forget(self, mailbox_id: int, uids: Sequence[int] | None) -> None:
        """Drop what is known of these messages, or of the whole mailbox."""

    def close(self) -> None:
        """Give the file back."""
