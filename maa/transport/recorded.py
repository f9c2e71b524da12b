"""A conversation that is written down while it goes on, for whoever looks for a fault.

`Recorded` stands between the pump and a session, and only where somebody wanted it: see
`maa.transport.rawlog`. By address it records from the greeting on, by user from the login on. A
password is never shown to a recording: what a client says before it is logged in goes through the
protocol's redactor, which shows only what is known to be harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from maa.conversation import RESTARTING, Conversation, Peer, Piece, Redactor, Step

Redactors = Callable[..., tuple[Redactor, Redactor]]


class Recording(Protocol):
    """Where one connection is written down."""

    bodies: bool
    """Whether mail is to be shown."""

    def note(self, who: bytes, pieces: Iterable[Piece]) -> None:
        """Write what the client (`C`) or the server (`S`) said; never blocks."""

    def close(self) -> None:
        """Nothing more comes."""


class Recorder(Protocol):
    """Who knows which connections are wanted."""

    def by_address(self, peer: Peer) -> Recording | None:
        """A recording for a connection that has just been made."""

    def by_user(self, name: str, peer: Peer) -> Recording | None:
        """A recording for a user who has just logged in."""


class Recorded:
    """The conversation inside, and what is written down of it."""

    def __init__(
        self, inner: Conversation, peer: Peer, recorder: Recorder, redactors: Redactors
    ) -> None:
        self._inner = inner
        self._peer = peer
        self._recorder = recorder
        self._redactors = redactors
        self._recording: Recording | None = None
        self._known = False
        """It has been asked whether the user is wanted."""
        self._begin(recorder.by_address(peer))

    def _begin(self, recording: Recording | None) -> None:
        self._recording = recording
        if recording is not None:
            self._client, self._server = self._redactors(bodies=recording.bodies)

    @property
    def silence_seconds(self) -> float:
        """As the session has it."""
        return self._inner.silence_seconds

    @property
    def held_octets(self) -> int:
        """As the session has it."""
        return self._inner.held_octets

    @property
    def owner(self) -> str | None:
        """As the session has it."""
        return self._inner.owner

    @property
    def logged_in(self) -> bool:
        """As the session has it."""
        return self._inner.logged_in

    def begin(self) -> Iterator[Step]:
        """The greeting."""
        return self._noted(self._inner.begin())

    def feed(self, data: bytes) -> None:
        """Octets from the client."""
        if self._recording is not None:
            shown = self._client.shown if self._inner.logged_in else self._client.before_login
            self._recording.note(b"C", shown(data))
        self._inner.feed(data)

    def steps(self) -> Iterator[Step]:
        """The answers."""
        return self._noted(self._inner.steps())

    def poke(self) -> None:
        """Something may have changed."""
        self._inner.poke()

    def keepalive_at(self, now: float) -> float:
        """As the session has it."""
        return self._inner.keepalive_at(now)

    def keep_alive(self) -> None:
        """Time has passed."""
        self._inner.keep_alive()

    def secured(self) -> None:
        """TLS stands; what was half said in the clear was never meant (R026)."""
        if self._recording is not None:
            self._begin(self._recording)
        self._inner.secured()

    def timed_out(self) -> Iterator[Step]:
        """The farewell of a silent client."""
        return self._noted(self._inner.timed_out())

    def stopping(self, why: bytes = RESTARTING) -> Iterator[Step]:
        """The farewell of the server."""
        return self._noted(self._inner.stopping(why))

    def lost(self) -> None:
        """The connection is gone."""
        if self._recording is not None:
            self._recording.close()
            self._recording = None
        self._inner.lost()

    def _noted(self, steps: Iterator[Step]) -> Iterator[Step]:
        try:
            for step in steps:
                if isinstance(step, bytes):
                    # The answer to a login is the first thing of a user's that is written down.
                    self._look()
                    if self._recording is not None:
                        self._recording.note(b"S", self._server.shown(step))
                yield step
            self._look()
        finally:
            close = getattr(steps, "close", None)
            if close is not None:
                close()

    def _look(self) -> None:
        if self._known or not self._inner.logged_in:
            return
        self._known = True
        if self._recording is None and self._inner.owner is not None:
            self._begin(self._recorder.by_user(self._inner.owner, self._peer))
