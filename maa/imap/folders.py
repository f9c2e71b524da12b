"""Changing which mailboxes there are: CREATE, DELETE, RENAME and subscriptions (RFC 3501 §6.3)."""

from __future__ import annotations

from collections.abc import Generator

from maa import audit
from maa.conversation import SLOW
from maa.imap import oldname
from maa.imap.commands import Create, OnMailbox, Plain, Rename
from maa.imap.responses import Refused, mailbox_id, string, untagged
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected


def create(state: Authenticated | Selected, command: Create) -> Answer:
    """CREATE; a separator at the end is ignored (RFC 3501 §6.3.3; R098, Q-2).

    A special use that cannot be given makes nothing (RFC 6154 §3). A client of IMAP4rev2 hears if
    the name is not as it spelled it (RFC 9051 §6.3.4).
    """
    if len(command.uses) > 1:
        raise Refused(b"USEATTR", "a mailbox has one special use at most")
    yield SLOW
    row = state.account.create(oldname.to_be(state, command.mailbox), *command.uses)
    yield from oldname.told(state, command.mailbox)
    return Done(state, b"CREATE completed", mailbox_id(row))


def delete(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """DELETE; the subscription stays (RFC 3501 §6.3.4; R099, R100)."""
    yield SLOW
    listed = oldname.listed(state.account, command.mailbox) if state.enabled.rev2 else None
    state.account.delete(command.mailbox)
    user, peer = state.account.user.name, state.connection.peer
    audit.note(audit.DELETED, peer, user, mailbox=command.mailbox)
    yield from oldname.gone(state, listed, command.mailbox)
    return Done((yield from _left_if_gone(state)), b"DELETE completed")


def rename(state: Authenticated | Selected, command: Rename) -> Answer:
    """RENAME, with all that is below (RFC 3501 §6.3.5; R101)."""
    yield SLOW
    state.account.rename(command.old, oldname.to_be(state, command.new))
    yield from oldname.told(state, command.new, command.old)
    return Done((yield from _left_if_gone(state)), b"RENAME completed")


def subscribe(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """SUBSCRIBE, also to what does not exist (RFC 3501 §6.3.6; R112, Q-17)."""
    yield SLOW
    state.account.subscribe(command.mailbox)
    return Done(state, b"SUBSCRIBE completed")


def unsubscribe(state: Authenticated | Selected, command: OnMailbox) -> Answer:
    """UNSUBSCRIBE (RFC 3501 §6.3.7; R112)."""
    yield SLOW
    state.account.unsubscribe(command.mailbox)
    return Done(state, b"UNSUBSCRIBE completed")


def namespace(state: Authenticated | Selected, command: Plain) -> Answer:
    """NAMESPACE: one personal namespace without a prefix (RFC 2342 §5; R113)."""
    yield b'* NAMESPACE (("" %b)) NIL NIL\r\n' % string(state.account.separator.encode("ascii"))
    return Done(state, b"NAMESPACE completed")


def _left_if_gone(
    state: Authenticated | Selected,
) -> Generator[Said, Input | None, Authenticated | Selected]:
    """Nobody can stay in a mailbox that was just deleted, or has another name now (R058).

    Only CLOSED tells the client so (RFC 9051 §3).
    """
    if isinstance(state, Selected) and state.mailbox.gone:
        yield untagged(b"OK", b"CLOSED", b"The selected mailbox is gone")
        return state.left()
    return state
