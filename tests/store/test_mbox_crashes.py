"""An mbox changed by a process that is killed at any moment (R234, R247)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from maa.message.flags import FLAGGED
from maa.store import mbox_file
from maa.store.changing import exchange
from maa.store.mbox_journal import Journal
from tests.store.crashes import killed_at
from tests.store.mboxes import Mboxes, append, entry, texts

MESSAGES = [entry(n, b"%d\n" % n * (n * 7 + 1)) for n in range(9)]
HOLES = (1, 2, 5)
DELIVERED = entry(50, b"delivered\n" * 20)
WINDOW = 100


def _nothing() -> None:
    pass


def _extents() -> list[tuple[int, int]]:
    ends = [sum(map(len, MESSAGES[: n + 1])) for n in range(len(MESSAGES))]
    return [(ends[n] - len(MESSAGES[n]), ends[n]) for n in HOLES]


def _work(path: Path, work: Callable[[Journal, int], None]) -> Callable[[], None]:
    def run() -> None:
        descriptor = os.open(path, os.O_RDWR)
        work(Journal(str(path.parent / "journal"), WINDOW), descriptor)
        os.close(descriptor)

    return run


def _cut(journal: Journal, descriptor: int) -> None:
    journal.cut(descriptor, _extents(), _nothing)


def _recover(journal: Journal, descriptor: int) -> None:
    if journal.pending:
        journal.recover(descriptor, "the mbox", _nothing)


@pytest.mark.parametrize("delivered", [b"", DELIVERED])
@pytest.mark.parametrize("again", [0, 3, 15])
def test_a_cut_is_whole_or_nothing(tmp_path: Path, delivered: bytes, again: int) -> None:
    path = tmp_path / "mbox"
    whole = b"".join(MESSAGES)
    cut = b"".join(data for n, data in enumerate(MESSAGES) if n not in HOLES)
    number, killed, seen = 0, True, set()
    while killed:
        number += 1
        path.write_bytes(whole)
        killed = killed_at(number, _work(path, _cut))
        append(path, delivered)
        if again:  # the recovery is killed too, and more is delivered
            killed_at(again, _work(path, _recover))
            append(path, delivered)
        _work(path, _recover)()
        found = path.read_bytes()
        new = delivered * (1 + bool(again))
        assert found in (whole + new, cut + new), number
        seen.add(len(found))
        assert [name for name in os.listdir(tmp_path) if name.endswith(("plan", "append"))] == []
    assert len(seen) == 2
    assert found == cut + new


def test_a_plan_for_a_file_that_was_rewritten_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "mbox"
    for number in range(18, 40, 3):
        path.write_bytes(b"".join(MESSAGES))
        assert killed_at(number, _work(path, _cut))
        other = b"".join(entry(60 + n, b"other\n" * n) for n in range(40))
        path.write_bytes(other)
        _work(path, _recover)()
        assert path.read_bytes() == other
        assert not Journal(str(tmp_path / "journal")).pending


def _remove(boxes: Mboxes) -> None:
    boxes.mailbox().remove([2, 3, 6])


def _append(boxes: Mboxes) -> None:
    incoming = boxes.mailbox().incoming()
    incoming.write(b"Subject: new\r\n\r\n" + b"text\r\n" * 100)
    incoming.commit(frozenset({FLAGGED}))


def _copy(boxes: Mboxes) -> None:
    boxes.mailbox("Other").copy([1, 2], boxes.mailbox())


def _move(boxes: Mboxes) -> None:
    boxes.mailbox().move([2, 5], boxes.mailbox("Other"))


def _replace(boxes: Mboxes, target: str = "INBOX") -> None:
    inbox, incoming = boxes.mailbox(), boxes.mailbox(target).incoming()
    incoming.write(b"Subject: new\r\n\r\n" + b"text\r\n" * 100)
    incoming.finish()
    exchange(inbox, 2, incoming)


def _replace_elsewhere(boxes: Mboxes) -> None:
    _replace(boxes, "Other")


@pytest.mark.parametrize("delivered", [b"", DELIVERED], ids=["", "delivered"])
@pytest.mark.parametrize("work", [_remove, _append, _copy, _move, _replace, _replace_elsewhere])
def test_R247_no_message_is_lost_or_changed_under_its_uid(
    tmp_path: Path,
    work: Callable[[Mboxes], None],
    delivered: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if delivered:  # as a large file is
        monkeypatch.setattr(mbox_file, "AHEAD_OCTETS", 500)
    number, killed = 0, True
    rng = random.Random(7)
    while killed:
        # The first calls are the opening of the index; each of the later ones may be the last.
        number += 1 if number > 5 else rng.randint(1, 3)
        root = tmp_path / str(number)
        root.mkdir()
        boxes = Mboxes(root)
        boxes.path().write_bytes(b"".join(MESSAGES))
        boxes.path("Other").write_bytes(MESSAGES[0] + MESSAGES[3])
        before = texts(boxes.mailbox())
        texts(boxes.mailbox("Other"))
        boxes.close()

        def run(root: Path = root) -> None:
            work(Mboxes(root))

        killed = killed_at(number, run)
        append(boxes.path(), delivered)
        boxes = Mboxes(root)
        inbox, other = boxes.mailbox(), boxes.mailbox("Other")
        found, moved = texts(inbox), texts(other)
        _check(work, before, found, moved, killed)
        if delivered:
            assert found[max(found)].startswith(b"Subject: 50")
            assert DELIVERED in boxes.path().read_bytes()
        # What is in the file is what the index has, and no more.
        assert boxes.path().read_bytes().count(b"Subject: ") == len(found)
        assert sorted(os.listdir(root / "mail")) == ["INBOX", "Other"]
        left = [name for name in os.listdir(root / "state/mbox") if name.endswith("append")]
        assert left == []
        boxes.close()


def _check(
    work: Callable[[Mboxes], None],
    before: dict[int, bytes],
    found: dict[int, bytes],
    moved: dict[int, bytes],
    killed: bool,
) -> None:
    for uid, text in found.items():
        if uid in before:
            assert text == before[uid]
    gone = set(before) - set(found)
    if work is _remove:
        assert gone in (set(), {2, 3, 6})
        assert killed or gone
    elif work in (_replace, _replace_elsewhere):
        assert gone in (set(), {2})
        texts = [*found.values(), *moved.values()]
        new = [text for text in texts if text.startswith(b"Subject: new")]
        assert len(new) == 1 if gone else len(new) <= 1
        assert killed or gone
    elif work is _move:
        assert gone in (set(), {2, 5})
        assert {2, 5} <= set(found) or [before[2], before[5]] == list(moved.values())[2:4]
        assert killed or gone
    else:
        assert not gone
        new = [text for text in found.values() if text not in before.values()]
        assert len([text for text in new if text.startswith(b"Subject: new")]) <= 1
        assert killed or len(found) > len(before)
