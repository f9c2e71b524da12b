"""Chores for mailboxes, and what happens where there are no hints."""

from __future__ import annotations

from pathlib import Path

import pytest

from maa.store.accounts import Accounts
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.transport.pokes import Chores, HintReader, synced, unwatched
from maa.user import User
from tests.transport.talk import HandLane


class Work:
    """Counts its runs; there is more to do for some time."""

    def __init__(self, rounds: int = 1) -> None:
        self.rounds = rounds
        self.done: list[str] = []

    def __call__(self, box: str) -> bool:
        self.done.append(box)
        self.rounds -= 1
        return self.rounds > 0


@pytest.fixture
def lane() -> HandLane:
    return HandLane()


def test_a_chore_waits_once_however_often_it_is_put(lane: HandLane) -> None:
    work = Work()
    chores = Chores[str](lane, work)
    box = "inbox"
    for _ in range(5):
        chores.put(box)
    lane.run()
    assert work.done == ["inbox"]


def test_a_chore_put_while_it_is_done_is_done_again(lane: HandLane) -> None:
    box, done = "inbox", []

    def work(found: str) -> bool:
        done.append(found)
        if len(done) == 1:
            chores.put(box)
        return False

    chores = Chores[str](lane, work)
    chores.put(box)
    lane.run()
    lane.run()
    assert done == [box, box]
    assert lane.jobs == []


def test_what_is_left_goes_behind_the_others(lane: HandLane) -> None:
    work = Work(rounds=3)
    chores = Chores[str](lane, work)
    first, second = "first", "second"
    chores.put(first)
    chores.put(second)
    while lane.run():
        pass
    assert work.done == [first, second, first, second]


def test_a_chore_may_begin_later(lane: HandLane) -> None:
    work, waiting = Work(rounds=2), []
    chores = Chores[str](lane, work, waiting.append)
    chores.put("inbox")
    chores.put("inbox")
    assert (len(waiting), lane.jobs) == (1, [])
    waiting.pop()()
    lane.run()
    # What is left waits no more.
    lane.run()
    assert work.done == ["inbox", "inbox"]
    assert waiting == lane.jobs == []


def test_a_chore_that_waits_is_done_before_the_end_and_once(lane: HandLane) -> None:
    work, waiting = Work(), []
    chores = Chores[str](lane, work, waiting.append)
    chores.put("inbox")
    chores.hurry()
    waiting.pop()()
    while lane.run():
        pass
    assert work.done == ["inbox"]


class Place:
    """An account in a directory."""

    def __init__(self, folder: Path) -> None:
        self.watcher = Watcher()
        mail = "maildir:{home}/Maildir"
        places = MailPlaces.parse(f"{folder}/{{user}}", mail, mail)
        self.accounts = Accounts(str(folder / "state"), places, self.watcher)
        self.inbox = folder / "joe/Maildir"

    def deliver(self) -> None:
        (self.inbox / "tmp/1").write_bytes(b"Subject: new\n\n")
        (self.inbox / "tmp/1").rename(self.inbox / "new/1")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_R246_a_mailbox_without_hints_is_looked_at_in_rounds(place: Place, lane: HandLane) -> None:
    place.watcher.close()
    mailbox = place.accounts.open(User("joe")).open("INBOX")
    told: list[str] = []
    mailbox.listen(lambda: told.append("new"))
    assert unwatched(place.accounts.listened()) == [mailbox]
    place.deliver()
    chores = Chores(lane, synced)
    chores.put(mailbox)
    assert lane.run() == 1
    assert told == ["new"]
    assert len(mailbox.snapshot.uids) == 1
    # It can never be called fresh, and yet is not read again and again.
    assert lane.jobs == []


def test_a_mailbox_nobody_waits_for_is_left_alone(place: Place) -> None:
    mailbox = place.accounts.open(User("joe")).open("INBOX")
    assert place.accounts.listened() == []
    mailbox.listen(lambda: None)
    assert place.accounts.listened() == [mailbox]
    assert unwatched(place.accounts.listened()) == []


def test_hints_are_drained_when_the_queue_can_be_read(place: Place, lane: HandLane) -> None:
    mailbox = place.accounts.open(User("joe")).open("INBOX")
    mailbox.sync()
    mailbox.listen(lambda: None)
    stale = []
    type(mailbox).on_stale = stale.append
    try:
        place.deliver()
        HintReader(place.watcher).doRead()
        assert stale == [mailbox]
    finally:
        type(mailbox).on_stale = None
