"""Figures and the watchdog."""

from __future__ import annotations

import re

from twisted.internet.task import Clock
from twisted.web.test.requesthelper import DummyRequest

from maa.service.metrics import Watchdog, metrics, prometheus
from maa.service.status_page import status_site
from maa.transport.sessions import Sessions


def made() -> tuple[Clock, Sessions, Watchdog]:
    clock = Clock()
    sessions = Sessions(clock, lambda call, *arguments: call(*arguments))
    return clock, sessions, Watchdog(sessions, clock)


def test_R249_a_late_beat_is_a_gap() -> None:
    clock, _, watchdog = made()
    watchdog.start()
    clock.pump([0.1] * 10)
    assert watchdog.gaps == 0
    clock.advance(0.15)
    assert watchdog.gaps == 1
    assert 0.049 < watchdog.longest_gap_seconds < 0.051
    watchdog.stop()
    assert clock.getDelayedCalls() == []


def test_the_text_is_what_prometheus_reads() -> None:
    _, sessions, watchdog = made()
    sessions.counters.logins = 7
    text = prometheus(metrics(sessions, watchdog)).decode()
    assert "# TYPE maa_logins_total counter\nmaa_logins_total 7\n" in text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+ [0-9.e+-]+", line), line


def test_counters_are_named_as_counters() -> None:
    _, sessions, watchdog = made()
    for metric in metrics(sessions, watchdog):
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric


def test_the_page_escapes_what_it_shows() -> None:
    _, sessions, watchdog = made()
    site = status_site(lambda: metrics(sessions, watchdog), "<b>host</b>")
    request = DummyRequest([b""])
    page = site.resource.getChildWithDefault(b"", request).render(request)
    assert b"&lt;b&gt;host" in page
    assert b"<b>" not in page
