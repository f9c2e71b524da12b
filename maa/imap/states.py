"""The states of a session, what a handler may yield and hear, and how it says it is done.

A state is a type that holds what its commands need (RFC 3501 §3). A handler is a generator
`def noop(state, command) -> Answer`: it yields octets for the client, SLOW before it may block,
WAIT to hear the client's next input, and returns `Done`. The session then adds the mailbox
changes that may be told at the end of this command, and the tagged line (see `session`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from maa.auth.admission import Admission
from maa.conversation import Peer, Request, Step
from maa.message.numbers import NOTHING, NumberSet
from maa.quirks import NONE, Chosen

if TYPE_CHECKING:
    from maa.auth.credentials import Authenticator
    from maa.imap.watching import Watching
    from maa.store.account import Account
    from maa.store.accounts import Accounts
    from maa.store.mailbox import Mailbox
    from maa.store.view import View

SERVICE: Final = "imap"
"""What saslauthd and PAM are told."""


@dataclass(frozen=True, slots=True)
class ImapSettings:
    """What an operator chooses for IMAP."""

    hostname: str = "localhost"
    starttls: bool = False
    """There is a certificate, so STARTTLS can be offered."""
    plaintext_login: str = "loopback"
    """Where passwords may cross an unencrypted connection: never, loopback or always."""
    tls_required: bool = False
    """Nobody logs in without TLS, by whatever mechanism."""
    append_limit_octets: int = 512 << 20
    """The largest message APPEND takes (R123)."""
    login_seconds: float = 60
    """Silence allowed before login (R038)."""
    idle_seconds: float = 31 * 60
    """Silence allowed after login; IDLE is renewed every 29 minutes (RFC 2177 §3)."""
    keepalive_seconds: float = 29 * 60
    """IDLE is never silent for longer; 0 means that it may be (R073)."""
    mobile_keepalive_seconds: float = 14 * 60
    """The same for clients that run on a battery (L-28)."""
    bare_lf: bool = False
    """Take LF alone as a line end, for people with telnet (R005)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What stays the same through all states of one session."""

    accounts: Accounts
    authenticator: Authenticator
    peer: Peer
    settings: ImapSettings
    wake: Callable[[], None]
    """Thread-safe: have the transport call `poke` and `steps`; for `Mailbox.listen`."""
    compressed: bool = False
    """COMPRESS was said (RFC 4978)."""
    client: str = ""
    """What it said of itself last (RFC 2971)."""
    quirks: Chosen = NONE
    """What is done for this very client."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch, for what is asked relative to it (RFC 5032)."""

    @property
    def admission(self) -> Admission:
        """Where the client may come in."""
        settings = self.settings
        return Admission(
            self.authenticator,
            self.peer,
            SERVICE,
            settings.plaintext_login,
            settings.hostname,
            settings.tls_required,
        )


@dataclass(frozen=True, slots=True)
class Enabled:
    """Which extensions change what this session is told, once the client asked (RFC 5161)."""

    condstore: bool = False
    """Mod-sequences are told (RFC 7162 §3.1; R161)."""
    qresync: bool = False
    """VANISHED stands for EXPUNGE (RFC 7162 §3.2.10)."""
    utf8: bool = False
    """UTF8=ACCEPT (RFC 6855 §3)."""
    rev2: bool = False
    """IMAP4rev2 (RFC 9051 §6.3.1)."""

    @property
    def unicode(self) -> bool:
        """Mailbox names and quoted strings are UTF-8 (RFC 6855 §3; RFC 9051 §5.1)."""
        return self.utf8 or self.rev2

    def __or__(self, other: Enabled) -> Enabled:
        """What either has; nothing is ever disabled."""
        return Enabled(
            self.condstore or other.condstore,
            self.qresync or other.qresync,
            self.utf8 or other.utf8,
            self.rev2 or other.rev2,
        )


@dataclass(frozen=True, slots=True)
class NotAuthenticated:
    """Nobody has logged in yet (RFC 3501 §3.1)."""

    connection: Connection
    failures: int = 0
    """Wrong passwords so far on this connection (R222)."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Logged in, no mailbox selected (RFC 3501 §3.2)."""

    account: Account
    connection: Connection
    enabled: Enabled = Enabled()
    watching: Watching | None = None
    """What NOTIFY asked for, once it was used (RFC 5465)."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A mailbox is selected (RFC 3501 §3.3)."""

    account: Account
    mailbox: Mailbox
    view: View
    """The mailbox as this client has been told of it."""
    read_only: bool
    connection: Connection
    enabled: Enabled = Enabled()
    watching: Watching | None = None
    """What NOTIFY asked for, once it was used (RFC 5465)."""
    saved: NumberSet = NOTHING
    """The UIDs that `$` stands for (RFC 5182 §2.1); see `message_sets.saved`."""

    def left(self) -> Authenticated:
        """The state without the mailbox; what is enabled stays."""
        return Authenticated(self.account, self.connection, self.enabled, self.watching)


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """The session is over; the connection closes (RFC 3501 §3.4)."""


Live = NotAuthenticated | Authenticated | Selected
State = Live | LoggedOut


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal announced at the end of a line, `{octets}` or `{octets+}` (RFC 3501 §4.3)."""

    octets: int
    synchronising: bool
    """The client waits for `+` before it sends the octets."""
    binary: bool = False
    """`~{octets}`: it may hold NUL (RFC 3516 §4.4)."""


# Line and Done are made for every command, and a named tuple is made in a third of the time.


class Line(NamedTuple):
    """A line from the client without its CRLF, and without `{n}` when a literal follows it."""

    text: bytes
    literal: Literal | None = None
    fault: str | None = None
    """Why the line must be answered BAD whatever it says: too long, or a bare LF."""


@dataclass(frozen=True, slots=True)
class LiteralChunk:
    """Some octets of the literal being received, in order."""

    data: bytes


class Poke(Enum):
    """The mailbox being watched may have changed."""

    POKE = "poke"


class Tick(Enum):
    """Time has passed."""

    KEEPALIVE = "keepalive"
    """If nothing else is said now, the connection may be forgotten on its way (R073)."""


class Wait(Enum):
    """What a handler asks of its session."""

    WAIT = "wait"
    """Resume me with the client's next input."""
    GO_AHEAD = "go-ahead"
    """Let the client send the literal with which the command's line ended; it comes in chunks."""


POKE: Final = Poke.POKE
KEEPALIVE: Final = Tick.KEEPALIVE
WAIT: Final = Wait.WAIT
GO_AHEAD: Final = Wait.GO_AHEAD

Input = Line | LiteralChunk | Poke | Tick


class Done(NamedTuple):
    """How a handler ends: the next state and the tagged line."""

    state: State
    text: bytes
    code: bytes | None = None
    status: bytes = b"OK"
    then: Request | None = None
    """What the transport does after the tagged line: START_TLS or COMPRESS."""


Answer = Generator[Step | Wait, Input | None, Done]
"""A handler's generator."""
Said = Step | Wait
Steps = Generator[Said, Input | None, None]
"""A part of a handler that yields and returns nothing."""
