"""Two processes over one account: each follows what the other commits.

Two `Boxes` over one directory stand for two processes here: nothing is shared between them but
what is on disk. `test_two_processes.py` has real ones.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maa.message.flags import Flags
from maa.store import bulletin as bulletin_module
from maa.store.cache import open_cache
from maa.store.errors import LockTimeout, MailboxGone, MaildropInUse, Unavailable
from maa.store.latch import Latch
from maa.store.mailbox import Mailbox
from maa.store.maildir import Maildir
from maa.store.maildrop import Scan
from maa.store.shared import Shared
from maa.store.snapshot import StoreMode
from store.boxes import Boxes, tidied
from store.mboxes import Mboxes, texts

_numbers = itertools.count(1)
SEEN, FLAGGED = Flags({"\\Seen"}), Flags({"\\Flagged"})


class Pair:
    """The same mailbox as two processes have it."""

    def __init__(self, root: Path, kind: type[Boxes] | type[Mboxes] = Boxes) -> None:
        self.boxes = (kind(root, neighbours=True), kind(root, neighbours=True))
        self.a, self.b = (boxes.mailbox() for boxes in self.boxes)

    def close(self) -> None:
        for boxes in self.boxes:
            boxes.ledger.close()
            boxes.watcher.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def append(mailbox: Mailbox, flags: Flags = Flags()) -> int:  # noqa: B008
    incoming = mailbox.incoming()
    incoming.write(b"Subject: %d\r\n\r\nbody\r\n" % next(_numbers))
    return incoming.commit(flags)


def seen_by(mailbox: Mailbox) -> dict[int, set[str]]:
    snapshot = mailbox.sync()
    return {uid: set(snapshot.flags(p)) for p, uid in enumerate(snapshot.uids)}


def test_a_commit_of_another_process_is_seen_at_once(pair: Pair) -> None:
    assert pair.b.fresh()
    uid = append(pair.a)
    assert not pair.b.fresh()
    assert seen_by(pair.b) == {uid: set()}
    assert pair.b.fresh()
    pair.a.store([uid], StoreMode.ADD, SEEN)
    assert not pair.b.fresh()
    assert seen_by(pair.b) == {uid: {"\\Seen"}}


def test_own_commits_leave_a_mailbox_fresh(pair: Pair) -> None:
    uid = append(pair.a)
    assert pair.a.fresh()
    pair.a.store([uid], StoreMode.ADD, SEEN)
    tidied(pair.a)
    assert pair.a.fresh()


def test_R074_uids_ascend_whoever_gives_them(pair: Pair) -> None:
    uids = [append(mailbox) for _ in range(3) for mailbox in (pair.a, pair.b)]
    assert uids == [1, 2, 3, 4, 5, 6]
    assert list(seen_by(pair.a)) == list(seen_by(pair.b)) == uids


def test_R075_an_expunged_uid_is_given_by_no_process_again(pair: Pair) -> None:
    append(pair.a)
    last = append(pair.a)
    assert pair.b.remove([last]) == (last,)
    assert append(pair.a) == last + 1
    assert append(pair.b) == last + 2
    assert pair.a.snapshot.uidnext == last + 2


def test_keywords_of_another_process_have_their_names(pair: Pair) -> None:
    uid = append(pair.a)
    pair.a.store([uid], StoreMode.ADD, Flags({"$One"}))
    other = append(pair.b)
    # b numbers a flag set before it has seen a's.
    pair.b.store([other], StoreMode.ADD, Flags({"$Two"}))
    pair.a.store([uid], StoreMode.ADD, Flags({"$Three"}))
    wanted = {uid: {"$One", "$Three"}, other: {"$Two"}}
    assert seen_by(pair.a) == seen_by(pair.b) == wanted


def test_keywords_from_before_a_mailbox_was_opened_have_their_names(tmp_path: Path) -> None:
    first, second = Boxes(tmp_path, neighbours=True), Boxes(tmp_path, neighbours=True)
    a = first.mailbox()
    uid = append(a, Flags({"$One"}))
    b = second.mailbox()  # its account was opened before
    assert seen_by(b) == {uid: {"$One"}}
    assert b.snapshot.first_unseen == 0
    for boxes in (first, second):
        boxes.ledger.close()
        boxes.watcher.close()


def test_a_flag_taken_back_before_the_file_follows_stays_off(pair: Pair) -> None:
    uid = append(pair.a)
    seen_by(pair.b)
    pair.a.store([uid], StoreMode.ADD, FLAGGED)
    tidied(pair.a)  # the file shows the flag; b has not looked since
    pair.b.store([uid], StoreMode.REMOVE, FLAGGED)
    assert seen_by(pair.b) == seen_by(pair.a) == {uid: set()}
    tidied(pair.b)
    assert seen_by(pair.a) == {uid: set()}


def test_files_renamed_behind_a_reply_are_no_change_of_another_program(pair: Pair) -> None:
    uid = append(pair.a)
    seen_by(pair.b)
    modseq = pair.a.store([uid], StoreMode.ADD, FLAGGED).modseq
    tidied(pair.a)
    assert pair.b.sync().highest_modseq == modseq
    ((_, wire),) = pair.b.read([uid])
    assert not isinstance(wire, Exception)
    wire.close()


def test_changes_are_told_from_the_mod_sequence_on(pair: Pair) -> None:
    uids = [append(pair.a) for _ in range(4)]
    before = pair.b.sync().highest_modseq
    view = pair.b.view(claim_recent=False)
    pair.a.store(uids[:2], StoreMode.ADD, SEEN)
    pair.a.store(uids[1:3], StoreMode.ADD, FLAGGED)
    pair.b.sync()
    assert list(pair.b.changed_since(before)) == uids[:3]
    _, (changed,) = view.refresh(expunges=True)
    rows = [(number, set(flags)) for number, _, flags, _ in changed.rows]
    assert [(n, f - {"\\Recent"}) for n, f in rows] == [
        (1, {"\\Seen"}),
        (2, {"\\Seen", "\\Flagged"}),
        (3, {"\\Flagged"}),
    ]


def test_R081_recent_is_given_to_one_session_of_all_processes(pair: Pair) -> None:
    uids = [append(pair.a) for _ in range(3)]
    seen_by(pair.b)
    first, second = pair.b.view(claim_recent=True), pair.a.view(claim_recent=True)
    assert (first.recent_count, second.recent_count) == (3, 0)
    uid = append(pair.b)
    pair.a.sync()
    second, _ = second.refresh(expunges=True)
    first, _ = first.refresh(expunges=True)
    assert (uid in second.recent, uid in first.recent) == (True, False)
    assert pair.a.recent_unclaimed == pair.b.recent_unclaimed == 0
    assert uids == [1, 2, 3]


def test_R081_who_examines_claims_nothing(pair: Pair) -> None:
    append(pair.a)
    pair.b.sync()
    assert pair.b.view(claim_recent=False).recent_count == 1
    assert pair.a.view(claim_recent=True).recent_count == 1


def test_recent_of_an_older_index_means_nothing(tmp_path: Path) -> None:
    shared = Shared(str(tmp_path / "shared"), neighbours=True)
    assert shared.claim_recent(1, 77, 1, 500) == 1
    assert shared.first_recent(1, 77) == 500
    assert shared.first_recent(1, 78) == shared.first_recent(2, 77) == 0
    assert shared.claim_recent(1, 78, 1, 3) == 1
    shared.close()


def test_a_deleted_mailbox_is_gone_for_everybody(pair: Pair) -> None:
    heard: list[bool] = []
    pair.b.listen(lambda: heard.append(True))
    pair.a.ledger.bulletin.post(pair.a.row.id, None)
    pair.a.ledger.index.drop_mailbox(pair.a.row.id)
    assert not pair.b.fresh()
    with pytest.raises(MailboxGone):
        pair.b.sync()
    assert pair.b.gone and heard
    with pytest.raises(MailboxGone):
        append(pair.b)


def test_a_moved_message_is_in_one_mailbox_for_everybody(tmp_path: Path) -> None:
    first, second = Boxes(tmp_path), Boxes(tmp_path)
    a, b = first.mailbox(), second.mailbox()
    a_target, b_target = first.mailbox("Archive"), second.mailbox("Archive")
    uid = append(a, SEEN)
    append(b_target)
    copied = b.move([uid], b_target)
    assert seen_by(a) == {}
    assert copied.targets == (2,)
    assert seen_by(a_target) == {1: set(), 2: {"\\Seen"}}


def test_a_long_bulletin_is_begun_anew(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulletin_module, "LONG", 64)
    uids = []
    for _ in range(20):
        uids.append(append(pair.a))
        assert pair.a.fresh()
    assert list(seen_by(pair.b)) == uids
    uids += [append(mailbox) for _ in range(10) for mailbox in (pair.b, pair.a)]
    assert list(seen_by(pair.b)) == list(seen_by(pair.a)) == uids
    assert os.path.getsize(pair.boxes[0].root / "bulletin") < 200


@pytest.mark.parametrize(
    "data", [b"garbage\n", b"1 9:1,*\n", b"1 1:4000000000\n", b"1 99999999999\n", b"\0" * 3_000_000]
)
def test_what_a_user_writes_into_the_bulletin_does_no_harm(pair: Pair, data: bytes) -> None:
    uid = append(pair.a)
    with open(pair.boxes[0].root / "bulletin", "ab") as stream:
        stream.write(data)
    other = append(pair.b)
    assert list(seen_by(pair.a)) == list(seen_by(pair.b)) == [uid, other]
    third = append(pair.a)
    assert list(seen_by(pair.b)) == [uid, other, third]


@pytest.mark.parametrize("name", ["bulletin", "shared"])
def test_files_removed_under_the_processes_are_made_anew(pair: Pair, name: str) -> None:
    uids = [append(pair.a), append(pair.b)]
    os.unlink(pair.boxes[0].root / name)
    uids += [append(pair.a), append(pair.b), append(pair.a)]
    assert list(seen_by(pair.a)) == list(seen_by(pair.b)) == uids == [1, 2, 3, 4, 5]


def test_waiting_for_the_account_has_an_end(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maa.store.shared.WAIT_SECONDS", 0.02)
    with pair.a.ledger.held(), pytest.raises(LockTimeout):
        append(pair.b)
    assert append(pair.b) == 1


def test_R199_the_maildrop_lock_excludes_other_processes(tmp_path: Path) -> None:
    first, second = Latch(str(tmp_path / "pop3.lock")), Latch(str(tmp_path / "pop3.lock"))
    first.open()
    second.open()
    hold = first.take()
    with pytest.raises(MaildropInUse):
        second.take()
    hold.release()
    second.take().release()


def test_an_idle_process_hears_of_a_commit(tmp_path: Path) -> None:
    boxes = [Boxes(tmp_path, neighbours=True) for _ in range(2)]
    a, b = (each.mailbox() for each in boxes)
    uid = append(a)
    b.sync()
    b.listen(lambda: None)
    heard: list[Mailbox] = []
    before, Mailbox.on_stale = Mailbox.on_stale, heard.append
    try:
        a.store([uid], StoreMode.ADD, SEEN)  # no file changes
        boxes[1].watcher.drain()
    finally:
        Mailbox.on_stale = before
    assert heard == [b]


Step = tuple[int, str, int, set[str], StoreMode]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["append", "deliver", "store", "remove", "tidy", "sync", "claim"]),
        st.integers(0, 7),
        st.sets(st.sampled_from(["\\Seen", "\\Flagged", "$One", "$Two"])),
        st.sampled_from(list(StoreMode)),
    ),
    max_size=25,
)


@given(STEPS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_interleaving_over_a_maildir_is_one_history(steps: list[Step]) -> None:
    compared(Boxes, steps)


@given(STEPS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_interleaving_over_an_mbox_is_one_history(steps: list[Step]) -> None:
    compared(Mboxes, steps)


def compared(kind: type[Boxes] | type[Mboxes], steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pair = Pair(Path(folder), kind)
        try:
            model = played(pair, steps)
            assert seen_by(pair.a) == seen_by(pair.b) == model
            for mailbox in (pair.a, pair.b):
                tidied(mailbox)
            assert seen_by(pair.a) == seen_by(pair.b) == model
            assert texts(pair.a) == texts(pair.b)
            assert len(pair.a.maildrop.scan().places) == len(model)
            pair.boxes = (pair.boxes[0].reopened(), pair.boxes[1])
            assert seen_by(pair.boxes[0].mailbox()) == model
        finally:
            pair.close()


def deliver(boxes: Boxes | Mboxes, number: int) -> None:
    if isinstance(boxes, Boxes):
        boxes.deliver(f"{number}.M{number}P1.host")
    else:
        boxes.deliver(next(_numbers))


def played(pair: Pair, steps: list[Step]) -> dict[int, set[str]]:
    """Take the steps, comparing with a model on the way; what there is to be at the end."""
    model: dict[int, set[str]] = {}
    recent: set[int] = set()
    highest = 0
    for number, (who, what, which, flags, mode) in enumerate(steps):
        mailbox = (pair.a, pair.b)[who]
        uid = sorted(model)[which % len(model)] if model else 0
        if what in ("append", "deliver"):
            if what == "append":
                uid = append(mailbox, Flags(flags))
            else:
                deliver(pair.boxes[who], number)
                (uid,) = set(mailbox.sync().uids) - set(model)
            assert uid > highest
            highest, model[uid] = uid, set(flags) if what == "append" else set()
        elif what == "store" and model:
            mailbox.store([uid], mode, Flags(flags))
            model[uid] = set(mode.applied(Flags(model[uid]), Flags(flags)))
        elif what == "remove" and model:
            assert mailbox.remove([uid]) == (uid,)
            del model[uid]
        elif what == "tidy":
            mailbox.tidy()
        elif what == "sync":
            assert seen_by(mailbox) == model
        elif what == "claim":
            mailbox.sync()
            view = mailbox.view(claim_recent=True)
            mine = {uid for uid in view.uids if uid in view.recent}
            assert not mine & recent
            recent |= mine
    return model


class Listing(Maildir):
    """Counts how often the maildrop is listed."""

    listings = 0

    def scan(self, arrivals_only: bool = False) -> Scan:
        self.listings += 1
        return super().scan(arrivals_only)


def listing(boxes: Boxes) -> tuple[Mailbox, Listing]:
    maildrop = Listing(str(boxes.root / "INBOX"))
    mailbox = Mailbox(boxes.ledger.index.mailboxes()["INBOX"], maildrop, boxes.ledger)
    mailbox.sync()
    maildrop.listings = 0
    return mailbox, maildrop


def test_files_that_another_process_changes_need_no_listing(pair: Pair) -> None:
    kept, doomed = append(pair.a), append(pair.a)
    b, maildrop = listing(pair.boxes[1])
    pair.a.store([kept], StoreMode.ADD, SEEN)
    tidied(pair.a)
    assert not b.fresh()
    assert seen_by(b) == {kept: {"\\Seen"}, doomed: set()}
    new = append(pair.a, FLAGGED)
    pair.a.remove([doomed])
    assert seen_by(b) == {kept: {"\\Seen"}, new: {"\\Flagged"}}
    assert b.fresh()
    assert maildrop.listings == 0


def test_what_other_programs_do_to_the_same_files_is_seen(pair: Pair) -> None:
    uids = [append(pair.a) for _ in range(3)]
    b, _ = listing(pair.boxes[1])
    pair.a.store(uids, StoreMode.ADD, SEEN)
    tidied(pair.a)
    first, second, third = (
        pair.boxes[0].root / "INBOX" / os.fsdecode(place) for place in places(pair.a)
    )
    first.unlink()
    second.rename(f"{second}F")
    assert seen_by(b) == {uids[1]: {"\\Seen", "\\Flagged"}, uids[2]: {"\\Seen"}}
    # The index's flags change, and no file: that explains nothing.
    pair.a.store(uids[2:], StoreMode.ADD, FLAGGED)
    third.unlink()
    assert list(seen_by(b)) == uids[1:2]


def places(mailbox: Mailbox) -> list[bytes]:
    return mailbox.sync().places


def test_news_is_kept_only_for_mailboxes_in_use(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulletin_module, "LINES", 3)
    uids = []
    for _ in range(9):
        uids.append(append(pair.a))
        assert not pair.b.fresh()
    bulletin = pair.boxes[1].ledger.bulletin
    assert len(bulletin._news[pair.b.row.id]) == 4
    assert list(seen_by(pair.b)) == uids
    mailbox_id = pair.b.row.id
    pair.b = pair.a
    append(pair.a)
    bulletin.drain()
    assert mailbox_id not in bulletin._news


def test_a_closed_account_is_no_fault_of_ours(tmp_path: Path) -> None:
    boxes = Boxes(tmp_path, neighbours=True)
    mailbox = boxes.mailbox()
    boxes.ledger.close()
    with pytest.raises(Unavailable):
        mailbox.tidy()
    assert mailbox.recent_unclaimed == 0
    boxes.watcher.close()


def test_a_cache_made_anew_by_one_process_means_nothing_else_to_another(tmp_path: Path) -> None:
    first = open_cache(tmp_path, "one")
    first.put(1, "envelope/1", {5: b"old"})
    second = open_cache(tmp_path, "two")
    second.put(1, "structure/1", {5: b"structure"})
    assert first.get(1, "envelope/1", [5]) == {}
    first.put(1, "envelope/1", {6: b"late"})
    assert second.get(1, "structure/1", [5, 6]) == {5: b"structure"}
    first.forget(1, [5])
    assert second.get(1, "structure/1", [5]) == {}
    for cache in (first, second):
        cache.close()
