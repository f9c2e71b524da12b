"""NOTIFY as a value, and its grammar (RFC 5465 §8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from maa.imap.commands import Command
from maa.imap.fetch_items import Item, Section, parse_items
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError, Refused

GROUPS_MAX: Final = 100
NAMES_MAX: Final = 1000
SUPPORTED: Final = (
    b"MessageNew", b"MessageExpunge", b"FlagChange", b"MailboxName", b"SubscriptionChange",
)  # fmt: skip
_EVENTS: Final = {name.upper(): name for name in SUPPORTED}
_MESSAGES: Final = frozenset(SUPPORTED[:3])


class Which(Enum):
    """Which mailboxes a group of events is about (RFC 5465 §6); the value is the word for it."""

    SELECTED = b"SELECTED"
    DELAYED = b"SELECTED-DELAYED"
    INBOXES = b"INBOXES"
    PERSONAL = b"PERSONAL"
    SUBSCRIBED = b"SUBSCRIBED"
    SUBTREE = b"SUBTREE"
    MAILBOXES = b"MAILBOXES"


@dataclass(frozen=True, slots=True)
class Group:
    """Some mailboxes, and what is to be told of them."""

    which: Which
    names: tuple[str, ...]
    """Of SUBTREE and MAILBOXES."""
    events: frozenset[bytes]
    """Of `SUPPORTED`."""
    items: tuple[Item, ...] = ()
    """What is told of new messages in the selected mailbox, beside that they are there."""

    @property
    def messages(self) -> bool:
        """Arrivals and expunges are told."""
        return b"MessageNew" in self.events

    @property
    def flags(self) -> bool:
        """Changes of flags are told."""
        return b"FlagChange" in self.events


@dataclass(frozen=True, slots=True)
class Notify(Command):
    """NOTIFY (RFC 5465 §3.1)."""

    groups: tuple[Group, ...]
    """None at all: NOTIFY NONE."""
    status: bool = False
    """How the mailboxes are is to be told now."""


def notify(tag: bytes, cursor: Cursor) -> Notify:
    """SP ("NONE" / "SET" [SP "STATUS"] 1*(SP event-group))."""
    cursor.space()
    if cursor.take(b"NONE"):
        cursor.end()
        return Notify(tag, ())
    cursor.expect(b"SET")
    status = cursor.take(b" STATUS")
    groups: list[Group] = []
    while cursor.peek() == b" " or not groups:
        cursor.space()
        if groups and cursor.peek() in (b"", b" "):
            break
        groups.append(_group(cursor))
        if len(groups) > GROUPS_MAX:
            raise Refused(b"NOTIFICATIONOVERFLOW", f"at most {GROUPS_MAX} groups of events")
    cursor.end()
    if sum(group.which in (Which.SELECTED, Which.DELAYED) for group in groups) > 1:
        raise ProtocolError("SELECTED and SELECTED-DELAYED stand once, and one of them")
    _check_supported(groups)
    return Notify(tag, tuple(groups), status)


def _group(cursor: Cursor) -> Group:
    cursor.expect(b"(")
    word = cursor.atom().upper()
    try:
        which = Which(word)
    except ValueError:
        raise ProtocolError("these mailboxes are not known to NOTIFY") from None
    names: tuple[str, ...] = ()
    if which in (Which.SUBTREE, Which.MAILBOXES):
        cursor.space()
        names = (
            tuple(_list(cursor, cursor.mailbox)) if cursor.peek() == b"(" else (cursor.mailbox(),)
        )
    cursor.space()
    group = Group(which, names, frozenset())
    if not cursor.take(b"NONE"):
        group = _events(cursor, group)
    cursor.expect(b")")
    return group


def _events(cursor: Cursor, group: Group) -> Group:
    found: list[bytes] = []
    items: tuple[Item, ...] = ()

    def event() -> None:
        nonlocal items
        found.append(cursor.atom().upper())
        if found[-1] == b"MESSAGENEW" and cursor.take(b" ("):
            items = _fetch_items(cursor)

    _list(cursor, event)
    selected = group.which in (Which.SELECTED, Which.DELAYED)
    names = frozenset(_EVENTS.get(name, name) for name in found)
    if items and not selected:
        raise ProtocolError("only of the selected mailbox new messages can be shown")
    if selected and any(name in _EVENTS and name not in _UPPER_MESSAGES for name in found):
        raise ProtocolError("of the selected mailbox only messages can be told")
    if (b"MessageNew" in names) != (b"MessageExpunge" in names):
        raise ProtocolError("MessageNew and MessageExpunge belong together")
    if names & {b"FlagChange", b"ANNOTATIONCHANGE"} and b"MessageNew" not in names:
        raise ProtocolError("FlagChange needs MessageNew and MessageExpunge")
    return replace(group, events=names, items=items)


_UPPER_MESSAGES: Final = frozenset(name.upper() for name in _MESSAGES)


def _fetch_items(cursor: Cursor) -> tuple[Item, ...]:
    """`fetch-att *(SP fetch-att) ")"`; being told of a message is not reading it."""
    items = parse_items(cursor, opened=True)
    return tuple(replace(item, peek=True) if isinstance(item, Section) else item for item in items)


def _list(cursor: Cursor, read: Callable[[], str | None]) -> list[str]:
    """`"(" one *(SP one) ")"`."""
    cursor.expect(b"(")
    found = [read() or ""]
    while not cursor.take(b")"):
        cursor.space()
        found.append(read() or "")
        if len(found) > NAMES_MAX:
            raise Refused(b"NOTIFICATIONOVERFLOW", f"at most {NAMES_MAX} names")
    return found


def _check_supported(groups: list[Group]) -> None:
    """An event that is not known here is NO, not BAD (RFC 5465 §3.1)."""
    if any(not group.events.issubset(SUPPORTED) for group in groups):
        code = b"BADEVENT (%b)" % b" ".join(SUPPORTED)
        raise Refused(code, "some of these events are not supported")
