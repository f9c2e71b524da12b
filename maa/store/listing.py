"""The mailboxes of an account as LIST shows them, made of their names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maa.store.names import INBOX, SEPARATOR, key, parents


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of LIST."""

    name: str
    selectable: bool
    """False: only a parent of others, \\Noselect (R105)."""
    use: str | None
    """Special use, such as `\\Sent` (RFC 6154)."""
    children: bool
    marked: bool | None = None
    """\\Marked, \\Unmarked; None: not known."""


def listed(mailboxes: Iterable[tuple[str, str | None]]) -> tuple[Listed, ...]:
    """Every mailbox of (name, use), and every parent without one; INBOX first, then by name."""
    uses = dict(mailboxes)
    known = {key(name) for name in uses}
    superior: set[str] = set()
    missing: dict[str, str] = {}
    for name in uses:
        for parent in parents(name):
            superior.add(key(parent))
            if key(parent) not in known:
                missing.setdefault(key(parent), parent)
    lines = [Listed(name, True, use, key(name) in superior) for name, use in uses.items()]
    lines += [Listed(name, False, None, True) for name in missing.values()]
    return tuple(sorted(lines, key=_order))


def _order(line: Listed) -> tuple[bool, list[tuple[str, str]]]:
    elements = [(element.casefold(), element) for element in key(line.name).split(SEPARATOR)]
    return (line.name != INBOX, elements)
