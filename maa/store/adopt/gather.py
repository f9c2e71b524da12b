"""One mailbox as another server left it: its files beside the mail, read with the user's identity.

Of a Maildir that two servers had, the one counts whose list of UIDs was written last.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from maa.message.flags import Flags
from maa.store.foreign import Damaged, courier, dovecot, uw
from maa.store.foreign.dovecot import UidlFormat
from maa.store.maildir import Maildir
from maa.store.maildrop import Maildrop
from maa.store.mbox import Mbox

SOURCES: Final = ("auto", "dovecot", "courier", "uw")
FILE_OCTETS_MAX: Final = 128 << 20
_DAY_SECONDS: Final = 86400
_SMALL_OCTETS_MAX: Final = 1 << 16
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Options:
    """What whoever adopts says."""

    source: str = "auto"
    """One of SOURCES."""
    uidl_format: UidlFormat | None = None
    """How the old server made POP3 names; None: by its default."""
    replace: bool = False
    """Take the old server's numbers also where maa gave out others."""


@dataclass(frozen=True, slots=True)
class Old:
    """A mailbox as another server left it; messages by the maildrop's keys."""

    source: str = ""
    """For people; empty: nothing was found."""
    uidvalidity: int = 0
    """0: not known."""
    uidnext: int = 1
    uids: Mapping[bytes, int] = field(default_factory=dict)
    uidls: Mapping[bytes, bytes] = field(default_factory=dict)
    keywords: Mapping[bytes, frozenset[str]] = field(default_factory=dict)
    flags: Mapping[bytes, Flags] = field(default_factory=dict)
    """Flags that the maildrop would not believe of a message seen first."""
    notes: tuple[str, ...] = ()
    """What could not be understood."""


class _Reader:
    """Reads files, and remembers what was wrong with them."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def octets(self, path: str, most: int = FILE_OCTETS_MAX) -> bytes | None:
        """The file, if there is one that can be used."""
        try:
            with open(os.open(path, _OPEN), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    self.notes.append(f"{path} is no file")
                    return None
                data = file.read(most + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.notes.append(f"{path}: {error.strerror}")
            return None
        if len(data) > most:
            self.notes.append(f"{path} is longer than {most} octets: not read")
            return None
        return data

    def parsed(self, path: str, parse: Callable[[bytes], T]) -> T | None:
        """What the file says; None when there is none, or nothing of it can be used."""
        data = self.octets(path)
        try:
            return None if data is None else parse(data)
        except Damaged as error:
            self.notes.append(str(error))
            return None

    def noted(self, path: str, parse: Callable[[bytes], tuple[T, Iterable[str]]]) -> T | None:
        """Likewise, of a parser that says what it passed over."""
        found = self.parsed(path, parse)
        if found is None:
            return None
        self.notes += found[1]
        return found[0]


def read_file(path: str) -> bytes | None:
    """A file of the user's, if there is one of bearable size."""
    return _Reader().octets(path)


def gather(
    maildrop: Maildrop, places: Sequence[bytes], options: Options, inbox: bool, root: str
) -> Old:
    """What the old server says of a mailbox; `root`: the directory of all folders."""
    if isinstance(maildrop, Mbox):
        return _of_mbox(maildrop, options, inbox, root)
    if not isinstance(maildrop, Maildir):
        return Old()
    keys = {maildrop.key(place) for place in places}
    source = options.source if options.source != "auto" else _newest(maildrop.path)
    if source == "dovecot":
        return _of_dovecot(maildrop.path, places, keys, options, inbox)
    if source == "courier":
        return _of_courier(maildrop.path, keys, options, inbox)
    return Old("file names" if inbox and options.uidl_format else "", uidls=_by_file(
        keys, options.uidl_format if inbox else None))  # fmt: skip


def _newest(path: str) -> str:
    """Which server had this Maildir last; empty when none had it."""
    found = {}
    for source, names in (
        ("dovecot", (dovecot.UIDLIST,)),
        ("courier", (courier.UIDDB, courier.SIZELIST)),
    ):
        for name in names:
            try:
                found[os.lstat(os.path.join(path, name)).st_mtime_ns] = source
            except OSError:
                continue
    return found[max(found)] if found else ""


def _by_file(keys: Iterable[bytes], form: UidlFormat | None) -> dict[bytes, bytes]:
    """POP3 names that need nothing but the files' names."""
    if form is None or form.numbered:
        return {}
    return {key: form.filled(0, 0, key, key) for key in keys}


# --- Dovecot


def _of_dovecot(
    path: str, places: Sequence[bytes], keys: set[bytes], options: Options, inbox: bool
) -> Old:
    reader = _Reader()
    found = reader.parsed(os.path.join(path, dovecot.UIDLIST), dovecot.uidlist)
    letters = reader.noted(os.path.join(path, dovecot.KEYWORDS), dovecot.keywords) or {}
    keywords = _keywords_by_letter(places, letters, reader.notes)
    form = options.uidl_format or UidlFormat(dovecot.UIDL_FORMAT)
    uidls = _by_file(keys, form) if inbox else {}
    if found is None:
        source = "dovecot" if keywords or uidls else ""
        return Old(source, uidls=uidls, keywords=keywords, notes=tuple(reader.notes))
    reader.notes += found.faults
    if inbox:
        for key in keys & found.uids.keys():
            uidls[key] = found.uidls.get(key) or form.filled(
                found.uidvalidity, found.uids[key], key, found.guids.get(key, key)
            )
    return Old(
        "dovecot", found.uidvalidity, found.uidnext, found.uids, uidls, keywords,
        notes=tuple(reader.notes),
    )  # fmt: skip


