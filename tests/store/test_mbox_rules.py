"""mbox files beside other programs, rule by rule where test_mbox.py has nothing of it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.message.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, is_system
from maa.store import mbox_file
from maa.store.locks import Locks
from maa.store.mailbox import Mailbox
from maa.store.maildir import Maildir
from maa.store.mbox_notes import flags_of
from maa.store.snapshot import KEYWORDS_MAX, StoreMode
from tests.store.mboxes import Mboxes, append, entry, texts


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Mboxes]:
    boxes = Mboxes(tmp_path)
    yield boxes
    boxes.close()


def change(boxes: Mboxes, old: bytes, new: bytes) -> None:
    """What another mail program does: lock, and write everything anew in the same file."""
    with open(boxes.path(), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        data = file.read()
        assert data.count(old) == 1
        file.seek(0)
        file.write(data.replace(old, new))
        file.truncate()


def lock_is_free(path: Path) -> bool:
    """Whether another process could write."""
    code = "import fcntl,sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True)
    return done.returncode == 0


# --- R231


def test_R231_what_comes_while_the_lock_is_waited_for_is_read_too(boxes: Mboxes) -> None:
    boxes.deliver(1)
    boxes.locks = Locks(("flock",), seconds=10.0)  # fcntl's would be this process's, maa's too
    mailbox = boxes.mailbox()
    with open(boxes.path(), "ab") as mda:
        fcntl.flock(mda, fcntl.LOCK_EX)
        mda.write(entry(2)[:30])
        mda.flush()
        syncing = threading.Thread(target=mailbox.sync, args=(True,))
        syncing.start()
        time.sleep(0.1)
        assert len(mailbox.snapshot.uids) == 1
        mda.write(entry(2)[30:] + entry(3))
    syncing.join(10)
    assert list(texts(mailbox)) == [1, 2, 3]


@pytest.mark.parametrize("end", [-1, -2])
def test_R231_a_message_without_its_last_line_end_stays_itself(boxes: Mboxes, end: int) -> None:
    append(boxes.path(), entry(1)[:end])
    mailbox = boxes.mailbox()
    before = texts(mailbox)
    append(boxes.path(), b"\n" * -end + entry(2))
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [1, 2]
    assert {1: texts(mailbox)[1]} == before == {1: b"Subject: 1\r\n\r\nbody\r\n"}


# --- R232


def test_R232_looking_at_the_file_elsewhere_in_the_process_gives_no_lock_away(
    boxes: Mboxes,
) -> None:
    boxes.deliver(1)
    maildrop = boxes.maildrop()
    with maildrop._file.opened(write=True):
        assert not lock_is_free(boxes.path())
        boxes.path().read_bytes()
        texts(boxes.mailbox("Other"))
        assert not lock_is_free(boxes.path())
    assert lock_is_free(boxes.path())


def test_R232_a_large_file_is_read_before_it_is_locked(
    boxes: Mboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a delivery waits for is only what came since: here that is counted."""
    monkeypatch.setattr(mbox_file, "AHEAD_OCTETS", 1000)
    for number in range(100):
        boxes.deliver(number)
    maildrop = boxes.maildrop()
    locked: list[int] = []
    table = maildrop._file.table
    catch_up = table.catch_up

    def counted(descriptor: int, whole: bool = True) -> bool:
        before = len(table.places)
        changed = catch_up(descriptor, whole)
        if whole:
            locked.append(len(table.places) - before)
        return changed

    monkeypatch.setattr(table, "catch_up", counted)
    assert len(maildrop.scan().places) == 100
    assert locked == [1]


def test_R232_deliveries_and_rewriting_while_a_large_file_is_read_lose_nothing(
    boxes: Mboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mbox_file, "AHEAD_OCTETS", 1000)
    boxes.locks = Locks(("flock",), seconds=20.0)
    for number in range(300):
        boxes.deliver(number, b"x\n" * number)
    over = threading.Event()
    added: list[int] = []

    def others() -> None:
        number = 1000
        while not over.is_set():
            number += 1
            with open(boxes.path(), "ab") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(entry(number))
            added.append(number)
            change(boxes, b"Subject: %d\n" % number, b"Subject: %d\nStatus: RO\n" % number)
            time.sleep(0.002)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        for _ in range(5):
            for table in (boxes.root / "state/mbox").glob("*.table"):
                table.unlink()
            maildrop = boxes.maildrop()
            seen = {place.partition(b":")[0] for place in maildrop.scan().places}
            assert len(seen) >= 300
    finally:
        over.set()
        thread.join()
    found = sorted(int(text[9:].split(b"\r")[0]) for text in texts(boxes.mailbox()).values())
    assert found == [*range(300), *added]


