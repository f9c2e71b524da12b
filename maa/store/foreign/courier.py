"""What Courier keeps in a Maildir, and what it answers to UIDL.

`courierimapuiddb`:

    1 795634218 4
    1 1795634218.M341105P22914V0000.host,S=15

The header has version, UIDVALIDITY and next UID. `courierpop3dsizelist`, version 3:

    /3 6 1795634223
    1795634207.M5P22720.test:2,S 51 1:1795634223:0

A line has file, octets, and number and stamp of the message's POP3 name, `UID1-1795634223`; a
version without stamps had names such as `UID1`, and one without numbers the file's name.
"""

from __future__ import annotations

import re
from typing import Final

from maa.store.foreign import (
    KEYWORDS_MAX,
    Damaged,
    Entries,
    Faults,
    Uidlist,
    base_name,
    keyword,
    lines,
    number,
)

UIDDB: Final = "courierimapuiddb"
SIZELIST: Final = "courierpop3dsizelist"
KEYWORDS: Final = "courierimapkeywords"
KEYWORD_LIST: Final = ":list"
SUBSCRIBED: Final = "courierimapsubscribed"
PREFIX: Final = "INBOX."
"""In front of every folder's name."""

_HEADER: Final = re.compile(rb"/\d (\d{1,10})(?: \d{1,10})?")
_SIZE: Final = re.compile(rb"(.+) \d{1,20} (\d{1,10})(?::(\d{1,10}))?(?::\d+)?")
_ESCAPED: Final = re.compile(rb"[^\x21-\x7e]|['\"+]")
_UPDATE: Final = re.compile(rb"\.(\d{1,18})\.(.+)")


def uiddb(data: bytes, file: str = UIDDB) -> Uidlist:
    """`courierimapuiddb`; Damaged."""
    first, _, rest = data.partition(b"\n")
    words = first.split()
    if len(words) != 3 or words[0] != b"1":
        raise Damaged(f"{file}: its first line is not '1 UIDVALIDITY UIDNEXT'")
    validity, following = number(words[1]), number(words[2])
    if validity is None or following is None:
        raise Damaged(f"{file}: no usable UIDVALIDITY and next UID in its first line")
    faults = Faults(file)
    entries = Entries(faults)
    for count, line in lines(rest):
        uid, _, name = line.partition(b" ")
        entries.add(count + 1, uid, name)
    following = max(following, entries.last + 1)
    return Uidlist(validity, following, entries.uids, {}, {}, faults.said())


def sizelist(data: bytes) -> tuple[dict[bytes, bytes] | None, tuple[str, ...]]:
    """`courierpop3dsizelist`: POP3 names by base name, None: those of the files themselves."""
    faults = Faults(SIZELIST)
    first = data.partition(b"\n")[0]
    if not first.startswith(b"/"):
        return None, ()
    if _HEADER.fullmatch(first) is None:
        raise Damaged(f"{SIZELIST}: its first line cannot be understood")
    found: dict[bytes, bytes] = {}
    for count, line in lines(data):
        if count == 1:
            continue
        match = _SIZE.fullmatch(line) if len(line) < 2048 else None
        name = b"" if match is None else base_name(match[1])
        if match is None or not name or name in found:
            faults.add(count, "no file, size and number")
            continue
        value, stamp = int(match[2]), int(match[3] or 0)
        if not value:
            found[name] = file_uidl(name)
        else:
            found[name] = b"UID%d-%d" % (value, stamp) if stamp else b"UID%d" % value
    return found, faults.said()


def file_uidl(name: bytes) -> bytes:
    """The POP3 name that is made of a file's base name."""
    return _ESCAPED.sub(lambda match: b"+%02X" % match[0][0], name)


def keyword_list(data: bytes) -> tuple[dict[bytes, frozenset[str]], tuple[str, ...]]:
    """`courierimapkeywords/:list`: names, an empty line, then `FILE:NUMBER NUMBER` lines."""
    faults = Faults(f"{KEYWORDS}/{KEYWORD_LIST}")
    names, _, rest = data.partition(b"\n\n")
    known = [keyword(line) for _, line in lines(names)]
    before = names.count(b"\n") + 2
    found: dict[bytes, frozenset[str]] = {}
    for count, line in lines(rest):
        name, colon, numbers = line.partition(b":")
        chosen = [
            known[int(word)]
            for word in numbers.split()[:KEYWORDS_MAX]
            if word.isdigit() and len(word) < 10 and int(word) < len(known)
        ]
        if not colon or not name or len(chosen) != len(numbers.split()):
            faults.add(before + count, "no file and numbers of keywords")
        if colon and name:
            found[name] = frozenset(filter(None, chosen))
    return found, faults.said()


def message_keywords(data: bytes) -> frozenset[str]:
    """A file in `courierimapkeywords` for one message: a keyword a line."""
    return frozenset(filter(None, (keyword(line) for _, line in list(lines(data))[:KEYWORDS_MAX])))


def update_of(file: bytes) -> tuple[bytes, float] | None:
    """Which message a file in `courierimapkeywords` is about; of several the greatest counts."""
    if file.startswith((b":", b".tmp.")):
        return None
    if not file.startswith(b"."):
        return base_name(file), float("inf")
    match = _UPDATE.fullmatch(file)
    return None if match is None else (base_name(match[2]), float(match[1]))


def subscribed(data: bytes) -> list[str]:
    """`courierimapsubscribed`: names in UTF-8, as later versions write them, or modified UTF-7."""
    return [line.decode("utf-8", "surrogateescape") for _, line in lines(data)]
