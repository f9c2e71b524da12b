"""Telling a client what happened in its mailbox (RFC 3501 §5.2, §7).

`refresh` is memory only and cheap; `catch_up` first makes sure that the mailbox is as the disk
has it. Which of them a command gets, and whether it may carry EXPUNGE, is in its row of
`session.COMMANDS` (R061).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from maa.conversation import SLOW
from maa.imap.responses import flag_list, untagged
from maa.imap.states import Done, Enabled, Input, Said, Selected
from maa.message.flags import SYSTEM_FLAGS, Flags, interned
from maa.message.numbers import written
from maa.store.view import Arrived, Expunged, KeywordsChanged, Update, View

BATCH = 1000
"""Lines rendered together: an answer about 100,000 messages is not built in memory."""

LARGE = 5000
"""Of so many messages all may have changed: telling that may hold the reactor too long (R249)."""

Telling = Generator[Said, Input | None, Selected]
"""Yields what the client is told, and returns the state in which it has been told."""


def keyword_lines(keywords: frozenset[str], read_only: bool) -> bytes:
    """FLAGS: those in use; PERMANENTFLAGS: those that stay, and whether new ones can (R054)."""
    in_use = interned((*SYSTEM_FLAGS, *keywords))
    flags = flag_list(in_use)
    permanent = b"()" if read_only else flags[:-1] + b" \\*)"
    return (
        b"* FLAGS %b\r\n* OK [PERMANENTFLAGS %b] Flags that stay\r\n" % (flags, permanent)
    )  # fmt: skip


Row = tuple[int, int, Flags, int]
"""(sequence number, UID, flags, mod-sequence)"""


def flag_lines(rows: Sequence[Row], by_uid: bool, enabled: Enabled) -> Iterator[bytes]:
    """FETCH (FLAGS ...) in batches; with CONDSTORE always UID and MODSEQ (RFC 7162 §3.2.4).

    IMAP4rev2 wants the UID in all that was not asked for (RFC 9051 §7.5.2).
    """
    for begin in range(0, len(rows), BATCH):
        batch = rows[begin : begin + BATCH]
        if enabled.condstore:
            yield b"".join(
                b"* %d FETCH (UID %d FLAGS %b MODSEQ (%d))\r\n"
                % (number, uid, flag_list(flags), modseq)
                for number, uid, flags, modseq in batch
            )
        elif by_uid or enabled.rev2:
            yield b"".join(
                b"* %d FETCH (UID %d FLAGS %b)\r\n" % (number, uid, flag_list(flags))
                for number, uid, flags, _ in batch
            )
        else:
            yield b"".join(
                b"* %d FETCH (FLAGS %b)\r\n" % (number, flag_list(flags))
                for number, _, flags, _ in batch
            )


def modseq_lines(rows: Sequence[Row]) -> Iterator[bytes]:
    """FETCH (UID MODSEQ) in batches: what a silent STORE still tells (RFC 7162 §3.1.3; R164)."""
    for begin in range(0, len(rows), BATCH):
        yield b"".join(
            b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (number, uid, modseq)
            for number, uid, _, modseq in rows[begin : begin + BATCH]
        )


def rendered(update: Update, by_uid: bool, read_only: bool, enabled: Enabled) -> Iterator[bytes]:
    """One kind of change as untagged lines."""
    if isinstance(update, Expunged) and enabled.qresync:
        for begin in range(0, len(update.uids), BATCH):
            yield b"* VANISHED %b\r\n" % written(update.uids[begin : begin + BATCH])  # R171
    elif isinstance(update, Expunged):
        for begin in range(0, len(update.numbers), BATCH):
            batch = update.numbers[begin : begin + BATCH]
            yield b"".join(b"* %d EXPUNGE\r\n" % number for number in batch)
    elif isinstance(update, KeywordsChanged):
        yield keyword_lines(update.keywords, read_only)
    elif isinstance(update, Arrived) and enabled.rev2:
        yield b"* %d EXISTS\r\n" % update.exists
    elif isinstance(update, Arrived):
        yield b"* %d EXISTS\r\n* %d RECENT\r\n" % (update.exists, update.recent)
    else:
        yield from flag_lines(update.rows, by_uid, enabled)


def refreshed(state: Selected, expunges: bool, by_uid: bool = False, news: bool = False) -> Telling:
    """Tell the changes that memory knows of; none of EXPUNGE where they are held back (R061).

    `news`: here also those clients hear of arrivals and expunges who ask for them (Q-1).
    """
    if len(state.view) > LARGE:
        yield SLOW
    view, updates = state.view.refresh(expunges, news=news)
    for update in updates:
        yield from rendered(update, by_uid, state.read_only, state.enabled)
    return state if view is state.view else replace(state, view=view)


def counted(before: Selected, done: Done) -> Generator[Said, Input | None, Done]:
    """With HIGHESTMODSEQ, where QRESYNC is enabled and the client cannot know it (R167, R168).

    Expunges have a mod-sequence that VANISHED does not tell. While they are held back, those in
    FETCH may be greater, but the client must not believe that it has heard of all before them.
    """
    view, old = done.state.view if isinstance(done.state, Selected) else before.view, before.view
    expunged = bisect_left(view.uids, old.snapshot.uidnext) < len(old)
    if not view.gone and not expunged:
        return done  # of all else the client sees the mod-sequence
    if done.code is None:
        return done._replace(code=b"HIGHESTMODSEQ %d" % view.told_modseq)
    yield highest_modseq(view)
    return done


def highest_modseq(view: View) -> bytes:
    """HIGHESTMODSEQ: all that happened up to it was told (RFC 7162 §3.1.2.1; R167)."""
    return untagged(b"OK", b"HIGHESTMODSEQ %d" % view.told_modseq, b"Changes up to here are told")


def current(state: Selected) -> bool:
    """Whether memory has the mailbox as it is; one that is gone is only found out by a look."""
    return not state.mailbox.gone and state.mailbox.fresh()


def caught_up(state: Selected, expunges: bool, by_uid: bool = False, news: bool = False) -> Telling:
    """Look at the disk if anything happened there, then tell the changes (R069)."""
    if not current(state):
        yield SLOW
        state.mailbox.sync()
    if not state.view.stale:
        return state
    return (yield from refreshed(state, expunges, by_uid, news))
