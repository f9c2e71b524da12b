"""LIST and its kin as values: the arguments of RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from maa.imap.arguments import status_items
from maa.imap.commands import Command
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError, Refused

SUBSCRIBED: Final = b"SUBSCRIBED"
REMOTE: Final = b"REMOTE"
RECURSIVEMATCH: Final = b"RECURSIVEMATCH"
SPECIAL_USE: Final = b"SPECIAL-USE"
CHILDREN: Final = b"CHILDREN"
STATUS: Final = b"STATUS"

SELECTION: Final = frozenset((SUBSCRIBED, REMOTE, RECURSIVEMATCH, SPECIAL_USE))
RETURN: Final = frozenset((SUBSCRIBED, CHILDREN, SPECIAL_USE, STATUS))
PATTERNS_MAX: Final = 100
"""Every name is compared with every pattern."""


@dataclass(frozen=True, slots=True)
class ListMailboxes(Command):
    """LIST, LSUB or XLIST; reference and patterns as they were spelled."""

    reference: bytes
    patterns: tuple[bytes, ...]
    extended: bool = False
    """Options or a list of patterns stood in it (RFC 5258 §1)."""
    selection: frozenset[bytes] = frozenset()
    returned: frozenset[bytes] = frozenset()
    status: tuple[bytes, ...] = ()
    """The items of RETURN (STATUS (...)), RFC 5819."""
    unicode: bool = False
    """They were spelled in UTF-8, and not in modified UTF-7."""


def plain_list(tag: bytes, cursor: Cursor) -> ListMailboxes:
    """SP mailbox SP list-mailbox, of LSUB and XLIST."""
    cursor.space()
    reference = cursor.astring()
    cursor.space()
    pattern = cursor.list_mailbox()
    cursor.end()
    return ListMailboxes(tag, reference, (pattern,), unicode=cursor.unicode)


def list_mailboxes(tag: bytes, cursor: Cursor) -> ListMailboxes:
    """[SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]."""
    cursor.space()
    selection: frozenset[bytes] | None = None
    if cursor.peek() == b"(":
        selection = frozenset(_options(cursor, SELECTION))
        if RECURSIVEMATCH in selection and SUBSCRIBED not in selection:
            raise ProtocolError("RECURSIVEMATCH needs SUBSCRIBED")
        cursor.space()
    reference = cursor.astring()
    cursor.space()
    several = cursor.peek() == b"("
    patterns = tuple(_patterns(cursor)) if several else (cursor.list_mailbox(),)
    returned: frozenset[bytes] | None = None
    status: tuple[bytes, ...] = ()
    if cursor.take(b" RETURN "):
        found = []
        for option in _options(cursor, RETURN):
            found.append(option)
            if option == STATUS:
                cursor.space()
                status = status_items(cursor)
        returned = frozenset(found)
    cursor.end()
    extended = selection is not None or several or returned is not None
    return ListMailboxes(
        tag,
        reference,
        patterns,
        extended,
        selection or frozenset(),
        returned or frozenset(),
        status,
        cursor.unicode,
    )


def _options(cursor: Cursor, known: frozenset[bytes]) -> Iterator[bytes]:
    cursor.expect(b"(")
    first = True
    while not cursor.take(b")"):
        if not first:
            cursor.space()
        first = False
        option = cursor.atom().upper()
        if option not in known:
            raise ProtocolError("unknown option " + option.decode("ascii"))
        yield option


def _patterns(cursor: Cursor) -> Iterator[bytes]:
    cursor.expect(b"(")
    yield cursor.list_mailbox()
    count = 1
    while not cursor.take(b")"):
        cursor.space()
        yield cursor.list_mailbox()
        count += 1
        if count > PATTERNS_MAX:
            raise Refused(b"LIMIT", f"at most {PATTERNS_MAX} patterns")
