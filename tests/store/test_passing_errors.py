"""An error in the middle of a change: nothing is lost, nothing comes twice, nothing is hidden."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from maa.message.flags import Flags
from maa.store import changing
from maa.store.errors import NoSpace, StoreError, Unavailable, of_system
from maa.store.index import Change, Index
from maa.store.mailbox import Mailbox
from maa.store.mbox_folders import MboxFolders
from maa.store.snapshot import StoreMode
from maa.store.verify import _is_waiting
from tests.store.boxes import Boxes, tidied
from tests.store.mboxes import Mboxes, append, entry

WORK = Flags({"work"})


def message(mailbox: Mailbox, subject: bytes, flags: Flags = WORK) -> int:
    incoming = mailbox.incoming()
    incoming.write(b"Subject: %b\r\n\r\nbody\r\n" % subject)
    return incoming.commit(flags)


def shown(mailbox: Mailbox) -> dict[int, list[str]]:
    mailbox.sync()
    return {uid: sorted(mailbox.snapshot.flags(at)) for at, uid in enumerate(mailbox.snapshot.uids)}


def fill_disk(index: Index, patch: pytest.MonkeyPatch) -> None:
    """From now on there is no room to note that a message is gone."""
    really = index.apply

    def full(mailbox_id: int, change: Change) -> None:
        if change.expunged:
            raise NoSpace("the disk is full")
        really(mailbox_id, change)

    patch.setattr(index, "apply", full)


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    return Boxes(tmp_path)


@pytest.fixture
def failing_flush(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the flushes of directories fail that come after so many."""

    def begin(after: int) -> None:
        count = [0]

        def failing(path: bytes) -> None:
            count[0] += 1
            if count[0] > after:
                raise of_system(OSError(errno.EMFILE, "Too many open files"), os.fsdecode(path))

        monkeypatch.setattr("maa.store.maildir.flush_directory", failing)

    return begin


