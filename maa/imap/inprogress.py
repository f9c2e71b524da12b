"""INPROGRESS: how far a command has come that takes long (RFC 9585).

Told are searches, which say nothing until they are done. What else takes long either shows how far
it is by its answers, as FETCH does, or is one transaction that nothing may interrupt, as COPY is.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Final, NamedTuple, TypeVar

from maa.conversation import SLOW, Step
from maa.imap.responses import string, untagged

EVERY_SECONDS: Final = 10.0

T = TypeVar("T")


class Working(NamedTuple):
    """SLOW, from a piece of work that knows how much of it is done."""

    done: int
    goal: int


def told(tag: bytes, work: Generator[Step | Working, None, T]) -> Generator[Step, None, T]:
    """The work of a command that has said nothing yet, and now and then how far it is."""
    told_at = time.monotonic()
    try:
        while True:
            step = next(work)
            if step is SLOW or isinstance(step, Working):
                now = time.monotonic()
                if now - told_at >= EVERY_SECONDS:
                    told_at = now
                    yield _line(tag, step if isinstance(step, Working) else None)
                step = SLOW
            yield step
    except StopIteration as end:
        found: T = end.value
        return found
    finally:
        work.close()


def _line(tag: bytes, working: Working | None) -> bytes:
    """The response; a tag with `]` in it would end the code too early, and is not named (§4)."""
    named = b"NIL" if b"]" in tag else string(tag)
    if working is None:
        return untagged(b"OK", b"INPROGRESS (%b NIL NIL)" % named, b"Still at work")
    goal = max(working.goal, 1)
    done = min(working.done, goal - 1)
    percent = 100 * done // goal
    code = b"INPROGRESS (%b %d %d)" % (named, done, goal)
    return untagged(b"OK", code, b"Still at work, %d%% is done" % percent)
