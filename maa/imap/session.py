"""One client's IMAP session: its state, and the way from octets to answers.

Theory of operation
-------------------
`feed` appends octets to the framer. `steps` takes inputs out of it (a line, a chunk of a
literal, or a poke) and sends each into one generator, `_life`, which lives as long as the
session; whatever that yields until its next WAIT goes to the transport. So a command that
needs to hear more (AUTHENTICATE, APPEND, IDLE) is only a handler that yields WAIT and stays
where it is, however much later `steps` is called again.

A command goes this way, all of it in `_command`: the line's head names a row of COMMANDS; the
row says in which states the command is legal; its `parse` reads the arguments, after the
literals among them were collected; its `handler` answers; then come the changes of the
selected mailbox that this very command may carry (R061, `Updates`), and the tagged line.
Commands run strictly one after the other (R043, R044), so the answer to one is complete before
the next line is looked at.

Whatever goes wrong, the rest of the command's logical line is consumed before the answer is
sent (R011, R017), except that a literal for which the client waits is refused by the answer
itself (R010). Anything unexpected is our bug: logged under a reference, which the client gets,
and the connection closes.
"""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, TypeVar

from maa.auth.errors import AuthError
from maa.auth.sasl import LINE_OCTETS_MAX as SASL_LINE_OCTETS
from maa.conversation import CLOSE, RESTARTING, SLOW, START_TLS, Peer, Step
from maa.imap import hearing, notify, updates
from maa.imap.capabilities import capabilities
from maa.imap.commands import Command
from maa.imap.frames import Framer
from maa.imap.grammar import Cursor, StringMissing
from maa.imap.keepalive import next_moment
from maa.imap.responses import ProtocolError, Refused, failure, human, tagged, untagged
from maa.imap.states import (
    GO_AHEAD,
    KEEPALIVE,
    POKE,
    WAIT,
    Authenticated,
    Connection,
    Done,
    ImapSettings,
    Input,
    Line,
    Literal,
    LoggedOut,
    NotAuthenticated,
    Said,
    Selected,
    State,
)
from maa.imap.table import COMMANDS, Row, Updates
from maa.store.errors import MailboxGone, StoreError

if TYPE_CHECKING:
    from maa.auth.credentials import Authenticator
    from maa.store.accounts import Accounts

LINE_OCTETS_BEFORE_LOGIN = 8192
LONG_LINE_OCTETS_BEFORE_LOGIN = SASL_LINE_OCTETS + 64
"""Only AUTHENTICATE and its responses, tickets and tokens, may be so long (R031)."""
LITERAL_OCTETS_BEFORE_LOGIN = 4096
LINE_OCTETS = 65536
LITERAL_OCTETS = 65536
"""A literal but APPEND's message; all text and literals of a command, a line and one of these
(R222, R223)."""
DRAINED_OCTETS_BEFORE_LOGIN = 65536
"""More than so much of a line or literal that is refused anyway ends the connection (R222)."""
DRAINED_OCTETS = 1 << 30
"""Refused literals that are sent anyway are read and dropped up to this size (R011)."""
LONG_OCTETS = 8192
"""Arguments longer than this are read on a worker thread."""
BAD_MAX = 20
"""So many in a row: a client that understands nothing would go on for ever (Q-37)."""
BAD_BEFORE_LOGIN_MAX = 5
"""Who speaks another protocol, or has a browser speak it for him, is not listened to for long."""

_HEAD = re.compile(rb'([^\x00-\x20\x7f-\xff(){%*"\\+]+) (?:([Uu][Ii][Dd]) )?([A-Za-z]+)')
_TAG = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\+]+(?= |\Z)')
_HTTP = re.compile(rb" HTTP/[0-9.]+\Z")
_log = logging.getLogger(__name__)

T = TypeVar("T")
Part = Generator[Said, Input | None, T]