# --- R236 and R237: notes of other programs


def test_R237_every_flag_that_another_program_sets_or_takes_away(boxes: Mboxes) -> None:
    boxes.deliver(1)
    mailbox = boxes.mailbox()
    mailbox.store([1], StoreMode.ADD, frozenset({"Mine"}))
    change(boxes, b"Subject: 1\n", b"Subject: 1\nStatus: RO\nX-Status: AFDT\n")
    mailbox.sync()
    every = {SEEN, ANSWERED, FLAGGED, DELETED, DRAFT, "Mine"}
    assert mailbox.snapshot.flags(0) == every
    change(boxes, b"Status: RO\nX-Status: AFDT\n", b"Status: O\nX-Status: F\n")
    mailbox.sync()
    assert mailbox.snapshot.flags(0) == {FLAGGED, "Mine"}
    assert list(mailbox.snapshot.uids) == [1]


def test_R237_keywords_that_another_program_sets_or_takes_away(boxes: Mboxes) -> None:
    boxes.deliver(1)
    boxes.deliver(2)
    mailbox = boxes.mailbox()
    mailbox.store([1], StoreMode.ADD, frozenset({"Mine"}))
    # As Dovecot writes them, with room for more; and as UW's programs do, folded.
    change(boxes, b"Subject: 1\n", b"Subject: 1\nX-Keywords: $Junk work mine" + b" " * 40 + b"\n")
    change(boxes, b"Subject: 2\n", b"Subject: 2\nX-Keywords: a\n\tb \\Seen (c) \xff\n")
    mailbox.sync()
    assert mailbox.snapshot.flags(0) == {"$Junk", "work", "Mine"}
    assert mailbox.snapshot.flags(1) == {"a", "b"}
    change(boxes, b"$Junk work mine ", b"WORK ")
    mailbox.sync()
    assert mailbox.snapshot.flags(0) == {"work"}
    assert list(boxes.reopened().mailbox().snapshot.uids) == [1, 2]


def test_R236_keywords_of_new_mail_are_its_senders_even_after_others_changed_some(
    boxes: Mboxes,
) -> None:
    boxes.deliver(1, header=b"X-Keywords: NonJunk $Phishing\n")
    mailbox = boxes.mailbox()
    assert mailbox.snapshot.flags(0) == frozenset()
    change(boxes, b"NonJunk $Phishing", b"NonJunk $Phishing read-later")
    mailbox.sync()
    assert mailbox.snapshot.flags(0) == {"read-later"}
    assert texts(mailbox) == {1: b"Subject: 1\r\n\r\nbody\r\n"}


def test_R236_the_same_of_a_message_that_comes_while_the_mailbox_is_open(boxes: Mboxes) -> None:
    mailbox = boxes.mailbox()
    header = b"Status: RO\nX-Status: F\nX-Keywords: a\nX-UID: 7\nX-IMAPbase: 3 9 a\n"
    boxes.deliver(1, header=header)
    boxes.deliver(2, header=header)
    mailbox.sync()
    assert [mailbox.snapshot.flags(p) for p in (0, 1)] == [frozenset(), frozenset()]
    assert list(mailbox.snapshot.uids) == [1, 2]
    assert mailbox.sizes([1, 2]) == [20, 20]


def test_another_program_can_make_no_more_keywords_than_there_may_be(boxes: Mboxes) -> None:
    for number in range(30):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    for number in range(30):
        words = b" ".join(b"k%d" % n for n in range(number * 50, number * 50 + 50))
        change(boxes, b"Subject: %d\n" % number, b"Subject: %d\nX-Keywords: %s\n" % (number, words))
    change(boxes, b"Subject: 29\n", b"Subject: 29\nStatus: RO\n")
    mailbox.sync()
    sets = {frozenset(mailbox.snapshot.flags(p)) for p in range(30)}
    keywords = {flag for flags in sets for flag in flags if not is_system(flag)}
    assert 900 < len(keywords) <= KEYWORDS_MAX
    assert SEEN in mailbox.snapshot.flags(29)


