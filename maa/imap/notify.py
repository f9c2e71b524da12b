"""NOTIFY: what happens is told when it happens, also in other mailboxes (RFC 5465)."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import replace

from maa.conversation import SLOW
from maa.imap.commands import (
    Append,
    Command,
    Copy,
    Create,
    Expunge,
    Fetch,
    OnMailbox,
    Rename,
    Replace,
)
from maa.imap.fetch import fetch
from maa.imap.notify_command import Group, Notify, Which
from maa.imap.responses import Refused, untagged
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected
from maa.imap.updates import Telling, refreshed
from maa.imap.watching import Overflow, Watching
from maa.message.numbers import NumberSet
from maa.store.errors import MailboxGone, StoreError
from maa.store.names import key

_log = logging.getLogger(__name__)


def notify(state: Authenticated | Selected, command: Notify) -> Answer:
    """NOTIFY SET or NONE; until the next one, or the end (RFC 5465 §3.1)."""
    watching = Watching(state.account, command.groups, state.connection.wake)
    watching.enabled = state.enabled
    begun = False
    try:
        _attend(watching, state)
        yield from watching.begin(command.status)
        begun = True
    except Overflow:
        raise Refused(b"NOTIFICATIONOVERFLOW", "that is more than can be watched") from None
    finally:
        if not begun:
            watching.close()
    if state.watching is not None:
        state.watching.close()
    return Done(replace(state, watching=watching), b"NOTIFY completed")


def _attend(watching: Watching, state: Authenticated | Selected) -> None:
    if isinstance(state, Selected):
        watching.attend(state.mailbox, state.view)
    else:
        watching.attend(None, None)


def quiet(state: Selected, command: Command) -> bool:
    """Whether the client does not want to hear of changes in the selected mailbox (§3.1).

    What its own command does is no event, and NOTIFY SET tells what has accumulated.
    """
    watching = state.watching
    if watching is None or not watching.quiet:
        return False
    own = isinstance(command, Expunge | Copy | Replace) or (
        isinstance(command, Append) and key(command.mailbox) == key(state.mailbox.name)
    )
    return not own and not (isinstance(command, Notify) and command.groups)


def noted(state: Authenticated | Selected, command: Command, code: bytes | None) -> None:
    """What the client did itself is no news to it (§5, §5.2); `code` tells which UIDs it got."""
    watching = state.watching
    if watching is None:
        return
    if isinstance(command, Create | OnMailbox):
        watching.done_by_client((command.mailbox,))
    elif isinstance(command, Rename):
        watching.done_by_client((command.old, command.new))
    elif (
        isinstance(command, Append | Copy | Replace)
        and isinstance(state, Selected)
        and key(command.mailbox) == key(state.mailbox.name)
        and code is not None
        and code.startswith((b"APPENDUID ", b"COPYUID "))
    ):
        watching.brought_by_client(NumberSet.parse(code.rpartition(b" ")[2]))


def pushed(
    state: Authenticated | Selected, idling: bool = False
) -> Generator[Said, Input | None, Authenticated | Selected]:
    """Tell what NOTIFY asked for and happened since; between commands, and in IDLE."""
    watching = state.watching
    if watching is None:
        return state
    watching.enabled = state.enabled
    _attend(watching, state)
    try:
        group = watching.selected
        if isinstance(state, Selected) and group is not None and not watching.quiet:
            state = yield from _selected(state, watching, group, idling)
        yield from watching.changes()
    except MailboxGone:
        raise
    except (Overflow, StoreError) as error:
        # The client is told that it has to look by itself from now on (§5.8).
        _log.info("a session is notified no more: %s", error or "too many mailboxes")
        watching.close()
        yield untagged(b"OK", b"NOTIFICATIONOVERFLOW", b"Nothing more is told")
        return replace(state, watching=Watching(state.account, (), state.connection.wake))
    return state


def _selected(state: Selected, watching: Watching, group: Group, idling: bool) -> Telling:
    """Changes of the selected mailbox (§5.1-3, §6.1)."""
    mailbox, view = state.mailbox, state.view
    if mailbox.gone:
        raise MailboxGone(mailbox.name)
    if not mailbox.fresh():  # perhaps since before anybody listened: nobody would look
        yield SLOW
        mailbox.sync()
    # Flags that are not asked for come along with what is, so that none is ever lost.
    only_flags = mailbox.snapshot.uids is view.snapshot.uids and not view.gone
    if view.stale and (group.flags or not only_flags):
        state = yield from refreshed(
            state, expunges=idling or group.which is Which.SELECTED, news=True
        )
    messages = watching.unfetched(state.view)
    if group.items and messages:
        done = yield from fetch(state, Fetch(b"", messages, False, group.items))
        assert isinstance(done.state, Selected)
        state = done.state
    return state
