"""Answers of LIST, LSUB and XLIST (RFC 3501 §6.3.8-9; RFC 5258; RFC 5819; RFC 6154).

LIST in its extended form first says which names meet the *selection criteria* (subscribed, with a
special use), and shows of these the ones that match a pattern. RECURSIVEMATCH shows names
besides, because of what lies below them. All of it takes time linear in the names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Final

from maa.conversation import SLOW
from maa.imap.grammar import name_of
from maa.imap.list_command import (
    RECURSIVEMATCH,
    SPECIAL_USE,
    SUBSCRIBED,
    ListMailboxes,
)
from maa.imap.patterns import Pattern
from maa.imap.responses import mailbox as rendered_name
from maa.imap.responses import parenthesised, string
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected
from maa.imap.status import described
from maa.store.account import Account, Listed
from maa.store.errors import StoreError
from maa.store.names import key

INBOX: Final = "INBOX"
BATCH: Final = 500
"""Lines rendered together."""
XLIST_USES: Final = {"\\Junk": b"\\Spam"}
"""Google's words for special uses, where they differ from those of RFC 6154."""

_WILDCARD = re.compile("[*%]")

User = Authenticated | Selected
Matcher = Callable[[str], bool]


def list_mailboxes(state: User, command: ListMailboxes) -> Answer:
    """LIST (RFC 3501 §6.3.8), in all its forms (RFC 5258 §3)."""
    account = state.account
    if not command.extended and not command.patterns[0]:
        # The root and the separator, and no mailbox (R103).
        yield b'* LIST (\\Noselect) %b ""\r\n' % _separator(account)
        return Done(state, b"LIST completed")
    yield SLOW  # also because a pattern may be long (R249)
    if command.extended:
        found = list(_selected(account, command))
    else:
        matches = _matcher(command, account.separator)
        found = [
            (listed, parenthesised(attributes(listed)), b"")
            for listed in account.mailboxes()
            if matches(listed.name)
        ]
    if command.status:
        state = yield from _with_status(state, found, command.status)
    else:
        yield from lines(b"LIST", state, found)
    return Done(state, b"LIST completed")


def list_special(state: User, command: ListMailboxes) -> Answer:
    """XLIST: special uses in Google's words, for clients that know no others (L-1)."""
    account = state.account
    yield SLOW
    matches = _matcher(command, account.separator)
    found = [
        (listed, parenthesised(_xlist_attributes(listed)), b"")
        for listed in account.mailboxes()
        if matches(listed.name)
    ]
    yield from lines(b"XLIST", state, found)
    return Done(state, b"XLIST completed")


def list_subscribed(state: User, command: ListMailboxes) -> Answer:
    """LSUB: subscribed names, whether or not they exist (RFC 3501 §6.3.9; R107)."""
    account = state.account
    yield SLOW
    matches = _matcher(command, account.separator)
    existing, below = _existing(account)
    subscribed = {key(name): name for name in account.subscriptions()}
    names = {name for name in subscribed if matches(name)}
    if b"%" in command.reference + command.patterns[0]:
        # `%` stops at the separator, so that a parent stands for what is subscribed below it.
        for name in set(subscribed) - names:
            names.update(parent for parent in _parents(name, account.separator) if matches(parent))
    found = []
    for name in sorted(names, key=lambda name: (name != INBOX, name)):
        listed = existing.get(name)
        if listed is None or name not in subscribed:
            listed = _missing(subscribed.get(name, name), name in below)
        found.append((listed, parenthesised(attributes(listed)), b""))
    yield from lines(b"LSUB", state, found)
    return Done(state, b"LSUB completed")


def attributes(listed: Listed) -> Iterator[bytes]:
    """Attributes of a name (RFC 3501 §7.2.2; RFC 3348; RFC 6154; R108, R110)."""
    if not listed.selectable:
        yield b"\\Noselect"
    yield b"\\HasChildren" if listed.children else b"\\HasNoChildren"
    if listed.marked is not None:
        yield b"\\Marked" if listed.marked else b"\\Unmarked"
    if listed.use is not None:
        yield listed.use.encode("ascii")


def _xlist_attributes(listed: Listed) -> Iterator[bytes]:
    for attribute in attributes(listed):
        yield XLIST_USES.get(attribute.decode("ascii"), attribute)
    if listed.name == INBOX:
        yield b"\\Inbox"


# A line of LIST: what is shown, its attributes, and an extended data item or nothing.
Line = tuple[Listed, bytes, bytes]


