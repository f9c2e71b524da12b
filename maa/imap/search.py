"""SEARCH and UID SEARCH (RFC 3501 §6.4.4), and what SORT and THREAD have in common with them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Final

from maa.conversation import Step
from maa.imap.commands import Search
from maa.imap.enabling import condstore
from maa.imap.indexed import asks_modseq, greatest_modseq
from maa.imap.inprogress import Working, told
from maa.imap.matching import leaves, matching
from maa.imap.message_sets import saved
from maa.imap.responses import ProtocolError, failure
from maa.imap.search_keys import known_charset
from maa.imap.search_results import ReturnOptions, esearch, plain
from maa.imap.states import Answer, Done, Selected
from maa.message.numbers import NOTHING
from maa.store.errors import MailboxGone, StoreError

Found = Generator[Step | Working, None, Sequence[int]]
"""Positions of messages in the order of the answer."""

_BADCHARSET: Final = (
    b"BADCHARSET (UTF-8 US-ASCII ISO-8859-1 GB18030 GBK GB2312 BIG5 ISO-2022-JP SHIFT_JIS EUC-JP"
    b" EUC-KR KOI8-R WINDOWS-1251 WINDOWS-1252)"
)
"""Some of those we know (R180)."""


def search(state: Selected, command: Search) -> Answer:
    """The numbers or UIDs of the messages that match (R178, R186).

    IMAP4rev2 has no other answer than ESEARCH (RFC 9051 §6.4.4; R041).
    """
    if command.charset is not None and state.enabled.utf8:
        raise ProtocolError("texts are UTF-8 now: there is no CHARSET")  # RFC 6855 §3; R180
    if command.options is None and state.enabled.rev2:
        command = replace(command, options=ReturnOptions(everything=True))
    return (yield from answered(state, command, b"SEARCH", matching(state, command.key)))


def answered(state: Selected, command: Search, name: bytes, found: Found) -> Answer:
    """SEARCH or SORT: `found` runs, and what it returns is told, saved or both."""
    options = command.options
    saves = options is not None and options.save
    if not known_charset(command.charset):
        return bad_charset(_unsaved(state, saves))
    tells_modseq = asks_modseq(leaves(command.key))
    if tells_modseq:
        state = yield from condstore(state)
    try:
        positions = yield from told(command.tag, found)
    except MailboxGone:
        raise
    except StoreError as error:
        code, text = failure(error)
        return Done(_unsaved(state, saves), text, code, b"NO")
    kept = positions if options is None else options.kept(positions)
    if saves:
        state = replace(state, saved=saved(state.view.uids, kept))
    numbers = numbered(state, positions, command.by_uid)
    modseq = greatest_modseq(state.view, kept) if tells_modseq and kept else None
    if options is None:
        yield from plain(name, numbers, modseq)
    else:
        yield from esearch(command.tag, command.by_uid, options, numbers, modseq)
    return Done(state, name + b" completed")


def _unsaved(state: Selected, saves: bool) -> Selected:
    """A SEARCH that fails saves that nothing was found (RFC 5182 §2.1)."""
    return replace(state, saved=NOTHING) if saves else state


def bad_charset(state: Selected) -> Done:
    """NO: the texts of the command cannot be read (R180)."""
    return Done(state, b"This charset is not known", _BADCHARSET, b"NO")


def numbered(state: Selected, positions: Sequence[int], by_uid: bool) -> list[int]:
    """Positions as clients have them: UIDs or sequence numbers."""
    if by_uid:
        return list(map(state.view.uids.__getitem__, positions))
    return [position + 1 for position in positions]
