"""What decides the conditions of SEARCH: flags, sizes, dates, header fields (RFC 3501 §6.4.4).

Each function takes what is known of some messages, by position, and gives the positions for
which one condition holds. `HEADER_TEXT` is what the cache keeps of a header: the fields that
people search in, decoded and folded, so that a second search reads no message.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Final

from maa.imap.search_keys import HasFlag, InHeader, Internal, Measure, Measured, Sent, Size
from maa.message import headers
from maa.message.addresses import parse
from maa.message.dates import sent_date
from maa.message.flags import RECENT
from maa.message.headers import FIELD_OCTETS_MAX
from maa.message.words import decoded, folded
from maa.store.snapshot import UNKNOWN
from maa.store.view import View

HEADER_TEXT: Final = "search/2"
"""Cache item: the fields of `SLOTS`, then the sent day, NUL between them."""
SLOTS: Final = {
    b"SUBJECT": 0, b"FROM": 1, b"TO": 2, b"CC": 3, b"BCC": 4, b"MESSAGE-ID": 5,
}  # fmt: skip
_ADDRESSES: Final = frozenset((b"FROM", b"TO", b"CC", b"BCC"))
_SENT: Final = len(SLOTS)
_THERE: Final = b"\x01"
"""Before the text of a field that the header has; an absent one has no octet at all."""

_FIELDS: Final = re.compile(
    rb"\n(subject|from|to|cc|bcc|message-id|date)[ \t]*+:([^\n]*+)", re.IGNORECASE
)
_EPOCH: Final = datetime.date(1970, 1, 1).toordinal()
_DAY_SECONDS: Final = 86400


def flagged(leaf: HasFlag, view: View, positions: Iterable[int]) -> set[int]:
    """Messages with the flag, as this session was told of it (R184)."""
    if leaf.flag == RECENT:
        uids, recent = view.uids, view.recent
        return {position for position in positions if uids[position] in recent}
    wanted = leaf.flag.lower()
    if not view.aligned:
        return {position for position in positions if _has(view.flags(position), wanted)}
    sets, ids = view.snapshot.table.sets, view.snapshot.flag_ids
    having = {number for number in set(ids) if _has(sets[number], wanted)}
    return {position for position in positions if ids[position] in having}


def _has(flags: Iterable[str], wanted: str) -> bool:
    return any(flag.lower() == wanted for flag in flags)


def measured(leaf: Measured, values: Mapping[int, int | None], now: float) -> set[int]:
    """Messages whose size or internal date is as asked; unknown ones match nothing."""
    holds = leaf.comparison.holds
    if isinstance(leaf, Internal):
        day = leaf.day.toordinal() - _EPOCH
        return {
            p for p, date in values.items() if date is not None and holds(date // _DAY_SECONDS, day)
        }
    wanted = leaf.octets if isinstance(leaf, Size) else int(now) - leaf.seconds
    return {p for p, value in values.items() if value is not None and holds(value, wanted)}


def remembered_measures(
    measure: Measure, view: View, positions: Iterable[int]
) -> dict[int, int | None] | None:
    """Sizes or dates from memory; None when some are not there."""
    values = view.snapshot.sizes if measure is Measure.SIZE else view.snapshot.dates
    if not view.aligned or UNKNOWN in values:
        return None
    return {position: values[position] for position in positions}


def header_text(header: bytes) -> bytes:
    """What is remembered as `HEADER_TEXT`."""
    # In front a line end, so that every field's name follows one.
    lines = (b"\n" + header).replace(b"\r\n ", b" ").replace(b"\r\n\t", b"\t")
    found: list[list[str]] = [[] for _ in SLOTS]
    sent = b""
    for raw_name, raw in _FIELDS.findall(lines):
        name = raw_name.upper()
        value = raw[:FIELD_OCTETS_MAX].strip()
        if name in SLOTS:
            found[SLOTS[name]].append(_field_text(name, value))
        elif not sent:
            day = sent_date(value)
            sent = b"%d" % day.toordinal() if day else b"0"
    texts = [
        _THERE + "\n".join(texts).replace("\0", "").encode("utf-8", "replace") if texts else b""
        for texts in found
    ]
    return b"\0".join((*texts, sent))


def _field_text(name: bytes, value: bytes) -> str:
    """A field's text for searching: decoded; a mailbox without a host ends in "@" nevertheless.

    The keys for addresses look at the ENVELOPE, which has an empty host then (R152), and people
    who search for "@" want to know of any address.
    """
    text = folded(decoded(value))
    if b"@" in value or name not in _ADDRESSES:
        return text
    without_host = [a.mailbox for a in parse(value) if a.host == b"" and a.mailbox is not None]
    return "\n".join([text, *(folded(decoded(mailbox)) + "@" for mailbox in without_host)])


def slots(text: bytes) -> list[bytes]:
    """The parts of a `HEADER_TEXT`."""
    return text.split(b"\0")


def in_slots(leaf: InHeader | Sent, texts: Mapping[int, list[bytes]]) -> set[int]:
    """Messages whose remembered header text answers the condition with yes."""
    if isinstance(leaf, InHeader):
        slot = SLOTS[leaf.name]
        needle = folded(leaf.text).encode("utf-8", "replace") or _THERE
        return {position for position, text in texts.items() if needle in text[slot]}
    day, holds = leaf.day.toordinal(), leaf.comparison.holds
    return {
        position
        for position, text in texts.items()
        if (sent := int(text[_SENT] or 0)) and holds(sent, day)
    }


def in_headers(leaf: InHeader, raw: Mapping[int, bytes]) -> set[int]:
    """Messages in whose header a field of this name holds the text."""
    needle = folded(leaf.text)
    return {position for position, header in raw.items() if _in_field(header, leaf.name, needle)}


def _in_field(header: bytes, name: bytes, needle: str) -> bool:
    """Whether a field of this name holds the folded text; of `""`: is there (R181)."""
    wanted = name.lower()
    if wanted not in header.lower():
        return False
    return any(
        field.name.lower() == wanted
        and (not needle or needle in folded(decoded(headers.value(header, field))))
        for field in headers.fields(header)
    )
