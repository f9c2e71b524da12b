"""Figures for an operator: Prometheus text, and the watchdog that proves R249."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass

from maa.service.growth import History
from maa.transport.reactor import Clock, Timer
from maa.transport.sessions import Sessions

BEAT_SECONDS = 0.1
GAP_SECONDS = 0.020


@dataclass(slots=True)
class Watchdog:
    """Sees when the reactor was late: something held it, or the whole process (R249)."""

    sessions: Sessions
    clock: Clock
    gaps: int = 0
    """Beats that came more than 20 ms late."""
    longest_gap_seconds: float = 0.0
    _due: float = 0.0
    _timer: Timer | None = None

    def start(self) -> None:
        """Begin to beat."""
        self._due = self.sessions.seconds() + BEAT_SECONDS
        self._timer = self.clock.callLater(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _beat(self) -> None:
        late = self.sessions.seconds() - self._due
        if late > GAP_SECONDS:
            self.gaps += 1
            self.longest_gap_seconds = max(self.longest_gap_seconds, late)
        self.start()


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure."""

    name: str
    kind: str
    """`counter` or `gauge`."""
    help: str
    value: float
    worker: str = ""
    """Which one's it is, where there are several."""
    partition: str = ""
    """Where it is mounted."""

    @property
    def labels(self) -> str:
        """As Prometheus has them, or nothing."""
        found = {"worker": self.worker, "partition": self.partition}
        text = ",".join(f'{name}="{_escaped(value)}"' for name, value in found.items() if value)
        return f"{{{text}}}" if text else ""


def metrics(sessions: Sessions, watchdog: Watchdog) -> Iterator[Metric]:
    """Every figure of this process."""
    counters = sessions.counters
    strangers = sessions.strangers()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield Metric("maa_connections", "gauge", "Connections now", len(sessions.pumps))
    yield Metric("maa_connections_not_logged_in", "gauge", "Of these, not logged in", strangers)
    busy = sum(pump.busy for pump in sessions.pumps)
    yield Metric("maa_connections_busy", "gauge", "Of these, being answered", busy)
    yield Metric("maa_connections_total", "counter", "Connections let in", counters.accepted)
    yield Metric("maa_refused_total", "counter", "Connections refused", counters.refused)
    yield Metric(
        "maa_dropped_total", "counter", "Dropped before login for newer ones", counters.dropped
    )
    yield Metric(
        "maa_crowded_out_total",
        "counter",
        "Sessions ended for a newer one of their user",
        counters.crowded_out,
    )
    yield Metric("maa_logins_total", "counter", "Connections that logged in", counters.logins)
    yield Metric("maa_timed_out_total", "counter", "Ended after silence", counters.timed_out)
    yield Metric("maa_stalled_total", "counter", "Cut off, taking no output", counters.stalled)
    yield Metric("maa_steps_total", "counter", "Bursts of input answered", counters.steps)
    yield Metric(
        "maa_slow_steps_total", "counter", "Times a worker thread was needed", counters.slow_steps
    )
    yield Metric("maa_received_octets_total", "counter", "Received", counters.octets_in)
    yield Metric("maa_sent_octets_total", "counter", "Sent", counters.octets_out)
    yield Metric(
        "maa_lane_user_waiting", "gauge", "Steps waiting for a thread", sessions.user_lane.waiting()
    )
    yield Metric(
        "maa_lane_login_waiting",
        "gauge",
        "Steps before login waiting for a thread",
        sessions.login_lane.waiting(),
    )
    yield Metric(
        "maa_reactor_long_turns_total",
        "counter",
        "Turns of one connection over 20 ms",
        counters.long_turns,
    )
    yield Metric(
        "maa_reactor_longest_turn_seconds", "gauge", "The longest", counters.longest_turn_seconds
    )
    yield Metric("maa_reactor_gaps_total", "counter", "Reactor late over 20 ms", watchdog.gaps)
    yield Metric(
        "maa_reactor_longest_gap_seconds", "gauge", "The latest", watchdog.longest_gap_seconds
    )
    yield Metric(
        "maa_memory_peak_bytes", "gauge", "Largest resident set so far", usage.ru_maxrss * 1024
    )
    yield Metric(
        "maa_cpu_seconds_total", "counter", "CPU time used", usage.ru_utime + usage.ru_stime
    )


def fleet_metrics(workers: int, replaced: int) -> Iterator[Metric]:
    """The figures of a service with several workers, beside theirs."""
    yield Metric("maa_workers", "gauge", "Workers now", workers)
    yield Metric("maa_workers_replaced_total", "counter", "Workers that had died", replaced)


def usage_metrics(history: History) -> Iterator[Metric]:
    """What `maa usage` counted last."""
    latest = history.latest()
    for name, text, values in (
        ("maa_mail_octets", "Mail", [sample.mail for sample in latest]),
        ("maa_partition_octets", "Size of its partition", [sample.size for sample in latest]),
        ("maa_partition_used_octets", "Used of that", [sample.used for sample in latest]),
        ("maa_mail_counted_seconds", "When it was counted", [sample.at for sample in latest]),
    ):
        for sample, value in zip(latest, values, strict=True):
            yield Metric(name, "gauge", text, value, partition=sample.partition)


def prometheus(found: Iterator[Metric]) -> bytes:
    """The figures in the Prometheus text format, version 0.0.4; those of one name together."""
    lines = []
    before = ""
    for metric in found:
        if metric.name != before:
            lines.append(f"# HELP {metric.name} {metric.help}")
            lines.append(f"# TYPE {metric.name} {metric.kind}")
            before = metric.name
        lines.append(f"{metric.name}{metric.labels} {metric.value:.15g}")
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
