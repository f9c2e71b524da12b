"""What Dovecot keeps in a Maildir, and what it answers to UIDL.

`dovecot-uidlist`, version 3 (version 1 is Courier's format, which Dovecot wrote too):

    3 V1795634208 N6 Gd52049032034076bcb58000083ecc375
    1 W51 P :1795634207.M1P22720.test
    2 W51 Pold-name :1795634207.M2P22720.test

V is UIDVALIDITY, N the next UID when the header was written: later lines count. P is a POP3 name
that was kept; an empty one stands for the file's base name. G is the message's GUID.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from maa.store.foreign import Damaged, Entries, Faults, Uidlist, keyword, lines, number
from maa.store.foreign.courier import uiddb
from maa.store.names import SEPARATOR, decoded

UIDLIST: Final = "dovecot-uidlist"
KEYWORDS: Final = "dovecot-keywords"
SUBSCRIPTIONS: Final = "subscriptions"
UIDVALIDITY: Final = "dovecot-uidvalidity"
UIDL_FORMAT: Final = "%08Xu%08Xv"
"""Dovecot's default."""

_ITEM: Final = re.compile(r"%(?:(0?)(\d{1,3}))?([LUXM]*)([a-z%])")
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"


def uidlist(data: bytes) -> Uidlist:
    """`dovecot-uidlist`, version 1 or 3; Damaged."""
    first, _, rest = data.partition(b"\n")
    if first.startswith(b"1 "):
        return uiddb(data, UIDLIST)
    if not first.startswith(b"3 "):
        raise Damaged(f"{UIDLIST}: version {first[:2].decode('latin-1')!r} is not known")
    fields = {word[:1]: word[1:] for word in first[2:].split()}
    validity, following = number(fields.get(b"V", b"")), number(fields.get(b"N", b""))
    if validity is None or following is None:
        raise Damaged(f"{UIDLIST}: no usable UIDVALIDITY and next UID in its first line")
    faults = Faults(UIDLIST)
    entries = Entries(faults)
    uidls: dict[bytes, bytes] = {}
    guids: dict[bytes, bytes] = {}
    for count, line in lines(rest):
        uid, _, text = line.partition(b" ")
        # No extension has a colon in front; the file's name begins behind the first one.
        extensions, colon, name = (b"", b":", text[1:]) if text[:1] == b":" else _parted(text)
        if not colon or not entries.add(count + 1, uid, name):
            if not colon:
                faults.add(count + 1, "no file name")
            continue
        for word in extensions.split(b" "):
            if word[:1] == b"P":
                uidls[name] = word[1:] or name
            elif word[:1] == b"G" and len(word) > 1:
                guids[name] = word[1:]
    following = max(following, entries.last + 1)
    return Uidlist(validity, following, entries.uids, uidls, guids, faults.said())


def _parted(text: bytes) -> tuple[bytes, bytes, bytes]:
    return text.partition(b" :")


def keywords(data: bytes) -> tuple[dict[str, str], tuple[str, ...]]:
    """`dovecot-keywords`: the keyword of each letter in file names, and what was passed over."""
    faults = Faults(KEYWORDS)
    found: dict[str, str] = {}
    for count, line in lines(data):
        position, _, text = line.partition(b" ")
        name = keyword(text)
        if not position.isdigit() or len(position) > 9 or name is None:
            faults.add(count, "no number and keyword")
        elif int(position) >= len(_LETTERS):
            faults.add(count, f"{name} has no letter: it is in Dovecot's own index only")
        else:
            found[_LETTERS[int(position)]] = name
    return found, faults.said()


def subscriptions(data: bytes, separator: str = SEPARATOR) -> list[str]:
    """`subscriptions`, version 1 or 2: names with `separator` in the first, tabs in the second."""
    between = b"\t" if data.startswith(b"V\t2\n") else separator.encode("ascii")
    found = []
    for count, line in lines(data):
        if between == b"\t" and count == 1:
            continue
        elements = [
            decoded(word.decode("utf-8", "surrogateescape")) for word in line.split(between)
        ]
        found.append("\0".join(elements))
    return found


def last_uidvalidity(data: bytes) -> int:
    """`dovecot-uidvalidity`: the greatest UIDVALIDITY that was given; 0 when unknown."""
    try:
        value = int(data[:8], 16)
    except ValueError:
        return 0
    return value if 0 < value < 2**31 else 0


@dataclass(frozen=True, slots=True)
class UidlFormat:
    """`pop3_uidl_format`: text with `%v` (UIDVALIDITY), `%u` (UID), `%f` (file), `%g` (GUID).

    Between percent sign and letter may stand a width and the modifiers L, U, X and M: lower and
    upper case, hexadecimal, MD5.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> UidlFormat:
        """The format as Dovecot's configuration has it; ValueError says what is wrong."""
        rest = _ITEM.sub("", text)
        letters = {match[4] for match in _ITEM.finditer(text)}
        if "%" in rest or not rest.isascii() or not rest.isprintable() or " " in rest:
            raise ValueError(f"{text!r}: %v %u %f %g are known, with a width and L U X M")
        if unknown := letters - set("vufg%"):
            raise ValueError(f"{text!r}: %{min(unknown)} cannot be taken over")
        if not letters & set("ufg"):
            raise ValueError(f"{text!r} gives all messages one name: it needs %u, %f or %g")
        return cls(text)

    @property
    def numbered(self) -> bool:
        """Whether it needs UIDVALIDITY and UID."""
        return any(match[4] in "vu" for match in _ITEM.finditer(self.text))

    def filled(self, uidvalidity: int, uid: int, file: bytes, guid: bytes) -> bytes:
        """The name of one message."""
        values = {
            "v": str(uidvalidity),
            "u": str(uid),
            "f": file.decode("latin-1"),
            "g": guid.decode("latin-1"),
            "%": "%",
        }
        made = _ITEM.sub(lambda match: _item(match, values[match[4]]), self.text)
        return made.encode("latin-1")


def _item(match: re.Match[str], value: str) -> str:
    zero, width, modifiers, letter = match.groups()
    if letter == "%":
        return value
    for modifier in modifiers:
        if modifier == "X":
            value = f"{int(value):x}" if value.isdigit() else value
        elif modifier == "M":
            value = hashlib.md5(value.encode("latin-1"), usedforsecurity=False).hexdigest()
        else:
            value = value.lower() if modifier == "L" else value.upper()
    if not width:
        return value
    # Dovecot pads with zeros, and otherwise cuts.
    return value.rjust(int(width), "0") if zero else value[: int(width)]
