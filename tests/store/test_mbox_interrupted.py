"""What a killed process left of an mbox meets other processes, other programs, other names."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maa.store import mbox_journal
from maa.store.accounts import Accounts
from maa.store.mailbox import Mailbox
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.user import User
from store.mboxes import Mboxes, append, entry, remove_from_mbox, texts


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Mboxes]:
    made = Mboxes(tmp_path, neighbours=True)
    yield made
    if not made.closed:
        made.close()


def killed(work: Callable[[], object]) -> None:
    """Do this in a process of its own, which has to be killed at it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(3)
    assert os.waitpid(pid, 0)[1] == 9


def dies_at(path: Path, written: float) -> None:
    """Whoever writes to that file is killed, when so much of it is written."""
    write = mbox_journal._write_at

    def last_words(descriptor: int, offset: int, data: bytes | memoryview) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}") == str(path):
            write(descriptor, offset, data[: int(len(data) * written)])
            os.kill(os.getpid(), 9)
        write(descriptor, offset, data)

    mbox_journal._write_at = last_words


def a_cut_is_begun(boxes: Mboxes, written: float) -> None:
    def work() -> None:
        other = Mboxes(boxes.root, neighbours=True)
        mailbox = other.mailbox()
        dies_at(boxes.path(), written)
        mailbox.remove([1])

    killed(work)


def subjects(mailbox: Mailbox) -> dict[int, bytes]:
    return {uid: text.split(b"\r\n")[0][9:] for uid, text in texts(mailbox).items()}


@pytest.mark.parametrize("written", [0, 0.4, 1])
@pytest.mark.parametrize("reopened", [False, True])
def test_R234_a_process_that_lives_on_finishes_what_the_killed_one_began(
    boxes: Mboxes, written: float, reopened: bool
) -> None:
    """Nothing in the file may have changed yet: the plan would be carried out over new mail."""
    for number in (1, 2, 3):
        boxes.deliver(number, b"%d\n" % number * 20_000)
    mailbox = boxes.mailbox()
    a_cut_is_begun(boxes, written)
    mailbox.sync()
    assert mailbox.remove([3]) == (3,)
    for number in (4, 5):
        boxes.deliver(number, b"%d\n" % number * 45_000)
    if reopened:
        mailbox = boxes.reopened().mailbox()
    mailbox.sync(whole=True)
    assert subjects(mailbox) == {2: b"2", 4: b"4", 5: b"5"}
    assert all(len(set(text.split(b"\r\n")[2:-1])) == 1 for text in texts(mailbox).values())


def test_R234_another_program_rewrites_the_file_before_the_plan_is_looked_at(
    boxes: Mboxes,
) -> None:
    for number in (1, 2, 3):
        boxes.deliver(number, b"%d\n" % number * 20_000)
    mailbox = boxes.mailbox()
    a_cut_is_begun(boxes, 0)
    remove_from_mbox(boxes.path(), 2)
    for number in (4, 5):
        boxes.deliver(number, b"%d\n" % number * 45_000)
    data = boxes.path().read_bytes()
    mailbox.sync(whole=True)
    assert boxes.path().read_bytes() == data
    assert sorted(subjects(mailbox).values()) == [b"1", b"3", b"4", b"5"]


def test_R102_a_mailbox_is_put_in_order_before_it_is_renamed(tmp_path: Path) -> None:
    (tmp_path / "home" / "joe" / "mail").mkdir(parents=True)
    (tmp_path / "spools").mkdir()
    spool = f"mbox:{tmp_path}/spools/{{user}}"
    places = MailPlaces.parse(f"{tmp_path}/home/{{user}}", spool, "mbox:{home}/mail")
    path = tmp_path / "home" / "joe" / "mail" / "Work"
    for number in range(1, 7):
        append(path, entry(number, b"%d\n" % number * 3000))

    def account() -> Accounts:
        return Accounts(str(tmp_path / "state"), places, Watcher())

    def work() -> None:
        mailbox = account().open(User("joe")).open("Work")
        dies_at(path, 0.5)
        mailbox.remove([1])

    killed(work)
    joe = account().open(User("joe"))
    joe.rename("Work", "Old")
    found = texts(joe.open("Old"))
    assert {uid: set(text.split(b"\r\n")[2:-1]) for uid, text in found.items()} == {
        uid: {b"%d" % uid} for uid in range(2, 7)
    }


