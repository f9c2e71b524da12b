"""A Maildir in which everything happens at once, or goes wrong (R239-R246, L-23, L-27)."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.message.flags import DELETED, FLAGGED, SEEN
from maa.store import maildir as maildirs
from maa.store import remote
from maa.store.errors import MessageGone, Unavailable
from maa.store.mailbox import Mailbox
from maa.store.maildir import Maildir
from maa.store.snapshot import StoreMode
from maa.store.watch import Watcher

from .boxes import Boxes, tidied

OLD = (1_000_000_000, 1_000_000_000)


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    boxes = Boxes(tmp_path)
    yield boxes
    boxes.ledger.close()


def text(mailbox: Mailbox, uid: int) -> bytes:
    ((_, wire),) = mailbox.read([uid])
    assert not isinstance(wire, Exception), wire
    try:
        return b"".join(wire.chunks())
    finally:
        wire.close()


def bodies(mailbox: Mailbox) -> list[bytes]:
    return [text(mailbox, uid) for uid in mailbox.snapshot.uids]


# --- R239: renames that fail


def test_R239_where_nothing_can_be_renamed_mail_is_served_and_flags_are_kept(
    boxes: Boxes,
) -> None:
    box = boxes.mailbox()
    cur = boxes.root / "INBOX" / "cur"
    cur.rmdir()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        assert os.stat(elsewhere).st_dev != boxes.root.stat().st_dev
        cur.symlink_to(elsewhere)  # no rename gets there
        boxes.deliver("1.M1.host")
        box.sync()
        box.store([1], StoreMode.ADD, frozenset({FLAGGED}))
        tidied(box)
        assert boxes.files() == {"new/1.M1.host"}
        assert box.snapshot.flags(0) == {FLAGGED}
        assert text(box, 1) == b"Subject: x\r\n\r\nbody\r\n"
        boxes = boxes.reopened()
        again = boxes.mailbox()
        assert list(again.snapshot.uids) == [1] and again.snapshot.flags(0) == {FLAGGED}
    cur.unlink()
    cur.mkdir()
    again.store([1], StoreMode.ADD, frozenset({SEEN}))
    tidied(again)
    assert boxes.files() == {"cur/1.M1.host:2,FS"}
    boxes.ledger.close()


# --- R240: scans and times


def test_R240_a_directory_that_changed_just_now_is_looked_at_again(boxes: Boxes) -> None:
    box = boxes.mailbox()
    boxes.watcher.close()
    boxes.deliver("1.M1.host")
    box.sync()
    new = boxes.root / "INBOX" / "new"
    times = new.stat()
    boxes.deliver("2.M1.host")
    # As where times have whole seconds only.
    os.utime(new, ns=(times.st_atime_ns, times.st_mtime_ns))
    box.sync()
    assert list(box.snapshot.uids) == [1, 2]


def test_R240_messages_renamed_all_the_time_keep_their_uids(boxes: Boxes) -> None:
    """A scan may pass over a file while another program renames it; nothing is expunged for it."""
    box = boxes.mailbox()
    for number in range(300):
        boxes.deliver(f"{number}.M1.host")
    box.sync()
    tidied(box)
    cur = boxes.root / "INBOX" / "cur"
    over = threading.Event()

    def rename() -> None:
        letters = ["", "F", "FS", "FRS", "S", "a"]
        turn = 0
        while not over.is_set():
            before, after = letters[turn % 6], letters[(turn + 1) % 6]
            turn += 1
            for number in range(300):
                (cur / f"{number}.M1.host:2,{before}").rename(cur / f"{number}.M1.host:2,{after}")

    # Hundreds of names in one directory; on the reader's side only the outcome counts.
    renaming = threading.Thread(target=rename)
    renaming.start()
    try:
        for _ in range(60):
            box.sync(whole=True)
            assert list(box.snapshot.uids) == list(range(1, 301))
    finally:
        over.set()
        renaming.join()
    box.sync(whole=True)
    assert list(box.snapshot.uids) == list(range(1, 301))
    assert all(body == b"Subject: x\r\n\r\nbody\r\n" for body in bodies(box))


def test_R240_a_message_really_gone_is_gone_after_two_scans(boxes: Boxes) -> None:
    box = boxes.mailbox()
    boxes.deliver("1.M1.host").unlink()
    path = boxes.deliver("2.M1.host")
    box.sync()
    path.unlink()
    box.sync()
    assert list(box.snapshot.uids) == []


# --- R241: letters of others


def test_R241_another_programs_letters_and_fields_outlive_ours(boxes: Boxes) -> None:
    path = boxes.root / "INBOX"
    box = boxes.mailbox()
    (path / "cur" / "1.M1.host,S=5,U=7:2,QSa,tag").write_bytes(b"x\n\ny\n")
    box.sync()
    assert box.snapshot.flags(0) == {SEEN}
    box.store([1], StoreMode.ADD, frozenset({FLAGGED, DELETED}))
    box.store([1], StoreMode.REMOVE, frozenset({SEEN}))
    tidied(box)
    assert boxes.files() == {"cur/1.M1.host,S=5,U=7:2,FQTa,tag"}


# --- R242: sizes in names


def test_R242_a_size_in_the_name_is_not_believed(boxes: Boxes) -> None:
    box = boxes.mailbox()
    boxes.deliver("1.M1.host,S=1,W=2", b"Subject: x\n\nlonger than the name says\n")
    boxes.deliver("2.M1.host,S=99999999999999999999,W=-4", b"a: b\n\nc\n")
    box.sync()
    tidied(box)
    sizes = box.sizes([1, 2])
    assert sizes == [len(body) for body in bodies(box)]
    assert boxes.files() == {
        "cur/1.M1.host,S=1,W=2:2,",
        "cur/2.M1.host,S=99999999999999999999,W=-4:2,",
    }


# --- R243 is in test_maildir and test_leftovers


def test_R243_a_message_on_its_way_in_tmp_is_none(boxes: Boxes) -> None:
    box = boxes.mailbox()
    (boxes.root / "INBOX" / "tmp" / "1.M1.host").write_bytes(b"half a mess")
    box.sync(whole=True)
    assert len(box.snapshot) == 0
    assert boxes.files() == {"tmp/1.M1.host"}


# --- R244: one name twice


def test_R244_a_hard_link_is_one_message(boxes: Boxes) -> None:
    """As a program leaves it that was killed between link(2) and unlink(2)."""
    box = boxes.mailbox()
    path = boxes.deliver("1.M1.host")
    box.sync()
    tidied(box)
    os.link(boxes.root / "INBOX" / "cur" / "1.M1.host:2,", path)
    box.sync(whole=True)
    assert list(box.snapshot.uids) == [1]
    assert boxes.files() == {"cur/1.M1.host:2,", "new/1.M1.host"}


def test_R244_a_message_seen_twice_in_a_rename_keeps_its_name(tmp_path: Path) -> None:
    Maildir.create(str(tmp_path))
    maildir = Maildir(str(tmp_path))
    (tmp_path / "cur" / "1.a:2,S").write_bytes(b"x")
    with pytest.raises(MessageGone):
        maildir.renamed_apart(b"cur/1.a:2,S", b"new/1.a")
    with pytest.raises(MessageGone):
        maildir.renamed_apart(b"new/1.a", b"cur/1.a:2,S")
    assert os.listdir(tmp_path / "cur") == ["1.a:2,S"]
    (tmp_path / "new" / "1.a").write_bytes(b"y")
    assert maildir.renamed_apart(b"new/1.a", b"cur/1.a:2,S").startswith(b"new/")
    assert os.listdir(tmp_path / "cur") == ["1.a:2,S"]


# --- R246: disks without hints


def test_R246_a_disk_shared_by_machines_is_looked_at_each_time(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on NFS: what another machine does there gives no hint here."""
    kind = remote._kind(boxes.root.stat().st_dev)
    assert kind
    monkeypatch.setattr(remote, "_SHARED", frozenset({kind}))
    box = boxes.mailbox()
    assert not box.watched
    for number in range(1, 4):
        boxes.deliver(f"{number}.M1.host")
        assert not box.fresh()
        box.sync()
        assert len(box.snapshot) == number
    tidied(box)
    path = boxes.root / "INBOX" / "cur"
    (path / "2.M1.host:2,").rename(path / "2.M1.host:2,S")
    (path / "3.M1.host:2,").unlink()
    box.sync()
    assert list(box.snapshot.uids) == [1, 2] and box.snapshot.flags(1) == {SEEN}


