"""Which locks an MDA takes and waits for, found by letting it deliver.

First it delivers unhindered while we look at /proc/locks and for a dotlock, and try maa's own
locking whenever one of them is there: *do we wait for it?* Then maa's own locking holds each lock
in turn while it delivers: *does it wait for us?* What it holds while it waits comes earlier in
its order.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from maa.cli.mdas import Mda, Running
from maa.cli.sandbox import Sandbox, Unusable, scratch_sandbox
from maa.store.errors import LockTimeout
from maa.store.locks import METHODS, Locks

HOLD_SECONDS: Final = 2.5
"""An MDA that has not written for so long is waiting for the lock that we hold."""
PATIENCE_SECONDS: Final = 90.0
"""For a delivery; liblockfile's and maildrop's pauses reach half a minute."""
SHORT_SECONDS: Final = 0.3
"""Long enough for an MDA to find the lock: then how late it comes is how long it sleeps."""
_AT_ONCE_SECONDS: Final = 0.1
_FREE_RUNS: Final = 3
_LARGE_OCTETS: Final = 16 << 20
_KINDS: Final = {b"POSIX": "fcntl", b"OFDLCK": "fcntl", b"FLOCK": "flock"}
_LOOK_SECONDS: Final = 0.0005


@dataclass(slots=True)
class Habits:
    """What was seen of one MDA."""

    taken: set[str] = field(default_factory=set)
    """It holds these while it writes."""
    stops_us: set[str] = field(default_factory=set)
    """Of these, maa's own locking was kept out by."""
    respected: set[str] = field(default_factory=set)
    """It does not write while we hold one of these."""
    earlier: dict[str, set[str]] = field(default_factory=dict)
    """What it holds while it waits for a lock."""
    pauses: dict[str, float] = field(default_factory=dict)
    """Seconds for which it sleeps, about, when it finds a lock that it waits for."""
    gave_up: set[str] = field(default_factory=set)
    """It ended with an error, rather than wait any longer for one of these."""

    @property
    def order(self) -> tuple[str, ...]:
        """The locks it takes, the first to be taken first, as far as it could be seen."""
        return tuple(
            sorted(self.taken, key=lambda one: (len(self.earlier.get(one, ())), METHODS.index(one)))
        )

    @property
    def sound(self) -> frozenset[str]:
        """The locks that keep it and us apart: it takes them, and waits for ours."""
        return frozenset(self.taken & self.respected)


def tried(mda: Mda, program: str, number: int) -> Habits:
    """Let one MDA deliver again and again, in a sandbox of its own; Unusable."""
    name = "".join(filter(str.isalnum, mda.name.lower()))
    with scratch_sandbox(name, number) as sandbox, ExitStack() as ending:
        running = mda.start(sandbox, program)
        ending.callback(running.stop)
        trial = _Trial(sandbox, running)
        trial.free_run(b"small", 0)
        for run in range(_FREE_RUNS):
            trial.free_run(b"large %d" % run, _LARGE_OCTETS)
        for method in METHODS:
            trial.held_run(method, HOLD_SECONDS)
            if trial.habits.pauses.get(method):
                trial.held_run(method, SHORT_SECONDS)
        # A lock that it waits for and was not seen to hold: it was too quick to be seen.
        habits = trial.habits
        for _ in range(_FREE_RUNS):
            if habits.respected <= habits.taken & habits.stops_us:
                break
            trial.free_run(b"again", 4 * _LARGE_OCTETS)
        return habits


