"""The words of IMAP's grammar, read from one complete command (RFC 3501 §9).

A `Cursor` stands on the octets of one logical line: its pieces of text with the contents of
the literals between them. Every method reads one token and advances, or raises ProtocolError;
no octets make it raise anything else. All patterns are unambiguous, so time is linear.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from maa.imap import utf7
from maa.imap.responses import ProtocolError, Refused
from maa.imap.states import Literal
from maa.message import flags as message_flags
from maa.message.flags import KEYWORD_OCTETS_MAX, RECENT, SYSTEM_FLAGS, Flags
from maa.message.numbers import MAX_MOD_SEQUENCE, MAX_NUMBER, SAVED, MessageSet, NumberSet

# RFC 3501 §9. ATOM-CHAR: any CHAR except atom-specials, which are ( ) { SP CTL % * " \ ].
ATOM = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
# ASTRING-CHAR = ATOM-CHAR / resp-specials
ASTRING = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
# list-char = ATOM-CHAR / list-wildcards / resp-specials
LIST_MAILBOX = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
# tag = 1*<any ASTRING-CHAR except "+">
TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+')
# QUOTED-CHAR: any TEXT-CHAR except quoted-specials, or an escaped quoted-special (R007).
_PLAIN = rb'[^"\\\r\n\x00\x80-\xff]*'
QUOTED = re.compile(rb'"(%b(?:\\["\\]%b)*)"' % (_PLAIN, _PLAIN))
# uQUOTED-CHAR, once UTF8=ACCEPT or IMAP4rev2 is enabled (RFC 6855 §3).
_WIDE = rb'[^"\\\r\n\x00]*'
QUOTED_UTF8 = re.compile(rb'"(%b(?:\\["\\]%b)*)"' % (_WIDE, _WIDE))
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_ESCAPED = re.compile(rb"\\(.)")
_NUMBER = re.compile(rb"[0-9]+")
_SEQUENCE_SET = re.compile(rb"[0-9*:,]+")
_FLAG = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')


class StringMissing(ProtocolError):
    """The text ends where a string must stand: it may be a literal not received yet."""


class Cursor:
    """A reader over one command: `pieces[0]`, a literal's content, more text, a literal, ..."""

    __slots__ = ("_announced", "_at", "_index", "_pieces", "_text", "unicode")

    def __init__(
        self,
        pieces: Sequence[bytes],
        at: int = 0,
        announced: Literal | None = None,
        unicode: bool = False,
    ) -> None:
        """Begin at an offset; `announced`: a literal follows that was not received yet.

        `unicode`: quoted strings may be UTF-8, and mailbox names are (`states.Enabled.unicode`).
        """
        self.unicode = unicode
        self._pieces = pieces
        self._announced = announced
        self._index = 0
        self._text = pieces[0]
        self._at = at

    def peek(self) -> bytes:
        """The next octet; `b""` at the end; `b"{"` stands for a literal."""
        if self._at < len(self._text):
            return self._text[self._at : self._at + 1]
        return b"{" if self._index + 1 < len(self._pieces) else b""

    def space(self) -> None:
        """Exactly one blank (R006)."""
        if self._text[self._at : self._at + 1] != b" ":
            raise ProtocolError("a blank is missing between arguments")
        self._at += 1

    def expect(self, token: bytes) -> None:
        """This token, in any case."""
        if not self.take(token):
            raise ProtocolError(f"{token.decode('ascii')} is missing")

    def take(self, token: bytes) -> bool:
        """Whether this token (any case) stands here; if so, go behind it."""
        end = self._at + len(token)
        if self._text[self._at : end].upper() != token.upper():
            return False
        self._at = end
        return True

    def end(self) -> None:
        """Nothing more but blanks, which some clients send (R006)."""
        if self._index + 1 < len(self._pieces) or self._text[self._at :].strip(b" "):
            raise ProtocolError("arguments that were not expected")

    def remaining_match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What the pattern matches here, within the present piece of text; if so, go behind it."""
        match = pattern.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return match

    def _token(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        match = pattern.match(self._text, self._at)
        if match is None:
            raise ProtocolError(f"{what} is missing")
        self._at = match.end()
        return match.group()

    def atom(self) -> bytes:
        """1*ATOM-CHAR."""
        return self._token(ATOM, "an atom")

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self._at < len(self._text):
            match = (QUOTED_UTF8 if self.unicode else QUOTED).match(self._text, self._at)
            if match is None:
                raise ProtocolError("a string is missing or not closed")
            self._at = match.end()
            value = match.group(1)
            if self.unicode and not _is_utf8(value):
                raise ProtocolError("a quoted string is not valid UTF-8")
            return _ESCAPED.sub(rb"\1", value) if b"\\" in value else value
        if self._index + 1 >= len(self._pieces):
            raise StringMissing("a string is missing")
        literal = self._pieces[self._index + 1]
        if b"\0" in literal:
            raise ProtocolError("a literal must not hold NUL")
        self._index += 2
        self._text = self._pieces[self._index] if self._index < len(self._pieces) else b""
        self._at = 0
        return literal

    def message_literal(self) -> Literal:
        """The literal behind the last octet, which APPEND takes in chunks."""
        if self.peek() or self._announced is None:
            raise ProtocolError("the message must be a literal")
        return self._announced

    def astring(self) -> bytes:
        """An atom with `]` allowed, or a string; the atom NIL is just three letters (R018)."""
        match = ASTRING.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
            return match.group()
        return self.string()

    def nstring(self) -> bytes | None:
        """A string, or None for NIL."""
        return None if self.take(b"NIL") else self.string()

    def list_mailbox(self) -> bytes:
        """A LIST pattern: an astring that may hold `%` and `*` bare (R019)."""
        match = LIST_MAILBOX.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
            return match.group()
        return self.string()

    def number(self) -> int:
        """Unsigned 32 bit (R016)."""
        digits = self._token(_NUMBER, "a number")
        if len(digits) > 10 or (number := int(digits)) > MAX_NUMBER:
            raise ProtocolError("a number is too large")
        return number

    def number64(self, what: str = "a number") -> int:
        """Unsigned 63 bit (RFC 9051 §9)."""
        digits = self._token(_NUMBER, what)
        if len(digits) > 19 or (number := int(digits)) > MAX_MOD_SEQUENCE:
            raise ProtocolError(f"{what} is too large")
        return number

    def nz_number(self) -> int:
        """Unsigned 32 bit, not zero, no leading zero (R016)."""
        if self._text[self._at : self._at + 1] == b"0":
            raise ProtocolError("a number must not be zero nor begin with it")
        return self.number()

    def mod_sequence(self) -> int:
        """A mod-sequence, unsigned 63 bit; 0 is older than all (RFC 7162 §7; L-20)."""
        return self.number64("a mod-sequence")

    def sequence_set(self) -> NumberSet:
        """Numbers and ranges of numbers, never expanded (R014)."""
        try:
            return NumberSet.parse(self._token(_SEQUENCE_SET, "a message set"))
        except ValueError as error:
            raise ProtocolError(f"invalid message set: {error}") from None

    def message_set(self) -> MessageSet:
        """A sequence-set, or `$` (RFC 5182 §3)."""
        return SAVED if self.take(b"$") else self.sequence_set()

    def mailbox(self) -> str:
        """A mailbox name as the client spelled it, but decoded (INBOX may be in any case)."""
        return decoded_mailbox(self.astring(), self.unicode)

    def flag_list(self) -> Flags:
        """`(\\Seen $Forwarded)`, checked as `flags` does; `()` is legal."""
        self.expect(b"(")
        found: list[bytes] = []
        if not self.take(b")"):
            found.append(self._token(_FLAG, "a flag"))
            while not self.take(b")"):
                self.space()
                found.append(self._token(_FLAG, "a flag"))
        return settable(found)

    def flags(self) -> Flags:
        """The flags of STORE: a list, or flags without parentheses (R083)."""
        if self.peek() == b"(":
            return self.flag_list()
        found = [self._token(_FLAG, "a flag")]
        while self.remaining_match(_ANOTHER) is not None:
            found.append(self._token(_FLAG, "a flag"))
        return settable(found)


_ANOTHER = re.compile(rb" (?=[^ ])")


def decoded_mailbox(name: bytes, unicode: bool) -> str:
    """The Unicode form of a mailbox name; an illegal spelling is refused (R094)."""
    try:
        return name_of(name, unicode)
    except ValueError:
        form = "UTF-8" if unicode else "modified UTF-7"
        raise Refused(b"CANNOT", f"the mailbox name is not valid {form}") from None


def name_of(name: bytes, unicode: bool) -> str:
    """A mailbox name in UTF-8 or else in modified UTF-7; ValueError."""
    if not unicode:
        return utf7.decoded(name)
    text = name.decode("utf-8")
    if _NOT_IN_NAMES.search(text):
        raise ValueError("a mailbox name holds control characters")
    return text


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def settable(names: Sequence[bytes]) -> Flags:
    """Flags a client may set: \\Recent is ignored (R081), unknown system flags are BAD (R084)."""
    result: set[str] = set()
    for name in names:
        if len(name) > KEYWORD_OCTETS_MAX:
            raise Refused(b"LIMIT", f"a keyword has at most {KEYWORD_OCTETS_MAX} characters")
        flag = message_flags.canonical(name.decode("ascii"))
        if flag in SYSTEM_FLAGS or not message_flags.is_system(flag):
            result.add(flag)
        elif flag != RECENT:
            raise ProtocolError(f"there is no system flag {flag}")
    return message_flags.interned(result)
