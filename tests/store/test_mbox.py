"""mbox files as mailboxes: reading, arrivals, removal, other programs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.message.flags import DELETED, FLAGGED, SEEN
from maa.store.errors import LockTimeout, MessageGone, Unavailable
from maa.store.locks import Locks
from maa.store.snapshot import StoreMode
from tests.store.mboxes import Mboxes, append, entry, rest, texts


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Mboxes]:
    boxes = Mboxes(tmp_path)
    yield boxes
    boxes.close()


def test_a_spool_file_that_is_not_there_is_empty(boxes: Mboxes) -> None:
    mailbox = boxes.mailbox()
    assert len(mailbox.snapshot.uids) == 0
    assert not boxes.path().exists()
    boxes.deliver(1)
    mailbox.sync()
    assert texts(mailbox) == {1: b"Subject: 1\r\n\r\nbody\r\n"}


def test_messages_have_uids_in_the_order_of_the_file(boxes: Mboxes) -> None:
    for number in (3, 1, 2):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    assert [text[:10] for text in texts(mailbox).values()] == [
        b"Subject: 3",
        b"Subject: 1",
        b"Subject: 2",
    ]


def test_R089_the_internal_date_is_that_of_the_from_line(boxes: Mboxes) -> None:
    append(boxes.path(), b"From a Thu Jan  1 10:00:00 2026 +0200\nSubject: x\n\nx\n\n")
    mailbox = boxes.mailbox()
    assert mailbox.internal_dates([1]) == [1767254400]


def test_R090_sizes_count_what_is_sent(boxes: Mboxes) -> None:
    boxes.deliver(1, header=b"Status: RO\nX-UID: 77\nContent-Length: 5\n")
    mailbox = boxes.mailbox()
    assert mailbox.sizes([1]) == [len(texts(mailbox)[1])] == [20]


def test_R236_a_sender_sets_no_flag_and_no_uid(boxes: Mboxes) -> None:
    header = b"Status: RO\nX-Status: AFDT\nX-UID: 900\nX-IMAPbase: 5 900 x\nX-Keywords: x\n"
    boxes.deliver(1, header=header)
    mailbox = boxes.mailbox()
    assert list(mailbox.snapshot.uids) == [1]
    assert mailbox.snapshot.flags(0) == frozenset()
    assert texts(mailbox)[1] == b"Subject: 1\r\n\r\nbody\r\n"


def test_R237_what_another_program_changes_in_status_counts(boxes: Mboxes) -> None:
    boxes.deliver(1, header=b"X-Status: F\n")
    boxes.deliver(2)
    mailbox = boxes.mailbox()
    mailbox.store([2], StoreMode.ADD, frozenset({FLAGGED}))
    data = boxes.path().read_bytes()
    boxes.path().write_bytes(
        data.replace(b"X-Status: F\n", b"X-Status: F\nStatus: RO\n").replace(
            b"Subject: 2\n", b"Subject: 2\nStatus: RO\n"
        )
    )
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [1, 2]
    assert mailbox.snapshot.flags(0) == {SEEN}
    assert mailbox.snapshot.flags(1) == {SEEN, FLAGGED}


def test_what_mutt_adds_to_headers_changes_no_message(boxes: Mboxes) -> None:
    boxes.deliver(1)
    mailbox = boxes.mailbox()
    before = texts(mailbox)
    data = boxes.path().read_bytes()
    added = b"\nStatus: RO\nContent-Length: 5\nLines: 1\n\nbody"
    boxes.path().write_bytes(data.replace(b"\n\nbody", added))
    mailbox.sync()
    assert texts(mailbox) == before


def test_R078_a_rewritten_message_is_another_one(boxes: Mboxes) -> None:
    boxes.deliver(1)
    mailbox = boxes.mailbox()
    boxes.path().write_bytes(boxes.path().read_bytes().replace(b"body", b"BODY"))
    mailbox.sync()
    assert texts(mailbox) == {2: b"Subject: 1\r\n\r\nBODY\r\n"}


def test_the_message_of_pine_is_no_mail(boxes: Mboxes) -> None:
    append(
        boxes.path(),
        b"From MAILER-DAEMON Thu Jan  1 10:00:00 2026\nSubject: DON'T DELETE THIS MESSAGE --"
        b" FOLDER INTERNAL DATA\nX-IMAP: 1767254400 0000000002\nStatus: RO\n\nThis text\n\n",
    )
    boxes.deliver(1)
    mailbox = boxes.mailbox()
    assert texts(mailbox) == {1: b"Subject: 1\r\n\r\nbody\r\n"}
    mailbox.remove([1])
    assert boxes.path().read_bytes().endswith(b"This text\n\n")


def test_a_file_that_is_no_mbox_is_refused_and_not_touched(boxes: Mboxes) -> None:
    boxes.path().write_bytes(b"not a mailbox\n")
    with pytest.raises(Unavailable):
        boxes.mailbox()
    assert boxes.path().read_bytes() == b"not a mailbox\n"


def test_what_is_no_regular_file_is_not_opened(boxes: Mboxes) -> None:
    boxes.path("other").write_bytes(entry(1))
    boxes.path().symlink_to(boxes.path("other"))
    with pytest.raises(Unavailable):
        boxes.mailbox()
    boxes.path().unlink()
    os.mkfifo(boxes.path())
    with pytest.raises(Unavailable):
        boxes.mailbox()


APPENDED = (
    b"From: Ann <ann@example.org>\r\nSubject: x\r\nStatus: RO\r\n\r\n"
    b"one\r\n\r\nFrom the start\r\n\r\nFrom a@b Thu Jan  1 10:00:00 2026\r\nlast"
)
SHOWN = APPENDED.replace(b"Status: RO\r\n", b"") + b"\r\n"


def test_an_append_is_read_back_and_other_programs_find_their_form(boxes: Mboxes) -> None:
    append(boxes.path(), entry(1)[:-1])  # an MDA which wrote no empty line
    mailbox = boxes.mailbox()
    incoming = mailbox.incoming()
    incoming.write(APPENDED)
    uid = incoming.commit(frozenset({FLAGGED, SEEN}), 1767254400)
    assert texts(mailbox)[uid] == SHOWN
    assert mailbox.sizes([uid]) == [len(SHOWN)]
    assert mailbox.internal_dates([uid]) == [1767254400]
    data = boxes.path().read_bytes()
    assert b"\n\nFrom ann@example.org " in data
    assert b"Status: RO\nX-Status: F\nContent-Length: " in data
    assert b"\r" not in data
    assert data.endswith(b"last\n\n")
    boxes.deliver(3)
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [1, 2, 3]
    again = boxes.reopened().mailbox()
    assert list(again.snapshot.uids) == [1, 2, 3]
    assert again.snapshot.flags(1) == {FLAGGED, SEEN}
    assert texts(again)[uid] == SHOWN
    assert rest(boxes.path()) == []


def test_append_makes_the_spool_file(boxes: Mboxes) -> None:
    mailbox = boxes.mailbox()
    incoming = mailbox.incoming()
    incoming.write(b"Subject: x\r\n\r\nx\r\n")
    assert incoming.commit() == 1
    assert boxes.path().stat().st_mode & 0o777 == 0o600
    assert texts(mailbox) == {1: b"Subject: x\r\n\r\nx\r\n"}


def test_R234_expunge_leaves_the_inode_and_all_others(boxes: Mboxes) -> None:
    for number in range(20):
        boxes.deliver(number, b"%d\n" % number * 100)
    mailbox = boxes.mailbox()
    before = texts(mailbox)
    inode = boxes.path().stat().st_ino
    mailbox.store([2, 3, 9, 20], StoreMode.ADD, frozenset({DELETED}))
    assert mailbox.expunge() == (2, 3, 9, 20)
    kept = [uid for uid in range(1, 21) if uid not in (2, 3, 9, 20)]
    assert texts(mailbox) == {uid: before[uid] for uid in kept}
    assert boxes.path().stat().st_ino == inode
    entries = [entry(uid - 1, b"%d\n" % (uid - 1) * 100) for uid in kept]
    assert boxes.path().read_bytes() == b"".join(entries)
    assert texts(boxes.reopened().mailbox()) == {uid: before[uid] for uid in kept}
    assert [
        name
        for name in os.listdir(boxes.root / "state/mbox")
        if not name.endswith(("table", "path"))
    ] == []


def test_R235_the_shell_goes_on_seeing_new_mail(boxes: Mboxes) -> None:
    for number in range(3):
        boxes.deliver(number)
    os.utime(boxes.path(), (1_700_000_000, 1_700_000_100))
    mailbox = boxes.mailbox()
    texts(mailbox)
    mailbox.remove([2])
    found = boxes.path().stat()
    assert (found.st_atime, found.st_mtime) == (1_700_000_000, 1_700_000_100)


def test_R235_what_a_client_appends_is_no_new_mail(boxes: Mboxes) -> None:
    boxes.deliver(1)
    os.utime(boxes.path(), (1_700_000_100, 1_700_000_000))
    incoming = boxes.mailbox().incoming()
    incoming.write(b"Subject: x\r\n\r\nx\r\n")
    incoming.commit()
    found = boxes.path().stat()
    assert found.st_atime >= found.st_mtime > 1_700_000_100


def test_copies_and_moves_between_mboxes(boxes: Mboxes) -> None:
    for number in range(4):
        boxes.deliver(number)
    boxes.path("Other").touch()
    inbox, other = boxes.mailbox(), boxes.mailbox("Other")
    before = texts(inbox)
    inbox.store([2], StoreMode.ADD, frozenset({FLAGGED}))
    assert inbox.copy([2, 3], other).targets == (1, 2)
    assert inbox.copy([2, 2], inbox).targets == (5, 6)
    assert inbox.move([4], other).targets == (3,)
    assert list(texts(other).values()) == [before[2], before[3], before[4]]
    assert other.snapshot.flags(0) == {FLAGGED}
    assert list(inbox.snapshot.uids) == [1, 2, 3, 5, 6]
    assert texts(inbox)[5] == texts(inbox)[6] == before[2]
    again = boxes.reopened()
    assert list(again.mailbox().snapshot.uids) == [1, 2, 3, 5, 6]
    assert list(again.mailbox("Other").snapshot.uids) == [1, 2, 3]


def test_a_delivery_reads_only_what_is_new(boxes: Mboxes, monkeypatch: pytest.MonkeyPatch) -> None:
    append(boxes.path(), b"".join(entry(n, b"line\n" * 1000) for n in range(2000)))
    mailbox = boxes.mailbox()
    octets = 0

    def counted(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal octets
        data = pread(descriptor, length, offset)
        octets += len(data)
        return data

    pread = os.pread
    monkeypatch.setattr(os, "pread", counted)
    boxes.deliver(2001)
    mailbox.sync()
    assert len(mailbox.snapshot.uids) == 2001
    assert octets < boxes.path().stat().st_size / 10


def test_R078_what_is_not_the_same_any_more_is_never_served(boxes: Mboxes) -> None:
    """Another program changes a message in place, with the same length, and mail comes too."""
    append(boxes.path(), b"".join(map(entry, range(1000))))
    mailbox = boxes.mailbox()
    data = boxes.path().read_bytes()
    at = data.index(b"Subject: 20\n")
    with open(boxes.path(), "r+b") as file:
        file.seek(at)
        file.write(b"Subject: XX")
    boxes.deliver(1001)
    mailbox.sync()
    ((_, answer),) = mailbox.read([21])
    assert isinstance(answer, MessageGone)
    found = texts(mailbox)
    assert len(found) == 1001
    assert found[max(found)].startswith(b"Subject: XX")


def test_a_crlf_mbox_is_read_and_appended_to(boxes: Mboxes) -> None:
    data = (entry(1) + entry(2)).replace(b"\n", b"\r\n")
    append(boxes.path(), data)
    mailbox = boxes.mailbox()
    assert texts(mailbox) == {
        1: b"Subject: 1\r\n\r\nbody\r\n",
        2: b"Subject: 2\r\n\r\nbody\r\n",
    }
    boxes.deliver(3)
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [1, 2, 3]


def test_a_large_message_is_copied_to_disk_and_streamed(boxes: Mboxes) -> None:
    body = b"".join(b"line %d\n" % number for number in range(300_000)) + b"no end"
    boxes.deliver(1)
    append(boxes.path(), entry(2, body)[:-1])
    mailbox = boxes.mailbox()
    expected = b"Subject: 2\r\n\r\n" + body.replace(b"\n", b"\r\n") + b"\r\n"
    assert mailbox.sizes([1, 2]) == [20, len(expected)]
    assert texts(mailbox)[2] == expected
    ((_, wire),) = mailbox.read([2])
    assert not isinstance(wire, Exception)
    mailbox.remove([1, 2])  # whoever reads has a copy
    assert b"".join(wire.chunks()) == expected
    wire.close()
    assert boxes.path().read_bytes() == b""


def test_a_message_gone_from_the_file_is_gone(boxes: Mboxes) -> None:
    boxes.deliver(1)
    boxes.deliver(2)
    mailbox = boxes.mailbox()
    boxes.path().write_bytes(entry(2))
    assert isinstance(mailbox.read([1])[0][1], MessageGone)
    assert texts(mailbox) == {2: b"Subject: 2\r\n\r\nbody\r\n"}
    boxes.path().unlink()  # as mail(1) does with an empty one
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == []
    boxes.deliver(3)
    mailbox.sync()
    assert list(mailbox.snapshot.uids) == [3]


def test_another_programs_lock_is_a_clear_error_in_time(boxes: Mboxes) -> None:
    boxes.deliver(1)
    mailbox = boxes.mailbox()
    boxes.locks = Locks(("dotlock",), seconds=0.05)
    mailbox.maildrop = boxes.maildrop()
    (boxes.root / "mail" / "INBOX.lock").write_text(f"{os.getpid()}\n")
    with pytest.raises(LockTimeout):
        mailbox.remove([1])
    incoming = mailbox.incoming()
    incoming.write(b"Subject: x\r\n\r\nx\r\n")
    with pytest.raises(LockTimeout):
        incoming.commit()
    incoming.abort()
    (boxes.root / "mail" / "INBOX.lock").unlink()
    assert mailbox.remove([1]) == (1,)
    assert boxes.path().read_bytes() == b""
    left = os.listdir(boxes.root / "state/mbox")
    assert [name for name in left if not name.endswith(("table", "path"))] == []


def test_a_table_that_is_damaged_is_made_anew(boxes: Mboxes) -> None:
    for number in range(3):
        boxes.deliver(number)
    before = texts(boxes.mailbox())
    (table,) = (boxes.root / "state/mbox").glob("*.table")
    for damage in (b"", b"[1, 2]\n", b"junk", table.read_bytes()[:-5]):
        table.write_bytes(damage)
        again = boxes.reopened()
        assert texts(again.mailbox()) == before
        again.close()
