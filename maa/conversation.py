"""The words a protocol session and the transport exchange: what the session may ask for.

A session never touches a socket, a thread or a clock. It is a generator that yields octets
to send and, between them, the few requests defined here; `maa.transport.pump.Pump` is the
only one to carry them out.

Theory of operation
-------------------
`Conversation.steps()` answers everything that was fed so far. Each step begins on the
reactor thread; whatever may block is preceded by `yield SLOW`, after which `Pump` resumes
the same generator on a worker thread. Every *other* yield may put the generator back on the
reactor thread, so `SLOW` is said again before each blocking piece of work. Nothing that
another session could wait for (a lock, a transaction, an index handle) is held across a
yield; an open message file may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol


class Request(Enum):
    """What a session asks of the transport, between the octets it yields."""

    SLOW = "slow"
    """The next piece of work may block: resume me on a worker thread."""
    START_TLS = "start-tls"
    """Send what was yielded, drop what was received behind it (R026), then begin TLS."""
    COMPRESS = "compress"
    """Send what was yielded; from then on both directions are compressed (RFC 4978)."""
    CLOSE = "close"
    """Send what was yielded, then close the connection; nothing more follows."""


SLOW: Final = Request.SLOW
START_TLS: Final = Request.START_TLS
COMPRESS: Final = Request.COMPRESS
CLOSE: Final = Request.CLOSE


RESTARTING: Final = b"The server is restarting"
"""Why a session ends, as its client is told."""
CROWDED: Final = b"You have too many sessions, and this one was idle for longest"


@dataclass(frozen=True, slots=True)
class Delay:
    """Resume me after so many seconds, holding no thread (R222: delays after failed logins)."""

    seconds: float
    refused: bool = False
    """It answers a refused login: the next ones from there come behind others'."""


Step = bytes | Request | Delay


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What the TLS layer of a connection says of itself and of the client's certificate."""

    version: str
    """As OpenSSL names it: `TLSv1.3`."""
    cipher: str
    subject: str | None
    """The verified client certificate's subject (RFC 4514); None: there is no such certificate."""
    names: tuple[str, ...]
    """Whom that certificate names, for EXTERNAL: its mail addresses, then its common names."""
    exporter: bytes | None
    """The channel binding tls-exporter (RFC 9266); None where it would bind nothing."""
    server_end_point: bytes | None
    """The channel binding tls-server-end-point (RFC 5929 §4)."""


def _in_the_clear() -> None:
    """No facts: there is no TLS."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the other side, and how well the connection is protected."""

    address: str
    """The client's address as text, for logs; empty where there is none (a Unix socket)."""
    tls: bool
    """The connection is encrypted (implicit TLS, or after STARTTLS/STLS)."""
    loopback: bool
    """Both ends are on this machine."""
    session: str
    """A short name for this connection, unique in the log."""
    tls_facts: Callable[[], TlsFacts | None] = field(default=_in_the_clear, compare=False)
    """Read from the connection when asked, on the reactor thread: before SLOW is said."""


Piece = tuple[bytes, int]
"""A piece of what was said: the octets to show, and how many are hidden behind them."""


class Redactor(Protocol):
    """What may be written down of one direction of a connection."""

    def shown(self, data: bytes) -> Iterator[Piece]:
        """Of what the server says, or a user who is logged in."""

    def before_login(self, data: bytes) -> Iterator[Piece]:
        """Of what a client says while its password may be among it."""


class Conversation(Protocol):
    """One client's session as `Pump` drives it; never entered by two threads at once."""

    @property
    def silence_seconds(self) -> float:
        """How long the client may send nothing before `timed_out` (R038, R213)."""

    @property
    def held_octets(self) -> int:
        """Octets fed and not yet consumed; `Pump` stops reading when this grows (R045)."""

    @property
    def owner(self) -> str | None:
        """Whose work the steps are, so that nobody gets all threads; None before login."""

    @property
    def logged_in(self) -> bool:
        """A user is logged in: other worker threads, limits and timeouts apply (R222)."""

    def begin(self) -> Iterator[Step]:
        """The greeting."""

    def feed(self, data: bytes) -> None:
        """Take octets from the client; answers nothing yet and never blocks."""

    def steps(self) -> Iterator[Step]:
        """Answer everything that can be answered with what was fed and poked."""

    def poke(self) -> None:
        """Note that the selected mailbox changed: a session in IDLE looks again in `steps`."""

    def keepalive_at(self, now: float) -> float:
        """When `keep_alive` is due next, always after `now`; infinity where it never is."""

    def keep_alive(self) -> None:
        """Note that the time has come: `steps` says a word if the client may have one (R073)."""

    def secured(self) -> None:
        """TLS has begun after START_TLS: forget what was learned and buffered before (R026)."""

    def timed_out(self) -> Iterator[Step]:
        """The farewell of a client that was silent too long."""

    def stopping(self, why: bytes = RESTARTING) -> Iterator[Step]:
        """The farewell of the server (R252), for a reason; without CLOSE at its end, one step more.

        A client that is just sending a message may end: the step that answers it closes.
        """

    def lost(self) -> None:
        """The connection is gone: give everything back. Called once, and may block."""
