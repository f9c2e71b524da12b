"""What SEARCH can ask, as values, and its grammar (RFC 3501 §6.4.4, §9 search-key).

Keys are a tree of `All`, `Any` and `Not` over plain conditions. A chain of ORs becomes one
`Any` and a chain of NOTs at most one `Not`, so that depth is what a person would call depth;
the reader keeps its own stack and never recurses (R177, R224).
"""

from __future__ import annotations

import datetime
import functools
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError, Refused
from maa.message import flags as message_flags
from maa.message.numbers import SAVED, MessageSet
from maa.message.text import charset_decoder

KEYS_MAX = 1000
PARENTHESES_MAX = 32
DEPTH_MAX = 100
"""Of keys inside keys, after chains of OR and NOT are one."""


class Comparison(Enum):
    """How a date relates to the one asked for; of sizes only less and more are asked."""

    LESS = "<"
    EQUAL = "="
    MORE = ">"
    SINCE = ">="
    UNTIL = "<="

    def holds(self, one: int, other: int) -> bool:
        """Whether `one` relates so to `other`."""
        return _RELATIONS[self](one, other)


_RELATIONS: Final[dict[Comparison, Callable[[int, int], bool]]] = {
    Comparison.LESS: operator.lt,
    Comparison.EQUAL: operator.eq,
    Comparison.MORE: operator.gt,
    Comparison.SINCE: operator.ge,
    Comparison.UNTIL: operator.le,
}


@dataclass(frozen=True, slots=True)
class All:
    """Every one of these; of no keys: every message."""

    keys: tuple[Key, ...] = ()


@dataclass(frozen=True, slots=True)
class Any:
    """At least one of these."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    key: Key


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A flag or keyword, compared without case (R085); \\Recent is one (R184)."""

    flag: str


@dataclass(frozen=True, slots=True)
class InSet:
    """A set of sequence numbers or UIDs, or `$`; what does not exist matches nothing (R178)."""

    numbers: MessageSet
    by_uid: bool


@dataclass(frozen=True, slots=True)
class Size:
    """LARGER and SMALLER, strictly, on RFC822.SIZE (R183)."""

    comparison: Comparison
    octets: int


@dataclass(frozen=True, slots=True)
class Internal:
    """BEFORE, ON, SINCE: the day of INTERNALDATE, without time and zone (R182)."""

    comparison: Comparison
    day: datetime.date


@dataclass(frozen=True, slots=True)
class Age:
    """OLDER and YOUNGER: INTERNALDATE to the second, that long before now (RFC 5032 §2)."""

    comparison: Comparison
    seconds: int


@dataclass(frozen=True, slots=True)
class Sent:
    """SENTBEFORE, SENTON, SENTSINCE: the day the Date field says, as written (R182)."""

    comparison: Comparison
    day: datetime.date


@dataclass(frozen=True, slots=True)
class InHeader:
    """A header field holds the text; the empty text: the field is there (R181)."""

    name: bytes
    """In capitals."""
    text: str


@dataclass(frozen=True, slots=True)
class InMessage:
    """BODY: the text parts hold the text; TEXT: they or the header do (R185)."""

    text: str
    with_header: bool


@dataclass(frozen=True, slots=True)
class Modified:
    """MODSEQ: changed with this mod-sequence or a later one (RFC 7162 §3.1.5)."""

    since: int


@dataclass(frozen=True, slots=True)
class Saved:
    """SAVEDBEFORE, SAVEDON, SAVEDSINCE: the day of SAVEDATE, without time (RFC 8514 §4.3)."""

    comparison: Comparison
    day: datetime.date


@dataclass(frozen=True, slots=True)
class EmailId:
    """EMAILID: exactly this ObjectID (RFC 8474 §6)."""

    object_id: str


@dataclass(frozen=True, slots=True)
class ThreadId:
    """THREADID: exactly this ObjectID (RFC 8474 §6)."""

    object_id: str


Indexed = Modified | Saved | EmailId | ThreadId


class Measure(Enum):
    """A number that the mailbox has of each message."""

    SIZE = "RFC822.SIZE"
    DATE = "INTERNALDATE"


Measured = Size | Internal | Age
Leaf = HasFlag | InSet | Measured | Sent | InHeader | InMessage | Indexed
Key = All | Any | Not | Leaf


def measure_of(leaf: Measured) -> Measure:
    """What a condition compares."""
    return Measure.SIZE if isinstance(leaf, Size) else Measure.DATE


