"""The exclusive hold on a maildrop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from maa.store.errors import LockTimeout, MaildropInUse, Unavailable
from maa.store.hold import Hold

HOLDER = """
import sys, time
from maa.store.hold import Hold
hold = Hold.take(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_R199_a_second_hold_is_refused_in_the_same_process(tmp_path: Path) -> None:
    path = str(tmp_path / "pop3.lock")
    with Hold.take(path), pytest.raises(MaildropInUse):
        Hold.take(path)
    Hold.take(path).release()


def test_R199_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "pop3.lock")
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(MaildropInUse):
            Hold.take(path)
        holder.send_signal(signal.SIGKILL)
    Hold.take(path).release()


def test_release_may_come_twice(tmp_path: Path) -> None:
    hold = Hold.take(str(tmp_path / "lock"))
    hold.release()
    # The number may belong to another file by now, which must stay open.
    descriptor = os.open(tmp_path, os.O_RDONLY)
    hold.release()
    os.fstat(descriptor)
    os.close(descriptor)


def test_the_lock_file_is_private(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with Hold.take(str(path)):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_symlink_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable):
        Hold.take(str(tmp_path / "lock"))
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_locked_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        Hold.take(str(tmp_path / "missing" / "lock"))


def test_waiting_ends_when_the_hold_is_given_back(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    order: list[str] = []
    first = Hold.take(path)

    def second() -> None:
        with Hold.wait(path):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    order.append("first")
    first.release()
    thread.join(10)
    assert order == ["first", "second"]


def test_waiting_has_an_end_whoever_holds_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with Hold.take(path), pytest.raises(LockTimeout):
        Hold.wait(path, seconds=0.05)
    Hold.wait(path, seconds=0.05).release()
