"""SORT and UID SORT, extended as SEARCH is (RFC 5256 §3, RFC 5267 §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maa.conversation import SLOW
from maa.imap.commands import Search
from maa.imap.grammar import Cursor
from maa.imap.matching import matching
from maa.imap.responses import ProtocolError, Refused
from maa.imap.search import Found, answered
from maa.imap.search_keys import parse_program
from maa.imap.search_results import parse_return
from maa.imap.sort_columns import SortKey, columns
from maa.imap.states import Answer, Selected

CRITERIA_MAX: Final = 32
_AT_ONCE: Final = 20_000
"""Messages times criteria: more of them take longer than the reactor may be held (R249)."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One sort criterion."""

    key: SortKey
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Sort(Search):
    """SORT and UID SORT: a SEARCH whose results are in order."""

    criteria: tuple[Criterion, ...]


def parse(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Sort:
    """[SP "RETURN" SP "(" options ")"] SP sort-criteria SP charset 1*(SP search-key)."""
    cursor.space()
    options = parse_return(cursor)
    criteria = _criteria(cursor)
    cursor.space()
    charset, key = parse_program(cursor)
    cursor.end()
    return Sort(tag, by_uid, options, charset, key, criteria)


def parse_by_uid(tag: bytes, cursor: Cursor) -> Sort:
    """As SORT, by UID."""
    return parse(tag, cursor, by_uid=True)


def _criteria(cursor: Cursor) -> tuple[Criterion, ...]:
    """`"(" ["REVERSE" SP] sort-key *(SP ...) ")"`."""
    cursor.expect(b"(")
    found: list[Criterion] = []
    while not found or not cursor.take(b")"):
        if found:
            cursor.space()
        reverse = cursor.take(b"REVERSE ")
        try:
            key = SortKey(cursor.atom().upper())
        except ValueError:
            raise ProtocolError("an unknown sort criterion") from None
        found.append(Criterion(key, reverse))
        if len(found) > CRITERIA_MAX:
            raise Refused(b"LIMIT", f"more than {CRITERIA_MAX} sort criteria")
    return tuple(found)


def sort(state: Selected, command: Sort) -> Answer:
    """The numbers or UIDs of the messages that match, in the order asked for (R190)."""
    return (yield from answered(state, command, b"SORT", _sorted(state, command)))


def _sorted(state: Selected, command: Sort) -> Found:
    found = yield from matching(state, command.key)
    keys = dict.fromkeys(criterion.key for criterion in command.criteria)
    by = yield from columns(state, keys, found)
    if len(found) * len(command.criteria) > _AT_ONCE:
        yield SLOW
    # Sorting is stable, also in reverse: the last criterion first, and ties by number remain.
    for criterion in reversed(command.criteria):
        found.sort(key=by[criterion.key].__getitem__, reverse=criterion.reverse)
    return found