_WORD = re.compile(rb"[A-Za-z]+")
_SET = re.compile(rb"(?=[0-9*$])")
_DATE = re.compile(rb'("?)([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})\1')
_MONTHS: Final = (b"JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC").split()
_FLAGS: Final = {
    b"ANSWERED": message_flags.ANSWERED,
    b"DELETED": message_flags.DELETED,
    b"DRAFT": message_flags.DRAFT,
    b"FLAGGED": message_flags.FLAGGED,
    b"SEEN": message_flags.SEEN,
}
_RECENT: Final = HasFlag(message_flags.RECENT)
_PLAIN: Final[dict[bytes, Key]] = {
    b"ALL": All(),
    b"SAVEDATESUPPORTED": All(),
    b"RECENT": _RECENT,
    b"OLD": Not(_RECENT),
    b"NEW": All((_RECENT, Not(HasFlag(message_flags.SEEN)))),
    **{word: HasFlag(flag) for word, flag in _FLAGS.items()},
    **{b"UN" + word: Not(HasFlag(flag)) for word, flag in _FLAGS.items()},
}
_DATES: Final = {  # whether INTERNALDATE is meant
    b"BEFORE": (True, Comparison.LESS),
    b"ON": (True, Comparison.EQUAL),
    b"SINCE": (True, Comparison.SINCE),
    b"SENTBEFORE": (False, Comparison.LESS),
    b"SENTON": (False, Comparison.EQUAL),
    b"SENTSINCE": (False, Comparison.SINCE),
}
_SAVED: Final = {
    b"SAVEDBEFORE": Comparison.LESS,
    b"SAVEDON": Comparison.EQUAL,
    b"SAVEDSINCE": Comparison.SINCE,
}
_OBJECT_IDS: Final[dict[bytes, Callable[[str], Key]]] = {b"EMAILID": EmailId, b"THREADID": ThreadId}
_SIZES: Final = {b"LARGER": Comparison.MORE, b"SMALLER": Comparison.LESS}
_AGES: Final = {b"OLDER": Comparison.UNTIL, b"YOUNGER": Comparison.SINCE}
_FIELDS: Final = frozenset((b"BCC", b"CC", b"FROM", b"SUBJECT", b"TO"))
_WITH_ARGUMENTS: Final = frozenset(
    (
        *_FIELDS,
        *_SIZES,
        *_DATES,
        *_SAVED,
        *_OBJECT_IDS,
        b"MODSEQ",
        *_AGES,
        b"BODY",
        b"TEXT",
        b"UID",
        b"KEYWORD",
        b"UNKEYWORD",
        b"HEADER",
    )
)


def parse_search(cursor: Cursor) -> tuple[bytes | None, Key]:
    """`["CHARSET" SP astring SP] search-key *(SP search-key)`.

    Gives the charset as named. When it is none we know, texts are read as Latin-1, for the
    command must be understood to its end before it can be refused (R017, R180).
    """
    charset = None
    if cursor.take(b"CHARSET "):
        charset = cursor.astring()
        cursor.space()
    return charset, _Reader(cursor, _decoder(charset)).read()


def names_numbers(key: Key) -> bool:
    """Whether sequence numbers are among the conditions."""
    waiting = [key]
    while waiting:
        match waiting.pop():
            case All(keys) | Any(keys):
                waiting.extend(keys)
            case Not(inner):
                waiting.append(inner)
            case InSet(numbers, by_uid=False) if numbers is not SAVED:
                return True
    return False


def parse_program(cursor: Cursor) -> tuple[bytes, Key]:
    """`charset 1*(SP search-key)`, as SORT and THREAD have it (RFC 5256 §5)."""
    charset = cursor.astring()
    cursor.space()
    return charset, _Reader(cursor, _decoder(charset)).read()


def known_charset(charset: bytes | None) -> bool:
    """Whether texts in this charset can be read; None is UTF-8, of which US-ASCII is a part."""
    return charset is None or charset_decoder(charset) is not None


def _decoder(charset: bytes | None) -> Callable[[bytes], str]:
    if charset is None:
        return bytes.decode
    return charset_decoder(charset) or functools.partial(str, encoding="latin-1")


@dataclass(slots=True)
class _Open:
    """A key whose operands are still being read: NOT, OR, a parenthesis, or the whole list."""

    word: bytes
    keys: list[Key] = field(default_factory=list)
    depth: int = 0
    """Of the deepest operand so far."""


