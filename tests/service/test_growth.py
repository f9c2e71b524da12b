"""The history of how mail grows, and what it foretells."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.service.growth import DAY_SECONDS, KEPT, History, Outlook, Sample, reached
from maa.service.metrics import prometheus, usage_metrics
from maa.service.partitions import Partition

NOW = 1_700_000_000.0
SAMPLE = Sample(NOW, "/home", 100, 200, 1000)


def grown(days: int, per_day: int, first: int = 1000) -> list[tuple[float, int]]:
    """A value that grew each day up to now."""
    return [(NOW - (days - n) * DAY_SECONDS, first + n * per_day) for n in range(days + 1)]


def test_a_steady_growth_reaches_its_goal_when_it_will() -> None:
    when = reached(grown(10, 100), 3000, NOW)
    assert isinstance(when, float)
    assert abs(when - (NOW + 10 * DAY_SECONDS)) < 60


def test_a_day_of_clearing_up_or_a_restored_backup_does_not_bend_the_line() -> None:
    points = grown(30, 100)
    points[7] = (points[7][0], 0)
    points[20] = (points[20][0], 10**9)
    when = reached(points, 5000, NOW)
    assert isinstance(when, float)
    assert abs(when - (NOW + 10 * DAY_SECONDS)) < DAY_SECONDS


@pytest.mark.parametrize(
    ("points", "outlook"),
    [
        ([], Outlook.UNKNOWN),
        (grown(3, 100), Outlook.UNKNOWN),
        (grown(6, 100), Outlook.UNKNOWN),
        ([(at - 100 * DAY_SECONDS, value) for at, value in grown(30, 100)], Outlook.UNKNOWN),
        ([(NOW, n) for n in range(20)], Outlook.UNKNOWN),
        (grown(10, 0), Outlook.STEADY),
        (grown(10, -5), Outlook.STEADY),
        (grown(10, 1, first=10**12), Outlook.FAR),
    ],
)
def test_where_there_is_no_day_to_name_that_is_said(
    points: list[tuple[float, int]], outlook: Outlook
) -> None:
    assert reached(points, 10**13, NOW) is outlook


def test_what_should_have_been_reached_already_is_reached_any_day() -> None:
    assert reached(grown(10, 100), 1500, NOW) == NOW


@given(st.lists(st.tuples(st.floats(NOW - 10**7, NOW), st.integers(0, 2**60)), max_size=30))
def test_no_history_makes_it_fail(points: list[tuple[float, int]]) -> None:
    when = reached(sorted(points), 2**61, NOW)
    assert isinstance(when, Outlook) or when >= NOW


def test_samples_are_kept_a_day_apart_and_not_for_ever(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert history.samples() == [] == history.latest()
    for minute in range(10):
        history.add([replace(SAMPLE, at=NOW + 60 * minute)])
    assert history.samples() == [SAMPLE]
    for day in range(1, KEPT + 50):
        at = NOW + day * DAY_SECONDS
        history.add([replace(SAMPLE, at=at), replace(SAMPLE, at=at, partition="/srv")])
    assert len(history.of("/home")) == len(history.of("/srv")) == KEPT
    assert history.of("/home")[-1].at == at
    assert {sample.partition for sample in history.latest()} == {"/home", "/srv"}
    assert os.listdir(tmp_path) == ["usage.history"]


def test_lines_that_are_none_are_left_out(tmp_path: Path) -> None:
    history = History(tmp_path)
    history.add([SAMPLE])
    with history.path.open("a") as file:
        file.write('nonsense\n{"at": 1}\n[]\nnull\n{"at": "x", "partition": 1}\n\n')
    assert history.samples() == [SAMPLE]
    history.path.write_bytes(b"\xff\xfe")
    assert history.samples() == []


def test_what_was_counted_last_is_among_the_figures(tmp_path: Path) -> None:
    history = History(tmp_path)
    assert list(usage_metrics(history)) == []
    history.add([replace(SAMPLE, partition='/a"b\\c'), replace(SAMPLE, mail=7)])
    text = prometheus(usage_metrics(history)).decode()
    assert 'maa_mail_octets{partition="/home"} 7\n' in text
    assert 'maa_partition_octets{partition="/a\\"b\\\\c"} 1000\n' in text
    assert text.count("# TYPE maa_mail_octets gauge") == 1
    history.add([replace(SAMPLE, at=NOW + DAY_SECONDS, mail=8)])
    assert 'maa_mail_octets{partition="/home"} 8\n' in prometheus(usage_metrics(history)).decode()


def test_a_partition_is_where_it_is_mounted(tmp_path: Path) -> None:
    partition = Partition.of(str(tmp_path))
    assert os.path.ismount(partition.mounted)
    assert str(tmp_path.resolve()).startswith(partition.mounted)
    assert partition.size >= partition.full_at > partition.free > 0
    assert partition.half == partition.size // 2
    assert Partition.of("/proc/self").mounted == "/proc"
