"""STORE, COPY, MOVE, EXPUNGE and their UID forms (RFC 3501 §6.4; RFC 4315; RFC 6851)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import replace

from maa import audit
from maa.conversation import SLOW
from maa.imap import oldname
from maa.imap.commands import Copy, Expunge, Store
from maa.imap.enabling import condstore
from maa.imap.mailboxes import opened
from maa.imap.message_sets import positions_of
from maa.imap.responses import Refused, untagged
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected
from maa.imap.updates import flag_lines, modseq_lines, rendered
from maa.message.numbers import written
from maa.store.errors import MailboxGone, MailboxNotFound
from maa.store.mailbox import Mailbox
from maa.store.snapshot import Copied, Stored, Unchanged
from maa.store.view import FlagsChanged


def store(state: Selected, command: Store) -> Answer:
    """STORE (RFC 3501 §6.4.6)."""
    check_writable(state)
    positions = yield from positions_of(state, command.messages, command.by_uid)
    since = command.unchanged_since
    if since is not None:
        state = yield from condstore(state)
    view, mailbox = state.view, state.mailbox
    uids = [view.uids[position] for position in positions]
    if not uids:
        return Done(state, b"STORE completed")
    yield SLOW
    unchanged = None if since is None else Unchanged(since, view.snapshot)
    stored = mailbox.store(uids, command.mode, command.flags, unchanged)
    # Others' changes are told, the client's own are what it asked for (R071).
    view, changes = view.refresh(expunges=False, mute=stored)
    told: set[int] = set()
    for change in changes:
        yield from rendered(change, command.by_uid, state.read_only, state.enabled)
        if isinstance(change, FlagsChanged):
            told.update(uid for _, uid, _, _ in change.rows)
    state = replace(state, view=view)
    yield from _result(state, command, positions, stored, told.union(stored.failed))
    issued = not command.by_uid and any(view.index(position) is None for position in positions)
    if stored.failed:
        return Done(state, b"Some were changed", _modified(state, command, stored), _no(issued))
    return _issued(state) if issued else Done(state, b"STORE completed")


def _result(
    state: Selected, command: Store, positions: Sequence[int], stored: Stored, but: Set[int]
) -> Iterator[bytes]:
    """The resulting flags of every message, changed or not (R086); of a silent STORE the
    mod-sequences of those that changed, or passed the test (R164)."""
    view, condstore = state.view, state.enabled.condstore
    if command.silent and not condstore:
        return
    only = stored.changed if command.silent and command.unchanged_since is None else None
    rows = [
        (position + 1, uid, view.flags(position), view.modseq(position))
        for position, uid in ((position, view.uids[position]) for position in positions)
        if uid not in but and (only is None or uid in only) and view.index(position) is not None
    ]
    if command.silent:
        yield from modseq_lines(rows)
    else:
        yield from flag_lines(rows, command.by_uid, state.enabled)


def _modified(state: Selected, command: Store, stored: Stored) -> bytes:
    """MODIFIED: the messages that failed UNCHANGEDSINCE, as the client named them (R163)."""
    failed = sorted(stored.failed)
    if not command.by_uid:
        failed = [1 + bisect_left(state.view.uids, uid) for uid in failed]
    return b"MODIFIED " + written(failed)


def _no(issued: bool) -> bytes:
    return b"NO" if issued else b"OK"


def copy(state: Selected, command: Copy) -> Answer:
    """COPY: all or nothing (RFC 3501 §6.4.7; R125)."""
    uids = yield from _living(state, command)
    if uids is None:
        return _issued(state)
    target = yield from existing(state, command.mailbox)
    if not uids:
        return Done(state, b"Nothing to copy")
    yield SLOW
    with into(target):
        copied = state.mailbox.copy(uids, target, state.account.quota.admission(target))
    yield from oldname.told(state, command.mailbox)
    return Done(state, b"COPY completed", copyuid(copied))


def move(state: Selected, command: Copy) -> Answer:
    """MOVE: COPYUID first, then the EXPUNGEs, which the session tells (RFC 6851 §4.3; R127)."""
    check_writable(state)
    uids = yield from _living(state, command)
    if uids is None:
        return _issued(state)
    target = yield from existing(state, command.mailbox)
    if not uids:
        return Done(state, b"Nothing to move")
    yield SLOW
    with into(target):
        moved = state.mailbox.move(uids, target)
    note_gone(state, moved.sources, "MOVE", target)
    yield untagged(b"OK", copyuid(moved), b"Moved")
    yield from oldname.told(state, command.mailbox)
    return Done(state, b"MOVE completed")


def expunge(state: Selected, command: Expunge) -> Answer:
    """EXPUNGE, or UID EXPUNGE within its set; the session tells what went (R128, R129)."""
    check_writable(state)
    mailbox = state.mailbox
    if command.uids is None:
        uids = None
    else:
        positions = yield from positions_of(state, command.uids, by_uid=True)
        uids = [state.view.uids[position] for position in positions]
    yield SLOW
    mailbox.sync()
    note_gone(state, mailbox.expunge(uids), "EXPUNGE" if uids is None else "UID EXPUNGE")
    return Done(state, b"EXPUNGE completed")


def note_gone(
    state: Selected, uids: Sequence[int], command: str, target: Mailbox | None = None
) -> None:
    """Have the audit log say what a client's command took from its mailbox."""
    event, where = (audit.EXPUNGED, {}) if target is None else (audit.MOVED, {"to": target.name})
    audit.note_messages(
        event,
        state.connection.peer,
        state.account.user.name,
        state.mailbox.name,
        uids,
        command=command,
        **where,
    )


def existing(state: Authenticated | Selected, name: str) -> Generator[Said, Input | None, Mailbox]:
    """The mailbox to put messages into; it is never made on the way (R118, R125)."""
    try:
        return (yield from opened(state.account, name))
    except MailboxNotFound:
        raise _try_create() from None


@contextmanager
def into(target: Mailbox) -> Iterator[None]:
    """Another session may delete the target meanwhile: then it is missing, as in `existing`."""
    try:
        yield
    except MailboxGone as error:
        if error.args != (target.name,):
            raise
        raise _try_create() from None


def _try_create() -> Refused:
    return Refused(b"TRYCREATE", "there is no such mailbox, it must be created first")


def copyuid(copied: Copied) -> bytes:
    """COPYUID, both sets in the order of copying (R126)."""
    return b"COPYUID %d %b %b" % (
        copied.uidvalidity,
        written(copied.sources),
        written(copied.targets),
    )


def _living(state: Selected, command: Copy) -> Generator[Said, Input | None, list[int] | None]:
    """UIDs to copy; None when one is gone that the client named by its number (R067)."""
    view = state.view
    positions = yield from positions_of(state, command.messages, command.by_uid)
    living = [view.uids[position] for position in positions if view.index(position) is not None]
    if len(living) != len(positions) and not command.by_uid:
        return None
    return living


def _issued(state: Selected) -> Done:
    return Done(state, b"Some of the messages were expunged", b"EXPUNGEISSUED", b"NO")


def check_writable(state: Selected) -> None:
    """Nothing may be changed in a mailbox that was opened with EXAMINE (R053)."""
    if state.read_only:
        raise Refused(b"READ-ONLY", "the mailbox was opened with EXAMINE")
