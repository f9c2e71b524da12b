"""Message-IDs in header fields, in one spelling whatever their quoting (RFC 5322 §3.6.4)."""

from __future__ import annotations

import re
from typing import Final

_ID: Final = re.compile(
    rb'<(?:([^<>@"\s]++)|\s*"((?:[^"\\]|\\.)*)"\s*|([^<>@"]++))@([^<>]++)>', re.DOTALL
)
_ESCAPED: Final = re.compile(rb"\\(.)", re.DOTALL)
_BLANKS: Final = b" \t\r\n"


def message_ids(value: bytes) -> list[bytes]:
    """The valid ones in a field's value, in order: `left@right` without quoting and blanks.

    Message-IDs that differ in quoting alone are the same (RFC 5256 §3); case makes a difference.
    """
    return [
        b"%b@%b" % (plain or _ESCAPED.sub(rb"\1", quoted) or _close(blank), _close(right))
        for plain, quoted, blank, right in _ID.findall(value)
    ]


def _close(words: bytes) -> bytes:
    """Without blanks, which may stand around the dots of obsolete forms."""
    return words.translate(None, _BLANKS)
