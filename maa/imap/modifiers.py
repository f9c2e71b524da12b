"""Optional parameters of SELECT, FETCH and STORE: `(NAME value NAME ...)` (RFC 4466 §2).

Each command has a table of the parameters it knows, by name, with what reads the value. One that
is not in it, or stands twice, is BAD.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError

_NAME = re.compile(rb"[A-Za-z_.-][A-Za-z0-9_.:-]*")

Reader = Callable[[Cursor], Any]


def parameters(cursor: Cursor, known: Mapping[bytes, Reader]) -> dict[bytes, Any]:
    """`"(" name [SP value] *(SP name [SP value]) ")"`; the values by name in capitals."""
    cursor.expect(b"(")
    found: dict[bytes, Any] = {}
    while True:
        match = cursor.remaining_match(_NAME)
        name = match.group().upper() if match else b""
        if name not in known:
            raise ProtocolError("unknown parameter " + (name[:40].decode("ascii") or "or none"))
        if name in found:
            raise ProtocolError(name.decode("ascii") + " stands twice")
        found[name] = known[name](cursor)
        if cursor.take(b")"):
            return found
        cursor.space()


def _flag(cursor: Cursor) -> bool:
    """A parameter without a value."""
    return True


def _mod_sequence(cursor: Cursor) -> int:
    cursor.space()
    return cursor.mod_sequence()


# --- FETCH


@dataclass(frozen=True, slots=True)
class FetchModifiers:
    """What limits a FETCH beyond its set (RFC 7162 §3.1.4.1, §3.2.6)."""

    changed_since: int | None = None
    """Only messages with a greater mod-sequence."""
    vanished: bool = False
    """Messages of the set that were expunged since then are told first."""


UNMODIFIED: Final = FetchModifiers()

FETCH: Final[Mapping[bytes, Reader]] = {b"CHANGEDSINCE": _mod_sequence, b"VANISHED": _flag}


def fetch_modifiers(cursor: Cursor, by_uid: bool) -> FetchModifiers:
    """`[SP "(" fetch-modifier *(SP fetch-modifier) ")"]` (R165, R174)."""
    if cursor.peek() != b" ":
        return UNMODIFIED
    cursor.space()
    if cursor.peek() != b"(":
        return UNMODIFIED  # blanks at the end
    found = parameters(cursor, FETCH)
    if b"VANISHED" in found and not (by_uid and b"CHANGEDSINCE" in found):
        raise ProtocolError("VANISHED belongs to UID FETCH with CHANGEDSINCE")
    return FetchModifiers(found.get(b"CHANGEDSINCE"), b"VANISHED" in found)


# --- STORE

STORE: Final[Mapping[bytes, Reader]] = {b"UNCHANGEDSINCE": _mod_sequence}


def unchanged_since(cursor: Cursor) -> int | None:
    """`["(" store-modifier *(SP store-modifier) ")" SP]` (RFC 7162 §3.1.3)."""
    if cursor.peek() != b"(":
        return None
    value: int = parameters(cursor, STORE)[b"UNCHANGEDSINCE"]
    cursor.space()
    return value


# --- SELECT and EXAMINE


@dataclass(frozen=True, slots=True)
class SelectParameters:
    """What a SELECT asks for beside the mailbox (RFC 7162 §3.1.8)."""

    condstore: bool = False


SELECT: Final[Mapping[bytes, Reader]] = {b"CONDSTORE": _flag}


def select_parameters(cursor: Cursor) -> SelectParameters:
    """`[SP "(" select-param *(SP select-param) ")"]`."""
    if cursor.peek() != b" ":
        return SelectParameters()
    cursor.space()
    if cursor.peek() != b"(":
        return SelectParameters()  # blanks at the end
    found = parameters(cursor, SELECT)
    return SelectParameters(b"CONDSTORE" in found)
