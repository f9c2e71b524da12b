"""SELECT, EXAMINE, CLOSE, UNSELECT and CHECK (RFC 3501 §6.3.1-2, §6.4.1-2; RFC 3691)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from maa.conversation import SLOW
from maa.imap.commands import Plain, Select
from maa.imap.enabling import CONDSTORE
from maa.imap.responses import ProtocolError, failure, mailbox_id, untagged
from maa.imap.resync import resynchronised
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected
from maa.imap.updates import highest_modseq, keyword_lines
from maa.store.account import Account
from maa.store.errors import StoreError
from maa.store.mailbox import Mailbox
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
            mailbox.expunge(None)
    return Done(state.left(), b"CLOSE completed")


def unselect(state: Selected, command: Plain) -> Answer:
    """UNSELECT: leave the mailbox, expunge nothing (RFC 3691 §2)."""
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state.left(), b"UNSELECT completed")


def check(state: Selected, command: Plain) -> Answer:
    """CHECK: every commit is a checkpoint already, so NOOP (RFC 3501 §6.4.1; R057)."""
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state, b"CHECK completed")


def opened(account: Account, name: str) -> Generator[Said, Input | None, Mailbox]:
    """The mailbox as it is on disk now; from memory where that is known to be fresh."""
    mailbox = account.opened(name)
    if mailbox is None:
        yield SLOW
        mailbox = account.open(name)
    return mailbox


def _chosen(state: Authenticated | Selected, command: Select, read_only: bool) -> Answer:
    account, enabled = state.account, state.enabled
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
    except StoreError as error:
        # The former mailbox is left all the same (R051).
        code, text = failure(error)
        left = state.left() if isinstance(state, Selected) else state
        return Done(replace(left, enabled=enabled), text, code, b"NO")
    view = mailbox.view(claim_recent=not read_only)
    told = untagged(b"OK", mailbox_id(mailbox.row), b"It stays when the mailbox is renamed")
    yield _described(view, read_only) + highest_modseq(view) + told
    if resync is not None:
        yield from resynchronised(mailbox, view, enabled, resync)
    new = Selected(account, mailbox, view, read_only, state.connection, enabled, state.watching)
    if read_only:
        return Done(new, b"EXAMINE completed", b"READ-ONLY")
    return Done(new, b"SELECT completed", b"READ-WRITE")


def _described(view: View, read_only: bool) -> bytes:
    """What SELECT says of a mailbox, all of it from one snapshot (R049, R059)."""
    snapshot = view.snapshot
    unseen = b""
    if snapshot.first_unseen is not None:
        # A sequence number here, not a count as in STATUS (R050).
        unseen = b"* OK [UNSEEN %d] First message not seen\r\n" % (snapshot.first_unseen + 1)
    return (
        b"%b* %d EXISTS\r\n* %d RECENT\r\n%b"
        b"* OK [UIDVALIDITY %d] UIDs are valid\r\n* OK [UIDNEXT %d] Next UID\r\n"
    ) % (
        keyword_lines(snapshot.keywords, read_only),
        len(view),
        view.recent_count,
        unseen,
        snapshot.uidvalidity,
        snapshot.uidnext,
    )
