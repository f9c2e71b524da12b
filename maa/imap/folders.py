"""Mailboxes by name: LIST, LSUB, CREATE and the others (RFC 3501 §6.3; RFC 2342)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from maa.conversation import SLOW
from maa.imap import utf7
from maa.imap.commands import ListMailboxes, OnMailbox, Plain, Rename
from maa.imap.patterns import Pattern
from maa.imap.responses import mailbox as rendered_name
from maa.imap.responses import parenthesised, string
from maa.imap.states import Answer, Authenticated, Done, Selected
from maa.store.account import Account, Listed

INBOX = "INBOX"

_WILDCARD = re.compile("[*%]")


def create(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """CREATE; a separator at the end is ignored (RFC 3501 §6.3.3; R098, Q-2)."""
    yield SLOW
    state.account.create(command.mailbox)
    return Done(state, b"CREATE completed")


def delete(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """DELETE; the subscription stays (RFC 3501 §6.3.4; R099, R100)."""
    yield SLOW
    state.account.delete(command.mailbox)
    return Done(_left_if_gone(state), b"DELETE completed")


def rename(state: Authenticated | Selected, command: Rename) -> Answer:
    """RENAME, with all that is below (RFC 3501 §6.3.5; R101)."""
    yield SLOW
    state.account.rename(command.old, command.new)
    return Done(_left_if_gone(state), b"RENAME completed")


def subscribe(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """SUBSCRIBE, also to what does not exist (RFC 3501 §6.3.6; R112, Q-17)."""
    yield SLOW
    state.account.subscribe(command.mailbox)
    return Done(state, b"SUBSCRIBE completed")


def unsubscribe(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """UNSUBSCRIBE (RFC 3501 §6.3.7; R112)."""
    yield SLOW
    state.account.unsubscribe(command.mailbox)
    return Done(state, b"UNSUBSCRIBE completed")


def namespace(state: Authenticated | Selected, command: Plain) -> Answer:
    """NAMESPACE: one personal namespace without a prefix (RFC 2342 §5; R113)."""
    yield b'* NAMESPACE (("" %b)) NIL NIL\r\n' % _separator(state.account)
    return Done(state, b"NAMESPACE completed")


def list_mailboxes(state: Authenticated | Selected, command: ListMailboxes) -> Answer:
    """LIST (RFC 3501 §6.3.8)."""
    account = state.account
    if not command.pattern:
        # The root and the separator, and no mailbox (R103).
        yield b'* LIST (\\Noselect) %b ""\r\n' % _separator(account)
        return Done(state, b"LIST completed")
    yield SLOW  # also because a pattern may be long (R249)
    matches = _matcher(command, account.separator)
    found = [listed for listed in account.mailboxes() if matches(listed.name)]
    yield b"".join(_lines(b"LIST", account, found))
    return Done(state, b"LIST completed")


def list_subscribed(state: Authenticated | Selected, command: ListMailboxes) -> Answer:
    """LSUB: subscribed names, whether or not they exist (RFC 3501 §6.3.9; R107)."""
    account = state.account
    yield SLOW
    matches = _matcher(command, account.separator)
    existing = {listed.name: listed for listed in account.mailboxes()}
    subscribed = account.subscriptions()
    names = {name for name in subscribed if matches(name)}
    if b"%" in command.reference + command.pattern:
        # `%` stops at the separator, so that a parent stands for what is subscribed below it.
        for name in subscribed - names:
            names.update(parent for parent in _parents(name, account.separator) if matches(parent))
    found = []
    for name in sorted(names, key=lambda name: (name != INBOX, name)):
        listed = existing.get(name)
        if listed is None or name not in subscribed:
            children = any(other.startswith(name + account.separator) for other in existing)
            listed = Listed(name, selectable=False, use=None, children=children, marked=None)
        found.append(listed)
    yield b"".join(_lines(b"LSUB", account, found))
    return Done(state, b"LSUB completed")


def _left_if_gone(state: Authenticated | Selected) -> Authenticated | Selected:
    """Nobody can stay in a mailbox that was just deleted, or has another name now (R058)."""
    if isinstance(state, Selected) and state.mailbox.gone:
        return Authenticated(state.account, state.connection)
    return state


def _separator(account: Account) -> bytes:
    return string(account.separator.encode("ascii"))


def _matcher(command: ListMailboxes, separator: str) -> Callable[[str], bool]:
    """Whether a name matches reference and pattern, which are simply joined (R106)."""
    try:
        text = utf7.decoded(command.reference + command.pattern)
    except ValueError:
        return lambda name: False  # No name is spelled so (R094).
    head, sep, rest = text.partition(separator)
    if head.upper() == INBOX:
        text = INBOX + sep + rest
    pattern = Pattern(text, separator)
    # INBOX is the same name in any case, also where wildcards stand for the end of it (L-14).
    begin = _WILDCARD.split(text, 1)[0]
    if INBOX.startswith(begin.upper()):
        text = begin.upper() + text[len(begin) :]
    inbox = Pattern(text, separator).matches(INBOX)
    return lambda name: pattern.matches(name) or (inbox and name == INBOX)


def _parents(name: str, separator: str) -> Iterator[str]:
    end = name.rfind(separator)
    while end > 0:
        yield name[:end]
        end = name.rfind(separator, 0, end)


def _lines(word: bytes, account: Account, found: list[Listed]) -> Iterator[bytes]:
    separator = _separator(account)
    for listed in found:
        yield b"* %b %b %b %b\r\n" % (
            word,
            parenthesised(attributes(listed)),
            separator,
            rendered_name(listed.name),
        )


def attributes(listed: Listed) -> Iterator[bytes]:
    """Attributes of a name (RFC 3501 §7.2.2; RFC 3348; RFC 6154; R108, R110)."""
    if not listed.selectable:
        yield b"\\Noselect"
    yield b"\\HasChildren" if listed.children else b"\\HasNoChildren"
    if listed.marked is not None:
        yield b"\\Marked" if listed.marked else b"\\Unmarked"
    if listed.use is not None:
        yield listed.use.encode("ascii")
