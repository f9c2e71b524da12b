"""One client's POP3 session: its state, and the way from octets to answers.

Theory of operation
-------------------
`feed` appends octets; `steps` takes line after line out of them and sends each into one
generator, `_life`, which lives as long as the session; what that yields until its next WAIT goes
to the transport. A command that needs to hear more (AUTH) is only a handler that yields WAIT.
Lines wait in the buffer while a handler is busy, so pipelined commands (RFC 2449 §6.6) need
nothing of their own, and a login that takes long loses none of them (R217).

A line's keyword names a row of COMMANDS, which says in which states it is legal and which
handler answers. The state is replaced by what the handler returns. Messages are removed by
QUIT's handler and nowhere else: a timeout, a stop of the server, a lost connection only give
the maildrop back (R208).
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final

from maa.auth.cram_md5 import timestamp
from maa.auth.errors import AuthError
from maa.conversation import CLOSE, RESTARTING, START_TLS, Peer, Step
from maa.pop3.maildrop import Vanished
from maa.pop3.states import (
    WAIT,
    Authorization,
    Connection,
    Done,
    Over,
    Pop3Settings,
    Said,
    State,
    Transaction,
)
from maa.pop3.table import COMMANDS
from maa.pop3.wire import Lines, LineTooLong, Mistake, Refused, err, failure, human, ok
from maa.store.errors import MailboxGone, StoreError

if TYPE_CHECKING:
    from maa.auth.credentials import Authenticator
    from maa.store.accounts import Accounts

MISTAKES_MAX: Final = 20
"""R212."""
MISTAKES_BEFORE_LOGIN_MAX: Final = 5
"""Who speaks another protocol, or has a browser speak it for him, is not listened to for long."""

_log = logging.getLogger(__name__)


class Session:
    """A `Conversation` that speaks POP3."""

    def __init__(
        self,
        accounts: Accounts,
        authenticator: Authenticator,
        peer: Peer,
        wake: Callable[[], None],
        settings: Pop3Settings,
    ) -> None:
        """A new session; `wake` is never needed, for a maildrop does not change under POP3."""
        connection = Connection(accounts, authenticator, peer, settings)
        if connection.admission.apop_offered():
            connection = replace(connection, banner=timestamp(settings.hostname))
        self._connection = connection
        self._state: State = Authorization(self._connection)
        self._lines = Lines()
        self._mistakes = 0
        self._handshaking = False
        self._over = False
        self._answering = False
        """The present command's positive answer has begun."""
        self._life = self._commands()
        next(self._life)

    @property
    def silence_seconds(self) -> float:
        """How long the client may be silent (R213)."""
        settings = self._connection.settings
        return settings.idle_seconds if self.logged_in else settings.login_seconds

    @property
    def held_octets(self) -> int:
        """Octets fed and not consumed; after `steps` at most an unfinished line."""
        return self._lines.held_octets

    @property
    def owner(self) -> str | None:
        """The user's name."""
        return self._state.user if isinstance(self._state, Transaction) else None

    @property
    def logged_in(self) -> bool:
        """The maildrop is this session's."""
        return isinstance(self._state, Transaction)

    def begin(self) -> Iterator[Step]:
        """The greeting, with a timestamp in `<...>` where APOP is offered (R197)."""
        connection = self._connection
        name = connection.settings.hostname.encode("ascii", "replace")
        yield ok(b" ".join(filter(None, (name, b"maa is ready", connection.banner))))

    def feed(self, data: bytes) -> None:
        """Take octets; those behind STLS (R026) and behind the end are nobody's."""
        if not (self._handshaking or self._over):
            self._lines.feed(data)

    def steps(self) -> Iterator[Step]:
        """Answer what was fed."""
        life = self._life
        try:
            while (line := self._heard()) is not None:
                said = life.send(line)
                while said is not WAIT:
                    if isinstance(said, bytes) and said.startswith(b"+OK"):
                        self._answering = True
                    yield said
                    said = next(life)
        except LineTooLong:
            yield err(b"line too long")
            yield from self._ended()

    def poke(self) -> None:
        """Nothing to do: a POP3 session does not see changes (R202)."""

    def keepalive_at(self, now: float) -> float:
        """Never: the server says nothing that was not asked for (RFC 1939 §3)."""
        return inf

    def keep_alive(self) -> None:
        """Nothing to do."""

    def secured(self) -> None:
        """Begin anew under TLS (R215)."""
        peer = replace(self._connection.peer, tls=True)
        self._connection = replace(self._connection, peer=peer)
        self._state = Authorization(self._connection)
        self._lines.clear()
        self._handshaking = False

    def timed_out(self) -> Iterator[Step]:
        """Close without a word and without UPDATE (RFC 1939 §3; R213)."""
        yield CLOSE

    def stopping(self, why: bytes = RESTARTING) -> Iterator[Step]:
        """Likewise when the server stops (R252)."""
        yield CLOSE

    def lost(self) -> None:
        """Give the maildrop back; marks of DELE mean nothing now (R208)."""
        self._life.close()
        state, self._state = self._state, Over()
        if isinstance(state, Transaction):
            state.maildrop.close()
            state.hold.release()

    def _heard(self) -> bytes | None:
        if self._handshaking or self._over:
            return None
        return self._lines.next()

    def _ended(self) -> Iterator[Step]:
        """Hear nothing more; `lost` gives back what is held."""
        self._over = True
        self._lines.clear()
        yield CLOSE

    def _failed(self, answer: bytes, ends: bool) -> Iterator[Step]:
        """Say why, but not in the middle of an answer: there a client would take it for mail."""
        if not self._answering:
            yield answer
        if self._answering or ends:
            yield from self._ended()

    def _commands(self) -> Generator[Said, bytes | None, None]:
        while True:
            line = yield WAIT
            if line:  # empty lines are skipped
                yield from self._command(line)

    def _command(self, line: bytes) -> Generator[Said, bytes | None, None]:
        self._answering = False
        keyword, _, argument = line.partition(b" ")
        try:
            yield from self._performed(keyword.upper(), argument)
        except Refused as refused:
            yield err(human(str(refused)), refused.code)
            if isinstance(refused, Mistake):
                self._mistakes += 1
                most = MISTAKES_MAX if self.logged_in else MISTAKES_BEFORE_LOGIN_MAX
                if self._mistakes >= most:
                    yield from self._ended()
        except (StoreError, AuthError, OSError) as error:
            _log.info("session %s: %s", self._connection.peer.session, error)
            yield from self._failed(failure(error), isinstance(error, Vanished | MailboxGone))
        except Exception:  # noqa: BLE001 - our bug, whatever it is: this session's end
            reference = secrets.token_hex(4)
            _log.exception("session %s, error %s", self._connection.peer.session, reference)
            text = b"internal error " + reference.encode("ascii")
            yield from self._failed(err(text, b"SYS/TEMP"), ends=True)

    def _performed(self, keyword: bytes, argument: bytes) -> Generator[Said, bytes | None, None]:
        row = COMMANDS.get(keyword)
        if row is None:
            raise Mistake("unknown command")
        if not isinstance(self._state, row.states):
            raise Mistake("this command is not possible now")
        if not row.verbatim:
            words = argument.split()
            if not row.arguments[0] <= len(words) <= row.arguments[1]:
                raise Mistake("wrong number of arguments")
            argument = b" ".join(words)
        answer = row.handler(self._state, argument)
        done = answer if isinstance(answer, Done) else (yield from answer)
        self._state = done.state
        if done.reply:
            yield done.reply
        if done.then is not None:
            self._handshaking = done.then is START_TLS
            self._over = done.then is CLOSE
            self._lines.clear()
            yield done.then
