"""STATUS: what is in a mailbox, without selecting it (RFC 3501 §6.3.10).

SIZE (RFC 8438) is octets as sent, and DELETED-STORAGE (RFC 9208) octets on the disk, which are
those a quota counts.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence

from maa.conversation import SLOW
from maa.imap.commands import Status
from maa.imap.enabling import condstore
from maa.imap.mailboxes import opened
from maa.imap.responses import mailbox as rendered_name
from maa.imap.responses import mailbox_id, parenthesised
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected
from maa.imap.updates import BATCH, LARGE, caught_up
from maa.store.mailbox import Mailbox
from maa.store.snapshot import UNKNOWN, Snapshot
from maa.store.tally import deleted_octets

User = Authenticated | Selected


def status(state: User, command: Status) -> Answer:
    """STATUS (RFC 3501 §6.3.10)."""
    state = yield from described(state, command.mailbox, command.items)
    return Done(state, b"STATUS completed")


def described(
    state: User, name: str, items: Sequence[bytes]
) -> Generator[Said, Input | None, User]:
    """The untagged STATUS; the name is echoed as the client wrote it (Q-24)."""
    mailbox = yield from opened(state.account, name)
    if b"HIGHESTMODSEQ" in items:
        state = yield from condstore(state)
    if isinstance(state, Selected) and mailbox is state.mailbox:
        # What is said here must not run ahead of what the session was told (R115).
        state = yield from caught_up(state, expunges=True)
        snapshot, recent = state.view.snapshot, state.view.recent_count
        messages = len(state.view)
    else:
        snapshot, recent = mailbox.snapshot, mailbox.recent_unclaimed
        messages = len(snapshot)
    numbers = {
        b"MESSAGES": messages,
        b"RECENT": recent,
        b"UIDNEXT": snapshot.uidnext,
        b"UIDVALIDITY": snapshot.uidvalidity,
        b"UNSEEN": snapshot.unseen,
        b"HIGHESTMODSEQ": snapshot.highest_modseq,
        b"DELETED": snapshot.deleted,
        b"APPENDLIMIT": state.connection.settings.append_limit_octets,
    }
    if b"SIZE" in items:
        numbers[b"SIZE"] = yield from _size(mailbox, snapshot)
    if b"DELETED-STORAGE" in items:
        yield SLOW
        numbers[b"DELETED-STORAGE"] = deleted_octets(mailbox, snapshot)
    values = parenthesised(
        mailbox_id(mailbox.row) if item == b"MAILBOXID" else b"%b %d" % (item, numbers[item])
        for item in items
    )
    yield b"* STATUS %b %b\r\n" % (rendered_name(name, state.enabled.unicode), values)
    return state


def _size(mailbox: Mailbox, snapshot: Snapshot) -> Generator[Said, Input | None, int]:
    """The sum of RFC822.SIZE; of mail that nobody has looked at yet, that takes reading it."""
    if len(snapshot) > LARGE:
        yield SLOW
    unknown = [
        uid
        for uid, size in zip(snapshot.uids, snapshot.sizes, strict=True)
        if size == UNKNOWN
    ]  # fmt: skip
    octets = sum(snapshot.sizes) - len(unknown) * UNKNOWN
    for start in range(0, len(unknown), BATCH):
        yield SLOW
        # What cannot be read any more is just going.
        octets += sum(filter(None, mailbox.sizes(unknown[start : start + BATCH])))
    return octets
