"""What mail programs note of a message in its header, which is not the message (R236, R237).

`Status`, `X-Status`, `X-Keywords`, `X-UID`, `X-IMAP`, `X-IMAPbase` and `Content-Length` are hidden
from clients and count in no size, and so is `Lines` right behind `Content-Length`, where mutt
writes it. Of new mail they are perhaps the sender's; what programs change in them later counts.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from maa.message.flags import (
    ANSWERED,
    DELETED,
    DRAFT,
    FLAGGED,
    KEYWORD_OCTETS_MAX,
    SEEN,
    Flags,
    interned,
    is_system,
)

_METADATA = re.compile(
    rb"\n(?:(?P<name>status|x-status|x-keywords|x-uid|x-imap|x-imapbase)[ \t]*:"
    rb"(?P<value>[^\n]*(?:\n[ \t][^\n]*)*)"
    rb"|content-length[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\nlines[ \t]*:[ \t]*\d+[ \t]*\r?(?=\n))?)",
    re.IGNORECASE,
)
_LETTERS: Final = {
    b"R"[0]: SEEN,
    b"A"[0]: ANSWERED,
    b"F"[0]: FLAGGED,
    b"D"[0]: DELETED,
    b"T"[0]: DRAFT,
}
_KEYWORD = re.compile(rb"[!#$&'+-\[^-z|}~]{1,%d}" % KEYWORD_OCTETS_MAX)
_KEYWORDS_MAX: Final = 50


@lru_cache(maxsize=2)  # who verifies a message shows it next
def without_notes(header: bytes) -> bytes:
    """The header as clients see it."""
    return _METADATA.sub(b"", b"\n" + header)[1:]


def notes_of(header: bytes) -> bytes:
    """What a header notes of flags: sorted letters of Status and X-Status (R A F D T), then the
    keywords of X-Keywords, each with a blank in front.
    """
    letters: set[int] = set()
    keywords: set[bytes] = set()
    for match in _METADATA.finditer(b"\n" + header):
        name = (match["name"] or b"").lower()
        if name in (b"status", b"x-status"):
            letters.update(match["value"])
        elif name == b"x-keywords":
            keywords.update(filter(_KEYWORD.fullmatch, match["value"].split()))
    known = bytes(sorted(letters & _LETTERS.keys()))
    return known + b"".join(b" " + word for word in sorted(keywords)[:_KEYWORDS_MAX])


def flags_of(notes: bytes) -> Flags:
    """The flags and keywords that `notes_of` a header mean."""
    letters, _, keywords = notes.partition(b" ")
    if not keywords:
        return _flags_of(letters)
    return interned(_flags_of(letters).union(keywords.decode("ascii").split(" ")))


@lru_cache(maxsize=64)
def _flags_of(letters: bytes) -> Flags:
    return interned(_LETTERS[letter] for letter in letters if letter in _LETTERS)


def status_fields(flags: Flags) -> bytes:
    """The fields by which mail programs know these flags: Status, X-Status, X-Keywords."""
    letters = {flag: bytes([letter]) for letter, flag in _LETTERS.items()}
    marks = b"".join(sorted(letters[flag] for flag in flags if flag in letters and flag != SEEN))
    keywords = " ".join(sorted(flag for flag in flags if not is_system(flag)))
    status = b"Status: " + (b"RO" if SEEN in flags else b"O") + b"\n"
    status += b"X-Status: " + marks + b"\n" if marks else b""
    return status + (b"X-Keywords: %s\n" % keywords.encode("ascii") if keywords else b"")
