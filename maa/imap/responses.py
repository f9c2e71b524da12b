"""Octets for clients: quoting, status lines, and what goes wrong in the protocol's words.

Everything here is rendering of single values; what a command answers as a whole is in its
handler, and what FETCH sends in `maa.imap.render`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from maa.auth import errors as auth
from maa.imap import utf7
from maa.message.decoding import UnknownEncoding
from maa.message.flags import RECENT, SYSTEM_FLAGS, Flags
from maa.store import errors as store
from maa.store.index import MailboxRow

QUOTED_OCTETS_MAX = 1024
"""Longer strings are sent as literals: some clients read quoted strings into small buffers."""

# RFC 3501 §9: ATOM-CHAR and resp-specials, which an astring may hold.
_ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*")
# Quotable with nothing to escape.
_PLAIN: Final = re.compile(
    rb"[\x01-\x09\x0b\x0c\x0e-!#-\[\]-\x7f]{0,%d}+" % QUOTED_OCTETS_MAX
).fullmatch
_SYSTEM_ORDER = {flag: place for place, flag in enumerate((*SYSTEM_FLAGS, RECENT))}


class ProtocolError(Exception):
    """The client broke the grammar or the state diagram: answered BAD with this text."""

    status = b"BAD"
    code: bytes | None = b"CLIENTBUG"


class Cancelled(ProtocolError):
    """The client gave up what it had begun, as it may: answered BAD (RFC 3501 §6.2.2)."""

    code = None


class Refused(ProtocolError):
    """A well-formed command that cannot be done: answered NO, with a response code."""

    status = b"NO"

    def __init__(self, code: bytes, text: str) -> None:
        super().__init__(text)
        self.code = code


FAILURES: Final[dict[type[Exception], tuple[bytes | None, bytes]]] = {
    store.MailboxNotFound: (b"NONEXISTENT", b"There is no such mailbox"),
    store.MailboxExists: (b"ALREADYEXISTS", b"A mailbox of this name is already there"),
    store.NotSelectable: (b"NONEXISTENT", b"The name is only a parent of mailboxes"),
    store.InvalidName: (b"CANNOT", b"No mailbox can have this name"),
    store.HasChildren: (b"HASCHILDREN", b"The mailbox has others below it"),
    store.CannotChange: (b"CANNOT", b"This mailbox must stay"),
    store.UseRefused: (b"USEATTR", b"No mailbox can be given this special use"),
    store.NotPermitted: (b"NOPERM", b"The rights of the files do not allow this"),
    store.Damaged: (b"CORRUPTION", b"The mailbox cannot be read until it is repaired"),
    store.MessageGone: (b"EXPUNGEISSUED", b"Some of the messages are gone"),
    store.MaildropInUse: (b"INUSE", b"The mailbox is in use"),
    store.TooManyKeywords: (b"LIMIT", b"There are too many keywords"),
    store.OverQuota: (b"OVERQUOTA", b"The quota leaves no room"),
    store.NoSpace: (b"OVERQUOTA", b"The disk is full"),
    store.LockTimeout: (b"INUSE", b"Another program holds the mailbox"),
    store.Unavailable: (b"UNAVAILABLE", b"The mailbox cannot be reached now"),
    store.NewerIndex: (b"CONTACTADMIN", b"The mailbox cannot be reached until it is repaired"),
    UnknownEncoding: (b"UNKNOWN-CTE", b"A part's Content-Transfer-Encoding is not known"),
    auth.BadCredentials: (b"AUTHENTICATIONFAILED", b"Wrong user name or password"),
    auth.Outdated: (b"AUTHENTICATIONFAILED", b"Wrong user name or password"),
    auth.Undecided: (b"UNAVAILABLE", b"Passwords cannot be checked now, try again later"),
    auth.AuthUnavailable: (b"UNAVAILABLE", b"Passwords cannot be checked now, try again later"),
    auth.Throttled: (b"UNAVAILABLE", b"Too many failed logins, try again later"),
    auth.Expired: (b"EXPIRED", b"The password has expired"),
    auth.Disabled: (b"CONTACTADMIN", b"This account may not log in"),
    auth.NotAuthorised: (b"AUTHORIZATIONFAILED", b"You may not act for this user"),
}
"""What the layers below report, as response codes of RFC 5530 with a text (R033, R117)."""


def failure(error: Exception) -> tuple[bytes | None, bytes]:
    """Code and text of a NO for an error of the store or of authentication."""
    for kind in type(error).__mro__:
        if kind in FAILURES:
            return FAILURES[kind]
    return b"UNAVAILABLE", b"This cannot be done now"


def string(value: bytes) -> bytes:
    """A quoted string, or a literal for CR, LF, 8-bit and long values (R021); NUL is 0x80 (R156).

    The empty string is `""`, never `{0}`: some clients wait for more after an empty literal (L-4).
    """
    if _PLAIN(value):  # nearly all
        return b'"%b"' % value
    if len(value) <= QUOTED_OCTETS_MAX and _QUOTABLE.fullmatch(value):
        return _quoted(value)
    return b"{%d}\r\n%b" % (len(value), value.replace(b"\0", b"\x80"))


def _quoted(value: bytes) -> bytes:
    return b'"%b"' % value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL for what is absent (R018)."""
    return b"NIL" if value is None else string(value)


def astring(value: bytes) -> bytes:
    """An atom where the grammar allows one, else a string; `NIL` is quoted for clients' sake."""
    if len(value) <= QUOTED_OCTETS_MAX and _ATOM.fullmatch(value) and value.upper() != b"NIL":
        return value
    return string(value)


def mailbox(name: str, unicode: bool) -> bytes:
    """A mailbox name as an astring: in UTF-8 for who asked for that, else in modified UTF-7."""
    if not unicode:
        return astring(utf7.encoded(name))
    # What comes from a stranger's folder on disk need not be encodable.
    value = name.encode("utf-8", "replace")
    if value.isascii() or len(value) > QUOTED_OCTETS_MAX:
        return astring(value)
    return _quoted(value)  # without control characters: no mailbox is called so


def mailbox_id(row: MailboxRow) -> bytes:
    """MAILBOXID, as a response code or an item of STATUS (RFC 8474 §4)."""
    return b"MAILBOXID (%b)" % row.object_id.encode("ascii")


@lru_cache(maxsize=4096)
def flag_list(flags: Flags) -> bytes:
    """`(\\Seen $Forwarded)`: system flags in their usual order, then keywords sorted."""
    ordered = sorted(flags, key=lambda flag: (_SYSTEM_ORDER.get(flag, 99), flag))
    return b"(%b)" % b" ".join(flag.encode("ascii", "replace") for flag in ordered)


def tagged(tag: bytes, status: bytes, code: bytes | None, text: bytes) -> bytes:
    """A status response; the tag `*` makes it untagged. `text` is never empty (R022)."""
    if code is None:
        return b"%b %b %b\r\n" % (tag, status, text)
    return b"%b %b [%b] %b\r\n" % (tag, status, code, text)


def untagged(status: bytes, code: bytes | None, text: bytes) -> bytes:
    """A status response that answers no command in particular."""
    return tagged(b"*", status, code, text)


def human(text: str) -> bytes:
    """Text for people after a status: one line of printable ASCII, no `[` in front (R022)."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text).lstrip("[ ")
    return clean[:400].encode("ascii") or b"failed"


def parenthesised(values: Iterable[bytes]) -> bytes:
    """A parenthesised list of values already rendered."""
    return b"(%b)" % b" ".join(values)
