"""Which messages a command names: by numbers, by UIDs, or by `$` (RFC 3501 §9, RFC 5182 §2.1)."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Final

from maa.conversation import SLOW
from maa.imap.responses import ProtocolError
from maa.imap.states import Input, Said, Selected
from maa.message.numbers import SAVED, MessageSet, NumberSet

RANGES_AT_ONCE: Final = 5000
"""More of them take longer to look up than the reactor may be held (R249)."""


def positions_of(
    state: Selected, messages: MessageSet, by_uid: bool
) -> Generator[Said, Input | None, Sequence[int]]:
    """Positions in the view; a number that is none is BAD, a UID that is none ignored (R015)."""
    if messages is SAVED:
        if len(state.saved.ranges) > RANGES_AT_ONCE:
            yield SLOW
        return saved_positions(state)
    if by_uid:
        return messages.positions_of_uids(state.view.uids)
    try:
        return messages.positions_of_numbers(len(state.view))
    except ValueError:
        raise ProtocolError("there is no such message") from None


def matching_positions(state: Selected, messages: MessageSet, by_uid: bool) -> Sequence[int]:
    """Positions as SEARCH wants them: numbers that no message has match nothing (R178)."""
    if messages is SAVED:
        return saved_positions(state)
    uids = state.view.uids
    return messages.positions_of_uids(uids if by_uid else range(1, len(uids) + 1))


def saved_positions(state: Selected) -> Sequence[int]:
    """Where the messages of `$` stand; those expunged have left it, also untold (R188)."""
    view = state.view
    positions = state.saved.positions_of_uids(view.uids)
    if view.aligned:
        return positions
    return [position for position in positions if view.index(position) is not None]


def saved(uids: Sequence[int], positions: Sequence[int]) -> NumberSet:
    """What `$` is to mean, of ascending positions among the UIDs of a view.

    As ranges of UIDs, each from the first to the last of messages that stand side by side now:
    what arrives later has higher UIDs, so no range will ever hold another message.
    """
    ranges: list[tuple[int | None, int | None]] = []
    first = last = -1
    for position in positions:
        if position == last + 1 and first >= 0:
            last = position
            continue
        if first >= 0:
            ranges.append((uids[first], uids[last]))
        first = last = position
    if first >= 0:
        ranges.append((uids[first], uids[last]))
    return NumberSet(tuple(ranges))
