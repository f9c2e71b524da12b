"""What SEARCH and SORT return: RETURN options and ESEARCH (RFC 4731, 5182, 5267 §3, 9394).

The messages found stand in the order of the answer: by number for SEARCH, sorted for SORT. MIN,
MAX and PARTIAL count in that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.message.numbers import MAX_NUMBER, written

_NUMBERS_AT_ONCE: Final = 5000
_RANGE: Final = re.compile(rb"(-?)([1-9][0-9]{0,9}):\1([1-9][0-9]{0,9})(?=[ )]|\Z)")
_WORD: Final = re.compile(rb"[A-Za-z]+")


@dataclass(frozen=True, slots=True)
class PartialRange:
    """`1:100`: the first hundred results; `-1:-100`: the last (RFC 9394 §3.1)."""

    first: int
    last: int
    """Not less than `first`; both count from 1."""
    from_end: bool
    text: bytes
    """As the client wrote it."""

    def of(self, results: Sequence[int]) -> Sequence[int]:
        """Those of the results that lie in the range, in their order."""
        if self.from_end:
            count = len(results)
            return results[max(count - self.last, 0) : max(count - self.first + 1, 0)]
        return results[self.first - 1 : self.last]


@dataclass(frozen=True, slots=True)
class ReturnOptions:
    """What an extended SEARCH or SORT is to return."""

    minimum: bool = False
    maximum: bool = False
    everything: bool = False
    count: bool = False
    save: bool = False
    partial: PartialRange | None = None

    def kept(self, results: Sequence[int]) -> list[int]:
        """Which results SAVE keeps and MODSEQ is of, ascending (RFC 5182 §2.4, RFC 9394 §3.2).

        Those returned; but all of them where all are returned or counted.
        """
        narrow = self.minimum or self.maximum or self.partial is not None
        if self.everything or self.count or not narrow:
            return sorted(results)
        kept = set(self.partial.of(results) if self.partial else ())
        kept.update(results[:1] if self.minimum else ())
        kept.update(results[-1:] if self.maximum else ())
        return sorted(kept)


def parse_partial(cursor: Cursor) -> PartialRange:
    """`partial-range` (RFC 9394 §4)."""
    match = cursor.remaining_match(_RANGE)
    if match is None:
        raise ProtocolError("a range such as 1:100 or -1:-100 is missing")
    one, other = int(match.group(2)), int(match.group(3))
    if max(one, other) > MAX_NUMBER:
        raise ProtocolError("a number is too large")
    from_end = bool(match.group(1))
    return PartialRange(min(one, other), max(one, other), from_end, match.group())


def parse_return(cursor: Cursor) -> ReturnOptions | None:
    """`["RETURN" SP "(" [option *(SP option)] ")" SP]`; no option at all means ALL."""
    if not cursor.take(b"RETURN ("):
        return None
    asked: dict[bytes, PartialRange | None] = {}
    while not cursor.take(b")"):
        if asked:
            cursor.space()
        match = cursor.remaining_match(_WORD)
        word = match.group().upper() if match else b""
        if word == b"PARTIAL":
            if word in asked:
                raise ProtocolError("there may be one PARTIAL")
            cursor.space()
            asked[word] = parse_partial(cursor)
        elif word in (b"MIN", b"MAX", b"ALL", b"COUNT", b"SAVE"):
            asked[word] = None
        else:
            raise ProtocolError("an unknown return option")
    if b"ALL" in asked and b"PARTIAL" in asked:
        raise ProtocolError("ALL and PARTIAL exclude each other")
    cursor.space()
    return ReturnOptions(
        minimum=b"MIN" in asked,
        maximum=b"MAX" in asked,
        everything=b"ALL" in asked or not asked,
        count=b"COUNT" in asked,
        save=b"SAVE" in asked,
        partial=asked.get(b"PARTIAL"),
    )


def plain(name: bytes, numbers: Sequence[int], modseq: int | None = None) -> Iterator[bytes]:
    """`* SEARCH` or `* SORT` with the numbers, in pieces (R186), and a mod-sequence (R166)."""
    yield b"* " + name
    for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
        some = numbers[start : start + _NUMBERS_AT_ONCE]
        yield (" " + " ".join(map(str, some))).encode("ascii")
    if modseq is not None:
        yield b" (MODSEQ %d)" % modseq
    yield b"\r\n"


def esearch(
    tag: bytes,
    by_uid: bool,
    options: ReturnOptions,
    numbers: Sequence[int],
    modseq: int | None = None,
) -> Iterator[bytes]:
    """`* ESEARCH`, in pieces; nothing when only SAVE was asked for (R187, R189; RFC 5182 §2.2)."""
    if options == ReturnOptions(save=True):
        return
    yield b'* ESEARCH (TAG "%b")%b' % (tag, b" UID" if by_uid else b"")
    if options.minimum and numbers:
        yield b" MIN %d" % numbers[0]
    if options.maximum and numbers:
        yield b" MAX %d" % numbers[-1]
    if options.everything and numbers:
        yield b" ALL "
        yield from _set(numbers)
    if options.count:
        yield b" COUNT %d" % len(numbers)
    if options.partial:
        some = options.partial.of(numbers)
        yield b" PARTIAL (%b " % options.partial.text
        yield from _set(some) if some else (b"NIL",)
        yield b")"
    if modseq is not None:
        yield b" MODSEQ %d" % modseq  # of the messages returned (RFC 4731 §3.2)
    yield b"\r\n"


def _set(numbers: Sequence[int]) -> Iterator[bytes]:
    for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
        comma = b"," if start else b""
        yield comma + written(numbers[start : start + _NUMBERS_AT_ONCE])
