"""When a message of an mbox is verified as it is read, and when times are enough (R078)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from maa.store.errors import MessageGone
from maa.store.mbox_table import Seen, Table
from store.mboxes import Mboxes, entry


def read_by(table: Table, path: Path) -> bool:
    """Whether the table, brought up to the file, needs no proof by digests."""
    with open(path, "rb") as file:
        table.catch_up(file.fileno())
        assert Seen.of(file.fileno()) == table.seen
    return table.proven


def settled(path: Path) -> None:
    os.utime(path)
    time.sleep(0.15)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "spool"
    found.write_bytes(entry(1) + entry(2))
    return found


def test_R078_a_file_that_just_changed_may_change_again_unseen(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    assert not read_by(Table(str(path) + ".table", False), path)


def test_R078_a_file_that_was_left_alone_proves_itself_until_it_changes(path: Path) -> None:
    settled(path)
    table = Table(str(path) + ".table", False)
    assert read_by(table, path)
    times = os.stat(path)
    with open(path, "r+b") as file:  # and puts the time back: the time of change tells
        file.seek(path.read_bytes().index(b"Subject: 1"))
        file.write(b"Subject: X")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with open(path, "rb") as file:
        assert Seen.of(file.fileno()) != table.seen
    settled(path)
    with open(path, "ab") as file:
        file.write(entry(3))
    assert not read_by(table, path)  # it grew: what was there was not looked at again


def test_R078_times_of_whole_seconds_prove_only_after_two(path: Path) -> None:
    now = time.time_ns()
    second = 10**9
    coarse = Seen(os.stat(path).st_dev, 1, 1, 0, (now // second - 1) * second)
    assert not coarse.is_settled()
    assert Seen(coarse.device, 1, 1, 0, now - second + 1).is_settled()
    assert Seen(coarse.device, 1, 1, 0, (now // second - 4) * second).is_settled()


def test_R078_what_was_remembered_on_disk_proves_nothing(path: Path) -> None:
    settled(path)
    saved = str(path) + ".table"
    table = Table(saved, False)
    assert read_by(table, path)
    table.save()
    assert not read_by(Table(saved, False), path)


def test_R078_a_file_read_ahead_proves_itself_if_it_stayed_as_it_was(path: Path) -> None:
    settled(path)
    table = Table(str(path) + ".table", False)
    with open(path, "rb") as file:
        table.read_ahead(file.fileno())
        assert not table.proven
    assert read_by(table, path)


def test_R078_of_a_proven_file_a_message_that_left_is_gone(tmp_path: Path) -> None:

    boxes = Mboxes(tmp_path)
    try:
        for number in range(1, 4):
            boxes.deliver(number)
        settled(boxes.path())
        mailbox = boxes.mailbox()
        ((_, wire),) = mailbox.read([2])
        assert not isinstance(wire, Exception)
        wire.close()
        data = boxes.path().read_bytes()
        boxes.path().write_bytes(data.replace(b"Subject: 2\n", b"Subject: X\n"))
        ((_, answer),) = mailbox.read([2])
        assert isinstance(answer, MessageGone)
    finally:
        boxes.close()
