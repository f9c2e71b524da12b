"""Lines in and out: framing, replies, and what goes wrong in POP3's words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from maa.auth import errors as auth
from maa.auth.sasl import LINE_OCTETS_MAX as SASL_LINE_OCTETS
from maa.store import errors as store

LINE_OCTETS_MAX: Final = SASL_LINE_OCTETS + 64
"""Of a line from the client: RFC 2449 §4 asks for 255, SASL responses for more (R031)."""
END: Final = b".\r\n"

_NUMBER = re.compile(rb"[0-9]{1,10}")


class LineTooLong(Exception):
    """The client sends no line end; there is no way to go on."""


class Refused(Exception):
    """The command cannot be done: answered -ERR with this text."""

    def __init__(self, text: str, code: bytes | None = None) -> None:
        super().__init__(text)
        self.code = code


class Mistake(Refused):
    """The client broke the grammar or the state diagram; too many of these end the session."""


class Lines:
    """Octets as they come, taken out line by line; a bare LF ends a line too."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    @property
    def held_octets(self) -> int:
        """Octets fed and not taken yet."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take octets."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def next(self) -> bytes | None:
        """The next line without its end, or None; LineTooLong."""
        end = self._data.find(b"\n", self._at)
        if (end if end >= 0 else len(self._data)) - self._at > LINE_OCTETS_MAX:
            raise LineTooLong
        if end < 0:
            return None
        line = self._data[self._at : end]
        self._at = end + 1
        return line[:-1] if line.endswith(b"\r") else line

    def clear(self) -> None:
        """Forget everything (R026)."""
        self._data, self._at = b"", 0


def ok(text: bytes) -> bytes:
    """A positive reply; of a multi-line answer, its first line."""
    return b"+OK %b\r\n" % text


def err(text: bytes, code: bytes | None = None) -> bytes:
    """A negative reply, with a response code (RFC 2449 §8, RFC 3206)."""
    return b"-ERR %b\r\n" % text if code is None else b"-ERR [%b] %b\r\n" % (code, text)


def multi(first: bytes, lines: Iterable[bytes]) -> bytes:
    """A multi-line answer of lines that do not begin with a dot."""
    return b"\r\n".join([b"+OK " + first, *lines, END])


def number(argument: bytes) -> int:
    """A message number or count: digits, nothing else."""
    if _NUMBER.fullmatch(argument) is None:
        raise Mistake("a number is expected")
    return int(argument)


FAILURES: Final[dict[type[Exception], tuple[bytes | None, bytes]]] = {
    auth.BadCredentials: (b"AUTH", b"Wrong user name or password"),
    auth.Expired: (b"AUTH", b"The password has expired"),
    auth.Disabled: (b"AUTH", b"This account may not log in"),
    auth.NotAuthorised: (b"AUTH", b"You may not act for this user"),
    auth.Outdated: (b"AUTH", b"Wrong user name or password"),
    auth.Undecided: (b"SYS/TEMP", b"Passwords cannot be checked now, try again later"),
    auth.AuthUnavailable: (b"SYS/TEMP", b"Passwords cannot be checked now, try again later"),
    auth.Throttled: (b"SYS/TEMP", b"Too many failed logins, try again later"),
    store.MaildropInUse: (b"IN-USE", b"maildrop is locked by another session"),
    store.LockTimeout: (b"IN-USE", b"maildrop is locked by another program"),
    store.MessageGone: (None, b"The message was removed meanwhile"),
    store.MailboxGone: (b"SYS/TEMP", b"The mailbox was removed meanwhile"),
    store.Damaged: (b"SYS/PERM", b"The mailbox cannot be read until it is repaired"),
    store.NotPermitted: (b"SYS/PERM", b"The mailbox may not be read"),
    store.NewerIndex: (b"SYS/PERM", b"The mailbox cannot be reached until it is repaired"),
    store.MailboxNotFound: (b"SYS/PERM", b"There is no mailbox"),
    store.NotSelectable: (b"SYS/PERM", b"There is no mailbox"),
}
"""What the layers below report, as response codes of RFC 2449 and RFC 3206 with a text (R200)."""


def failure(error: Exception) -> bytes:
    """The -ERR for an error of the store or of authentication."""
    for kind in type(error).__mro__:
        if kind in FAILURES:
            code, text = FAILURES[kind]
            return err(text, code)
    return err(b"The mailbox cannot be reached now", b"SYS/TEMP")


def human(text: str) -> bytes:
    """Text for people: one short line of printable ASCII, no `[` in front."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text).lstrip("[ ")
    return clean[:400].encode("ascii") or b"failed"