def test_R246_kinds_of_disks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = remote.file_systems(
        b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        b"90 22 0:51 / /home rw,relatime shared:7 master:1 - nfs4 nas:/home rw,vers=4.2\n"
        b"91 22 0:52 / /with\\040blank rw - fuse.sshfs a@b: rw\n"
        b"damaged\n"
    )
    assert found == {b"254:0": b"ext4", b"0:51": b"nfs4", b"0:52": b"fuse.sshfs"}
    assert not remote.is_remote(str(tmp_path))
    assert not remote.is_remote(str(tmp_path / "none"))
    remote._kind.cache_clear()
    monkeypatch.setattr(remote, "_MOUNTS", str(tmp_path / "none"))
    assert not remote.is_remote(str(tmp_path))
    remote._kind.cache_clear()
    assert Watcher().add(str(tmp_path), lambda name: None) is not None


# --- L-23: names that come again, files written in place


def test_L23_a_file_is_no_message_while_it_is_written(boxes: Boxes) -> None:
    box = boxes.mailbox()
    new = boxes.root / "INBOX" / "new"
    # procmail, told to deliver into `new` as into an MH folder: a draft, a link, then the text.
    (new / "_draft").write_bytes(b"")
    box.sync()
    os.link(new / "_draft", new / "msg.Ab1")
    (new / "_draft").unlink()
    box.sync()
    assert len(box.snapshot) == 0
    with open(new / "msg.Ab1", "ab") as file:
        file.write(b"Subject: half\n")
        file.flush()
        box.sync()
        assert len(box.snapshot) == 0
        file.write(b"\nwhole\n")
    assert not box.fresh()
    box.sync()
    assert bodies(box) == [b"Subject: half\r\n\r\nwhole\r\n"]
    # cp(1), into its place and under a name of a Maildir.
    with open(new / "2.M1.host", "wb") as file:
        file.write(b"Subject: copied\n")
        file.flush()
        box.sync()
        assert len(box.snapshot) == 1
        file.write(b"\nall\n")
    box.sync()
    assert bodies(box)[1] == b"Subject: copied\r\n\r\nall\r\n"