def _selected(account: Account, command: ListMailboxes) -> Iterator[Line]:
    """The lines of the extended form (RFC 5258 §3.5 has the table of cases)."""
    selection, separator = command.selection, account.separator
    matches = _matcher(command, separator)
    existing, below = _existing(account)
    subscribed = {}
    if SUBSCRIBED in selection | command.returned:
        subscribed = {key(name): name for name in account.subscriptions()}

    def meets(name: str) -> bool:
        if SUBSCRIBED in selection and name not in subscribed:
            return False
        listed = existing.get(name)
        return SPECIAL_USE not in selection or (listed is not None and listed.use is not None)

    names = dict.fromkeys(existing)
    hidden: set[str] = set()  # parents of what meets the criteria and is not shown itself
    inside: set[str] = set()  # parents of what meets the criteria
    if SUBSCRIBED in selection:
        names.update(dict.fromkeys(subscribed))
    if RECURSIVEMATCH in selection:
        for name in filter(meets, tuple(names)):
            parents = list(_parents(name, separator))
            names.update(dict.fromkeys(parents))
            inside.update(parents)
            if not matches(name):
                hidden.update(parents)
    for name in sorted(names, key=lambda name: (name != INBOX, name)):
        if not matches(name) or not (meets(name) or name in hidden):
            continue
        listed = existing.get(name) or _missing(subscribed.get(name, name), name in below)
        words = [*attributes(listed)]
        if not listed.selectable:
            words[0] = b"\\NonExistent"  # which implies \Noselect (RFC 5258 §3.4)
        if name in subscribed:
            words.append(b"\\Subscribed")
        yield listed, parenthesised(words), _CHILDINFO if name in inside else b""


_CHILDINFO: Final = b' ("CHILDINFO" ("SUBSCRIBED"))'


def _existing(account: Account) -> tuple[dict[str, Listed], set[str]]:
    """What there is, by its comparable name; and which names have something below them."""
    existing = {key(listed.name): listed for listed in account.mailboxes()}
    below: set[str] = set()
    for name in existing:
        below.update(_parents(name, account.separator))
    return existing, below


def _missing(name: str, children: bool) -> Listed:
    return Listed(name, selectable=False, use=None, children=children)


def _separator(account: Account) -> bytes:
    return string(account.separator.encode("ascii"))


def _matcher(command: ListMailboxes, separator: str) -> Matcher:
    """Whether a name matches the reference with one of the patterns."""
    if len(command.patterns) == 1:
        return _matched_by(command.reference + command.patterns[0], separator, command.unicode)
    several = [
        _matched_by(command.reference + pattern, separator, command.unicode)
        for pattern in command.patterns
        if pattern  # the empty one matches nothing here (RFC 5258 §3)
    ]
    return lambda name: any(matches(name) for matches in several)


def _matched_by(pattern: bytes, separator: str, unicode: bool) -> Matcher:
    """Reference and pattern are simply joined (R106)."""
    try:
        text = key(name_of(pattern, unicode))
    except ValueError:
        return lambda name: False  # No name is spelled so (R094).
    head, sep, rest = text.partition(separator)
    if head.upper() == INBOX:
        text = INBOX + sep + rest
    compiled = Pattern(text, separator)
    # INBOX is the same name in any case, also where wildcards stand for the end of it (L-14).
    begin = _WILDCARD.split(text, 1)[0]
    if INBOX.startswith(begin.upper()):
        text = begin.upper() + text[len(begin) :]
    inbox = Pattern(text, separator).matches(INBOX)
    return lambda name: compiled.matches(key(name)) or (inbox and name == INBOX)


def _parents(name: str, separator: str) -> Iterator[str]:
    end = name.rfind(separator)
    while end > 0:
        yield name[:end]
        end = name.rfind(separator, 0, end)


def lines(word: bytes, state: User, found: Iterable[Line]) -> Iterator[bytes]:
    """Untagged responses, some at a time, with names as this client reads them."""
    separator, unicode = _separator(state.account), state.enabled.unicode
    rendered = [
        b"* %b %b %b %b%b\r\n" % (word, shown, separator, rendered_name(listed.name, unicode), item)
        for listed, shown, item in found
    ]
    for begin in range(0, len(rendered), BATCH):
        yield b"".join(rendered[begin : begin + BATCH])


def _with_status(
    state: User, found: Iterable[Line], items: tuple[bytes, ...]
) -> Generator[Said, Input | None, User]:
    """Each line, and behind it what STATUS says, where that can be said (RFC 5819 §2; R111)."""
    for line in found:
        yield from lines(b"LIST", state, [line])
        if line[0].selectable:
            try:
                state = yield from described(state, line[0].name, items)
            except StoreError:
                # Deleted this moment, or unreadable; the line has been sent (RFC 5819 §2), and
                # the store's log says why.
                continue
    return state