class Session:
    """A `Conversation` that speaks IMAP."""

    __slots__ = (
        "_announced", "_bads", "_connection", "_frames", "_handshaking", "_keepalive",
        "_last_words", "_life", "_line_ended", "_poked", "_state",
    )  # fmt: skip

    def __init__(
        self,
        accounts: Accounts,
        authenticator: Authenticator,
        peer: Peer,
        settings: ImapSettings,
        wake: Callable[[], None],
    ) -> None:
        self._connection = Connection(accounts, authenticator, peer, settings, wake)
        self._state: State = NotAuthenticated(self._connection)
        self._frames = Framer(LONG_LINE_OCTETS_BEFORE_LOGIN, settings.bare_lf)
        self._poked = self._keepalive = False
        self._announced: Literal | None = None
        """The literal that ended the last line, neither asked for nor refused yet."""
        self._line_ended = True
        """The present command's logical line was received whole."""
        self._bads = 0
        self._handshaking = False
        self._last_words: bytes | None = None
        """BYE, to be said when the present command is answered."""
        self._life = self._commands()
        next(self._life)

    # What Pump uses (maa.conversation.Conversation)

    @property
    def state(self) -> State:
        """Where the session stands."""
        return self._state

    @property
    def silence_seconds(self) -> float:
        """How long the client may be silent (R038)."""
        settings = self._connection.settings
        before_login = isinstance(self._state, NotAuthenticated)
        return settings.login_seconds if before_login else settings.idle_seconds

    @property
    def held_octets(self) -> int:
        """Octets fed and not consumed; after `steps` at most an unfinished line."""
        return self._frames.held_octets

    @property
    def owner(self) -> str | None:
        """The user's name."""
        state = self._state
        return state.account.user.name if isinstance(state, Authenticated | Selected) else None

    @property
    def logged_in(self) -> bool:
        """A user is logged in (R222)."""
        return isinstance(self._state, Authenticated | Selected)

    @property
    def _unicode(self) -> bool:
        """The client sends strings and names in UTF-8."""
        state = self._state
        return isinstance(state, Authenticated | Selected) and state.enabled.unicode

    def begin(self) -> Iterator[Step]:
        """The greeting, with the capabilities, which saves a round trip (R023)."""
        code = capabilities(self._state)
        name = self._connection.settings.hostname.encode("ascii", "replace")
        yield untagged(b"OK", code, name + b" maa is ready")

    def feed(self, data: bytes) -> None:
        """Take octets; those behind STARTTLS (R026) and behind the end are nobody's."""
        if not (self._handshaking or type(self._state) is LoggedOut):
            self._frames.feed(data)

    def steps(self) -> Iterator[Step]:
        """Answer what was fed and poked."""
        life = self._life
        while (heard := self._heard()) is not None:
            said = life.send(heard)
            while said is not WAIT:
                if said is GO_AHEAD:
                    yield from self._go_ahead()
                else:
                    yield said
                said = next(life)
        if self._frames.dropped_octets > DRAINED_OCTETS_BEFORE_LOGIN and not self.logged_in:
            self._last_words = untagged(b"BYE", b"TOOBIG", b"The line has no end")
            yield from self._farewell()

    def poke(self) -> None:
        """Have IDLE look again."""
        self._poked = True

    def keepalive_at(self, now: float) -> float:
        """When IDLE says a word next (R073, L-28)."""
        state = self._state
        if not isinstance(state, Authenticated | Selected):
            return inf
        return next_moment(state.connection, state.account.user.name, now)

    def keep_alive(self) -> None:
        """Have IDLE say a word."""
        self._keepalive = True

    def secured(self) -> None:
        """Begin anew under TLS (R025)."""
        peer = replace(self._connection.peer, tls=True)
        self._connection = replace(self._connection, peer=peer)
        self._state = NotAuthenticated(self._connection)
        self._frames.clear()
        self._handshaking = False

    def timed_out(self) -> Iterator[Step]:
        """BYE for a client that was silent too long (R038)."""
        yield untagged(b"BYE", None, b"Autologout, nothing was heard for too long")
        yield CLOSE

    def stopping(self, why: bytes = RESTARTING) -> Iterator[Step]:
        """BYE at once, or behind the answer to the message that is being appended (R252)."""
        self._last_words = untagged(b"BYE", b"UNAVAILABLE", why)
        if self._line_ended:
            yield from self._farewell()

    def lost(self) -> None:
        """Close the handler where it stands: what it began and did not finish is undone."""
        self._life.close()
        self._enter(LoggedOut())

    # From inputs to answers

    def _heard(self) -> Input | None:
        if self._handshaking or isinstance(self._state, LoggedOut):
            return None
        if self._poked:
            self._poked = False
            return POKE
        if self._keepalive:
            self._keepalive = False
            return KEEPALIVE
        heard = self._frames.next()
        if type(heard) is Line:
            self._announced = heard.literal
            self._line_ended = heard.literal is None
        return heard

    def _commands(self) -> Generator[Said, Input | None, None]:
        while True:
            heard = yield WAIT
            if type(heard) is Line and (heard.text or heard.literal or heard.fault):
                yield from self._command(heard)
            elif heard is not POKE:
                continue  # blank lines are ignored (R004)
            if getattr(self._state, "watching", None) is not None and self._last_words is None:
                yield from self._notified()
            if self._last_words is not None:
                yield from self._farewell()

    def _notified(self) -> Part[None]:
        """Tell what NOTIFY asked for, between commands (RFC 5465 §3.1)."""
        assert isinstance(self._state, Authenticated | Selected)
        try:
            self._state = yield from notify.pushed(self._state)
        except MailboxGone:
            self._last_words = untagged(b"BYE", None, b"The selected mailbox is gone")
        except Exception:  # noqa: BLE001 - as in `_command`
            self._last_words = untagged(b"BYE", b"SERVERBUG", self._reported())

    def _command(self, line: Line) -> Part[None]:
        head = _HEAD.match(line.text)
        tag = head.group(1) if head else _tag_alone(line.text)
        try:
            row = self._row(line, head)
            at = head.end() if head else 0
            if line.literal is None and len(line.text) <= LONG_OCTETS:
                command = row.parse(tag, Cursor((line.text,), at, unicode=self._unicode))
            else:
                command = yield from self._parsed(row, tag, line, at)
            done = yield from self._performed(row, command)
            if not self._line_ended:
                yield from self._rest_of_line()
            yield tagged(tag, done.status, done.code, done.text)
            if done.status == b"OK" and isinstance(done.state, Authenticated | Selected):
                notify.noted(done.state, command, done.code)
            self._bads = 0
            if done.state is not self._state or done.then is not None:
                yield from self._moved(done)
        except ProtocolError as error:
            yield from self._rest_of_line()
            yield tagged(tag, error.status, error.code, human(str(error)))
            if error.status == b"BAD":
                self._bads += 1
                if self._bads >= (BAD_MAX if self.logged_in else BAD_BEFORE_LOGIN_MAX):
                    self._last_words = untagged(b"BYE", b"CLIENTBUG", b"Too many bad commands")
                elif not self.logged_in and _HTTP.search(line.text):
                    # A browser that shows its user what a page had it send would run it (ALPACA).
                    self._last_words = untagged(b"BYE", b"CLIENTBUG", b"This is no web server")
        except MailboxGone:
            # The numbers the client knows have no meaning any more (R058).
            self._last_words = untagged(b"BYE", None, b"The selected mailbox is gone")
        except (StoreError, AuthError) as error:
            yield from self._rest_of_line()
            yield tagged(tag, b"NO", *failure(error))
        except Exception:  # noqa: BLE001 - our bug, whatever it is; it must not take others along
            yield tagged(tag, b"NO", b"SERVERBUG", self._reported())
            self._last_words = untagged(b"BYE", b"SERVERBUG", b"Internal error")

    def _reported(self) -> bytes:
        """Log the present exception; the reference under which it stands there."""
        reference = secrets.token_hex(4)
        _log.exception("session %s, error %s", self._connection.peer.session, reference)
        return reference.encode("ascii")

    def _row(self, line: Line, head: re.Match[bytes] | None) -> Row:
        if line.fault is not None:
            raise ProtocolError(line.fault)
        if head is None:
            raise ProtocolError("a command is a tag, a blank and a name")
        name = head.group(3).upper()
        long = len(line.text) > LINE_OCTETS_BEFORE_LOGIN and not self.logged_in
        if long and name != b"AUTHENTICATE":
            raise ProtocolError("the line is too long")
        row = COMMANDS.get(b"UID " + name if head.group(2) else name)
        if row is None:
            raise ProtocolError("unknown command")
        if type(self._state) not in row.states:
            raise ProtocolError("this command is not possible now")
        return row

    def _parsed(self, row: Row, tag: bytes, line: Line, at: int) -> Part[Command]:
        """The command as a value, once the literals among its arguments are there."""
        pieces = [line.text]
        octets = len(line.text)
        while line.literal is not None:
            if row.streams:
                try:
                    return row.parse(tag, Cursor(pieces, at, line.literal, self._unicode))
                except StringMissing:
                    pass  # This literal is not the message but a name before it.
            if line.literal.binary:
                raise ProtocolError("a literal8 is for messages alone")  # R012
            octets += line.literal.octets
            if line.literal.octets > self._literal_octets() or octets > self._argument_octets():
                raise Refused(b"TOOBIG", "the arguments are too long")
            yield from self._go_ahead()
            pieces.append((yield from hearing.literal(line.literal.octets)))
            line = yield from hearing.line()
            if line.fault is not None:
                raise ProtocolError(line.fault)
            octets += len(line.text) + 4
            pieces.append(line.text)
        if octets > LONG_OCTETS:
            yield SLOW  # such a set of UIDs takes longer to read than others may wait (R249)
        return row.parse(tag, Cursor(pieces, at, unicode=self._unicode))

    def _performed(self, row: Row, command: Command) -> Part[Done]:
        """The handler's answer, with the mailbox changes that this command may carry (R061)."""
        told, before = row.updates, self._state
        if (
            told is Updates.UID
            and isinstance(self._state, Selected)
            and not notify.quiet(self._state, command)
        ):
            # So that UIDs the client learned elsewhere are known to this session too (L-6).
            self._state = yield from updates.caught_up(self._state, expunges=False, by_uid=True)
        done = yield from row.handler(self._state, command)
        state = done.state
        if told is Updates.NONE or not isinstance(state, Selected):
            return done
        if notify.quiet(state, command):
            return done
        if told is Updates.ALL:
            if state.view.stale or not updates.current(state):
                state = yield from self._caught_up(state, row.tells_news)
        elif state.view.stale:
            by_uid = told is Updates.UID
            expunges = by_uid and not command.keeps_numbers  # RFC 7162 §3.2.10.2
            state = yield from updates.refreshed(state, expunges, by_uid, row.tells_news)
        done = done if state is done.state else done._replace(state=state)
        if state.enabled.qresync and isinstance(before, Selected):
            done = yield from updates.counted(before, done)
        return done

    def _caught_up(self, state: Selected, news: bool) -> Part[Selected]:
        """The mailbox as it is now; what cannot be found out now is told later.

        The command is done, so it is not refused for that: APPEND would be repeated.
        """
        try:
            return (yield from updates.caught_up(state, expunges=True, news=news))
        except MailboxGone:
            raise
        except StoreError as error:
            _log.info("session %s: %s", self._connection.peer.session, error)
            return state

    def _moved(self, done: Done) -> Part[None]:
        before = self._state
        self._enter(done.state)
        if isinstance(before, NotAuthenticated) and isinstance(done.state, Authenticated):
            self._frames.limit = LINE_OCTETS
        if isinstance(done.state, LoggedOut):
            yield CLOSE
        elif done.then is not None:
            self._handshaking = done.then is START_TLS
            self._frames.clear()
            yield done.then

    def _enter(self, state: State) -> None:
        """The next state; at the end nothing is watched, and what else was said is dropped."""
        watching = getattr(self._state, "watching", None)
        if isinstance(state, LoggedOut):
            self._frames.clear()
            if watching is not None:
                watching.close()
        self._state = state

    # Literals and the rest of a line

    def _literal_octets(self) -> int:
        before_login = isinstance(self._state, NotAuthenticated)
        return LITERAL_OCTETS_BEFORE_LOGIN if before_login else LITERAL_OCTETS

    def _argument_octets(self) -> int:
        """Of a command in all; before login a name and a password are no more than a line."""
        before_login = isinstance(self._state, NotAuthenticated)
        return LINE_OCTETS_BEFORE_LOGIN if before_login else LINE_OCTETS + LITERAL_OCTETS

    def _go_ahead(self) -> Iterator[bytes]:
        literal = self._announced
        assert literal is not None
        self._announced = None
        self._frames.expect_literal(literal.octets)
        if literal.synchronising:
            yield b"+ OK\r\n"

    def _rest_of_line(self) -> Part[None]:
        """Consume what belongs to the command and was not read by its handler (R010, R011)."""
        while not self._line_ended:
            literal = self._announced
            if literal is None:
                yield WAIT
            elif literal.synchronising:
                self._line_ended = True
            elif literal.octets > self._drained_octets():
                text = b"The literal is too large to be skipped"
                self._last_words = untagged(b"BYE", b"TOOBIG", text)
                self._line_ended = True
            else:
                yield from self._go_ahead()

    def _drained_octets(self) -> int:
        before_login = isinstance(self._state, NotAuthenticated)
        return DRAINED_OCTETS_BEFORE_LOGIN if before_login else DRAINED_OCTETS

    # Ends

    def _farewell(self) -> Iterator[Step]:
        if not isinstance(self._state, LoggedOut) and self._last_words is not None:
            self._enter(LoggedOut())
            yield self._last_words
            yield CLOSE


def _tag_alone(text: bytes) -> bytes:
    match = _TAG.match(text)
    return match.group() if match else b"*"
