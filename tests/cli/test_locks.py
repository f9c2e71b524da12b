"""`maa locks`, with small MDAs of every habit; the real ones are in tests/system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from maa.cli import lock_trials, locks, main, mdas
from maa.cli.lock_trials import Habits, tried
from maa.cli.mdas import Mda, Once, Running
from maa.cli.sandbox import Sandbox, Unusable

SCRIPT = """
import fcntl, os, sys, time
box, habit = sys.argv[1:]
data = sys.stdin.buffer.read()
pause = 0.4 if habit == "dotlock" else 0.01
if "dotlock" in habit:
    while True:
        try:
            os.close(os.open(box + ".lock", os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            if habit == "dotlock-or-not":
                sys.exit(75)
            time.sleep(pause)
with open(box, "ab") as file:
    if "fcntl" in habit:
        fcntl.lockf(file, fcntl.LOCK_EX)
    if "flock" in habit:
        fcntl.flock(file, fcntl.LOCK_EX)
    for at in range(0, len(data), 1 << 20):
        file.write(data[at:at + (1 << 20)])
        file.flush()
        time.sleep(0.005)
if "dotlock" in habit:
    os.unlink(box + ".lock")
"""


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_trials, "HOLD_SECONDS", 0.6)


def mda(tmp_path: Path, habit: str) -> Mda:
    script = tmp_path / f"mda-{habit}.py"
    script.write_text(SCRIPT)

    def start(sandbox: Sandbox, program: str) -> Running:
        return Once(sandbox, [program, script, sandbox.box_inside, habit])

    return Mda(habit, sys.executable, False, start)


def seen(tmp_path: Path, habit: str) -> Habits:
    return tried(mda(tmp_path, habit), sys.executable, 0)


def test_who_takes_no_lock_is_seen_to_take_none(tmp_path: Path) -> None:
    found = seen(tmp_path, "careless")
    assert found.taken == found.respected == found.stops_us == set()
    (warning,) = locks.conflicts({"careless": found}, ("fcntl", "dotlock"))
    assert warning.startswith("DANGER: careless and maa write at the same time")


def test_the_order_is_seen_by_what_is_held_while_it_waits(tmp_path: Path) -> None:
    found = seen(tmp_path, "dotlock+fcntl+flock")
    assert found.order == ("dotlock", "fcntl", "flock")
    assert found.sound == found.stops_us == {"dotlock", "fcntl", "flock"}
    assert "sleeps" not in locks.table({"x": found}, {})[1]


def test_a_pause_after_a_dotlock_is_measured(tmp_path: Path) -> None:
    found = seen(tmp_path, "dotlock")
    assert found.sound == {"dotlock"}
    assert 0.3 < found.pauses["dotlock"] < 5


def test_who_gives_up_rather_than_wait_is_told(tmp_path: Path) -> None:
    found = seen(tmp_path, "dotlock-or-not")
    assert found.gave_up == {"dotlock"}
    assert "dotlock (gives up)" in locks.table({"x": found}, {})[1]


def test_an_mda_that_cannot_deliver_is_told_with_its_own_words(tmp_path: Path) -> None:
    def start(sandbox: Sandbox, program: str) -> Running:
        return Once(sandbox, [program, "-c", "import sys; sys.exit('no such user')"])

    with pytest.raises(Unusable, match="no such user"):
        tried(Mda("x", sys.executable, False, start), sys.executable, 0)


def habits(*taken: str, pause: float = 0) -> Habits:
    earlier = {one: {*taken[:at]} for at, one in enumerate(taken)}
    pauses = {"dotlock": pause}
    return Habits({*taken}, {*taken}, {*taken}, earlier, pauses)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([habits("dotlock", "fcntl"), habits("fcntl", "dotlock")], ("fcntl",)),
        ([habits("dotlock", "flock")], ("flock",)),
        ([habits("fcntl"), habits("flock")], ("fcntl", "flock")),
        ([habits("dotlock"), habits("dotlock", "fcntl")], ("dotlock",)),
        ([habits("dotlock"), habits("fcntl")], ("fcntl", "dotlock")),
        ([habits("fcntl"), habits()], ("fcntl",)),
    ],
)
def test_the_least_disturbing_locks_that_suit_all_are_chosen(
    found: list[Habits], wanted: tuple[str, ...]
) -> None:
    assert locks.matching(found) == wanted


def test_conflicts_are_told() -> None:
    one, other = habits("dotlock", "fcntl", pause=8.0), habits("flock")
    found = locks.conflicts({"one": one, "other": other}, ("flock", "dotlock"))
    assert found == [
        "slow: one sleeps 8 s when it finds maa's dotlock",
        "DANGER: one and other write at the same time: no lock is common",
    ]
    turned = habits("fcntl", "dotlock")
    (note,) = locks.conflicts({"one": one, "turned": turned}, ("fcntl",))
    assert note.startswith("note: orders differ (one: dotlock, fcntl; turned: fcntl, dotlock)")


CONFIG = """[listen]
imap = ["tcp:1143"]
[mail]
locks = ["dotlock"]  # as it was
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "maa.toml").write_text(CONFIG)
    (tmp_path / "maa.toml").chmod(0o640)
    monkeypatch.setattr(locks, "KNOWN", (mda(tmp_path, "fcntl"), NOWHERE))
    return tmp_path / "maa.toml"


NOWHERE = Mda("Nowhere", "maa-has-no-such-program", False, mdas.procmail)


def test_the_line_is_written_and_its_comment_stays(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["locks", "--config", str(config)]) == 1
    said = capsys.readouterr().out
    assert "DANGER: fcntl and maa write at the same time" in said
    assert 'locks = ["fcntl"]' in said and "Nowhere  not installed" in said
    assert config.read_text() == CONFIG
    assert main(["locks", "--config", str(config), "--write"]) == 0
    assert config.read_text() == CONFIG.replace("dotlock", "fcntl")
    assert config.stat().st_mode & 0o777 == 0o640
    assert main(["locks", "--config", str(config)]) == 0
    assert "has these" in capsys.readouterr().out
    assert sorted(os.listdir(config.parent)) == ["maa.toml", "mda-fcntl.py"]


def test_where_there_is_no_mda_nothing_is_written(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(locks, "KNOWN", (NOWHERE,))
    assert main(["locks", "--config", str(config), "--write"]) == 1
    assert config.read_text() == CONFIG
    assert "no MDA could be tried" in capsys.readouterr().err
    assert main(["locks", "--config", str(config.with_name("none.toml"))]) == 1
