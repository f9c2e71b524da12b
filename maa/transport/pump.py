"""Between the sockets of Twisted and a conversation that knows neither sockets nor threads.

Theory of operation
-------------------
A pump has at most one *step*: an iterator from the conversation, taken in slices of about
64 KiB. A slice is one write, so the answers to a burst of commands leave together, and the next
is taken only while the transport is not full: that laziness is the back-pressure (R226).

Where the step is taken follows from `_place`:

* `READY`: on the reactor thread. `go` takes slices until the step and all that waits behind it
  is done, or the transport is full, or 10 ms have passed (others have their turn, R249).
* `AWAY`: a worker thread has the step (it said SLOW), or a timer has (Delay, or its turn was
  over). Step and conversation are left alone: `_stream` keeps input, `_poked` a poke.
* `CLOSING`: no more steps; the transport sends what it has, and goes.
* `LOST`: the connection is gone. The conversation is given back on a thread, by whoever holds
  the step last, and never while a step runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Final

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IPushProducer,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from maa.conversation import (
    CLOSE,
    COMPRESS,
    RESTARTING,
    SLOW,
    START_TLS,
    Conversation,
    Delay,
    Peer,
    Request,
    Step,
    TlsFacts,
)
from maa.networks import loopback
from maa.transport.deflate import DamagedStream
from maa.transport.reactor import Connection, Timer
from maa.transport.sessions import TURN_SECONDS, Sessions
from maa.transport.slices import Slice, taken
from maa.transport.stream import Stream
from maa.transport.tls_facts import tls_facts

LONG_TURN_SECONDS: Final = 0.020
LOOK_AGAIN_SECONDS: Final = 60.0

Converse = Callable[[Peer, Callable[[], None]], Conversation]

READY: Final = 0
AWAY: Final = 1
CLOSING: Final = 2
LOST: Final = 3


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class Pump:
    """One connection and its conversation."""

    __slots__ = (
        "__weakref__", "_accepted", "_begun_tls", "_conversation", "_converse",
        "_ended_input", "_farewell", "_keepalive", "_place", "_poked", "_refusal", "_sessions",
        "_since", "_slot", "_slow", "_steps", "_stop", "_stranger", "_stream", "_timer", "_tls",
        "address", "factory", "owner", "transport",
    )  # fmt: skip

    def __init__(
        self,
        sessions: Sessions,
        converse: Converse,
        address: str,
        *,
        implicit_tls: bool = False,
        tls: object | None = None,
        refusal: bytes = b"",
    ) -> None:
        self._sessions = sessions
        self._converse = converse
        self.address = address
        self._tls = tls
        self._refusal = refusal
        self._begun_tls: float | None = 0.0 if implicit_tls else None
        self._conversation: Conversation | None = None
        self._steps: Iterator[Step] | None = None
        self._place: int = READY
        self._timer: Timer | None = None
        self._slot = 0
        self._keepalive = inf
        self._slow = self._poked = self._farewell = self._ended_input = False
        self._stop = b""
        self._stranger = True
        self.owner: str | None = None

    # Called by Twisted

    def makeConnection(self, transport: Connection) -> None:
        """A client has come: let it in and greet it."""
        self.transport: Connection = transport
        sessions = self._sessions
        self._accepted = self._since = now = sessions.seconds()
        implicit_tls = self._begun_tls is not None
        self._stream = Stream(transport, implicit_tls)
        if not sessions.admit(self, self.address):
            self._place = CLOSING
            if not implicit_tls:
                transport.write(self._refusal)
            transport.loseConnection()
            return
        if implicit_tls:
            self._begun_tls = now
        if self.address:
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        transport.registerProducer(self, True)
        address = self.address
        peer = Peer(
            address=address,
            tls=implicit_tls,
            loopback=not address or loopback(address),
            session=sessions.name(),
            tls_facts=self._tls_facts,
        )
        self._conversation = conversation = self._converse(peer, self.wake)
        self._watch(now)
        self._steps = iter(conversation.begin())
        self.go()

    def dataReceived(self, data: bytes) -> None:
        """Octets from the client."""
        self._since = self._sessions.seconds()
        self._sessions.counters.octets_in += len(data)
        if self._place >= CLOSING:
            return
        self._stream.received(data)
        self.go()
        self._stream.hold_back()

    def readConnectionLost(self) -> None:
        """The client sends no more: answer what it sent, then close."""
        self._ended_input = True
        self.go()

    def writeConnectionLost(self) -> None:
        """Never half-closed from here."""

    def handshakeCompleted(self) -> None:
        """TLS stands; from here the ordinary timeouts apply."""
        self._begun_tls = None

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone."""
        if self._conversation is None:
            return
        away = self._place is AWAY and self._timer is None
        self._place = LOST
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._sessions.wheel.forget(self, self._slot)
        self._sessions.leave(self, self.address)
        if not away:
            self._give_back()

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._stream.full = True
        self._since = self._sessions.seconds()

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._stream.full = False
        self._since = self._sessions.seconds()
        self.go()

    def stopProducing(self) -> None:
        """The transport is going; `connectionLost` follows."""

    # Called by the conversation's side and by `Sessions`

    def wake(self) -> None:
        """Have the conversation poked soon; from any thread."""
        if not self._poked:
            self._poked = True
            self._sessions.wake(self)

    @property
    def busy(self) -> bool:
        """Something is being answered, or waits to be."""
        if self._place is READY:
            return (
                self._steps is not None
                or self._poked
                or self._stream.has_input
                or self._stream.full
            )
        return self._place is AWAY

    @property
    def closing(self) -> bool:
        """All has been said; the transport sends what it has, and goes."""
        return self._place is CLOSING

    @property
    def heard(self) -> float:
        """When the client was last heard, or took something."""
        return self._since

    def stop(self, why: bytes = RESTARTING) -> None:
        """Take leave of the client, and say why, behind the present step (R252)."""
        self._stop = why
        self.go()

    def abort(self) -> None:
        """Cut the connection at once."""
        if self._place is not LOST:
            self.transport.abortConnection()

    def look(self, now: float) -> None:
        """Time out what has been silent, or stalled, for too long."""
        self._slot = 0
        if self._place is LOST or self._conversation is None:
            return
        if now < self._deadline():
            if now >= self._keepalive and self._place is READY and self._steps is None:
                self._keep_alive()
            self._watch(now)
        elif (
            self._begun_tls is not None
            or self._place is CLOSING
            or self._stream.full
            or self._waits
        ):
            self._sessions.counters.stalled += 1
            self.abort()
        elif self._place is READY and self._steps is None:
            self._sessions.counters.timed_out += 1
            self._watch(now)
            self._farewell = True
            self._steps = iter(self._conversation.timed_out())
            self.go()
        else:
            self._watch(now)

    def _keep_alive(self) -> None:
        """Let a silent conversation say a word; from memory, so it needs no thread."""
        conversation = self._conversation
        assert conversation is not None
        conversation.keep_alive()
        self._steps = iter(conversation.steps())
        self.go()

    def _tls_facts(self) -> TlsFacts | None:
        # During the handshake nothing is known yet.
        return None if self._begun_tls is not None else tls_facts(self.transport)

    # The reactor lane

    def go(self) -> None:
        """Go on until the connection waits for somebody else, or its turn is over."""
        if self._place is not READY or self._stream.full:
            return
        seconds = self._sessions.seconds
        begun = seconds()
        while self._place is READY and not self._stream.full:
            if self._slow:
                self._to_worker()
            elif self._steps is None and not self._next_step():
                break
            elif self._steps is not None:
                data, asked = taken(self._steps, may_block=False)
                self._carry_out(self._stream.encoded(data), asked)
                if seconds() - begun > TURN_SECONDS and self._place is READY:
                    self._later(0)
        held = seconds() - begun
        if held > LONG_TURN_SECONDS:
            counters = self._sessions.counters
            counters.long_turns += 1
            counters.longest_turn_seconds = max(counters.longest_turn_seconds, held)

    def _next_step(self) -> bool:
        """Begin what is due: the farewell, an answer to input or a poke; or nothing."""
        conversation = self._conversation
        assert conversation is not None
        if self._farewell:
            self._close()
            return False
        if self._stop:
            why, self._stop = self._stop, b""
            self._steps = iter(conversation.stopping(why))
            return True
        if not self._stream.has_input and not self._poked:
            if self._ended_input:
                self._close()
            return False
        if self._poked:
            self._poked = False
            conversation.poke()
        if self._stream.has_input and not self._fed(conversation):
            return False
        self._sessions.counters.steps += 1
        self._steps = iter(conversation.steps())
        return True

    def _fed(self, conversation: Conversation) -> bool:
        """Feed what the client sent; False when that ended the connection."""
        try:
            data = self._stream.taken()
        except DamagedStream:
            self._close()
            return False
        conversation.feed(data)
        self._stream.read_on()
        return True

    def _carry_out(self, data: bytes, asked: Slice | Request | Delay) -> None:
        """Send a slice and do what the conversation asked for behind it."""
        if data:
            self._sessions.counters.octets_out += len(data)
            if self._stream.send(data):
                self.pauseProducing()
        # Not only at the end: commands pipelined behind a login are a user's already.
        if self._stranger and self._conversation is not None and self._conversation.logged_in:
            self._stranger = False
            self.owner = self._conversation.owner
            self._sessions.welcome(self, self.address)
            self._watch(self._sessions.seconds())
        if asked is Slice.END:
            self._steps = None
        elif asked is SLOW:
            self._slow = True
        elif asked is START_TLS:
            self._start_tls()
        elif asked is COMPRESS:
            self._stream.start_compression()
        elif asked is CLOSE:
            self._close()
        elif isinstance(asked, Delay):
            if asked.refused:
                self._sessions.login_refused(self.address)
            self._later(asked.seconds)

    def _start_tls(self) -> None:
        assert self._tls is not None and self._conversation is not None
        self._begun_tls = self._since = self._sessions.seconds()
        self._watch(self._since)
        self._stream.start_tls(self._tls)
        self._conversation.secured()

    def _later(self, seconds: float) -> None:
        self._place = AWAY
        self._timer = self._sessions.clock.callLater(seconds, self._back)

    def _back(self) -> None:
        self._timer = None
        self._place = READY
        self.go()

    def _close(self) -> None:
        self._place = CLOSING
        self._since = self._sessions.seconds()
        self._watch(self._since)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    # The worker lane

    def _to_worker(self) -> None:
        self._slow = False
        self._place = AWAY
        sessions = self._sessions
        sessions.counters.slow_steps += 1
        assert self._conversation is not None
        if self._stranger:
            where = sessions.neighbours(self.address)
            late_seconds = 0.0 if where is None else sessions.guessers.late_seconds(where)
            sessions.login_lane.put(self._work, where, late_seconds)
        else:
            sessions.user_lane.put(self._work, self._conversation.owner)

    def _work(self) -> None:
        assert self._steps is not None
        data, asked = taken(self._steps, may_block=True)
        self._sessions.call_from_thread(self._worked, self._stream.encoded(data), asked)

    def _worked(self, data: bytes, asked: Slice | Request | Delay) -> None:
        if self._place is LOST:
            self._give_back()
            return
        self._place = READY
        self._carry_out(data, asked)
        self.go()

    # Ends

    def _give_back(self) -> None:
        steps, conversation = self._steps, self._conversation
        self._steps = self._conversation = None
        assert conversation is not None

        def release() -> None:
            if steps is not None:
                close = getattr(steps, "close", None)
                if close is not None:
                    close()
            conversation.lost()

        self._sessions.give_back(release)

    def _deadline(self) -> float:
        """When this connection has been waited for long enough."""
        limits = self._sessions.limits
        if self._begun_tls is not None:
            return self._begun_tls + limits.handshake_seconds
        if self._place is CLOSING:
            return self._since + limits.closing_seconds
        if self._conversation is None or (self._place is AWAY and not self._waits):
            return self._sessions.seconds() + LOOK_AGAIN_SECONDS
        if self._stranger:
            # From the accept: neither dripping octets, nor answers that wait or are not taken,
            # extend the time for logging in.
            return self._accepted + self._conversation.silence_seconds
        if self._stream.full:
            return self._since + limits.stalled_seconds
        return self._since + self._conversation.silence_seconds

    @property
    def _waits(self) -> bool:
        """A stranger's answer is delayed."""
        return self._stranger and self._timer is not None

    def _watch(self, now: float) -> None:
        """Be looked at when the deadline comes, or in a minute: it may come nearer meanwhile."""
        wheel, conversation = self._sessions.wheel, self._conversation
        if self._slot:
            wheel.forget(self, self._slot)
        self._keepalive = inf if conversation is None else conversation.keepalive_at(now)
        when = min(self._deadline(), self._keepalive, now + LOOK_AGAIN_SECONDS)
        self._slot = wheel.watch(self, when)
