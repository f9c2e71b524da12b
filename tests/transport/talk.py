"""A small conversation of our own, so that the pump is tested without a protocol.

Lines are commands: `echo TEXT`, `slow TEXT`, `much N`, `delay TEXT`, `guess`, `starttls`,
`compress`, `login`, `quit`, `crash`, `idle` (answers pokes from then on).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from math import inf

from maa.conversation import CLOSE, COMPRESS, RESTARTING, SLOW, START_TLS, Delay, Peer, Step
from maa.transport.lanes import Job, Lane
from maa.transport.slices import SLICE_OCTETS


class HandLane(Lane):
    """A lane whose jobs wait until the test runs them: every interleaving can be had."""

    def __init__(self) -> None:
        super().__init__("hand", 0)
        self.jobs: list[Job] = []
        self.late_seconds: list[float] = []
        """Of each job so far."""

    def put(self, job: Job, owner: Hashable = None, late_seconds: float = 0.0) -> None:
        self.jobs.append(job)
        self.late_seconds.append(late_seconds)

    def run(self) -> int:
        """Run what waits; how many jobs that were."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            job()
        return len(jobs)


@dataclass
class Talk:
    """The conversation; everything done to it is in `heard`."""

    peer: Peer
    wake: Callable[[], None]
    silence_seconds: float = 100.0
    logged_in: bool = False
    owner: str | None = None
    heard: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    taken: int = 0
    """Slices of `much` that somebody asked for."""
    idling: bool = False
    keepalive_seconds: float = inf
    """How often a word is due while idling; at multiples of it."""
    appending: bool = False
    entered: int = 0
    _buffer: bytes = b""
    _poked: bool = False
    _due: bool = False

    @property
    def held_octets(self) -> int:
        return len(self._buffer)

    def begin(self) -> Iterator[Step]:
        yield b"hello\r\n"

    def feed(self, data: bytes) -> None:
        assert not self.entered, "fed while a step runs"
        self._buffer += data

    def steps(self) -> Iterator[Step]:
        if self._poked:
            self._poked = False
            if self.idling:
                yield b"poked\r\n"
        if self._due:
            self._due = False
            if self.idling:
                yield b"still here\r\n"
        while b"\r\n" in self._buffer:
            line, self._buffer = self._buffer.split(b"\r\n", 1)
            self.heard.append(line.decode())
            name, _, rest = line.partition(b" ")
            yield from getattr(self, "_" + name.decode())(rest)

    def poke(self) -> None:
        self._poked = True

    def keepalive_at(self, now: float) -> float:
        every = self.keepalive_seconds
        return inf if every == inf else now + every - now % every

    def keep_alive(self) -> None:
        self._due = True

    def secured(self) -> None:
        self._buffer = b""
        self.heard.append("secured")

    def timed_out(self) -> Iterator[Step]:
        yield b"too slow\r\n"
        yield CLOSE

    def stopping(self, why: bytes = RESTARTING) -> Iterator[Step]:
        if not self.appending:
            yield b"stopping\r\n" if why == RESTARTING else b"crowded\r\n"
            yield CLOSE

    def lost(self) -> None:
        assert not self.entered, "lost while a step runs"
        self.heard.append("lost")

    def _echo(self, rest: bytes) -> Iterator[Step]:
        yield rest + b"\r\n"

    def _slow(self, rest: bytes) -> Iterator[Step]:
        yield b"going to "
        yield SLOW
        self.entered += 1
        self.threads.append(threading.current_thread().name)
        self.entered -= 1
        yield rest + b"\r\n"

    def _much(self, rest: bytes) -> Iterator[Step]:
        for _ in range(int(rest)):
            self.taken += 1
            yield b"x" * SLICE_OCTETS
        yield b"\r\nenough\r\n"

    def _delay(self, rest: bytes) -> Iterator[Step]:
        yield Delay(5.0)
        yield rest + b"\r\n"

    def _guess(self, rest: bytes) -> Iterator[Step]:
        yield SLOW
        yield Delay(1.0, refused=True)
        yield b"wrong\r\n"

    def _starttls(self, rest: bytes) -> Iterator[Step]:
        yield b"begin\r\n"
        yield START_TLS

    def _compress(self, rest: bytes) -> Iterator[Step]:
        yield b"active\r\n"
        self._buffer = b""
        yield COMPRESS

    def _login(self, rest: bytes) -> Iterator[Step]:
        self.logged_in = True
        self.owner = rest.decode() or self.owner
        self.silence_seconds = 1000.0
        yield b"welcome\r\n"

    def _idle(self, rest: bytes) -> Iterator[Step]:
        self.idling = True
        yield b"idling\r\n"

    def _append(self, rest: bytes) -> Iterator[Step]:
        self.appending = True
        yield b"go on\r\n"

    def _appended(self, rest: bytes) -> Iterator[Step]:
        yield b"appended\r\n"
        yield CLOSE

    def _quit(self, rest: bytes) -> Iterator[Step]:
        yield b"bye\r\n"
        yield CLOSE

    def _crash(self, rest: bytes) -> Iterator[Step]:
        yield b"now\r\n"
        raise RuntimeError("a bug of ours")
