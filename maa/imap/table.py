"""Every command: how its arguments are read, when it is legal, who answers, what it may tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from maa.imap import (
    any_state,
    append,
    arguments,
    changes,
    compress,
    enabling,
    fetch,
    folders,
    idle,
    list_command,
    listing,
    login,
    notify,
    notify_command,
    quota,
    search,
    sort,
    status,
    thread,
)
from maa.imap import select as selecting
from maa.imap.commands import Command
from maa.imap.grammar import Cursor
from maa.imap.states import Answer, Authenticated, NotAuthenticated, Selected


class Updates(Enum):
    """Which changes of the selected mailbox a command tells (R061)."""

    NONE = "none"
    """None: the command has no selected mailbox, or begins or ends one."""
    HELD = "held"
    """All that memory knows but EXPUNGE, which would renumber the client's messages."""
    UID = "uid"
    """Arrivals and flags before the answer, so that the UIDs in them are known; then EXPUNGE."""
    ALL = "all"
    """Everything that happened on disk up to now."""


@dataclass(frozen=True, slots=True)
class Row:
    """One command."""

    parse: Callable[[bytes, Cursor], Command]
    states: tuple[type, ...]
    # Each handler takes the states of its row, and the command that its `parse` makes.
    handler: Callable[[Any, Any], Answer]
    updates: Updates = Updates.NONE
    streams: bool = False
    """The last literal is not collected: the handler takes it in chunks."""
    tells_news: bool = False
    """Tells of arrivals and expunges also those who do not expect them elsewhere (Q-1)."""


_ANY = (NotAuthenticated, Authenticated, Selected)
_STRANGER = (NotAuthenticated,)
_USER = (Authenticated, Selected)
_IN = (Selected,)
_NONE, _HELD, _UID, _ALL = Updates.NONE, Updates.HELD, Updates.UID, Updates.ALL

COMMANDS: Final[dict[bytes, Row]] = {
    b"CAPABILITY": Row(arguments.plain, _ANY, any_state.capability, _ALL),
    b"NOOP": Row(arguments.plain, _ANY, any_state.noop, _ALL, tells_news=True),
    b"LOGOUT": Row(arguments.plain, _ANY, any_state.logout),
    b"ID": Row(arguments.identification, _ANY, any_state.identification, _ALL),
    b"STARTTLS": Row(arguments.plain, _STRANGER, login.starttls),
    b"AUTHENTICATE": Row(arguments.authenticate, _STRANGER, login.authenticate),
    b"LOGIN": Row(arguments.login, _STRANGER, login.login),
    b"ENABLE": Row(arguments.enable, _USER, enabling.enable, _ALL),
    b"COMPRESS": Row(arguments.compress, _USER, compress.compress),
    b"SELECT": Row(arguments.select, _USER, selecting.select),
    b"EXAMINE": Row(arguments.select, _USER, selecting.examine),
    b"CREATE": Row(arguments.create, _USER, folders.create, _ALL),
    b"DELETE": Row(arguments.on_mailbox, _USER, folders.delete, _ALL),
    b"RENAME": Row(arguments.rename, _USER, folders.rename, _ALL),
    b"SUBSCRIBE": Row(arguments.on_mailbox, _USER, folders.subscribe, _ALL),
    b"UNSUBSCRIBE": Row(arguments.on_mailbox, _USER, folders.unsubscribe, _ALL),
    b"LIST": Row(list_command.list_mailboxes, _USER, listing.list_mailboxes, _ALL),
    b"XLIST": Row(list_command.plain_list, _USER, listing.list_special, _ALL),
    b"LSUB": Row(list_command.plain_list, _USER, listing.list_subscribed, _ALL),
    b"NAMESPACE": Row(arguments.plain, _USER, folders.namespace, _ALL),
    b"STATUS": Row(arguments.status, _USER, status.status, _ALL),
    b"GETQUOTA": Row(arguments.getquota, _USER, quota.getquota, _ALL),
    b"GETQUOTAROOT": Row(arguments.getquotaroot, _USER, quota.getquotaroot, _ALL),
    b"SETQUOTA": Row(arguments.setquota, _USER, quota.setquota, _ALL),
    b"APPEND": Row(arguments.append, _USER, append.append, _ALL, streams=True),
    b"REPLACE": Row(arguments.replace, _IN, append.replace, _ALL, streams=True),
    b"UID REPLACE": Row(arguments.uid_replace, _IN, append.replace, _UID, streams=True),
    b"IDLE": Row(arguments.plain, _USER, idle.idle, _ALL),
    b"NOTIFY": Row(notify_command.notify, _USER, notify.notify, _ALL),
    b"CHECK": Row(arguments.plain, _IN, selecting.check, _ALL, tells_news=True),
    b"CLOSE": Row(arguments.plain, _IN, selecting.close),
    b"UNSELECT": Row(arguments.plain, _IN, selecting.unselect),
    b"EXPUNGE": Row(arguments.expunge, _IN, changes.expunge, _ALL, tells_news=True),
    b"UID EXPUNGE": Row(arguments.uid_expunge, _IN, changes.expunge, _UID, tells_news=True),
    b"SEARCH": Row(arguments.search, _IN, search.search, _HELD),
    b"UID SEARCH": Row(arguments.uid_search, _IN, search.search, _UID),
    b"SORT": Row(sort.parse, _IN, sort.sort, _HELD),
    b"UID SORT": Row(sort.parse_by_uid, _IN, sort.sort, _UID),
    b"THREAD": Row(thread.parse, _IN, thread.thread, _HELD),
    b"UID THREAD": Row(thread.parse_by_uid, _IN, thread.thread, _UID),
    b"FETCH": Row(arguments.fetch, _IN, fetch.fetch, _HELD),
    b"UID FETCH": Row(arguments.uid_fetch, _IN, fetch.fetch, _UID),
    b"STORE": Row(arguments.store, _IN, changes.store, _HELD),
    b"UID STORE": Row(arguments.uid_store, _IN, changes.store, _UID),
    b"COPY": Row(arguments.copy, _IN, changes.copy, _ALL),
    b"UID COPY": Row(arguments.uid_copy, _IN, changes.copy, _UID),
    b"MOVE": Row(arguments.copy, _IN, changes.move, _ALL, tells_news=True),
    b"UID MOVE": Row(arguments.uid_copy, _IN, changes.move, _UID, tells_news=True),
}
