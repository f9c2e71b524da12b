"""POP3's hold on a file that stays open."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maa.store.errors import MaildropInUse, Unavailable
from maa.store.hold import Hold
from maa.store.latch import Latch

HOLDER = """
import sys, time
from maa.store.latch import Latch
latch = Latch(sys.argv[1])
latch.open()
hold = latch.take()
print("held", flush=True)
time.sleep(60)
"""


def opened(path: Path) -> Latch:
    latch = Latch(str(path))
    assert not latch.ready
    latch.open()
    assert latch.ready
    return latch


def test_R199_a_second_hold_is_refused_and_a_later_one_given(tmp_path: Path) -> None:
    latch = opened(tmp_path / "lock")
    for _ in range(2):
        with latch.take():
            with pytest.raises(MaildropInUse):
                latch.take()
            with pytest.raises(MaildropInUse):
                opened(tmp_path / "lock").take()
            with pytest.raises(MaildropInUse):
                Hold.take(str(tmp_path / "lock"))
    Hold.take(str(tmp_path / "lock")).release()


def test_R199_a_hold_of_another_process_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    latch = opened(path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        for _ in range(2):
            with pytest.raises(MaildropInUse):
                latch.take()
        holder.send_signal(signal.SIGKILL)
    latch.take().release()


def test_release_may_come_twice_and_from_another_thread(tmp_path: Path) -> None:
    latch = opened(tmp_path / "lock")
    first = latch.take()
    thread = threading.Thread(target=first.release)
    thread.start()
    thread.join()
    second = latch.take()
    first.release()
    with pytest.raises(MaildropInUse):
        latch.take()
    second.release()


def test_a_removed_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    latch = opened(path)
    latch.take().release()
    path.unlink()
    assert not latch.ready
    latch.open()
    with latch.take(), pytest.raises(MaildropInUse):
        Hold.take(str(path))


def test_one_of_many_threads_holds(tmp_path: Path) -> None:
    latch = opened(tmp_path / "lock")
    inside = counted = 0
    wrong: list[int] = []

    def work() -> None:
        nonlocal inside, counted
        for _ in range(300):
            try:
                with latch.take():
                    inside += 1
                    if inside != 1:
                        wrong.append(inside)
                    counted += 1
                    inside -= 1
            except MaildropInUse:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted
    assert not wrong


def test_opening_while_it_is_held_changes_nothing(tmp_path: Path) -> None:
    latch = opened(tmp_path / "lock")
    with latch.take():
        latch.open()
        with pytest.raises(MaildropInUse):
            Hold.take(str(tmp_path / "lock"))


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (tmp_path / "link", tmp_path / "none" / "lock", tmp_path):
        latch = Latch(str(path))
        with pytest.raises(Unavailable):
            latch.open()
        assert not latch.ready
    assert not (tmp_path / "elsewhere").exists()


def test_the_file_is_closed_with_its_account(tmp_path: Path) -> None:
    gc.collect()
    latch = opened(tmp_path / "lock")

    def open_files() -> set[str]:
        return {
            os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
        }

    assert str(tmp_path / "lock") in open_files()
    del latch
    gc.collect()
    assert str(tmp_path / "lock") not in open_files()
