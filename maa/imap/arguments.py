"""The grammar of each command's arguments, behind its name (RFC 3501 §6, §9).

A function a command reads what follows the name and makes a value of it (`maa.imap.commands`). UID
forms are the same command with `by_uid`, as the RFC's grammar has them.
"""

from __future__ import annotations

import re

from maa.imap import fetch_items, modifiers, search_keys, search_results
from maa.imap.commands import (
    Append,
    Authenticate,
    Compress,
    Copy,
    Create,
    Enable,
    Expunge,
    Fetch,
    GetQuota,
    GetQuotaRoot,
    Id,
    Login,
    OnMailbox,
    Plain,
    Rename,
    Replace,
    Search,
    Select,
    SetQuota,
    Status,
    Store,
    Upload,
)
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.message.dates import parse_internal
from maa.message.flags import NONE
from maa.store.snapshot import StoreMode

ID_FIELDS_MAX = 64
STATUS_ITEMS = (
    b"MESSAGES", b"RECENT", b"UIDNEXT", b"UIDVALIDITY", b"UNSEEN", b"HIGHESTMODSEQ",
    b"MAILBOXID", b"DELETED", b"DELETED-STORAGE", b"SIZE", b"APPENDLIMIT",
)  # fmt: skip

_BASE64 = re.compile(rb"[A-Za-z0-9+/=]+")
_ONE_NUMBER = re.compile(rb"[1-9][0-9]{0,9}(?= )|\*(?= )")
_DATE_TIME = re.compile(rb'"[^"\\\r\n\x80-\xff]*"')
_STORE_MODE = re.compile(rb"([+-]?)FLAGS(\.SILENT)?(?= )", re.IGNORECASE)
_MODES = {b"": StoreMode.REPLACE, b"+": StoreMode.ADD, b"-": StoreMode.REMOVE}


def plain(tag: bytes, cursor: Cursor) -> Plain:
    """No arguments."""
    cursor.end()
    return Plain(tag)


def login(tag: bytes, cursor: Cursor) -> Login:
    """SP userid SP password."""
    cursor.space()
    name = cursor.astring()
    cursor.space()
    password = cursor.astring()
    cursor.end()
    return Login(tag, name, password)


def authenticate(tag: bytes, cursor: Cursor) -> Authenticate:
    """SP auth-type [SP (base64 / "=")]."""
    cursor.space()
    mechanism = cursor.atom().upper()
    initial = None
    if cursor.peek() == b" ":
        cursor.space()
        match = cursor.remaining_match(_BASE64)
        initial = match.group() if match else None
    cursor.end()
    return Authenticate(tag, mechanism, initial)


def identification(tag: bytes, cursor: Cursor) -> Id:
    """SP ("NIL" / "(" *(string SP nstring) ")"); what can be understood is taken (Q-9, L-10)."""
    fields: list[tuple[bytes, bytes | None]] = []
    if cursor.peek() == b" ":
        cursor.space()
        if not cursor.take(b"NIL"):
            cursor.expect(b"(")
            while not cursor.take(b")"):
                name = cursor.nstring() or b""
                cursor.take(b" ")
                value = None if cursor.peek() == b")" else cursor.nstring()
                cursor.take(b" ")
                fields.append((name, value))
    cursor.end()
    return Id(tag, tuple(fields[:ID_FIELDS_MAX]))


def enable(tag: bytes, cursor: Cursor) -> Enable:
    """1*(SP capability)."""
    cursor.space()
    names = [cursor.atom().upper()]
    while cursor.peek() == b" ":
        cursor.space()
        if cursor.peek() in (b"", b" "):
            break
        names.append(cursor.atom().upper())
    cursor.end()
    return Enable(tag, tuple(names))


def compress(tag: bytes, cursor: Cursor) -> Compress:
    """SP algorithm."""
    cursor.space()
    mechanism = cursor.atom().upper()
    cursor.end()
    return Compress(tag, mechanism)


