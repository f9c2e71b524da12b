"""How much mail a user has, and may have: `1 GiB, 100000 messages`, as operators write it.

Octets are those on the disk, as `ls` and Maildir++'s quotas count them. A message is larger for
clients, who get every line with CRLF.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

MAILDIRSIZE: Final = "maildirsize"
"""As a quota: whatever the Maildir's file of that name says."""
_NONE: Final = "none"
_OCTETS: Final = {
    "b": 1, "octets": 1, "bytes": 1, "s": 1,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
_MESSAGES: Final = ("messages", "message", "c")
_PART: Final = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,6})?)\s*([A-Za-z]+)")
_MOST: Final = 2**62
_ALLOWED: Final = (
    'use octets, messages or both, such as "1 GiB, 100000 messages" or "500M"; '
    f'"{_NONE}"; or "{MAILDIRSIZE}"'
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What is there."""

    octets: int = 0
    messages: int = 0

    def __add__(self, more: Usage) -> Usage:
        """Both together."""
        return Usage(self.octets + more.octets, self.messages + more.messages)

    def __sub__(self, less: Usage) -> Usage:
        """The first without the second."""
        return Usage(self.octets - less.octets, self.messages - less.messages)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be there; None: as much as you like."""

    octets: int | None = None
    messages: int | None = None

    @property
    def absent(self) -> bool:
        """Nothing is limited."""
        return self.octets is None and self.messages is None

    def exceeded_by(self, usage: Usage) -> bool:
        """Whether so much is too much."""
        return (self.octets is not None and usage.octets > self.octets) or (
            self.messages is not None and usage.messages > self.messages
        )

    def plus_percent(self, percent: int) -> Limits:
        """Limits that are higher by so much."""
        octets, messages = self.octets, self.messages
        return Limits(
            None if octets is None else octets + octets * percent // 100,
            None if messages is None else messages + messages * percent // 100,
        )

    def percent_used(self, usage: Usage) -> int:
        """How full it is, by whichever limit is nearer; 0 where there is none."""
        parts = [0]
        if self.octets is not None:
            parts.append(100 * usage.octets // max(1, self.octets))
        if self.messages is not None:
            parts.append(100 * usage.messages // max(1, self.messages))
        return max(parts)


def quota(text: str) -> Limits | None:
    """The limits that a configuration names; None for MAILDIRSIZE. ValueError says what is wrong.

    Maildir++'s own `10000000S,1000C` is understood, too.
    """
    words = text.strip().lower()
    if words == MAILDIRSIZE:
        return None
    if words == _NONE:
        return Limits()
    octets: int | None = None
    messages: int | None = None
    for part in words.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{text!r} is no quota: {_ALLOWED}")
        number, unit = match.groups()
        if unit in _MESSAGES and messages is None and "." not in number:
            messages = _bounded(int(number), text)
        elif unit in _OCTETS and octets is None:
            octets = _bounded(int(Fraction(number) * _OCTETS[unit]), text)
        else:
            raise ValueError(f"{text!r} is no quota, because of {part.strip()!r}: {_ALLOWED}")
    return Limits(octets, messages)


def _bounded(number: int, text: str) -> int:
    if not 0 < number < _MOST:
        raise ValueError(f"{text!r} is no quota that anything fits in: {_ALLOWED}")
    return number
