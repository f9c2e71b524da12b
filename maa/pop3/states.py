"""The states of a POP3 session (RFC 1939 §3), and what its handlers yield and return.

A handler is a generator `def stat(state, argument) -> Answer`: it yields octets for the client,
SLOW before it may block, Delay, or WAIT to hear the client's next line, and returns `Done`. One
that needs none of these is a plain function and returns `Done` at once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from maa.auth.admission import Admission
from maa.conversation import Peer, Request, Step

if TYPE_CHECKING:
    from maa.auth.credentials import Authenticator
    from maa.pop3.maildrop import Maildrop
    from maa.store.accounts import Accounts
    from maa.store.hold import Hold

SERVICE: Final = "pop"
"""What saslauthd and PAM are told."""


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """What an operator chooses for POP3."""

    hostname: str = "localhost"
    starttls: bool = False
    """There is a certificate, so STLS can be offered."""
    plaintext_login: str = "loopback"
    """Where passwords may cross an unencrypted connection: never, loopback or always."""
    tls_required: bool = False
    """Nobody logs in without TLS, by whatever mechanism."""
    login_seconds: float = 60
    """Silence allowed before login."""
    idle_seconds: float = 600
    """Silence allowed after login: ten minutes at least (RFC 1939 §3; R213)."""
    lock_seconds: float = 10
    """How long a login waits for another session to let the maildrop go (L-29)."""
    retr_marks_seen: bool = False
    """QUIT gives \\Seen to the messages that RETR sent whole (R205)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """What stays the same through all states of one session."""

    accounts: Accounts
    authenticator: Authenticator
    peer: Peer
    settings: Pop3Settings
    banner: bytes = b""
    """The greeting's timestamp, for APOP; empty where there is none (R197)."""

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
class Authorization:
    """Nobody has logged in yet."""

    connection: Connection
    name: bytes | None = None
    """What USER said."""
    failures: int = 0
    """Wrong passwords so far on this connection (R222)."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """Logged in, and the maildrop is held by this session alone."""

    connection: Connection
    user: str
    maildrop: Maildrop
    hold: Hold


@dataclass(frozen=True, slots=True)
class Over:
    """The session is over; the connection closes."""


State = Authorization | Transaction | Over


class Wait(Enum):
    """What a handler asks of its session."""

    WAIT = "wait"
    """Resume me with the client's next line."""


WAIT: Final = Wait.WAIT
Said = Step | Wait


@dataclass(frozen=True, slots=True)
class Done:
    """How a handler ends: the next state, and the last octets of the answer."""

    state: State
    reply: bytes = b""
    then: Request | None = None
    """What the transport does after the answer: START_TLS or CLOSE."""


Answer = Generator[Said, bytes | None, Done]
Handler = Callable[..., Answer | Done]
