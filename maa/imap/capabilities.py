"""What is announced, and when: the one list of capabilities (RFC 3501 §7.2.1; R024).

docs/supported.md shows the same, and a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from maa.imap.states import Authenticated, NotAuthenticated, Selected, State


@dataclass(frozen=True, slots=True)
class Capability:
    """One word of the list, and the document that defines it."""

    name: bytes
    document: str
    before: bool = False
    """Announced before login."""
    after: bool = True
    """Announced after login."""


CAPABILITIES: Final = (
    Capability(b"IMAP4rev1", "RFC 3501", before=True),
    Capability(b"IMAP4rev2", "RFC 9051", before=True),
    Capability(b"LITERAL+", "RFC 7888", before=True),
    Capability(b"SASL-IR", "RFC 4959", before=True, after=False),
    Capability(b"ID", "RFC 2971", before=True),
    Capability(b"ENABLE", "RFC 5161", before=True),
    # Old clients look for it before they log in.
    Capability(b"IDLE", "RFC 2177", before=True),
    Capability(b"NAMESPACE", "RFC 2342"),
    Capability(b"CHILDREN", "RFC 3348"),
    Capability(b"LIST-EXTENDED", "RFC 5258"),
    Capability(b"LIST-STATUS", "RFC 5819"),
    Capability(b"SPECIAL-USE", "RFC 6154"),
    Capability(b"CREATE-SPECIAL-USE", "RFC 6154"),
    Capability(b"XLIST", "Google"),
    Capability(b"UIDPLUS", "RFC 4315"),
    Capability(b"UNSELECT", "RFC 3691"),
    Capability(b"MOVE", "RFC 6851"),
    Capability(b"CONDSTORE", "RFC 7162"),
    Capability(b"QRESYNC", "RFC 7162"),
    Capability(b"OBJECTID", "RFC 8474"),
    Capability(b"SAVEDATE", "RFC 8514"),
    Capability(b"NOTIFY", "RFC 5465"),
    Capability(b"STATUS=SIZE", "RFC 8438"),
    Capability(b"QUOTA", "RFC 9208"),
    Capability(b"QUOTA=RES-STORAGE", "RFC 9208"),
    Capability(b"QUOTA=RES-MESSAGE", "RFC 9208"),
    Capability(b"ESEARCH", "RFC 4731"),
    Capability(b"SEARCHRES", "RFC 5182"),
    Capability(b"WITHIN", "RFC 5032"),
    Capability(b"PARTIAL", "RFC 9394"),
    Capability(b"SORT", "RFC 5256"),
    Capability(b"SORT=DISPLAY", "RFC 5957"),
    Capability(b"ESORT", "RFC 5267"),
    Capability(b"I18NLEVEL=1", "RFC 5255"),
    Capability(b"THREAD=REFERENCES", "RFC 5256"),
    Capability(b"THREAD=ORDEREDSUBJECT", "RFC 5256"),
    Capability(b"THREAD=REFS", "draft-ietf-morg-inthread"),
    Capability(b"COMPRESS=DEFLATE", "RFC 4978"),
    Capability(b"BINARY", "RFC 3516"),
    Capability(b"PREVIEW", "RFC 8970"),
    Capability(b"UTF8=ACCEPT", "RFC 6855"),
    Capability(b"MULTIAPPEND", "RFC 3502"),
    Capability(b"REPLACE", "RFC 8508"),
    Capability(b"INPROGRESS", "RFC 9585"),
    Capability(b"APPENDLIMIT", "RFC 7889"),
)
BEFORE_LOGIN: Final = tuple(row.name for row in CAPABILITIES if row.before)
AFTER_LOGIN: Final = tuple(row.name for row in CAPABILITIES if row.after)


def capabilities(state: State) -> bytes:
    """`CAPABILITY ...` as in the untagged response and the response code (R024)."""
    if not isinstance(state, NotAuthenticated):
        return b" ".join((b"CAPABILITY", *map(_with_limit(state), AFTER_LOGIN)))
    connection = state.connection
    words = [b"CAPABILITY", *BEFORE_LOGIN]
    if connection.settings.starttls and not connection.peer.tls:
        words.append(b"STARTTLS")
    admission = connection.admission
    words += [b"AUTH=" + name for name in admission.mechanisms()]
    if not admission.private:
        words.append(b"LOGINDISABLED")
    return b" ".join(words)


def _with_limit(state: State) -> Callable[[bytes], bytes]:
    """APPENDLIMIT with its number: it is the same for every mailbox (RFC 7889 §2)."""
    if not isinstance(state, Authenticated | Selected):
        return bytes
    limit = b"APPENDLIMIT=%d" % state.connection.settings.append_limit_octets
    return lambda name: limit if name == b"APPENDLIMIT" else name
