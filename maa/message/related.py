"""Which conversation a message belongs to, told by its header alone (RFC 8474 §5.2)."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from maa.message import headers

_ID: Final = re.compile(rb"<([^<>\s]{1,998})>")
_NAMES: Final = (b"references", b"in-reply-to", b"message-id")


def thread_id(header: bytes) -> bytes:
    """The ObjectID of a message's thread: a digest of the oldest Message-ID that it names.

    That is the first in References, else in In-Reply-To, else its own; a message without any is
    a thread of its own. Being made of immutable octets alone it never changes, is the same for
    all copies, and for related messages in whatever mailbox, as long as replies name the root.
    """
    for name in _NAMES:
        value = headers.first(header, name)
        match = None if value is None else _ID.search(value)
        if match is not None:
            return b"T" + _digest(b"<%b>" % match[1])
    return b"T" + _digest(header)


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).hexdigest()[:32].encode("ascii")
