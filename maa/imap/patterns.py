"""LIST patterns, matched in linear time (RFC 3501 §6.3.8; R104).

A pattern becomes a row of bits, one a token; walking along a name moves all the ways in which
its beginning can match at once, so nothing is ever tried twice.
"""

from __future__ import annotations

import re

_WILDCARDS = re.compile(r"[*%]{2,}")


class Pattern:
    """What names match: `*` is any text, `%` any without the separator, the rest is itself."""

    __slots__ = ("_end", "_literal", "_literals", "_passing", "_separator", "_staying")

    def __init__(self, pattern: str, separator: str) -> None:
        # Side by side, `*` swallows `%`, and each swallows itself.
        tokens = _WILDCARDS.sub(lambda match: "*" if "*" in match.group() else "%", pattern)
        self._separator = separator
        self._literal: dict[str, int] = {}
        self._literals = 0
        self._staying = self._passing = 0
        for place, token in enumerate(tokens):
            if token in "*%":
                self._passing |= 1 << place
                self._staying |= (1 << place) if token == "*" else 0
            else:
                self._literal[token] = self._literal.get(token, 0) | 1 << place
                self._literals += 1
        self._end = 1 << len(tokens)

    def matches(self, name: str) -> bool:
        """Whether the pattern matches the whole name."""
        if self._literals > len(name):
            return False
        passing, separator = self._passing, self._separator
        states = 1
        states |= (states & passing) << 1
        for character in name:
            stays = self._staying if character == separator else passing
            states = ((states & self._literal.get(character, 0)) << 1) | (states & stays)
            if not states:
                return False
            # Behind a wildcard that may be empty; two of them never stand side by side.
            states |= (states & passing) << 1
        return bool(states & self._end)