class _Trial:
    """The deliveries to one sandbox's mailbox."""

    def __init__(self, sandbox: Sandbox, running: Running) -> None:
        self._sandbox = sandbox
        self._running = running
        self._serial = 0
        self.habits = Habits()

    def free_run(self, text: bytes, octets: int) -> None:
        """Deliver while we hold nothing; Unusable when that does not work."""
        look = _Look(self._sandbox.box, None)
        until = time.monotonic() + PATIENCE_SECONDS
        with self._delivering(text, octets) as delivery:
            while not delivery.done():
                for method in look.now():
                    self.habits.taken.add(method)
                    if method not in self.habits.stops_us and self._stopped_by(method):
                        self.habits.stops_us.add(method)
                if delivery.failed() or time.monotonic() > until:
                    raise Unusable(f"it does not deliver: {self._sandbox.last_words()}")
                time.sleep(_LOOK_SECONDS)
        if self._sandbox.box.stat().st_size > 4 * _LARGE_OCTETS:
            os.truncate(self._sandbox.box, 0)

    def held_run(self, method: str, seconds: float) -> None:
        """Deliver while maa's locking holds one lock, for so long."""
        habits, box = self.habits, self._sandbox.box
        look = _Look(box, method)
        with ExitStack() as held:
            descriptor = os.open(box, os.O_RDWR | os.O_CLOEXEC)
            held.callback(os.close, descriptor)
            held.enter_context(Locks((method,)).held(os.fsencode(box), descriptor, write=True))
            with self._delivering(b"held back by " + method.encode(), 0) as delivery:
                began = time.monotonic()
                until = began + seconds
                while not (delivery.begun() or delivery.failed()) and time.monotonic() < until:
                    habits.earlier.setdefault(method, set()).update(look.now())
                    time.sleep(_LOOK_SECONDS)
                if not delivery.begun() and seconds >= HOLD_SECONDS:
                    habits.respected.add(method)
                held.close()
                free = time.monotonic()
                until = free + PATIENCE_SECONDS
                while not (delivery.done() or delivery.failed()) and time.monotonic() < until:
                    time.sleep(_LOOK_SECONDS)
                if not delivery.done():
                    habits.gave_up.add(method)
                elif method in habits.respected:
                    now = time.monotonic()
                    slept = now - free > _AT_ONCE_SECONDS
                    habits.pauses[method] = now - began if slept else 0.0

    def _stopped_by(self, method: str) -> bool:
        box = self._sandbox.box
        descriptor = os.open(box, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with Locks((method,), seconds=0).held(os.fsencode(box), descriptor, write=False):
                return False
        except LockTimeout:
            return True
        finally:
            os.close(descriptor)

    @contextmanager
    def _delivering(self, text: bytes, octets: int) -> Iterator[_Delivery]:
        self._serial += 1
        mark = b"maa-locks-%d-%d" % (os.getpid(), self._serial)
        head = b"From: maa-locks@localhost\nSubject: maa locks: %s\n\n" % text
        line = b"%s\n" % (b"x" * 71)
        box = self._sandbox.box
        before = box.stat().st_size
        process = self._running.deliver(head + line * (octets // len(line)) + mark + b"\n")
        delivery = _Delivery(box, before, mark, process)
        try:
            yield delivery
        finally:
            delivery.end()


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A message on its way."""

    box: Path
    before: int
    """Octets that the mailbox had."""
    mark: bytes
    process: subprocess.Popen[bytes]

    def begun(self) -> bool:
        """Whether anything was written."""
        return self.box.stat().st_size > self.before

    def done(self) -> bool:
        """Whether all of it is there, and whoever wrote it has ended if it is ours."""
        if not self.begun() or self.process.poll() is None:
            return False
        with self.box.open("rb") as file:
            file.seek(max(self.before, self.box.stat().st_size - 200))
            return self.mark in file.read()

    def failed(self) -> bool:
        """Whether it was refused."""
        return bool(self.process.poll())

    def end(self) -> None:
        """Let nothing go on."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


class _Look:
    """What others hold on a mailbox at this moment."""

    def __init__(self, box: Path, ours: str | None) -> None:
        self._box = box
        self._ours = ours
        self._dotlock = box.with_name(box.name + ".lock")

    def now(self) -> list[str]:
        """The methods, but for ours."""
        found = []
        inode = b":%d " % self._box.stat().st_ino
        for line in Path("/proc/locks").read_bytes().splitlines():
            words = line.split()
            if inode in line and words[1] in _KINDS:  # a waiting one has an arrow there
                found.append(_KINDS[words[1]])
        if self._dotlock.exists():
            found.append("dotlock")
        return [method for method in found if method != self._ours]
