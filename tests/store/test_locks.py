"""Locks on mbox files: against other programs, in every order, and what the dead leave."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from maa.store import locks
from maa.store.errors import LockTimeout
from maa.store.identity import Identity
from maa.store.locks import Locks, drop_dotlock, drop_if_stale, take_dotlock

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "r+b")
{lock}
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "joe"
    path.write_bytes(b"")
    return path


def taken(path: Path, order: tuple[str, ...], write: bool = True, seconds: float = 0.1) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        with Locks(order, seconds).held(os.fsencode(path), descriptor, write):
            return True
    except LockTimeout:
        return False
    finally:
        os.close(descriptor)


def other(path: Path, lock: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HOLD.format(lock=lock), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize(
    ("method", "lock"),
    [
        ("fcntl", "fcntl.lockf(file, fcntl.LOCK_EX)"),
        ("flock", "fcntl.flock(file, fcntl.LOCK_EX)"),
        ("dotlock", "open(sys.argv[1] + '.lock', 'x').write('0')"),
    ],
)
def test_R232_another_programs_lock_is_waited_for(path: Path, method: str, lock: str) -> None:
    process = other(path, lock)
    try:
        assert not taken(path, (method,))
        assert not taken(path, ("fcntl", "flock", "dotlock"))
        assert not taken(path, ("dotlock", "flock", "fcntl"), write=False)
        assert not taken(path, (method,), write=False)
    finally:
        process.kill()
        process.communicate()
    if method == "dotlock":
        os.unlink(f"{path}.lock")
    assert taken(path, (method,))
    assert os.listdir(path.parent) == ["joe"]


def test_other_programs_wait_for_ours(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    with Locks(("fcntl", "flock", "dotlock")).held(os.fsencode(path), descriptor, True):
        with open(path, "r+b") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process = subprocess.run(
            [sys.executable, "-c", HOLD.format(lock="fcntl.lockf(file, 6)"), str(path)],
            capture_output=True,
            check=False,
        )
        assert b"BlockingIOError" in process.stderr
        assert Path(f"{path}.lock").read_text().startswith(f"{os.getpid()}\n")
    os.close(descriptor)
    assert os.listdir(path.parent) == ["joe"]


def test_a_lock_is_taken_as_soon_as_it_is_free(path: Path) -> None:
    Path(f"{path}.lock").write_text(f"{os.getpid()}\n")
    threading.Timer(0.2, os.unlink, [f"{path}.lock"]).start()
    began = time.monotonic()
    assert taken(path, ("fcntl", "dotlock"), seconds=10)
    assert 0.15 < time.monotonic() - began < 5


class Hours:
    """The module `time`, of which nothing passes but by sleeping."""

    time = staticmethod(time.time)

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_R232_who_waits_behind_somebody_that_waited_in_vain_hardly_waits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = Hours()
    monkeypatch.setattr(locks, "time", hours)
    mine = Locks(("dotlock",))
    descriptor = os.open(path, os.O_RDWR)

    def waited() -> float:
        begun = hours.now
        with suppress(LockTimeout), mine.held(os.fsencode(path), descriptor, write=True):
            pass
        return hours.now - begun

    lock = Path(f"{path}.lock")
    lock.write_text(f"{os.getpid()}\n")
    assert locks.WAIT_SECONDS <= waited() < 30
    assert [waited() < 1 for _ in range(20)] == [True] * 20
    lock.unlink()
    assert waited() == 0
    lock.write_text(f"{os.getpid()}\n")
    assert waited() >= locks.WAIT_SECONDS
    hours.now += locks.WAIT_SECONDS
    assert waited() >= locks.WAIT_SECONDS
    lock.unlink()
    os.close(descriptor)


def test_L22_a_dotlock_of_ours_whose_process_was_killed_is_removed_at_once(path: Path) -> None:
    child = os.fork()
    if not child:
        take_dotlock(os.fsencode(path))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert Path(f"{path}.lock").exists()
    assert taken(path, ("dotlock",))
    assert os.listdir(path.parent) == ["joe"]


def test_R233_a_dead_processs_lock_is_stale_after_five_minutes(path: Path) -> None:
    lock = Path(f"{path}.lock")
    dead = subprocess.Popen(["true"])
    dead.wait()
    lock.write_text(f"{dead.pid}\n")
    assert not drop_if_stale(os.fsencode(path))
    os.utime(lock, (0, time.time() - locks.STALE_SECONDS - 1))
    assert drop_if_stale(os.fsencode(path))
    assert not lock.exists()


def test_R233_a_lock_without_a_process_lives_as_long_as_procmail_gives_it(path: Path) -> None:
    lock = Path(f"{path}.lock")
    lock.write_text("0")
    os.utime(lock, (0, time.time() - locks.STALE_SECONDS - 1))
    assert not taken(path, ("dotlock",))
    os.utime(lock, (0, time.time() - locks.NAMELESS_SECONDS - 1))
    assert taken(path, ("dotlock",))


@pytest.mark.parametrize("age", [0, 10_000])
def test_R233_a_living_processs_lock_is_never_broken(path: Path, age: int) -> None:
    lock = Path(f"{path}.lock")
    for text in (f"{os.getpid()}\n", f"{os.getpid()}"):
        lock.write_text(text)
        os.utime(lock, (0, time.time() - age))
        assert not taken(path, ("dotlock",))
        assert lock.read_text() == text


def test_our_own_lock_is_known_by_more_than_the_process_number(path: Path) -> None:
    name = os.fsencode(path)
    assert take_dotlock(name)
    lock = Path(f"{path}.lock")
    assert not drop_if_stale(name)
    pid, host, boot, started = lock.read_text().split()
    lock.chmod(0o600)
    for text in (f"{pid}\n{host} {boot} {int(started) - 1}\n", f"{pid}\n{host} other {started}\n"):
        lock.write_text(text)  # a process of that number, but a later one
        assert drop_if_stale(name)
        lock.write_text("")
    lock.write_text(f"{pid}\nelsewhere {boot} {started}\n")
    os.utime(lock, (0, 0))
    drop_dotlock(name)  # not ours any more
    assert lock.exists()


def test_where_no_file_may_be_made_there_is_no_dotlock_and_one_warning(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = Identity(65534, 65534) if os.geteuid() == 0 else Identity.own()
    path.chmod(0o666)
    path.parent.chmod(0o555)
    for folder in list(path.parents)[1:4]:
        if os.geteuid() == 0 and folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o011)
    try:
        with identity:
            assert taken(path, ("fcntl", "dotlock"))
            assert taken(path, ("fcntl", "dotlock"))
    finally:
        path.parent.chmod(0o755)
    assert len([record for record in caplog.records if "no dotlocks" in record.message]) == 1
