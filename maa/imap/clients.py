"""Who the client is, as far as it says or shows, and what that changes (`maa.quirks`)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from json import dumps
from typing import TypeVar

from maa import audit
from maa.imap.states import Authenticated, Connection, Live, NotAuthenticated, Selected
from maa.quirks import Chosen, chosen, identity_of

SHOWN_MAX = 2000
_log = logging.getLogger(__name__)

S = TypeVar("S", NotAuthenticated, Authenticated, Selected, Live)


def identified(state: S, said: Iterable[tuple[bytes, bytes | None]]) -> S:
    """The state after ID: what is known of this client is on from here."""
    pairs = [(_text(name), None if value is None else _text(value)) for name, value in said]
    shown = _shown(pairs)
    if pairs and shown != state.connection.client:
        state = replace(state, connection=replace(state.connection, client=shown))
        if not isinstance(state, NotAuthenticated):
            note_client(state.connection, state.account.user.name)
    return _with(state, chosen(identity_of(pairs)))


def note_client(connection: Connection, user: str) -> None:
    """Log what the client of a user said of itself; a stranger's could be said without end."""
    if connection.client:
        _log.info("session %s: client (%s)", connection.peer.session, connection.client)
        audit.note(audit.CLIENT, connection.peer, user, client=connection.client)


def recognised(state: Selected, asked: Iterable[bytes]) -> Selected:
    """The state after a FETCH of header fields that one client alone asks for."""
    return _with(state, chosen({}, frozenset(map(_text, asked))))


def _with(state: S, more: Chosen) -> S:
    connection = state.connection
    quirks = connection.quirks | more
    if quirks == connection.quirks:
        return state
    _log.info("session %s: quirks %s", connection.peer.session, ", ".join(quirks.ids))
    state = replace(state, connection=replace(connection, quirks=quirks))
    if isinstance(state, Selected) and quirks.changes.hold_news:
        return replace(state, view=replace(state.view, holds_news=True))
    return state


def _shown(pairs: Iterable[tuple[str, str | None]]) -> str:
    """As on the wire; escaped, so that a client cannot write lines of its own (R228)."""
    words = (word for pair in pairs for word in pair)
    return " ".join("NIL" if word is None else dumps(word) for word in words)[:SHOWN_MAX]


def _text(said: bytes) -> str:
    return said.decode("utf-8", "replace")