def on_mailbox(tag: bytes, cursor: Cursor) -> OnMailbox:
    """SP mailbox."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return OnMailbox(tag, mailbox)


def getquotaroot(tag: bytes, cursor: Cursor) -> GetQuotaRoot:
    """SP mailbox."""
    return GetQuotaRoot(tag, on_mailbox(tag, cursor).mailbox)


def create(tag: bytes, cursor: Cursor) -> Create:
    """SP mailbox [SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"]."""
    cursor.space()
    mailbox = cursor.mailbox()
    uses: dict[str, None] = {}
    if cursor.take(b" ("):
        cursor.expect(b"USE")
        cursor.space()
        cursor.expect(b"(")
        if not cursor.take(b")"):
            uses[_use(cursor)] = None
            while not cursor.take(b")"):
                cursor.space()
                uses[_use(cursor)] = None
        cursor.expect(b")")
    cursor.end()
    return Create(tag, mailbox, tuple(uses))


def _use(cursor: Cursor) -> str:
    cursor.expect(b"\\")
    return "\\" + cursor.atom().decode("ascii").capitalize()


def select(tag: bytes, cursor: Cursor) -> Select:
    """SP mailbox [SP select-params]."""
    cursor.space()
    mailbox = cursor.mailbox()
    found = modifiers.select_parameters(cursor)
    cursor.end()
    return Select(tag, mailbox, found)


def rename(tag: bytes, cursor: Cursor) -> Rename:
    """SP mailbox SP mailbox."""
    cursor.space()
    old = cursor.mailbox()
    cursor.space()
    new = cursor.mailbox()
    cursor.end()
    return Rename(tag, old, new)


def status(tag: bytes, cursor: Cursor) -> Status:
    """SP mailbox SP "(" status-att *(SP status-att) ")"."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    items = status_items(cursor)
    cursor.end()
    return Status(tag, mailbox, items)


def status_items(cursor: Cursor) -> tuple[bytes, ...]:
    """A list: "(" status-att *(SP status-att) ")", each of them once."""
    cursor.expect(b"(")
    items = [cursor.atom().upper()]
    while not cursor.take(b")"):
        cursor.space()
        items.append(cursor.atom().upper())
    for item in items:
        if item not in STATUS_ITEMS:
            raise ProtocolError("unknown status item " + item.decode("ascii"))
    return tuple(dict.fromkeys(items))


def getquota(tag: bytes, cursor: Cursor) -> GetQuota:
    """SP quota-root-name."""
    cursor.space()
    root = cursor.astring()
    cursor.end()
    return GetQuota(tag, root)


def setquota(tag: bytes, cursor: Cursor) -> SetQuota:
    """SP quota-root-name SP "(" [setquota-resource *(SP setquota-resource)] ")"."""
    cursor.space()
    root = cursor.astring()
    cursor.space()
    cursor.expect(b"(")
    limits: list[tuple[bytes, int]] = []
    while not cursor.take(b")"):
        if limits:
            cursor.space()
        name = cursor.atom().upper()
        cursor.space()
        limits.append((name, cursor.number64()))
    cursor.end()
    return SetQuota(tag, root, tuple(limits))


def append(tag: bytes, cursor: Cursor) -> Append:
    """SP mailbox SP append-message, whose literal stays unread."""
    cursor.space()
    mailbox = cursor.mailbox()
    return Append(tag, mailbox, upload(cursor))


def upload(cursor: Cursor) -> Upload:
    """SP [flag-list SP] [date-time SP] ["UTF8" SP "("], up to the literal."""
    cursor.space()
    flags, internal_date = NONE, None
    if cursor.peek() == b"(":
        flags = cursor.flag_list()
        cursor.space()
    if (match := cursor.remaining_match(_DATE_TIME)) is not None:
        try:
            internal_date = parse_internal(match.group())
        except ValueError:
            raise ProtocolError("invalid date and time") from None
        cursor.space()
    wrapped = cursor.take(b"UTF8 (")
    literal = cursor.message_literal()
    if wrapped and not literal.binary:
        raise ProtocolError("in UTF8 (...) there is a literal8")
    return Upload(flags, internal_date, literal, wrapped)


def replace(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Replace:
    """SP seq-number SP mailbox SP append-message."""
    cursor.space()
    match = cursor.remaining_match(_ONE_NUMBER)
    if match is None:
        raise ProtocolError("one message is replaced at a time")
    message = Cursor((match.group(),)).sequence_set()
    cursor.space()
    mailbox = cursor.mailbox()
    return Replace(tag, message, by_uid, mailbox, upload(cursor))


def uid_replace(tag: bytes, cursor: Cursor) -> Replace:
    """As REPLACE, by UID."""
    return replace(tag, cursor, by_uid=True)


def expunge(tag: bytes, cursor: Cursor) -> Expunge:
    """No arguments."""
    cursor.end()
    return Expunge(tag, None)


def uid_expunge(tag: bytes, cursor: Cursor) -> Expunge:
    """SP sequence-set."""
    cursor.space()
    uids = cursor.message_set()
    cursor.end()
    return Expunge(tag, uids)


def store(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Store:
    """SP sequence-set [SP store-modifiers] SP store-att-flags."""
    cursor.space()
    messages = cursor.message_set()
    cursor.space()
    since = modifiers.unchanged_since(cursor)
    match = cursor.remaining_match(_STORE_MODE)
    if match is None:
        raise ProtocolError("FLAGS, +FLAGS or -FLAGS is missing")
    cursor.space()
    flags = cursor.flags()
    cursor.end()
    mode, silent = _MODES[match.group(1)], match.group(2) is not None
    return Store(tag, messages, by_uid, mode, silent, flags, since)


def uid_store(tag: bytes, cursor: Cursor) -> Store:
    """As STORE, by UID."""
    return store(tag, cursor, by_uid=True)


def copy(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Copy:
    """SP sequence-set SP mailbox, for COPY and MOVE."""
    cursor.space()
    messages = cursor.message_set()
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return Copy(tag, messages, by_uid, mailbox)


def uid_copy(tag: bytes, cursor: Cursor) -> Copy:
    """As COPY, by UID."""
    return copy(tag, cursor, by_uid=True)


def fetch(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Fetch:
    """SP sequence-set SP fetch items [SP fetch-modifiers]."""
    cursor.space()
    messages = cursor.message_set()
    cursor.space()
    items = fetch_items.parse_items(cursor)
    found = modifiers.fetch_modifiers(cursor, by_uid)
    cursor.end()
    return Fetch(tag, messages, by_uid, items, found)


def uid_fetch(tag: bytes, cursor: Cursor) -> Fetch:
    """As FETCH, by UID."""
    return fetch(tag, cursor, by_uid=True)


def search(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Search:
    """[SP "RETURN" SP "(" options ")"] [SP "CHARSET" SP astring] 1*(SP search-key)."""
    cursor.space()
    options = search_results.parse_return(cursor)
    charset, key = search_keys.parse_search(cursor)
    cursor.end()
    return Search(tag, by_uid, options, charset, key)


def uid_search(tag: bytes, cursor: Cursor) -> Search:
    """As SEARCH, by UID."""
    return search(tag, cursor, by_uid=True)
