"""The narrow interface to what an MDA wrote: `maa.store.maildir` and `maa.store.mbox` have it.

A message's *place* is where it is now, in the maildrop's own form, and changes with its flags
or when another program moves it. Its *key* is what stays: the same key, the same message.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from maa.message.flags import Flags
from maa.store.errors import StoreError

GRANULARITY_NS: Final = 2 * 10**9
"""What changed within this time may change again without a time on the disk showing it (R240)."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a maildrop holds."""

    places: Collection[bytes]
    within: bytes = b""
    """All places that begin so were listed, and no others; empty: the whole maildrop."""
    ordered: bool = False
    """The places are a list in the order of arrival: what is new is at its end."""
    rearranged: bool = False
    """The order is another than before: UIDs may have to follow it (R238)."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of messages that were to be removed."""

    absent: frozenset[bytes]
    """Places where no message was."""
    kept: frozenset[bytes]
    """Places where the message still is."""
    error: StoreError | None
    """Why the last of the kept ones was."""


class Arrival(NamedTuple):
    """A message that was not there before."""

    order: float
    """As `Maildrop.order` has it."""
    place: bytes
    date: int
    """`internal_date`, where its key may be another's later; else -1."""


class Arriving(Protocol):
    """A message on its way in: written beside the mailbox, not yet visible in it."""

    def write(self, data: bytes) -> None:
        """Add octets; NoSpace, Unavailable."""

    def finish(self, flags: Flags, internal_date: int | None) -> bytes:
        """Make the octets durable; the place it will have after `Maildrop.settle`."""

    def abort(self) -> None:
        """Leave nothing behind."""


class Maildrop(Protocol):
    """One mailbox as the MDA and other programs see it. All methods may block."""

    only: str
    """Of what changes in the watched directories this name alone counts; empty: every name."""
    verbatim: bool
    """Messages are shown with the octets that were written, and so with their number."""

    def watched(self) -> Sequence[str]:
        """The directories whose changes may mean new or changed messages."""

    def scan(self, arrivals_only: bool = False) -> Scan:
        """List the messages; `arrivals_only`: just where an MDA delivers."""

    def key(self, place: bytes) -> bytes:
        """What stays of a message when its place changes."""

    def flags(self, place: bytes) -> Flags | None:
        """The flags that the place itself shows to other programs; None: it shows none."""

    def arrival_flags(self, place: bytes) -> Flags:
        """The flags that a message has when it is seen first: those a sender cannot set."""

    def order(self, place: bytes) -> float:
        """Sorts places in order of arrival; of equal ones, the lesser place came first (R074)."""

    def arrivals(self, places: Sequence[bytes]) -> list[Arrival]:
        """Of messages that were not there before, those that are whole; of others a hint comes."""

    def is_another(self, place: bytes, date: int) -> bool:
        """Whether a message is not the one of that key and date (-1: not known) (L-23)."""

    def wanted_place(self, place: bytes, flags: Flags) -> bytes:
        """Where the message should be for other programs to see these flags."""

    def rename(self, place: bytes, target: bytes) -> None:
        """Move a message to a free place; MessageGone when it is not there."""

    def renamed_apart(self, place: bytes, other: bytes) -> bytes:
        """Give a message whose key the one at `other` has too a key of its own; its new place.

        MessageGone when the two are one message, or one of them is not there any more (R244).
        """

    def open(self, place: bytes) -> int:
        """A descriptor to read the message; MessageGone, Unavailable."""

    def contents(
        self, places: Iterable[bytes], octets: int, dates: bool
    ) -> Iterable[tuple[bytes, int]]:
        """Octets and date (-1 unless asked for) of the leading messages, about so many octets.

        Only where that is faster than to open each; what is not in it is to be opened.
        """

    def internal_date(self, descriptor: int) -> int:
        """When the open message arrived, in seconds since the epoch (R089)."""

    def octets(self, places: Sequence[bytes]) -> list[int]:
        """Octets on the disk of each message; -1 where it is not there."""

    def whole_octets(self) -> int | None:
        """Octets on the disk of all messages together, where they are one file; else None."""

    def remove(self, places: Iterable[bytes]) -> Removal:
        """Remove messages, as many as can be."""

    def arriving(self) -> Arriving:
        """Begin to write a new message."""

    def complete(self) -> None:
        """The index misses no message: what killed processes had on its way is not needed."""

    def settle(self, places: Iterable[bytes]) -> int:
        """Let finished messages appear at their places; how many there were to settle.

        Between `finish` and this the index learns of them: after a crash there, `settle` is
        called again for every place that the index knows and a scan does not show.
        """

    def discard(self, places: Iterable[bytes]) -> None:
        """Drop finished messages that were not settled."""

    def free_places(
        self, flags: Iterable[Flags], source: Maildrop, places: Sequence[bytes]
    ) -> list[bytes]:
        """A place for each of some messages to be brought from another maildrop.

        No other message has it, and `discard` takes it back. MessageGone.
        """

    def adopt(self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]) -> None:
        """Copy messages of another maildrop to free places here, all or none; MessageGone."""

    def take_over(
        self, source: Maildrop, places: Sequence[bytes], targets: Sequence[bytes]
    ) -> bool:
        """Move messages of another maildrop to free places here, all or none; MessageGone.

        Each message is at every moment in one of the two. False: nothing was moved, because
        the two maildrops cannot do that.
        """

    def stamp(self) -> tuple[int, ...]:
        """Changes when messages may have come or gone, but for the clock's granularity (R240)."""

    def flush(self, arrived: Iterable[bytes] | None = None) -> None:
        """Make arrivals at these places durable; of None: arrivals, renames and removals."""
