"""SELECT, EXAMINE, CLOSE, UNSELECT and CHECK (RFC 3501 §6.3.1-2, §6.4.1-2; RFC 3691)."""

from __future__ import annotations

from dataclasses import replace

from maa.conversation import SLOW
from maa.imap import oldname
from maa.imap.changes import note_gone
from maa.imap.commands import Plain, Select
from maa.imap.enabling import CONDSTORE
from maa.imap.mailboxes import opened
from maa.imap.responses import ProtocolError, failure, mailbox_id, untagged
from maa.imap.resync import resynchronised
from maa.imap.states import Answer, Authenticated, Done, Selected
from maa.imap.updates import highest_modseq, keyword_lines
from maa.store.account import Listed
from maa.store.errors import StoreError
from maa.store.view import View


def select(state: Authenticated | Selected, command: Select) -> Answer:
    """SELECT (RFC 3501 §6.3.1)."""
    return (yield from _chosen(state, command, read_only=False))


def examine(state: Authenticated | Selected, command: Select) -> Answer:
    """EXAMINE: SELECT that changes nothing, not even \\Recent (RFC 3501 §6.3.2; R053)."""
    return (yield from _chosen(state, command, read_only=True))


def close(state: Selected, command: Plain) -> Answer:
    """CLOSE: expunge without a word, unless read-only (RFC 3501 §6.4.2; R056)."""
    if not state.read_only:
        mailbox = state.mailbox
        if mailbox.snapshot.deleted or not mailbox.fresh():
            yield SLOW
            mailbox.sync()
            note_gone(state, mailbox.expunge(None), "CLOSE")
    return Done(state.left(), b"CLOSE completed")


def unselect(state: Selected, command: Plain) -> Answer:
    """UNSELECT: leave the mailbox, expunge nothing (RFC 3691 §2)."""
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state.left(), b"UNSELECT completed")


def check(state: Selected, command: Plain) -> Answer:
    """CHECK: every commit is a checkpoint already, so NOOP (RFC 3501 §6.4.1; R057)."""
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state, b"CHECK completed")


def _chosen(state: Authenticated | Selected, command: Select, read_only: bool) -> Answer:
    account, enabled = state.account, state.enabled
    listed: Listed | None = None  # IMAP4rev2 is told it (RFC 9051 §6.3.2)
    resync = command.parameters.resync
    if resync is not None and not enabled.qresync:
        raise ProtocolError("QRESYNC must be enabled first")  # R169
    if command.parameters.condstore:
        enabled |= CONDSTORE
    if isinstance(state, Selected):
        # What follows is no more about the former mailbox (R052).
        yield untagged(b"OK", b"CLOSED", b"The former mailbox is closed")
    try:
        mailbox = yield from opened(account, command.mailbox)
        if enabled.rev2:
            yield SLOW
            listed = oldname.listed(account, command.mailbox)
    except StoreError as error:
        # The former mailbox is left all the same (R051).
        code, text = failure(error)
        left = state.left() if isinstance(state, Selected) else state
        return Done(replace(left, enabled=enabled), text, code, b"NO")
    view = mailbox.view(claim_recent=not read_only)
    if enabled.rev2:
        view = view.without_recent()
    if state.connection.quirks.changes.hold_news:
        view = replace(view, holds_news=True)
    told = untagged(b"OK", mailbox_id(mailbox.row), b"It stays when the mailbox is renamed")
    yield _described(view, read_only, enabled.rev2) + highest_modseq(view) + told
    if listed is not None:
        yield from oldname.line(state, listed, command.mailbox)
    if resync is not None:
        yield from resynchronised(mailbox, view, enabled, resync)
    new = Selected(account, mailbox, view, read_only, state.connection, enabled, state.watching)
    if read_only:
        return Done(new, b"EXAMINE completed", b"READ-ONLY")
    return Done(new, b"SELECT completed", b"READ-WRITE")


def _described(view: View, read_only: bool, rev2: bool) -> bytes:
    """What SELECT says of a mailbox, all of it from one snapshot (R049, R059).

    IMAP4rev2 knows neither RECENT nor UNSEEN (RFC 9051 App. E).
    """
    snapshot = view.snapshot
    unseen = b""
    if snapshot.first_unseen is not None:
        # A sequence number here, not a count as in STATUS (R050).
        unseen = b"* OK [UNSEEN %d] First message not seen\r\n" % (snapshot.first_unseen + 1)
    recent = b"" if rev2 else b"* %d RECENT\r\n%b" % (view.recent_count, unseen)
    return (
        b"%b* %d EXISTS\r\n%b* OK [UIDVALIDITY %d] UIDs are valid\r\n* OK [UIDNEXT %d] Next UID\r\n"
    ) % (
        keyword_lines(snapshot.keywords, read_only),
        len(view),
        recent,
        snapshot.uidvalidity,
        snapshot.uidnext,
    )