def test_R247_what_was_staged_for_nobody_does_not_come_back(boxes: Mboxes) -> None:
    """The client was not told that its COPY was done, and has said it again."""
    boxes.deliver(9)
    for number in range(1, 6):
        append(boxes.path("Src"), entry(number, b"x\n" * (number * 300)))

    def work() -> None:
        other = Mboxes(boxes.root, neighbours=True)
        source, target = other.mailbox("Src"), other.mailbox()
        Mailbox.commit = lambda *_, **__: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
        source.copy(list(source.snapshot.uids), target)

    boxes.mailbox("Src")
    boxes.mailbox()
    killed(work)
    state = boxes.root / "state" / "mbox"
    assert list(state.glob("*.staged-*"))
    mailbox, source = boxes.mailbox(), boxes.mailbox("Src")
    source.copy(list(source.snapshot.uids), mailbox)
    remove_from_mbox(boxes.path(), 3)
    mailbox.sync(whole=True)
    assert len(texts(mailbox)) == 5
    assert not list(state.glob("*.staged-*")) and not mailbox.maildrop.unfinished


@pytest.mark.parametrize("kind", ["table", "plan", "append"])
@pytest.mark.parametrize("what", ["fifo", "link", "nonsense", "directory"])
def test_what_a_user_puts_among_our_files_holds_nobody_up(
    boxes: Mboxes, kind: str, what: str
) -> None:
    boxes.deliver(1)
    boxes.mailbox()
    (note,) = (boxes.root / "state" / "mbox").glob("*.path")
    boxes.close()
    strange = note.with_suffix(f".{kind}")
    strange.unlink(missing_ok=True)
    if what == "fifo":
        os.mkfifo(strange)
    elif what == "link":
        strange.symlink_to("/dev/zero")
    elif what == "directory":
        strange.mkdir()
    else:
        strange.write_bytes(b'{"offset": "x"' + b"[" * 1000)
    found: list[list[int]] = []

    def look() -> None:
        again = Mboxes(boxes.root)
        again.deliver(2)
        found.append(list(again.mailbox().snapshot.uids))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(10)
    assert found == [[1, 2]]
    assert not boxes.path().with_name("INBOX.lock").exists()


def test_R238_of_alike_messages_each_keeps_its_uid_when_all_is_read_anew(boxes: Mboxes) -> None:
    for number in (7, 7, 8):
        boxes.deliver(number)
    mailbox = boxes.mailbox()
    mailbox.remove([1])
    data = boxes.path().read_bytes()
    boxes.path().write_bytes(data.replace(b"Subject: 8\n", b"Subject: 8\nStatus: RO\n"))
    mailbox.sync(whole=True)
    assert list(mailbox.snapshot.uids) == [2, 3]


def test_R236_a_senders_content_length_does_not_take_the_next_delivery_in(boxes: Mboxes) -> None:
    following = entry(2, b"secret\n")
    body = b"mine\n"
    length = len(body) + 1 + len(following) - 1
    boxes.deliver(1, body, b"Content-Length: %d\n" % length)
    mailbox = boxes.mailbox()
    append(boxes.path(), following)
    mailbox.sync()
    assert subjects(mailbox) == {1: b"1", 2: b"2"}
    append(boxes.path(), entry(3))
    mailbox.sync()
    assert subjects(mailbox) == {1: b"1", 2: b"2", 3: b"3"}