@pytest.mark.parametrize("what", ["index", "flush"])
def test_a_replaced_message_or_its_successor_is_there(
    boxes: Boxes, what: str, failing_flush: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    drafts = boxes.mailbox("Drafts")
    old = message(drafts, b"old")
    tidied(drafts)
    incoming = drafts.incoming()
    incoming.write(b"Subject: new\r\n\r\nbody\r\n")
    incoming.finish()
    with monkeypatch.context() as patch:
        if what == "index":
            fill_disk(boxes.ledger.index, patch)
        else:
            failing_flush(1)
        new = changing.exchange(drafts, old, incoming)
    monkeypatch.undo()
    assert list(shown(drafts)) == [new]
    (file,) = boxes.files("Drafts")
    assert b"Subject: new" in (boxes.root / "Drafts" / file).read_bytes()


def test_an_append_that_failed_is_not_there(
    boxes: Boxes, failing_flush: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = boxes.mailbox()
    failing_flush(0)
    with pytest.raises(StoreError):
        message(inbox, b"one")
    monkeypatch.undo()
    assert shown(inbox) == {}
    assert not boxes.files()


@pytest.mark.parametrize("how", [changing.copy, changing.move])
def test_a_copy_or_move_that_failed_changed_nothing(
    boxes: Boxes,
    how: Callable[..., object],
    failing_flush: Callable[[int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox, other = boxes.mailbox(), boxes.mailbox("Other")
    uids = [message(inbox, b"one"), message(inbox, b"two")]
    tidied(inbox)
    failing_flush(0)
    with pytest.raises(StoreError):
        how(inbox, uids, other)
    monkeypatch.undo()
    assert shown(inbox) == {1: ["work"], 2: ["work"]}
    assert shown(other) == {} and not boxes.files("Other")
    how(inbox, uids, other)
    assert list(shown(other).values()) == [["work"], ["work"]]


def test_an_expunge_that_failed_is_seen_by_the_next_look(
    boxes: Boxes, failing_flush: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = boxes.mailbox()
    uid = message(inbox, b"one")
    tidied(inbox)
    shown(inbox)
    failing_flush(0)
    with pytest.raises(StoreError):
        inbox.remove([uid])
    monkeypatch.undo()
    assert shown(inbox) == {}


def test_a_deletion_by_another_program_after_a_move_that_failed_is_seen(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox, other = boxes.mailbox(), boxes.mailbox("Other")
    uid = message(inbox, b"one")
    tidied(inbox)
    shown(inbox)

    def failing(*arguments: object) -> bool:
        raise Unavailable("just now")

    monkeypatch.setattr(other.maildrop, "take_over", failing)
    with pytest.raises(Unavailable):
        inbox.move([uid], other)
    shown(inbox)
    (file,) = boxes.files()
    (boxes.root / "INBOX" / file).unlink()
    assert shown(inbox) == {}


def test_without_hints_a_failed_look_is_repeated(
    boxes: Boxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes.watcher, "add", lambda *arguments: None)
    inbox = boxes.mailbox()
    boxes.deliver("1.M1P1.host")
    before = 1_700_000_000
    os.utime(boxes.root / "INBOX" / "new", (before, before))  # long enough ago to be believed

    def failing(arrivals_only: bool = False) -> None:
        raise Unavailable("just now")

    with monkeypatch.context() as patch:
        patch.setattr(inbox.maildrop, "scan", failing)
        with pytest.raises(Unavailable):
            inbox.sync()
    assert list(shown(inbox)) == [1]


def test_news_that_are_read_beside_other_things_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Boxes(tmp_path, neighbours=True), Boxes(tmp_path, neighbours=True)
    mine, theirs = [(one.mailbox("A"), one.mailbox("B")) for one in (here, there)]
    for mailbox in mine:
        message(mailbox, b"x")
        tidied(mailbox)
    for mailbox in (*mine, *theirs):
        mailbox.sync()
    told: list[str] = []
    monkeypatch.setattr(Mailbox, "on_stale", lambda mailbox: told.append(mailbox.name))
    theirs[1].listen(lambda: None)
    there.watcher.drain()
    told.clear()
    # The file says so before the watcher does.
    monkeypatch.setattr(there.ledger.bulletin, "_changed", lambda name: None)
    mine[1].store([1], StoreMode.ADD, Flags({"kw1"}))
    theirs[0].store([1], StoreMode.ADD, Flags({"kw"}))
    there.watcher.drain()
    there.ledger.bulletin.drain()
    assert told == ["B"]


# --- mbox


def test_in_an_mbox_too_a_replaced_message_or_its_successor_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = Mboxes(tmp_path)
    append(boxes.path(), entry(1))
    inbox = boxes.mailbox()
    incoming = inbox.incoming()
    incoming.write(b"Subject: new\r\n\r\nbody\r\n")
    incoming.finish()
    with monkeypatch.context() as patch:
        fill_disk(boxes.ledger.index, patch)
        new = changing.exchange(inbox, 1, incoming)
    assert list(shown(inbox)) == [new]
    text = boxes.path().read_bytes()
    assert b"Subject: new" in text and b"Subject: 1" not in text


def test_an_append_to_an_mbox_that_failed_removes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = Mboxes(tmp_path)
    inbox = boxes.mailbox()
    incoming = inbox.incoming()
    incoming.write(b"Subject: x\r\n\r\nbody\r\n")
    incoming.finish(internal_date=1_000_000_000)
    # Another process has just appended the same, under the same key.
    other = Mboxes(tmp_path).mailbox()
    twin = other.incoming()
    twin.write(b"Subject: x\r\n\r\nbody\r\n")
    twin.commit(internal_date=1_000_000_000)

    def failing(places: object) -> int:
        raise Unavailable("just now")

    monkeypatch.setattr(inbox.maildrop, "settle", failing)
    with pytest.raises(Unavailable):
        changing.commit_all((incoming,))
    assert b"Subject: x" in boxes.path().read_bytes()


def test_a_spool_whose_disk_is_not_mounted_when_the_server_starts_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = Mboxes(tmp_path)
    append(boxes.path(), entry(1) + entry(2))
    inbox = boxes.mailbox()
    inbox.store([1], StoreMode.ADD, WORK)
    boxes.path().rename(tmp_path / "elsewhere")
    really = os.stat
    boxes = boxes.reopened()
    with monkeypatch.context() as patch:
        folder = str(boxes.path().parent)

        def of_another_disk(path: str) -> os.stat_result:
            found = really(path)
            return os.stat_result((*found[:2], found.st_dev + 1, *found[3:])) if (
                os.fspath(path) == folder
            ) else found  # fmt: skip

        patch.setattr("maa.store.mbox.os.stat", of_another_disk)
        with pytest.raises(Unavailable):
            boxes.mailbox()
    (tmp_path / "elsewhere").rename(boxes.path())
    assert shown(boxes.mailbox()) == {1: ["work"], 2: []}


def test_what_is_cut_out_is_what_was_meant(tmp_path: Path) -> None:
    """Another program had two messages change places, which a growth of the file hides."""
    boxes = Mboxes(tmp_path)
    parts = [entry(n, b"x" * (100 if n == 10 else 300) + b"\n") for n in range(1, 401)]
    append(boxes.path(), b"".join(parts))
    boxes.mailbox()
    parts[9], parts[10] = parts[10], parts[9]
    boxes = boxes.reopened()
    boxes.path().write_bytes(b"".join(parts) + entry(500))
    inbox = boxes.mailbox()
    inbox.remove([10])
    del parts[10]
    assert boxes.path().read_bytes() == b"".join(parts) + entry(500)


def test_a_directory_that_cannot_be_read_takes_no_other_mailbox_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "mail" / "closed").mkdir(parents=True)
    (tmp_path / "mail" / "a").write_bytes(entry(1))
    (tmp_path / "mail" / "closed" / "b").write_bytes(entry(1))
    folders = MboxFolders(str(tmp_path / "mail"), "")
    assert set(folders.scan().folders) == {"a", "closed.b"}
    really = os.scandir

    def failing(path: str) -> object:
        if path.endswith("/closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return really(path)

    with monkeypatch.context() as patch:
        patch.setattr("maa.store.mbox_folders.os.scandir", failing)
        for _ in range(3):
            assert set(folders.scan().folders) == {"a"}
    assert len(caplog.messages) == 1
    assert set(folders.scan().folders) == {"a", "closed.b"}


def test_what_waits_to_be_settled_is_known_as_such(boxes: Boxes) -> None:
    inbox = boxes.mailbox()
    incoming = inbox.incoming()
    incoming.write(b"Subject: x\r\n\r\nbody\r\n")
    incoming.finish()
    assert incoming._place is not None
    assert _is_waiting(inbox.maildrop, incoming._place)
