"""What other servers wrote beside the mail, read by pure functions from octets to values.

The files are the user's own, and may say anything: whatever cannot be understood is passed over
and reported, sizes are bounded by whoever reads the files, and time is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

LARGEST: Final = 2**31 - 1
"""Of UIDs and UIDVALIDITYs: every server takes UIDVALIDITY from the clock, and nobody has had
more messages. A greater one would leave none to give."""
FAULTS_KEPT: Final = 10
UIDL_OCTETS_MAX: Final = 70
KEYWORDS_MAX: Final = 64
"""Of one message."""
_NUMBER: Final = re.compile(rb"0*([0-9]{1,10})")
_UIDL: Final = re.compile(rb"[\x21-\x7e]{1,%d}" % UIDL_OCTETS_MAX)
# An IMAP atom without what a flag may not have (RFC 9051 §9).
_KEYWORD: Final = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,100}")


class Damaged(ValueError):
    """Nothing of the file can be used; says why."""


@dataclass(slots=True)
class Faults:
    """What was passed over: the first few in words, the rest counted."""

    file: str
    words: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, line: int, what: str) -> None:
        """One more, in a line of the file."""
        if len(self.words) < FAULTS_KEPT:
            self.words.append(f"{self.file} line {line}: {what}")
        else:
            self.more += 1

    def said(self) -> tuple[str, ...]:
        """All of it, for people."""
        rest = (f"{self.file}: {self.more} more lines like these",) if self.more else ()
        return (*self.words, *rest)


def number(text: bytes) -> int | None:
    """A positive number up to LARGEST; None where there is none."""
    found = _NUMBER.fullmatch(text) if len(text) <= 20 else None
    value = 0 if found is None else int(found[1])
    return value if 0 < value <= LARGEST else None


def lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines with their numbers, empty ones left out."""
    for count, line in enumerate(data.split(b"\n"), 1):
        if line := line.removesuffix(b"\r"):
            yield count, line


def is_uidl(text: bytes) -> bool:
    """Whether UIDL may answer this (RFC 1939 §7)."""
    return _UIDL.fullmatch(text) is not None


def keyword(text: bytes) -> str | None:
    """A keyword as IMAP names it; None when it cannot be one."""
    return text.decode("ascii") if _KEYWORD.fullmatch(text) else None


def base_name(file: bytes) -> bytes:
    """A Maildir file's name without its flags."""
    return file.partition(b":2,")[0]


@dataclass(frozen=True, slots=True)
class Uidlist:
    """Which message has which number in one mailbox; messages by base name."""

    uidvalidity: int
    uidnext: int
    """Greater than every UID that was given."""
    uids: dict[bytes, int]
    uidls: dict[bytes, bytes]
    """POP3 names that were kept for messages."""
    guids: dict[bytes, bytes]
    faults: tuple[str, ...] = ()


class Entries:
    """A `Uidlist` being read: numbers ascend, and of two for a message the later counts."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.uids: dict[bytes, int] = {}
        self.last = 0

    def add(self, line: int, uid: bytes, name: bytes) -> bool:
        """One line's number and name; False: it was passed over."""
        value = number(uid)
        if value is None or not name or b"/" in name or b"\0" in name:
            self.faults.add(line, "no number and file name")
        elif value <= self.last:
            self.faults.add(line, f"UID {value} is not greater than the one before")
        else:
            if name in self.uids:
                self.faults.add(line, f"a second UID for {name.decode('utf-8', 'replace')}")
            self.uids[name] = self.last = value
            return True
        return False