def test_what_is_appended_shows_its_flags_and_keywords_to_other_programs(boxes: Mboxes) -> None:
    mailbox = boxes.mailbox()
    incoming = mailbox.incoming()
    incoming.write(b"Subject: x\r\nX-Keywords: forged\r\n\r\nx\r\n")
    incoming.commit(frozenset({SEEN, FLAGGED, "work", "$Junk"}))
    data = boxes.path().read_bytes()
    assert b"Status: RO\nX-Status: F\nX-Keywords: $Junk work\n\nx\n" in data
    assert b"forged" not in data
    again = boxes.reopened().mailbox()
    assert again.snapshot.flags(0) == {SEEN, FLAGGED, "work", "$Junk"}
    change(boxes, b"X-Keywords: $Junk work", b"X-Keywords: $Junk")
    again.sync()
    assert again.snapshot.flags(0) == {SEEN, FLAGGED, "$Junk"}


def test_notes_mean_flags() -> None:
    assert flags_of(b"") == flags_of(b"XZ") == frozenset()
    assert flags_of(b"ADFRT") == {SEEN, ANSWERED, FLAGGED, DELETED, DRAFT}
    assert flags_of(b"R a $b") == {SEEN, "a", "$b"}


# --- R238: order


def rewritten(boxes: Mboxes, *numbers: int) -> None:
    boxes.path().write_bytes(b"".join(map(entry, numbers)))


def subjects(boxes: Mboxes) -> list[bytes]:
    return [text[9:10] for text in texts(boxes.mailbox()).values()]


@pytest.mark.parametrize("reopened", [False, True])
def test_R238_a_rearranged_file_has_ascending_uids_and_keeps_flags(
    boxes: Mboxes, reopened: bool
) -> None:
    for number in range(1, 6):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    before = texts(mailbox)
    mailbox.store([3], StoreMode.ADD, frozenset({FLAGGED, "work"}))
    if reopened:
        boxes = boxes.reopened()
        mailbox = boxes.mailbox()
    rewritten(boxes, 1, 2, 4, 3, 5, 6)
    mailbox.sync()
    # 1, 2 and 4 still ascend; what is behind them gets new UIDs, and only that.
    assert list(mailbox.snapshot.uids) == [1, 2, 4, 6, 7, 8]
    now = texts(mailbox)
    assert [text[9:10] for text in now.values()] == [b"1", b"2", b"4", b"3", b"5", b"6"]
    assert all(now[uid] == before[uid] for uid in (1, 2, 4))
    assert mailbox.snapshot.flags(3) == {FLAGGED, "work"}
    assert mailbox.snapshot.flags(4) == frozenset()
    mailbox.sync(whole=True)
    assert list(mailbox.snapshot.uids) == [1, 2, 4, 6, 7, 8]
    assert list(boxes.reopened().mailbox().snapshot.uids) == [1, 2, 4, 6, 7, 8]


@pytest.mark.parametrize("ahead_octets", [100, 1 << 20])
def test_R238_rearranged_with_some_removed_and_some_new(
    boxes: Mboxes, monkeypatch: pytest.MonkeyPatch, ahead_octets: int
) -> None:
    monkeypatch.setattr(mbox_file, "AHEAD_OCTETS", ahead_octets)
    for number in range(1, 7):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    rewritten(boxes, 1, 3, 2, 7, 6, 8)
    mailbox.sync()
    found = {uid: text[9:10] for uid, text in texts(mailbox).items()}
    assert found == {1: b"1", 3: b"3", 7: b"2", 8: b"7", 9: b"6", 10: b"8"}
    boxes.deliver(9)
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [1, 3, 7, 8, 9, 10, 11]


def test_R238_one_moved_to_the_end_is_the_only_one_that_changes(boxes: Mboxes) -> None:
    for number in range(1, 6):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    boxes.path().write_bytes(
        b"".join(map(entry, (1, 3, 4, 5)))
        + entry(2).replace(b"Subject: 2\n", b"Subject: 2\nStatus: RO\nX-Status: F\n")
    )
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [1, 3, 4, 5, 6]
    assert mailbox.snapshot.flags(4) == {SEEN, FLAGGED}


def test_R238_removed_and_new_ones_change_no_other_uid(boxes: Mboxes) -> None:
    for number in range(1, 6):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    rewritten(boxes, 2, 4, 5, 6)
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [2, 4, 5, 6]
    assert subjects(boxes) == [b"2", b"4", b"5", b"6"]


def test_R238_messages_that_are_alike_keep_their_uids(boxes: Mboxes) -> None:
    for _ in range(3):
        append(boxes.path(), entry(1) + entry(1) + entry(2))
        mailbox = boxes.mailbox()
    assert list(mailbox.snapshot.uids) == list(range(1, 10))
    assert list(boxes.reopened().mailbox().snapshot.uids) == list(range(1, 10))