def test_R078_of_very_many_new_files_none_is_shown_half(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup is being put back while the mailbox is opened: nobody looks at each file first."""
    monkeypatch.setattr(maildirs, "_LOOKED_AT_MAX", 1)
    new = boxes.root / "INBOX" / "new"
    box = boxes.mailbox()
    boxes.deliver("1.M1.host")
    with open(new / "2.M1.host", "wb") as file:
        file.write(b"Subject: copied\n")
        file.flush()
        box.sync()
        assert len(box.snapshot) == 2
        whole, half = (dict(box.read([uid]))[uid] for uid in (1, 2))
        assert not isinstance(whole, Exception)
        whole.close()
        assert isinstance(half, Unavailable)
        assert box.sizes([2]) == [None]
        file.write(b"\nall\n")
    assert bodies(box)[1] == b"Subject: copied\r\n\r\nall\r\n"


def test_L23_to_ask_whether_somebody_writes_harms_nobody(tmp_path: Path) -> None:
    """The kernel tells us by a signal that somebody wants to write: it must not end us."""
    Maildir.create(str(tmp_path))
    maildir = Maildir(str(tmp_path))
    path = tmp_path / "new" / "1.M1.host"
    path.write_bytes(b"x")
    over = threading.Event()
    opened = 0

    def write() -> None:
        nonlocal opened
        while not over.is_set():
            with open(path, "ab"):
                opened += 1
            os.utime(path)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        answers = [bool(maildir.arrivals([b"new/1.M1.host"])) for _ in range(20_000)]
    finally:
        over.set()
        writing.join()
    assert opened > 100 and True in answers
    assert maildir.arrivals([b"new/1.M1.host"])


def test_L23_an_empty_file_that_nobody_writes_to_is_shown_at_last(boxes: Boxes) -> None:
    box = boxes.mailbox()
    new = boxes.root / "INBOX" / "new"
    (new / "msg.Ab1").write_bytes(b"")
    box.sync()
    assert len(box.snapshot) == 0
    os.utime(new / "msg.Ab1", OLD)
    boxes.deliver("2.M1.host")
    box.sync()
    assert len(box.snapshot) == 2


@pytest.mark.parametrize("reopened", [False, True])
def test_L23_a_name_used_again_is_another_message(
    boxes: Boxes, reopened: bool, caplog: pytest.LogCaptureFixture
) -> None:
    box = boxes.mailbox()
    path = boxes.root / "INBOX"
    (path / "new" / "msg.Ab1").write_bytes(b"Subject: first\n\n")
    os.utime(path / "new" / "msg.Ab1", OLD)
    box.sync()
    tidied(box)
    if reopened:
        boxes = boxes.reopened()
        box = boxes.mailbox()
    # Another program removes it, its inode is free, and the next delivery gets that.
    (path / "cur" / "msg.Ab1:2,").unlink()
    (path / "new" / "msg.Ab1").write_bytes(b"Subject: second\n\n")
    box.sync()
    assert list(box.snapshot.uids) == [2]
    assert bodies(box) == [b"Subject: second\r\n\r\n"]
    assert "the name of another message now" in caplog.text
    # Again, within the same second.
    tidied(box)
    written = (path / "cur" / "msg.Ab1:2,").stat().st_mtime_ns
    (path / "cur" / "msg.Ab1:2,").unlink()
    (path / "new" / "msg.Ab1").write_bytes(b"Subject: third\n\n")
    os.utime(path / "new" / "msg.Ab1", ns=(written + 1, written + 1))
    box.sync()
    assert list(box.snapshot.uids) == [3]
    assert bodies(box) == [b"Subject: third\r\n\r\n"]
    # Its own flags are no other message.
    tidied(box)
    (path / "cur" / "msg.Ab1:2,").rename(path / "cur" / "msg.Ab1:2,S")
    box.sync()
    assert list(box.snapshot.uids) == [3] and box.snapshot.flags(0) == {SEEN}


# --- very many, and gone


def test_a_huge_directory_is_listed_once(boxes: Boxes) -> None:
    box = boxes.mailbox()
    path = boxes.root / "INBOX"
    first = boxes.deliver("0.M1.host")
    count = 20_000
    for number in range(1, count):
        os.link(first, path / "cur" / f"{number}.M1.host:2,S")
    began = time.monotonic()
    box.sync()
    print(f"{count} messages taken in: {time.monotonic() - began:.2f} s")
    assert len(box.snapshot) == count
    assert list(box.snapshot.uids) == list(range(1, count + 1))
    tidied(box)
    # Only `new` need be listed for a delivery.
    whole, delivered = [], []
    for number in range(count, count + 5):
        began = time.monotonic()
        box.sync(whole=True)
        whole.append(time.monotonic() - began)
        boxes.deliver(f"{number}.M1.host")
        began = time.monotonic()
        box.sync()
        delivered.append(time.monotonic() - began)
        assert len(box.snapshot) == number + 1
        tidied(box)
    assert min(delivered) < min(whole) / 2


def test_a_file_that_vanishes_takes_only_itself_away(
    boxes: Boxes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    box = boxes.mailbox()
    paths = [boxes.deliver(f"{number}.M1.host") for number in (1, 2, 3)]
    box.sync()
    paths[1].unlink()
    found = dict(entry for uid in (1, 2, 3) for entry in box.read([uid]))
    assert isinstance(found[2], MessageGone)
    for uid in (1, 3):
        wire = found[uid]
        assert not isinstance(wire, Exception)
        wire.close()
    assert box.remove([2, 3]) == (3,) or list(box.snapshot.uids) == [1]
    assert list(box.snapshot.uids) == [1]


def test_R079_mail_that_vanishes_and_comes_back_is_new_mail(boxes: Boxes) -> None:
    box = boxes.mailbox()
    paths = [boxes.deliver(f"{number}.M1.host") for number in (1, 2)]
    box.sync()
    assert list(box.snapshot.uids) == [1, 2]
    data = paths[0].read_bytes()
    paths[0].unlink()
    box.sync()
    assert list(box.snapshot.uids) == [2]
    paths[0].write_bytes(data)
    os.utime(paths[0], OLD)
    box.sync(whole=True)
    assert list(box.snapshot.uids) == [2, 3]
