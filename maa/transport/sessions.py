"""What all connections of a process share: lanes, timeouts, limits, counters, the stop.

Limits (R222). There is a bound on all connections and one on those that have not logged in.
Where the second is reached, for one address or in all, the *oldest* such connection goes: under
a flood the newest is as likely to be a user as any, and a user logs in within milliseconds,
while what a flood leaves behind grows old.

A user who has too many sessions, in all or from one address, keeps the newest: of the others the
one that was idle for longest ends. Phones forget connections, and a refused login makes them say
that the server is broken (L-9).
"""

from __future__ import annotations

import itertools
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from maa.conversation import CROWDED
from maa.networks import NOWHERE, Networks, neighbourhood
from maa.transport.guessers import Guessers
from maa.transport.lanes import Lane
from maa.transport.reactor import Clock
from maa.transport.wheel import Wheel

if TYPE_CHECKING:
    from maa.transport.pump import Pump

TURN_SECONDS = 0.010
"""How long the reactor is held at most before others have their turn (R249)."""
UNEVEN = 8
"""So many more of a user's sessions than its part may be in one of several processes."""
GIVE_BACK_SECONDS = 0.02
"""Lost conversations wait so long for company: waking a thread costs more than ending one."""
FAREWELL_SECONDS = 5.0
"""For a client to take the farewell of a stopping server: a phone asleep never ends its TLS."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a process."""

    connections: int = 20_000
    """All connections; more are refused."""
    per_address: int = 5_000
    """The same of one address."""
    per_user: int = 200
    """Sessions of one user; with one more the user's longest idle one ends (L-9)."""
    per_device: int = 50
    """The same of one user at one address."""
    exempt: Networks = NOWHERE
    """Addresses that share no limit: balancers and webmail, with many users behind each."""
    strangers: int = 2_000
    """Connections not logged in; with one more the oldest of them is dropped (R222)."""
    strangers_per_address: int = 500
    """The same for one address; a NAT's worth of people, all logging in at once."""
    handshake_seconds: float = 60
    """For a TLS handshake to end (R222)."""
    stalled_seconds: float = 600
    """Without a client's taking any output: it is dropped (R226)."""
    closing_seconds: float = 60
    """For the client to take the farewell and close its side."""

    def shared(self, processes: int) -> Limits:
        """A process's part, where several serve: together they have these limits.

        A user's few sessions spread less evenly than all connections do.
        """
        uneven = 0 if processes == 1 else UNEVEN
        return replace(
            self,
            connections=-(-self.connections // processes),
            per_address=-(-self.per_address // processes),
            per_user=-(-self.per_user // processes) + uneven,
            per_device=-(-self.per_device // processes) + uneven,
            strangers=-(-self.strangers // processes),
            strangers_per_address=-(-self.strangers_per_address // processes),
        )


@dataclass(slots=True)
class Counters:
    """What the connections did so far; read by the metrics page."""

    accepted: int = 0
    refused: int = 0
    dropped: int = 0
    """Not logged in, and dropped in favour of a newer connection."""
    crowded_out: int = 0
    """A user's own, ended in favour of a newer session of that user."""
    timed_out: int = 0
    stalled: int = 0
    crashed: int = 0
    """Conversations ended by an error of ours."""
    logins: int = 0
    octets_in: int = 0
    octets_out: int = 0
    steps: int = 0
    slow_steps: int = 0
    """Steps that needed a worker thread at least once."""
    long_turns: int = 0
    """Times a connection held the reactor for more than 20 ms (R249)."""
    longest_turn_seconds: float = 0.0

    def refuse(self) -> None:
        """One more was not let in."""
        self.refused += 1


@dataclass(slots=True)
class _Strangers:
    """Connections not logged in, in order of arrival, in all and by neighbourhood."""

    all: dict[Pump, None] = field(default_factory=dict)
    by_address: dict[str, dict[Pump, None]] = field(default_factory=dict)

    def add(self, pump: Pump, where: str) -> None:
        self.all[pump] = None
        same = self.by_address.get(where)
        if same is None:
            same = self.by_address[where] = {}
        same[pump] = None

    def discard(self, pump: Pump, where: str) -> None:
        if self.all.pop(pump, pump) is None:
            same = self.by_address[where]
            del same[pump]
            if not same:
                del self.by_address[where]


class Sessions:
    """Shared by every `Pump` of the process."""

    def __init__(
        self,
        clock: Clock,
        call_from_thread: Callable[..., object],
        limits: Limits | None = None,
        *,
        seconds: Callable[[], float] | None = None,
        user_lane: Lane | None = None,
        login_lane: Lane | None = None,
    ) -> None:
        self.clock = clock
        self.seconds: Callable[[], float] = seconds or clock.seconds
        """Now; in a server a clock that nobody sets."""
        self.call_from_thread = call_from_thread
        """Run a callable with its arguments on the reactor thread."""
        self.limits = limits or Limits()
        self.user_lane = user_lane or Lane("user", 8)
        self.login_lane = login_lane or Lane("login", 8)
        """Strangers' own threads: a flood of logins does not slow who is in (R222).

        Nor does one from a few addresses, or a source that does not answer, take all of them.
        """
        self.guessers = Guessers(self.seconds)
        self.wheel = Wheel(clock, self.seconds)
        self.counters = Counters()
        self.pumps: set[Pump] = set()
        self.stopping = False
        self._strangers = _Strangers()
        self._by_address: dict[str, int] = {}
        self._users: dict[str, dict[Pump, None]] = {}
        self._stopped: Deferred[None] | None = None
        self._losses: list[Callable[[], None]] = []
        self._woken: deque[Pump] = deque()
        self._waking = False
        self._token = secrets.token_hex(2)
        self._numbers = itertools.count(1)

    def name(self) -> str:
        """A new connection's name for the log, unlike those of an earlier start."""
        return f"{self._token}.{next(self._numbers):x}"

    def admit(self, pump: Pump, address: str) -> bool:
        """Whether there is room for this connection; makes room among strangers (R222)."""
        limits, strangers, where = self.limits, self._strangers, neighbourhood(address)
        count = self._by_address.get(where, 0)
        if (
            self.stopping
            or len(self.pumps) >= limits.connections
            or (count >= limits.per_address and address not in limits.exempt)
        ):
            self.counters.refused += 1
            return False
        same = strangers.by_address.get(where, ())
        if len(same) >= limits.strangers_per_address and address not in limits.exempt:
            self._drop(next(iter(same)))
        elif len(strangers.all) >= limits.strangers:
            self._drop(next(iter(strangers.all)))
        self.counters.accepted += 1
        self._by_address[where] = count + 1
        self.pumps.add(pump)
        strangers.add(pump, where)
        return True

    def neighbours(self, address: str) -> str | None:
        """Who has a share of the login lane together; None: many are behind this address."""
        return None if address in self.limits.exempt else neighbourhood(address)

    def login_refused(self, address: str) -> None:
        """The next logins from there come behind those from elsewhere (R222)."""
        where = self.neighbours(address)
        if where is not None:
            self.guessers.failed(where)

    def welcome(self, pump: Pump, address: str) -> None:
        """The connection has logged in; makes room among the user's own (L-9)."""
        self.counters.logins += 1
        where = neighbourhood(address)
        self._strangers.discard(pump, where)
        if pump.owner is None:
            return
        mine = self._users.setdefault(pump.owner, {})
        mine[pump] = None
        if len(mine) > self.limits.per_device and address not in self.limits.exempt:
            here = [one for one in mine if neighbourhood(one.address) == where]
            if len(here) > self.limits.per_device:
                self._crowd_out(here, pump)
                return
        if len(mine) > self.limits.per_user:
            self._crowd_out(list(mine), pump)

    def _crowd_out(self, sessions: list[Pump], newest: Pump) -> None:
        """End the one that was idle for longest; not one that is being answered."""
        idle = [one for one in sessions if one is not newest and not one.busy and not one.closing]
        if idle:
            self.counters.crowded_out += 1
            min(idle, key=lambda one: one.heard).stop(CROWDED)

    def leave(self, pump: Pump, address: str) -> None:
        """The connection is gone."""
        where = neighbourhood(address)
        self.pumps.discard(pump)
        self._strangers.discard(pump, where)
        count = self._by_address.pop(where, 1)
        if count > 1:
            self._by_address[where] = count - 1
        if pump.owner is not None:
            mine = self._users.get(pump.owner, {})
            mine.pop(pump, None)
            if not mine:
                self._users.pop(pump.owner, None)
        self._perhaps_stopped()

    def strangers(self) -> int:
        """How many connections have not logged in."""
        return len(self._strangers.all)

    def wake(self, pump: Pump) -> None:
        """Let the pump go on soon, on the reactor thread; from any thread.

        A delivery wakes all who watch the mailbox: one call to the reactor for all of them, and
        its other work has its turn in between.
        """
        self._woken.append(pump)
        if not self._waking:
            self._waking = True
            self.call_from_thread(self._wake_all)

    def _wake_all(self) -> None:
        # First, so that whoever comes too late to be seen below asks again.
        self._waking = False
        until = self.seconds() + TURN_SECONDS
        while self._woken:
            self._woken.popleft().go()
            if self.seconds() > until and self._woken:
                self._waking = True
                self.clock.callLater(0, self._wake_all)
                return

    def give_back(self, release: Callable[[], None]) -> None:
        """Run what ends a lost conversation on a thread, many at a time: it may block."""
        self._losses.append(release)
        if len(self._losses) == 1:
            self.clock.callLater(GIVE_BACK_SECONDS, self._give_all_back)

    def _give_all_back(self) -> None:
        releases, self._losses = self._losses, []
        if releases:
            self.user_lane.put(lambda: [release() for release in releases])

    def start(self) -> None:
        """Start the worker threads."""
        self.user_lane.start()
        self.login_lane.start()

    def stop(self, seconds: float) -> Deferred[None]:
        """Take leave of every client; the rest is cut off after `seconds` (R252)."""
        self.stopping = True
        self._stopped = Deferred()
        timers = [
            self.clock.callLater(min(seconds, FAREWELL_SECONDS), self._cut_off_closing),
            self.clock.callLater(seconds, self._cut_off),
        ]

        def forget_timers(_: object) -> None:
            for timer in timers:
                if timer.active():
                    timer.cancel()

        stopped = self._stopped
        stopped.addBoth(forget_timers)
        for pump in tuple(self.pumps):
            pump.stop()
        self._perhaps_stopped()
        return stopped

    def close(self, seconds: float) -> None:
        """End the threads, after what lost connections still held is given back. Blocks."""
        self._give_all_back()
        self.login_lane.stop(seconds)
        self.user_lane.stop(seconds)

    def _drop(self, pump: Pump) -> None:
        self.counters.dropped += 1
        self._strangers.discard(pump, neighbourhood(pump.address))
        pump.abort()

    def _cut_off_closing(self) -> None:
        for pump in tuple(self.pumps):
            if pump.closing:
                pump.abort()

    def _cut_off(self) -> None:
        for pump in tuple(self.pumps):
            pump.abort()

    def _perhaps_stopped(self) -> None:
        if self._stopped is not None and not self.pumps:
            stopped, self._stopped = self._stopped, None
            stopped.callback(None)
