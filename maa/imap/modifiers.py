"""Optional parameters of SELECT, FETCH and STORE: `(NAME value NAME ...)` (RFC 4466 §2).

Each command has a table of the parameters it knows, by name, with what reads the value. One that
is not in it, or stands twice, is BAD.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.imap.search_results import PartialRange, parse_partial
from maa.message.numbers import NumberSet, Ranges

_NAME = re.compile(rb"[A-Za-z_.-][A-Za-z0-9_.:-]*")

Reader = Callable[[Cursor], Any]


def parameters(cursor: Cursor, known: Mapping[bytes, Reader]) -> dict[bytes, Any]:
    """`"(" name [SP value] *(SP name [SP value]) ")"`; the values by name in capitals."""
    cursor.expect(b"(")
    found: dict[bytes, Any] = {}
    while True:
        match = cursor.remaining_match(_NAME)
        name = match.group().upper() if match else b""
        if name not in known:
            raise ProtocolError("unknown parameter " + (name[:40].decode("ascii") or "or none"))
        if name in found:
            raise ProtocolError(name.decode("ascii") + " stands twice")
        found[name] = known[name](cursor)
        if cursor.take(b")"):
            return found
        cursor.space()


def _flag(cursor: Cursor) -> bool:
    """A parameter without a value."""
    return True


def _mod_sequence(cursor: Cursor) -> int:
    cursor.space()
    return cursor.mod_sequence()


def _partial(cursor: Cursor) -> PartialRange:
    cursor.space()
    return parse_partial(cursor)


# --- FETCH


@dataclass(frozen=True, slots=True)
class FetchModifiers:
    """What limits a FETCH beyond its set (RFC 7162 §3.1.4.1, §3.2.6; RFC 9394 §3.3)."""

    changed_since: int | None = None
    """Only messages with a greater mod-sequence."""
    vanished: bool = False
    """Messages of the set that were expunged since then are told first."""
    partial: PartialRange | None = None
    """Only these of the set's messages, counted before anything else limits them."""


UNMODIFIED: Final = FetchModifiers()

FETCH: Final[Mapping[bytes, Reader]] = {
    b"CHANGEDSINCE": _mod_sequence, b"VANISHED": _flag, b"PARTIAL": _partial,
}  # fmt: skip


def fetch_modifiers(cursor: Cursor, by_uid: bool) -> FetchModifiers:
    """`[SP "(" fetch-modifier *(SP fetch-modifier) ")"]` (R165, R174)."""
    if cursor.peek() != b" ":
        return UNMODIFIED
    cursor.space()
    if cursor.peek() != b"(":
        return UNMODIFIED  # blanks at the end
    found = parameters(cursor, FETCH)
    if b"VANISHED" in found and not (by_uid and b"CHANGEDSINCE" in found):
        raise ProtocolError("VANISHED belongs to UID FETCH with CHANGEDSINCE")
    if b"PARTIAL" in found and not by_uid:
        raise ProtocolError("PARTIAL belongs to UID FETCH")
    return FetchModifiers(found.get(b"CHANGEDSINCE"), b"VANISHED" in found, found.get(b"PARTIAL"))


# --- STORE

STORE: Final[Mapping[bytes, Reader]] = {b"UNCHANGEDSINCE": _mod_sequence}


def unchanged_since(cursor: Cursor) -> int | None:
    """`["(" store-modifier *(SP store-modifier) ")" SP]` (RFC 7162 §3.1.3)."""
    if cursor.peek() != b"(":
        return None
    value: int = parameters(cursor, STORE)[b"UNCHANGEDSINCE"]
    cursor.space()
    return value


# --- SELECT and EXAMINE


@dataclass(frozen=True, slots=True)
class Resync:
    """The QRESYNC parameter of SELECT: what the client remembers (RFC 7162 §3.2.5)."""

    uidvalidity: int
    modseq: int
    known: NumberSet | None = None
    """The UIDs it is interested in; None: all."""
    sample: tuple[Ranges, Ranges] | None = None
    """Some sequence numbers, and as many UIDs that they stood for (§3.2.5.2)."""


@dataclass(frozen=True, slots=True)
class SelectParameters:
    """What a SELECT asks for beside the mailbox (RFC 7162 §3.1.8, §3.2.5)."""

    condstore: bool = False
    resync: Resync | None = None


def _resync(cursor: Cursor) -> Resync:
    """`SP "(" uidvalidity SP mod-sequence [SP known-uids] [SP seq-match-data] ")"`."""
    cursor.space()
    cursor.expect(b"(")
    uidvalidity = cursor.nz_number()
    cursor.space()
    modseq = cursor.mod_sequence()
    known = sample = None
    if cursor.take(b" "):
        if cursor.peek() != b"(":
            known = NumberSet(tuple(_plain_set(cursor)))
            if cursor.take(b" "):
                sample = _sample(cursor)
        else:
            sample = _sample(cursor)
    cursor.expect(b")")
    return Resync(uidvalidity, modseq, known, sample)


def _sample(cursor: Cursor) -> tuple[Ranges, Ranges]:
    """`"(" known-sequence-set SP known-uid-set ")"`: ascending, and as many UIDs as numbers."""
    cursor.expect(b"(")
    numbers = _plain_set(cursor)
    cursor.space()
    uids = _plain_set(cursor)
    cursor.expect(b")")
    for ranges in (numbers, uids):
        if any(low > high for low, high in ranges) or any(
            one[1] >= next_[0] for one, next_ in pairwise(ranges)
        ):
            raise ProtocolError("the sets of known messages must ascend")
    if sum(b - a for a, b in numbers) + len(numbers) != sum(b - a for a, b in uids) + len(uids):
        raise ProtocolError("there must be as many known UIDs as numbers")
    return numbers, uids


def _plain_set(cursor: Cursor) -> list[tuple[int, int]]:
    """The ranges of a sequence-set without `*`, as they stand."""
    ranges = cursor.sequence_set().ranges
    plain = [(low, high) for low, high in ranges if low is not None and high is not None]
    if len(plain) != len(ranges):
        raise ProtocolError("* has no meaning here")
    return plain


SELECT: Final[Mapping[bytes, Reader]] = {b"CONDSTORE": _flag, b"QRESYNC": _resync}


def select_parameters(cursor: Cursor) -> SelectParameters:
    """`[SP "(" select-param *(SP select-param) ")"]`."""
    if cursor.peek() != b" ":
        return SelectParameters()
    cursor.space()
    if cursor.peek() != b"(":
        return SelectParameters()  # blanks at the end
    found = parameters(cursor, SELECT)
    return SelectParameters(b"CONDSTORE" in found, found.get(b"QRESYNC"))
