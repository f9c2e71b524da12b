"""What the workers of a service tell each other and the parent: memory that they share.

Made before the workers are, so that every process has it. Each worker writes to its own seat
only, and nobody waits for anybody. A worker's figures are written to one of two halves, and then
said to be there: who reads sees whole figures, if perhaps the ones of a second ago.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import Final

from maa.service.metrics import Metric

_HALF: Final = 32_768
_HEAD: Final = struct.Struct("=III")  # connections, the half to read, how often it was changed
_LENGTH: Final = struct.Struct("=I")
_SEAT: Final = 2 * _HALF + 4096
_EMPTY: Final = 0xFFFFFFFF


class Board:
    """So many seats for workers."""

    def __init__(self, seats: int) -> None:
        self.seats: Final = range(seats)
        self._memory = mmap.mmap(-1, seats * _SEAT)
        for seat in self.seats:
            self.vacate(seat)

    def vacate(self, seat: int) -> None:
        """Nobody accepts connections there any more."""
        self._set(seat, _EMPTY)

    def taken(self, seat: int) -> bool:
        """Whether somebody accepts connections there."""
        return self.connections(seat) != _EMPTY

    def clear(self, seat: int) -> None:
        """Nobody is there any more: forget the figures, too."""
        _HEAD.pack_into(self._memory, seat * _SEAT, _EMPTY, 0, 0)

    def sit(self, seat: int, connections: int) -> None:
        """So many connections the worker of this seat has."""
        self._set(seat, connections)

    def connections(self, seat: int) -> int:
        """How many connections the worker of this seat has."""
        return int(_LENGTH.unpack_from(self._memory, seat * _SEAT)[0])

    def least(self, but: int) -> int:
        """The fewest connections any worker has, `but` one; where there is no other, very many."""
        return min((self.connections(seat) for seat in self.seats if seat != but), default=_EMPTY)

    def publish(self, seat: int, figures: Iterable[Metric]) -> None:
        """Show the figures of the worker of this seat."""
        text = json.dumps([astuple(figure) for figure in figures]).encode("ascii")
        if len(text) > _HALF - _LENGTH.size:
            raise ValueError("too many figures for a seat")
        connections, half, times = _HEAD.unpack_from(self._memory, seat * _SEAT)
        half = 1 - half
        start = self._start(seat, half)
        _LENGTH.pack_into(self._memory, start, len(text))
        self._memory[start + _LENGTH.size : start + _LENGTH.size + len(text)] = text
        times = (times + 1) & 0xFFFFFFFF or 1
        _HEAD.pack_into(self._memory, seat * _SEAT, connections, half, times)

    def figures(self) -> Iterator[tuple[int, list[Metric]]]:
        """The figures last shown, by seat."""
        for seat in self.seats:
            _, half, times = _HEAD.unpack_from(self._memory, seat * _SEAT)
            if times:
                start = self._start(seat, half)
                (length,) = _LENGTH.unpack_from(self._memory, start)
                start += _LENGTH.size
                yield (
                    seat,
                    [Metric(*row) for row in json.loads(self._memory[start : start + length])],
                )

    def _set(self, seat: int, connections: int) -> None:
        _LENGTH.pack_into(self._memory, seat * _SEAT, connections)

    def _start(self, seat: int, half: int) -> int:
        return seat * _SEAT + 4096 + half * _HALF