class _Reader:
    """Reads one list of keys, with its own stack of what is open."""

    def __init__(self, cursor: Cursor, decode: Callable[[bytes], str]) -> None:
        self._cursor = cursor
        self._decode = decode
        self._stack = [_Open(b"")]
        self._parentheses = 0
        self._count = 0

    def read(self) -> Key:
        """The keys up to the end of the command, all to be met."""
        while True:
            leaf = self._key()
            if leaf is not None and (whole := self._closed(leaf)) is not None:
                return whole

    def _key(self) -> Key | None:
        """A whole key; or None when one was opened, whose operand comes next."""
        self._count += 1
        if self._count > KEYS_MAX:
            raise Refused(b"LIMIT", f"more than {KEYS_MAX} search keys")
        if self._cursor.take(b"("):
            self._parentheses += 1
            if self._parentheses > PARENTHESES_MAX:
                raise Refused(b"LIMIT", "the parentheses are nested too deeply")
            self._stack.append(_Open(b"("))
            return None
        if self._cursor.remaining_match(_SET) is not None:
            return InSet(self._cursor.message_set(), by_uid=False)
        match = self._cursor.remaining_match(_WORD)
        word = match.group().upper() if match else b""
        if word in (b"NOT", b"OR"):
            self._cursor.space()
            self._stack.append(_Open(word))
            return None
        return _PLAIN[word] if word in _PLAIN else self._condition(word)

    def _closed(self, key: Key) -> Key | None:
        """Put a key where it belongs and close what it completes; the whole when it ends here."""
        depth = 1
        while True:
            top = self._stack[-1]
            top.keys.append(key)
            top.depth = max(top.depth, depth)
            if not self._completed(top):
                return None
            if top.word == b"":
                return _combined(top)[0]
            self._stack.pop()
            key, depth = _combined(top)
            if depth > DEPTH_MAX:
                raise Refused(b"LIMIT", "the search keys are nested too deeply")

    def _completed(self, top: _Open) -> bool:
        """Whether the innermost open key has all its operands; if not, stand before the next."""
        if top.word == b"NOT" or (top.word == b"OR" and len(top.keys) == 2):
            return True
        if top.word == b"(" and self._cursor.take(b")"):
            self._parentheses -= 1
            return True
        if top.word == b"" and self._cursor.peek() == b"":
            return True
        self._cursor.space()
        return top.word == b"" and self._cursor.peek() in (b"", b" ")

    def _condition(self, word: bytes) -> Key:
        """A key with arguments."""
        cursor = self._cursor
        if word not in _WITH_ARGUMENTS:
            raise ProtocolError("unknown search key " + (word[:40].decode("ascii") or "or none"))
        cursor.space()
        if word in _FIELDS:
            return InHeader(word, self._text())
        if word in (b"BODY", b"TEXT"):
            return InMessage(self._text(), with_header=word == b"TEXT")
        if word in _SIZES:
            return Size(_SIZES[word], cursor.number64())
        if word in _AGES:
            return Age(_AGES[word], cursor.nz_number())
        if word in _DATES:
            internal, comparison = _DATES[word]
            day = self._date()
            return Internal(comparison, day) if internal else Sent(comparison, day)
        if word in _SAVED:
            return Saved(_SAVED[word], self._date())
        if word in _OBJECT_IDS:
            return _OBJECT_IDS[word](cursor.astring().decode("latin-1"))
        if word == b"MODSEQ":
            return self._modified()
        if word == b"UID":
            return InSet(cursor.message_set(), by_uid=True)
        if word in (b"KEYWORD", b"UNKEYWORD"):
            keyword = HasFlag(cursor.atom().decode("ascii"))
            return keyword if word == b"KEYWORD" else Not(keyword)
        name = cursor.astring().upper()
        cursor.space()
        return InHeader(name, self._text())

    def _modified(self) -> Key:
        """`[entry-name SP entry-type-req SP] mod-sequence`; a message has one for all its flags."""
        cursor = self._cursor
        if cursor.peek() == b'"':
            if not cursor.string().lower().startswith(b"/flags/"):
                raise ProtocolError("an entry is named /flags/ and a flag")
            cursor.space()
            if cursor.atom().lower() not in (b"priv", b"shared", b"all"):
                raise ProtocolError("priv, shared or all is missing")
            cursor.space()
        return Modified(cursor.mod_sequence())

    def _text(self) -> str:
        try:
            return self._decode(self._cursor.astring())
        except UnicodeError:
            raise ProtocolError("a text is not valid in the charset of the search") from None

    def _date(self) -> datetime.date:
        match = self._cursor.remaining_match(_DATE)
        if match is None or match.group(3).upper() not in _MONTHS:
            raise ProtocolError("a date such as 1-Feb-1994 is missing")
        month = 1 + _MONTHS.index(match.group(3).upper())
        try:
            return datetime.date(int(match.group(4)), month, int(match.group(2)))
        except ValueError:
            raise ProtocolError("there is no such date") from None


def _combined(done: _Open) -> tuple[Key, int]:
    """What a completed key means, with its depth; chains of one kind become one level."""
    if done.word == b"NOT":
        key = done.keys[0]
        return (key.key, done.depth - 1) if isinstance(key, Not) else (Not(key), done.depth + 1)
    if done.word == b"OR":
        flat: list[Key] = []
        for key in done.keys:
            flat.extend(key.keys if isinstance(key, Any) else (key,))
        inner = any(isinstance(key, Any) for key in done.keys)
        return Any(tuple(flat)), done.depth + (0 if inner else 1)
    if len(done.keys) == 1:
        return done.keys[0], done.depth
    return All(tuple(done.keys)), done.depth + 1
