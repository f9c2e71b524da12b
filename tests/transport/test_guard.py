"""The guard itself: a net with holes proves nothing."""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.transport.guard import reactor_thread


def _sqlite(directory: Path) -> None:
    with sqlite3.connect(directory / "x.db") as database:
        database.execute("select 1")


def _connect(directory: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client, pytest.raises(OSError, match="No such"):
        client.connect(str(directory / "nobody"))


BLOCKING: list[Callable[[Path], object]] = [
    lambda directory: (directory / "x").write_bytes(b""),
    lambda directory: os.listdir(directory),
    lambda directory: list(os.scandir(directory)),
    lambda directory: os.stat(directory),
    lambda directory: os.close(os.open(directory, os.O_RDONLY)),
    lambda directory: os.mkdir(directory / "d"),
    _sqlite,
    _connect,
]


@pytest.mark.parametrize("what", BLOCKING)
def test_what_may_block_is_seen(what: Callable[[Path], object], tmp_path: Path) -> None:
    with reactor_thread() as found:
        what(tmp_path)
    assert found


def test_an_open_database_is_seen(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "x.db")
    with reactor_thread() as found:
        database.execute("select 1")
    assert found


def test_work_of_other_threads_is_not_meant(tmp_path: Path) -> None:
    begin, done = threading.Event(), threading.Event()

    def work() -> None:
        begin.wait()
        os.listdir(tmp_path)
        done.set()

    other = threading.Thread(target=work)
    other.start()
    with reactor_thread() as found:
        begin.set()
        done.wait()
    other.join()
    assert found == []


def test_plain_computation_is_not_meant() -> None:
    with reactor_thread() as found:
        sorted(b"".join([b"x", b"y"]))
        with threading.Lock():
            pass
    assert found == []
