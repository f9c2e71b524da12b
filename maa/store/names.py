"""Mailbox names: what may be one, which are the same, and what they are called on disk.

People see Unicode with `.` between the elements. On disk a mailbox is one directory, a dot and
the name in modified UTF-7 (RFC 3501 §5.1.3), as Dovecot and Courier write Maildir++. Other
programs are lax: what is no modified UTF-7 is read as the text it looks like.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
import unicodedata
from typing import Final

from maa.store.errors import InvalidName

SEPARATOR: Final = "."
INBOX: Final = "INBOX"
DIRECTORY_OCTETS_MAX: Final = 255

_ENCODED = re.compile(r"&([A-Za-z0-9+,]*)-")
# Controls, and the line separators that net-unicode bars from names (RFC 9051 §5.1).
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


# Loaded now: later it may be asked for with the identity of a user who may not read our files.
codecs.lookup("utf-16-be")

_SWAPPED: Final = str.maketrans("./", "/.")


def swapped(name: str) -> str:
    """A name whose separator is a slash in the form of this module, and back again.

    Mailboxes that are files in directories have names such as `Work/2026.old`. In all of the
    store but `maa.store.mbox_folders` the separator is a dot, and then that is `Work.2026/old`.
    """
    return name.translate(_SWAPPED)


def normalised(name: str) -> str:
    """The name as it is meant: INBOX in capitals, no separator at the end (R093, L-14, Q-2)."""
    head, separator, rest = name.removesuffix(SEPARATOR).partition(SEPARATOR)
    # "INBOX" is case-insensitive as the whole first element, so its children agree on a parent.
    return (INBOX if head.upper() == INBOX else head) + separator + rest


def key(name: str) -> str:
    """What is equal for names that are the same mailbox: the NFC form (R095)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def checked(name: str) -> str:
    """The normalised name if a mailbox may be called so, else InvalidName (R096)."""
    name = normalised(name)
    if not all(name.split(SEPARATOR)):
        raise InvalidName(f"an element of the name is empty: {name!r}")
    if name[0] in "~/":
        raise InvalidName(f"a name cannot begin with {name[0]!r}")
    if _FORBIDDEN.search(name):
        raise InvalidName("a name cannot have control characters")
    if len(directory(name)) > DIRECTORY_OCTETS_MAX:
        raise InvalidName(f"a name is at most {DIRECTORY_OCTETS_MAX} octets on disk")
    return name


def parents(name: str) -> list[str]:
    """The superior names, the nearest first."""
    found = []
    while SEPARATOR in name:
        name = name.rpartition(SEPARATOR)[0]
        found.append(name)
    return found


def is_below(name: str, parent: str) -> bool:
    """Whether a name is inferior to another."""
    return key(name).startswith(key(parent) + SEPARATOR)


def moved(name: str, old: str, new: str) -> str:
    """What a mailbox called `old`, or one below it, is called when `old` becomes `new`."""
    # By elements: forms of one name that differ in composition differ in length.
    depth = len(normalised(old).split(SEPARATOR))
    return SEPARATOR.join([new, *name.split(SEPARATOR)[depth:]])


def directory(name: str) -> str:
    """The directory of a mailbox other than INBOX (Maildir++)."""
    return SEPARATOR + encoded(name)


def from_directory(entry: str) -> str | None:
    """The mailbox that a directory's name means; None when it means none.

    `entry` is as `os.scandir` gives it, undecodable octets as surrogates.
    """
    if not entry.startswith(SEPARATOR) or len(entry) < 2:
        return None
    text = entry[1:]
    try:
        name = checked(decoded(text))
    except InvalidName:
        return None
    # ".INBOX" would be a second INBOX, and a final dot would be another mailbox's name.
    return None if name == INBOX or text.endswith(SEPARATOR) else name


def encoded(name: str) -> str:
    """Modified UTF-7 for a directory (R094); a slash, which no file name may have, is shifted."""
    return _SHIFTED_OR_SLASH.sub(_shift, name.replace("&", "&-"))


_SHIFTED_OR_SLASH = re.compile(r"(?:[^\x20-\x7e]|/)+")


def _shift(match: re.Match[str]) -> str:
    octets = match.group().encode("utf-16-be", "surrogatepass")
    return "&" + base64.b64encode(octets, b"+,").decode("ascii").rstrip("=") + "-"


def decoded(text: str) -> str:
    """The name behind a directory: modified UTF-7, or else what it looks like (L-13)."""
    if not text.isascii() or "&" not in text:
        return text
    try:
        return _decoded_strictly(text)
    except (ValueError, binascii.Error):
        return text


def _decoded_strictly(text: str) -> str:
    if "&" in _ENCODED.sub("", text):
        raise ValueError("an ampersand that begins no shift")
    return _ENCODED.sub(_unshift, text)


def _unshift(match: re.Match[str]) -> str:
    letters = match.group(1)
    if not letters:
        return "&"
    octets = base64.b64decode(letters + "=" * (-len(letters) % 4), b"+,", validate=True)
    return octets.decode("utf-16-be")
