"""What a mailbox is called, told to a client of IMAP4rev2 that called it otherwise (RFC 9051).

A name that is not composed (NFC) names the same mailbox as the composed one (§5.1; R095), and
INBOX is in any case. LIST tells such a client both: the name, and OLDNAME, its own (§6.3.9.7).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Generator, Iterator

from maa.conversation import SLOW
from maa.imap.listing import INBOX, Line, attributes, lines
from maa.imap.responses import mailbox as rendered_name
from maa.imap.responses import parenthesised
from maa.imap.states import Authenticated, Input, Said, Selected
from maa.store.account import Account, Listed
from maa.store.errors import StoreError
from maa.store.names import key

User = Authenticated | Selected
Telling = Generator[Said, Input | None, None]


def to_be(state: User, name: str) -> str:
    """What a new mailbox is called: where names are UTF-8, in NFC (RFC 6855 §3, RFC 9051 §5.1).

    Who makes it in modified UTF-7 expects to be shown the name as it was made (R095).
    """
    return unicodedata.normalize("NFC", name) if state.enabled.unicode else name


def listed(account: Account, asked: str) -> Listed | None:
    """The mailbox that the client means, under the name that it has; may block."""
    name = _bare(account, asked)
    head, separator, rest = name.partition(account.separator)
    if head.upper() == INBOX:
        name = INBOX + separator + rest
    wanted = key(name)
    return next((found for found in account.mailboxes() if key(found.name) == wanted), None)


def told(state: User, asked: str, old: str | None = None) -> Telling:
    """LIST of a mailbox with OLDNAME, if a name is not as the client spelled it.

    `old`: what a mailbox was called that was given the name asked for, in the client's spelling.
    """
    names = asked if old is None else asked + old
    if not state.enabled.rev2 or names.isascii():
        return
    yield SLOW
    try:
        found = listed(state.account, asked)
    except StoreError:
        return  # What the client asked for is done, and must not seem to have failed.
    if found is None:
        return
    differs = found.name != _bare(state.account, asked)
    if differs or (old is not None and not _composed(old)):
        yield from line(state, found, asked if old is None else old)


def gone(state: User, found: Listed | None, asked: str) -> Iterator[bytes]:
    """LIST of a mailbox, if any, that the client had deleted under another name (§6.3.5)."""
    spelled = _bare(state.account, asked)
    if found is not None and found.name != spelled and not asked.isascii():
        yield from line(state, found, asked, exists=False)


def line(state: User, found: Listed, old: str, exists: bool = True) -> Iterator[bytes]:
    """LIST of a mailbox, with OLDNAME if it is called otherwise."""
    old = _bare(state.account, old)
    shown_old = rendered_name(old, state.enabled.unicode)
    extra = b"" if old == found.name else b' ("OLDNAME" (%b))' % shown_old
    words = attributes(found) if exists else [b"\\NonExistent"]
    shown: Line = (found, parenthesised(words), extra)
    yield from lines(b"LIST", state, [shown])


def _bare(account: Account, name: str) -> str:
    """Without the separator at its end, which says nothing (R098)."""
    return name.removesuffix(account.separator)


def _composed(name: str) -> bool:
    return unicodedata.is_normalized("NFC", name)