def test_R238_alike_messages_and_reading_ahead(
    boxes: Mboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last message is read twice then, and must not be taken for one more."""
    monkeypatch.setattr(mbox_file, "AHEAD_OCTETS", 100)
    uids: list[int] = []
    for count in (3, 1, 4):
        append(boxes.path(), entry(1) * count)
        uids = list(boxes.mailbox().snapshot.uids)
    assert uids == list(range(1, 9))
    for table in (boxes.root / "state/mbox").glob("*.table"):
        table.unlink()
    assert list(boxes.reopened().mailbox().snapshot.uids) == uids


def test_a_delivery_between_the_commit_and_the_file_changes_no_uid(boxes: Mboxes) -> None:
    """An MDA was faster than an APPEND that has its UID: no client hears of it."""
    boxes.deliver(1)
    mailbox = boxes.mailbox()
    incoming = mailbox.incoming()
    incoming.write(b"Subject: 2\r\n\r\nx\r\n")
    settle = mailbox.maildrop.settle

    def late(places):  # type: ignore[no-untyped-def]
        boxes.deliver(3)
        return settle(places)

    mailbox.maildrop.settle = late  # type: ignore[method-assign]
    assert incoming.commit() == 2
    mailbox.maildrop.settle = settle  # type: ignore[method-assign]
    mailbox.sync()
    mailbox.sync(whole=True)
    assert {uid: text[9:10] for uid, text in texts(mailbox).items()} == {1: b"1", 2: b"2", 3: b"3"}
    assert list(boxes.reopened().mailbox().snapshot.uids) == [1, 2, 3]


def test_expunge_of_thousands_rewrites_the_file_once(
    boxes: Mboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(boxes.path(), b"".join(map(entry, range(2500))))
    mailbox = boxes.mailbox()
    inode = os.stat(boxes.path()).st_ino
    cuts: list[int] = []
    cut = mbox_file.MboxFile.cut

    def counted(file: mbox_file.MboxFile, descriptor: int, positions: list[int]) -> None:
        cuts.append(len(positions))
        cut(file, descriptor, positions)

    monkeypatch.setattr(mbox_file.MboxFile, "cut", counted)
    mailbox.remove(list(range(1, 2500, 2)))
    assert cuts == [1250]
    assert len(texts(mailbox)) == 1250
    assert os.stat(boxes.path()).st_ino == inode


def test_what_one_worker_knows_of_a_changed_file_the_other_need_not_read(
    boxes: Mboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(boxes.path(), b"".join(entry(n, b"x\n" * 2000) for n in range(1000)))
    one, other = boxes.maildrop(), boxes.maildrop()
    places = list(one.scan().places)
    assert list(other.scan().places) == places
    one.remove(places[100:200])
    octets = 0

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal octets
        data = pread(descriptor, length, offset)
        octets += len(data)
        return data

    pread = os.pread
    monkeypatch.setattr(os, "pread", counted)
    assert list(other.scan().places) == places[:100] + places[200:]
    assert octets < 1 << 20


@pytest.mark.parametrize("mbox_first", [True, False])
def test_mixed_set_ups_copy_and_move_both_ways(boxes: Mboxes, mbox_first: bool) -> None:
    path = boxes.root / "Maildir"
    Maildir.create(str(path))
    row = boxes.ledger.index.create_mailbox("Maildir")
    maildir = Mailbox(row, Maildir(str(path)), boxes.ledger)
    maildir.sync()
    mbox = boxes.mailbox()
    source, target = (mbox, maildir) if mbox_first else (maildir, mbox)
    text = b"Subject: x\r\n\r\none\r\n\r\nFrom a@b Thu Jan  1 10:00:00 2026\r\n>From me\r\n"
    for _ in range(3):
        incoming = source.incoming()
        incoming.write(text)
        incoming.commit(frozenset({SEEN, FLAGGED, "work"}), 1767254400)
    assert source.copy([1], target).targets == (1,)
    assert source.move([2], target).targets == (2,)
    assert list(source.snapshot.uids) == [1, 3]
    assert texts(target) == {1: text, 2: text}
    assert target.internal_dates([1, 2]) == [1767254400] * 2
    assert [target.snapshot.flags(p) for p in (0, 1)] == [{SEEN, FLAGGED, "work"}] * 2
    assert target.move([1, 2], source).targets == (4, 5)
    assert texts(source) == dict.fromkeys((1, 3, 4, 5), text)