def _keywords_by_letter(
    places: Sequence[bytes], names: Mapping[str, str], notes: list[str]
) -> dict[bytes, frozenset[str]]:
    known: dict[bytes, frozenset[str]] = {}
    found = {}
    nameless = 0
    for place in places:
        key, info, suffix = place[4:].partition(b":2,")
        letters = suffix.partition(b",")[0]
        if not info or letters.isupper() or not letters:
            continue
        if letters not in known:
            small = [letter for letter in letters.decode("latin-1") if "a" <= letter <= "z"]
            known[letters] = frozenset(names[letter] for letter in small if letter in names)
            nameless += len(small) - len(known[letters])
        if known[letters]:
            found[key] = known[letters]
    if nameless:
        notes.append("keywords in file names that dovecot-keywords does not name")
    return found


# --- Courier


def _of_courier(path: str, keys: set[bytes], options: Options, inbox: bool) -> Old:
    reader = _Reader()
    found = reader.parsed(os.path.join(path, courier.UIDDB), courier.uiddb)
    keywords = _courier_keywords(os.path.join(path, courier.KEYWORDS), keys, reader)
    uidls: dict[bytes, bytes] = {}
    if inbox:
        uidls = _by_file(keys, options.uidl_format)
        listing = reader.octets(os.path.join(path, courier.SIZELIST))
        if listing is not None:
            uidls |= _courier_uidls(listing, keys, reader)
    if found is None:
        source = "courier" if keywords or uidls else ""
        return Old(source, uidls=uidls, keywords=keywords, notes=tuple(reader.notes))
    reader.notes += found.faults
    if inbox and options.uidl_format is not None:
        for key in keys & found.uids.keys() - uidls.keys():
            uidls[key] = options.uidl_format.filled(found.uidvalidity, found.uids[key], key, key)
    return Old(
        "courier", found.uidvalidity, found.uidnext, found.uids, uidls, keywords,
        notes=tuple(reader.notes),
    )  # fmt: skip


def _courier_uidls(listing: bytes, keys: set[bytes], reader: _Reader) -> dict[bytes, bytes]:
    try:
        kept, faults = courier.sizelist(listing)
    except Damaged as error:
        reader.notes.append(str(error))
        return {}
    reader.notes += faults
    if kept is None:
        return {key: courier.file_uidl(key) for key in keys}
    return {key: uidl for key, uidl in kept.items() if key in keys}


def _courier_keywords(path: str, keys: set[bytes], reader: _Reader) -> dict[bytes, frozenset[str]]:
    listed = reader.noted(os.path.join(path, courier.KEYWORD_LIST), courier.keyword_list) or {}
    found = {key: words for key, words in listed.items() if key in keys}
    newest: dict[bytes, tuple[float, bytes]] = {}
    try:
        entries = os.listdir(os.fsencode(path))
    except OSError:
        return found
    for entry in entries:
        update = courier.update_of(entry)
        if update is not None and update[0] in keys:
            newest[update[0]] = max(newest.get(update[0], (-1.0, b"")), (update[1], entry))
    for key, (_, entry) in newest.items():
        data = reader.octets(os.path.join(path, os.fsdecode(entry)), _SMALL_OCTETS_MAX)
        if data is not None:
            found[key] = courier.message_keywords(data)
    return {key: words for key, words in found.items() if words}


# --- mbox


def _is_believable(rows: Sequence[tuple[bytes, uw.Noted]], uidvalidity: int) -> bool:
    """Whether a program noted the numbers: anybody may write such fields into mail (R236).

    It made a message of its own in front, or it numbered most messages; and not with a time to
    come.
    """
    mail = [row for place, row in rows if place]
    own = len(mail) < len(rows)
    numbered = sum(row.uid is not None for row in mail)
    return uidvalidity <= time.time() + _DAY_SECONDS and (own or 2 * numbered > len(mail))


def _of_mbox(maildrop: Mbox, options: Options, inbox: bool, root: str) -> Old:
    source = options.source
    if source == "auto":
        source = "dovecot" if os.path.isdir(os.path.join(root, ".imap")) else "uw"
    rows = maildrop.noted(uw.noted)
    base = next((row.base for _, row in rows[:2] if row.base is not None), None)
    if base is None or source == "courier":
        return Old()
    uidvalidity, last = base
    if options.source == "auto" and not _is_believable(rows, uidvalidity):
        note = "its X-IMAPbase is perhaps a sender's own, and not believed; --from uw does"
        return Old(notes=(note,))
    uids: dict[bytes, int] = {}
    keywords, flags = {}, {}
    before = unnumbered = 0
    for place, row in rows:
        if not place:
            continue
        if row.uid is None or not before < row.uid <= last:
            unnumbered += 1
            continue
        before = row.uid
        key = maildrop.key(place)
        uids[key] = before
        flags[key] = maildrop.flags(place) or frozenset()
        if row.keywords:
            keywords[key] = row.keywords
    notes = (f"{unnumbered} messages have no usable X-UID",) if unnumbered else ()
    form = options.uidl_format or UidlFormat(
        dovecot.UIDL_FORMAT if source == "dovecot" else uw.UIDL_FORMAT
    )
    uidls = {}
    if inbox:
        uidls = {key: form.filled(uidvalidity, uid, key, key) for key, uid in uids.items()}
    return Old(source, uidvalidity, last + 1, uids, uidls, keywords, flags, notes)
