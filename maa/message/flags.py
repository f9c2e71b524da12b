"""Flags and keywords of messages, and their letters in Maildir file names.

A flag is a `str` in canonical spelling: system flags as RFC 3501 §2.3.2 writes them, keywords
as first seen (R085). A message's flags are one `frozenset`, interned, so that thousands of
messages with the same flags share one object.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

Flags = frozenset[str]

SEEN: Final = "\\Seen"
ANSWERED: Final = "\\Answered"
FLAGGED: Final = "\\Flagged"
DELETED: Final = "\\Deleted"
DRAFT: Final = "\\Draft"
RECENT: Final = "\\Recent"
FORWARDED: Final = "$Forwarded"

SYSTEM_FLAGS: Final = (ANSWERED, FLAGGED, DELETED, SEEN, DRAFT)
"""The flags a client may set on any message, in the order FLAGS responses list them."""
KEYWORD_OCTETS_MAX: Final = 100

NONE: Final[Flags] = frozenset()
_SPELLING: Final = {flag.lower(): flag for flag in (*SYSTEM_FLAGS, RECENT)}

# maildir(5) and Maildir++: P is "passed", which clients call $Forwarded (R092).
LETTERS: Final = {"D": DRAFT, "F": FLAGGED, "P": FORWARDED, "R": ANSWERED, "S": SEEN, "T": DELETED}
_LETTER_OF: Final = {flag: letter for letter, flag in LETTERS.items()}

_interned: dict[Flags, Flags] = {}


def interned(flags: Iterable[str]) -> Flags:
    """The one shared frozenset with these flags."""
    wanted = flags if isinstance(flags, frozenset) else frozenset(flags)
    return _interned.setdefault(wanted, wanted)


def canonical(flag: str) -> str:
    """The canonical spelling of a system flag; a keyword as it is (R003, R085)."""
    return _SPELLING.get(flag.lower(), flag)


def is_system(flag: str) -> bool:
    """Whether the name is a system flag's, known or not: it begins with a backslash."""
    return flag.startswith("\\")


def from_letters(letters: str) -> Flags:
    """The flags that a Maildir suffix's letters mean; unknown letters mean none here (R092)."""
    return interned(LETTERS[letter] for letter in letters if letter in LETTERS)


def to_letters(flags: Flags, kept: str = "") -> str:
    """The letters for a Maildir suffix in ASCII order, with unknown ones of `kept` (R241)."""
    known = {_LETTER_OF[flag] for flag in flags if flag in _LETTER_OF}
    return "".join(sorted(known | {letter for letter in kept if letter not in LETTERS}))
