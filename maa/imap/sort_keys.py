"""By what SORT and THREAD order messages, derived of the header once and remembered (RFC 5256 §2).

Texts are kept as i;unicode-casemap compares them (RFC 5255 §4.2), so that sorting is comparing
octets. `SORT_KEYS` is what the cache keeps: a warm SORT opens no message.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, NamedTuple

from maa.message import addresses
from maa.message.addresses import Address
from maa.message.charsets import guessed
from maa.message.dates import sent_time
from maa.message.headers import field_pattern, unfolded
from maa.message.message_ids import message_ids
from maa.message.subject import base_subject
from maa.message.words import casemapped, decoded

SORT_KEYS: Final = "sort/1"
"""Cache item: the digest of the Message-ID, then NUL between `SortKeys`' other fields."""
REFERENCES: Final = "references/1"
"""Cache item: the digests of the messages that this one answers, the nearest one last."""

DIGEST_OCTETS: Final = 16
"""Of 2**64 Message-IDs made to collide two may; no fewer."""
NO_ID: Final = bytes(DIGEST_OCTETS)
REFERENCES_MAX: Final = 4000
"""Of one message; of more the nearest."""
_KEY_CHARACTERS_MAX: Final = 200
"""Texts are compared by so many, for those of 100,000 messages are in memory at once."""

_FIELDS: Final = field_pattern(b"date|subject|from|to|cc|message-id|in-reply-to|references")


class SortKeys(NamedTuple):
    """What one message is sorted by; texts in UTF-8, as i;unicode-casemap has them."""

    message_id: bytes
    """Its digest; `NO_ID` without one."""
    date: bytes
    """Seconds since 1970 in UTC as the Date field says; empty: INTERNALDATE counts (§2.2)."""
    answers: bytes
    """`1` when the subject has marks of a reply or forward."""
    subject: bytes
    """The base subject."""
    from_: bytes
    """addr-mailbox of the first address."""
    to: bytes
    cc: bytes
    display_from: bytes
    """The first address as people see it (RFC 5957 §3)."""
    display_to: bytes


def derived(header: bytes) -> tuple[bytes, bytes]:
    """What is remembered of a header as `SORT_KEYS` and as `REFERENCES`."""
    # In front a line end, so that every field's name follows one.
    texts: dict[bytes, bytes] = {}
    lists: dict[bytes, Address] = {}
    for raw_name, raw in _FIELDS.findall(b"\r\n" + header):
        name = raw_name.lower()
        value = unfolded(raw)
        if name not in (b"from", b"to", b"cc"):
            texts.setdefault(name, value)
        elif name not in lists and (address := addresses.first(value)) is not None:
            lists[name] = address
    subject = base_subject(texts.get(b"subject", b""))
    date = sent_time(texts.get(b"date", b""))
    from_, to, cc = (lists.get(name) for name in (b"from", b"to", b"cc"))
    own = message_ids(texts.get(b"message-id", b""))
    keys = (
        b"" if date is None else b"%d" % date,
        b"1" if subject.answers else b"",
        _key(subject.text),
        *(_key(_mailbox(address)) for address in (from_, to, cc)),
        *(_key(_display(address)) for address in (from_, to)),
    )
    digests = map(_digest, _references(texts))
    return (_digest(own[0]) if own else NO_ID) + b"\0".join(keys), b"".join(digests)


def sort_keys(value: bytes) -> SortKeys:
    """The keys in what is remembered as `SORT_KEYS`."""
    return SortKeys(value[:DIGEST_OCTETS], *value[DIGEST_OCTETS:].split(b"\0"))


def _references(texts: dict[bytes, bytes]) -> list[bytes]:
    """Those of References, or the first of In-Reply-To (RFC 5256 §3)."""
    found = message_ids(texts.get(b"references", b""))
    if not found:
        return message_ids(texts.get(b"in-reply-to", b""))[:1]
    return found[-REFERENCES_MAX:]


def _digest(message_id: bytes) -> bytes:
    return blake2b(message_id, digest_size=DIGEST_OCTETS).digest()


def _key(text: str) -> bytes:
    cut = casemapped(text[:_KEY_CHARACTERS_MAX].replace("\0", ""))
    return cut.encode("utf-8", "replace")


def _mailbox(address: Address | None) -> str:
    return guessed(address.mailbox) if address and address.mailbox else ""


def _display(address: Address | None) -> str:
    if address is None:
        return ""
    if address.name and (name := decoded(address.name)):
        return name
    if address.mailbox is not None and address.host is not None:
        return guessed(b"%b@%b" % (address.mailbox, address.host))
    return _mailbox(address)
