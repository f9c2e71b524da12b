"""How mail grows: a sample a day of each partition, and when it will have reached something.

The forecast is the line whose slope is the median of the slopes between any two samples (Theil and
Sen): a day on which somebody deleted half of everything, or a restored backup, does not bend it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Final

DAY_SECONDS: Final = 86400.0
APART_SECONDS: Final = 20 * 3600.0
"""Samples that are nearer to each other are not kept: who asks each minute learns no more."""
KEPT: Final = 400
"""Samples of one partition."""
WINDOW_SECONDS: Final = 90 * DAY_SECONDS
"""What is older says nothing of the present pace."""
ENOUGH: Final = 5
ENOUGH_SECONDS: Final = 7 * DAY_SECONDS
FAR_SECONDS: Final = 3650 * DAY_SECONDS
_NAME: Final = "usage.history"


@dataclass(frozen=True, slots=True)
class Sample:
    """One partition at one moment, in octets."""

    at: float
    """Seconds since the epoch."""
    partition: str
    """Where it is mounted."""
    mail: int
    """All mailboxes together."""
    used: int
    size: int


class Outlook(Enum):
    """Why there is no day to name."""

    UNKNOWN = "there is not enough history"
    STEADY = "it does not grow"
    FAR = "it takes more than ten years"


class History:
    """The samples in the file `usage.history` of the state directory, one a line, as JSON."""

    def __init__(self, state: Path) -> None:
        self.path = state / _NAME
        self._stamp: tuple[int, ...] = ()
        self._latest: list[Sample] = []

    def samples(self) -> list[Sample]:
        """Every sample, in order of time; what cannot be read is left out."""
        try:
            lines = self.path.read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        found = [sample for line in lines if (sample := _read(line)) is not None]
        return sorted(found, key=lambda sample: sample.at)

    def of(self, partition: str) -> list[Sample]:
        """The samples of one partition."""
        return [sample for sample in self.samples() if sample.partition == partition]

    def latest(self) -> list[Sample]:
        """The newest sample of each partition; cheap while nothing was added."""
        try:
            found = os.stat(self.path)
        except OSError:
            return []
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            self._latest = list({one.partition: one for one in self.samples()}.values())
            self._stamp = stamp
        return self._latest

    def add(self, news: Iterable[Sample]) -> None:
        """Keep samples, unless there are ones that are almost as new; OSError."""
        before = self.samples()
        kept = list(before)
        for sample in news:
            ours = [one for one in kept if one.partition == sample.partition]
            if ours and abs(sample.at - ours[-1].at) < APART_SECONDS:
                continue
            for old in ours[: max(0, len(ours) + 1 - KEPT)]:
                kept.remove(old)
            kept.append(sample)
        if kept == before:
            return
        new = self.path.with_suffix(".new")
        text = "".join(json.dumps(asdict(sample)) + "\n" for sample in kept)
        new.write_text(text, "utf-8")
        os.replace(new, self.path)


def _read(line: str) -> Sample | None:
    try:
        values = json.loads(line)
        return Sample(
            float(values["at"]),
            str(values["partition"]),
            *(int(values[key]) for key in ("mail", "used", "size")),
        )
    except (ValueError, TypeError, KeyError, OverflowError):
        return None


def reached(points: Sequence[tuple[float, int]], goal: float, now: float) -> float | Outlook:
    """When (seconds since the epoch) a value will be `goal`, by its (time, value) so far."""
    recent = [point for point in points if point[0] > now - WINDOW_SECONDS]
    if len(recent) < ENOUGH or recent[-1][0] - recent[0][0] < ENOUGH_SECONDS:
        return Outlook.UNKNOWN
    slope = median(
        (after - before) / (then - at)
        for (at, before), (then, after) in combinations(recent, 2)
        if then > at
    )
    if slope <= 0:
        return Outlook.STEADY
    base = median(value - slope * (at - now) for at, value in recent)
    seconds = max(0.0, (goal - base) / slope)
    return Outlook.FAR if seconds > FAR_SECONDS else now + seconds
