"""What UW's servers, Pine, Alpine and Dovecot keep in mbox files themselves.

In the first message, or in one of UW's own in front:

    X-IMAPbase: 1795634223 0000000005 $Label1 work Junk

UIDVALIDITY, the last UID given, and keywords that are in use (`X-IMAP` in UW's own message). Each
message has `X-UID`, `X-Keywords`, and its flags in `Status` and `X-Status`. Senders may write
such fields too: what they write is believed where the old server would have, that is ascending
and not beyond the last UID.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from maa.store.foreign import KEYWORDS_MAX, keyword, lines, number
from maa.store.names import decoded

SUBSCRIPTIONS: Final = ".mailboxlist"
UIDL_FORMAT: Final = "%08Xv%08Xu"
"""What ipop3d answers, in Dovecot's notation."""

_FIELD: Final = re.compile(
    rb"^(x-imapbase|x-imap|x-uid|x-keywords)[ \t]*:[ \t]*([^\n]*(?:\n[ \t][^\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_BASE: Final = re.compile(rb"(\d{1,20})[ \t]+(\d{1,20})(?:\s.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Noted:
    """What a message's header says of numbers and keywords."""

    base: tuple[int, int] | None
    """UIDVALIDITY and the last UID given."""
    uid: int | None
    keywords: frozenset[str]


def noted(header: bytes) -> Noted:
    """Of a header as it is in the file; of fields that come twice, the first counts."""
    fields: dict[bytes, bytes] = {}
    for match in _FIELD.finditer(header):
        fields.setdefault(match[1].lower(), match[2])
    words = fields.get(b"x-keywords", b"").split()[:KEYWORDS_MAX]
    return Noted(
        _base(fields.get(b"x-imapbase") or fields.get(b"x-imap") or b""),
        number(fields.get(b"x-uid", b"").strip()),
        frozenset(filter(None, map(keyword, words))),
    )


def _base(text: bytes) -> tuple[int, int] | None:
    match = _BASE.fullmatch(text.strip())
    if match is None:
        return None
    validity, last = number(match[1]), number(match[2])
    if validity is None:
        return None
    # Of an empty mailbox no UID was given yet.
    return (validity, last or 0) if last or not match[2].strip(b"0") else None


def mailboxlist(data: bytes) -> list[str]:
    """`.mailboxlist`: subscribed names, as paths below the home directory."""
    return [decoded(line.decode("utf-8", "surrogateescape")) for _, line in lines(data)]
