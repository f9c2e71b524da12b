import os
from pathlib import Path

import pytest

from maa.message.flags import DELETED, DRAFT, FLAGGED, NONE, RECENT, SEEN
from maa.store.errors import MailboxGone, MessageGone, StoreError, TooManyKeywords
from maa.store.mailbox import Mailbox
from maa.store.snapshot import FLAGS_MAX, KEYWORDS_MAX, StoreMode, Unchanged
from maa.store.view import Arrived, Expunged, FlagsChanged, KeywordsChanged
from store.boxes import Boxes, tidied


@pytest.fixture
def boxes(tmp_path: Path) -> Boxes:
    return Boxes(tmp_path)


@pytest.fixture
def inbox(boxes: Boxes) -> Mailbox:
    for second in (1, 2, 3):
        mailbox_path = boxes.root / "INBOX"
        if not mailbox_path.exists():
            boxes.mailbox()
        boxes.deliver(f"{second}.M1.host", b"Subject: %d\n\nbody\n" % second)
    return boxes.mailbox()


def bodies(mailbox: Mailbox) -> dict[int, bytes]:
    found = {}
    todo = list(mailbox.snapshot.uids)
    while todo:
        batch = mailbox.read(todo)
        todo = todo[len(batch) :]
        for uid, wire in batch:
            assert not isinstance(wire, StoreError)
            found[uid] = b"".join(wire.chunks())
            wire.close()
    return found


def test_R074_uids_ascend_in_order_of_delivery(boxes: Boxes, inbox: Mailbox) -> None:
    assert list(inbox.snapshot.uids) == [1, 2, 3]
    assert bodies(inbox) == {n: b"Subject: %d\r\n\r\nbody\r\n" % n for n in (1, 2, 3)}
    boxes.deliver("0.M1.host")
    assert not inbox.fresh()
    inbox.sync()
    assert inbox.fresh()
    assert list(inbox.snapshot.uids) == [1, 2, 3, 4]


def test_R074_the_uid_of_an_expunged_message_is_never_given_again(
    boxes: Boxes, inbox: Mailbox
) -> None:
    inbox.remove([2, 3])
    boxes = boxes.reopened()
    again = boxes.mailbox()
    boxes.deliver("9.M1.host")
    again.sync()
    assert list(again.snapshot.uids) == [1, 4]


def test_own_renames_leave_the_mailbox_fresh(boxes: Boxes, inbox: Mailbox) -> None:
    inbox.store([1, 2], StoreMode.ADD, frozenset({SEEN, "work"}))
    tidied(inbox)
    assert boxes.files() == {"cur/1.M1.host:2,S", "cur/2.M1.host:2,S", "cur/3.M1.host:2,"}
    assert inbox.fresh()
    inbox.expunge()
    inbox.remove([3])
    assert inbox.fresh()


def test_flags_and_keywords_survive_a_restart(boxes: Boxes, inbox: Mailbox) -> None:
    inbox.store([1, 2], StoreMode.ADD, frozenset({SEEN, "Work"}))
    inbox.store([2], StoreMode.REMOVE, frozenset({SEEN}))
    inbox.store([3], StoreMode.REPLACE, frozenset({FLAGGED}))
    again = boxes.reopened().mailbox()  # before any file was renamed
    flags = [again.snapshot.flags(position) for position in range(3)]
    assert flags == [{SEEN, "Work"}, {"Work"}, {FLAGGED}]


def test_R085_a_keyword_keeps_its_first_spelling(inbox: Mailbox) -> None:
    inbox.store([1], StoreMode.ADD, frozenset({"$MDNSent"}))
    inbox.store([2], StoreMode.ADD, frozenset({"$mdnsent"}))
    assert inbox.snapshot.keywords == {"$MDNSent"}


def test_R084_keywords_are_limited_for_a_message_and_for_the_account(inbox: Mailbox) -> None:
    some = [f"k{number}" for number in range(KEYWORDS_MAX)]
    with pytest.raises(TooManyKeywords):
        inbox.store([1], StoreMode.ADD, frozenset(some[: FLAGS_MAX + 1]))
    assert inbox.snapshot.flags(0) == NONE
    with pytest.raises(TooManyKeywords):
        for start in range(0, KEYWORDS_MAX + 1, FLAGS_MAX // 2):
            inbox.store([1], StoreMode.REPLACE, frozenset(some[start : start + FLAGS_MAX // 2]))
            inbox.store([2], StoreMode.ADD, frozenset({SEEN, FLAGGED, DELETED}))
    inbox.store([1], StoreMode.ADD, frozenset({SEEN, some[0]}))  # what is known goes on working
    inbox.store([1], StoreMode.REMOVE, frozenset({SEEN}))
    inbox.store([3], StoreMode.REPLACE, frozenset(some[:FLAGS_MAX]))
    inbox.store([3], StoreMode.ADD, frozenset({DELETED}))  # or nobody could be rid of it
    incoming = inbox.incoming()
    with pytest.raises(TooManyKeywords):
        incoming.commit(frozenset(some[-FLAGS_MAX // 2 :]))
    incoming.abort()


def test_flags_set_by_another_program_are_merged_with_ours(boxes: Boxes, inbox: Mailbox) -> None:
    tidied(inbox)
    inbox.store([1], StoreMode.ADD, frozenset({FLAGGED}))
    path = boxes.root / "INBOX" / "cur"
    (path / "1.M1.host:2,").rename(path / "1.M1.host:2,S")  # before ours reached the name
    inbox.sync()
    tidied(inbox)
    assert inbox.snapshot.flags(0) == {SEEN, FLAGGED}
    assert "cur/1.M1.host:2,FS" in boxes.files()


def test_storing_what_is_there_changes_no_mod_sequence(inbox: Mailbox) -> None:
    before = inbox.store([1], StoreMode.ADD, frozenset({SEEN})).modseq
    stored = inbox.store([1], StoreMode.ADD, frozenset({SEEN}))
    assert stored.changed == frozenset() and stored.modseq == before


def test_unchangedsince_fails_for_messages_changed_later(inbox: Mailbox) -> None:
    told = inbox.snapshot
    unchanged = Unchanged(told.highest_modseq, told)
    inbox.store([2], StoreMode.ADD, frozenset({FLAGGED}))
    stored = inbox.store([1, 2], StoreMode.ADD, frozenset({FLAGGED}), unchanged)
    assert stored.changed == {1} and stored.failed == (2,)


def test_unchangedsince_lets_pass_who_sets_what_nobody_touched(inbox: Mailbox) -> None:
    told = inbox.snapshot
    unchanged = Unchanged(told.highest_modseq, told)
    inbox.store([2], StoreMode.ADD, frozenset({SEEN}))
    assert inbox.store([2], StoreMode.REMOVE, frozenset({SEEN}), unchanged).failed == (2,)
    assert inbox.store([2], StoreMode.ADD, frozenset({FLAGGED}), unchanged).failed == ()
    assert inbox.store([2], StoreMode.REMOVE, frozenset({DELETED}), unchanged).failed == ()
    assert inbox.store([2], StoreMode.REPLACE, frozenset({FLAGGED}), unchanged).failed == (2,)
    assert inbox.snapshot.flags(1) == {SEEN, FLAGGED}
    never = Unchanged(0, told)
    assert inbox.store([1], StoreMode.ADD, frozenset({FLAGGED}), never).failed == (1,)


def test_a_message_another_program_removed_is_expunged(boxes: Boxes, inbox: Mailbox) -> None:
    view = inbox.view(claim_recent=True)
    os.unlink(boxes.root / "INBOX" / "new" / "2.M1.host")
    inbox.sync()
    view, updates = view.refresh(expunges=True)
    assert updates == [Expunged([2], [2])]
    assert list(view.uids) == [1, 3]


def test_R061_expunges_are_held_back_until_they_may_be_told(boxes: Boxes, inbox: Mailbox) -> None:
    inbox.view(claim_recent=True)
    view = inbox.view(claim_recent=False)
    inbox.store([1], StoreMode.ADD, frozenset({SEEN}))
    view, _ = view.refresh(expunges=False)
    inbox.remove([1, 3])
    boxes.deliver("4.M1.host")
    inbox.sync()
    inbox.view(claim_recent=True)
    view, updates = view.refresh(expunges=False)
    assert updates == [Arrived(4, 0)]
    assert list(view.uids) == [1, 2, 3, 4]
    assert view.index(0) is None and view.flags(0) == {SEEN}
    assert view.index(1) == 0 and view.index(3) == 1
    inbox.store([4], StoreMode.ADD, frozenset({SEEN}))
    view, updates = view.refresh(expunges=False)
    assert updates == [FlagsChanged([(4, 4, frozenset({SEEN}), inbox.snapshot.highest_modseq)])]
    view, updates = view.refresh(expunges=True)
    assert updates == [Expunged([1, 2], [1, 3])]
    assert list(view.uids) == [2, 4] and not view.stale


def test_R071_a_muted_store_is_not_told_but_others_are(inbox: Mailbox) -> None:
    inbox.view(claim_recent=True)
    view = inbox.view(claim_recent=False)
    inbox.store([2], StoreMode.ADD, frozenset({FLAGGED}))
    mine = inbox.store([1, 2], StoreMode.ADD, frozenset({SEEN}))
    inbox.store([1], StoreMode.ADD, frozenset({"work"}))
    inbox.store([3], StoreMode.ADD, frozenset({DRAFT}))
    both = inbox.store([3], StoreMode.ADD, frozenset({SEEN}))
    _, updates = view.refresh(expunges=False, mute=mine)
    assert updates == [
        KeywordsChanged(frozenset({"work"})),
        FlagsChanged(
            [
                (1, 1, frozenset({SEEN, "work"}), both.modseq - 2),
                (2, 2, frozenset({SEEN, FLAGGED}), mine.modseq),
                (3, 3, frozenset({SEEN, DRAFT}), both.modseq),
            ]
        ),
    ]
    _, updates = view.refresh(expunges=False, mute=both)
    assert [row[0] for row in updates[-1].rows] == [1, 2, 3]


def test_R081_recent_is_claimed_by_one_session_only(boxes: Boxes, inbox: Mailbox) -> None:
    looking = inbox.view(claim_recent=False)
    first, second = inbox.view(claim_recent=True), inbox.view(claim_recent=True)
    assert (looking.recent_count, first.recent_count, second.recent_count) == (3, 3, 0)
    assert first.flags(0) == {RECENT}
    boxes.deliver("4.M1.host")
    inbox.sync()
    second, updates = second.refresh(expunges=True)
    assert updates == [Arrived(4, 1)]
    first, updates = first.refresh(expunges=True)
    assert updates == [Arrived(4, 3)]
    tidied(inbox)
    again = boxes.reopened().mailbox()
    assert again.view(claim_recent=True).recent_count == 0


def test_copy_keeps_flags_dates_and_octets(boxes: Boxes, inbox: Mailbox) -> None:
    other = boxes.mailbox("other")
    os.utime(boxes.root / "INBOX" / "new" / "2.M1.host", (1000000000, 1000000000))
    inbox.store([2], StoreMode.ADD, frozenset({SEEN, "work"}))
    copied = inbox.copy([2, 3], other)
    assert (copied.uidvalidity, copied.sources, copied.targets) == (
        other.uidvalidity,
        (2, 3),
        (1, 2),
    )
    assert other.snapshot.flags(0) == {SEEN, "work"}
    assert bodies(other) == {1: b"Subject: 2\r\n\r\nbody\r\n", 2: b"Subject: 3\r\n\r\nbody\r\n"}
    assert other.internal_dates([1]) == [1000000000]
    assert len(inbox.snapshot) == 3 and inbox.fresh() and other.fresh()


def test_R125_copy_of_a_message_that_is_gone_copies_nothing(boxes: Boxes, inbox: Mailbox) -> None:
    other = boxes.mailbox("other")
    os.unlink(boxes.root / "INBOX" / "new" / "3.M1.host")
    with pytest.raises(MessageGone):
        inbox.copy([1, 2, 3], other)
    assert len(other.snapshot) == 0 and boxes.files("other") == set()


def test_R127_move_takes_along_what_it_copied(boxes: Boxes, inbox: Mailbox) -> None:
    other = boxes.mailbox("other")
    moved = inbox.move([1, 3], other)
    assert moved.sources == (1, 3) and moved.targets == (1, 2)
    assert list(inbox.snapshot.uids) == [2]
    assert boxes.files() == {"new/2.M1.host"}
    assert len(boxes.files("other")) == 2 and inbox.fresh() and other.fresh()


def test_copy_into_the_same_mailbox_is_allowed(inbox: Mailbox) -> None:
    inbox.copy([1], inbox)
    assert list(inbox.snapshot.uids) == [1, 2, 3, 4]


def test_an_incoming_message_has_its_size_without_being_read_again(
    boxes: Boxes, inbox: Mailbox
) -> None:
    incoming = inbox.incoming()
    for piece in (b"Subject: a\r", b"\n\r\nbare\n", b"", b"\n", b"end"):
        incoming.write(piece)
    uid = incoming.commit(frozenset({SEEN, "kw"}), 1000000000)
    known = inbox.snapshot.sizes[-1]
    assert known == len(bodies(inbox)[uid]) == len(b"Subject: a\r\n\r\nbare\r\n\r\nend")
    assert inbox.snapshot.flags(3) == {SEEN, "kw"}
    assert inbox.snapshot.dates[-1] == 1000000000
    assert inbox.fresh()


def test_an_aborted_incoming_message_leaves_nothing(boxes: Boxes, inbox: Mailbox) -> None:
    before = boxes.files()
    incoming = inbox.incoming()
    incoming.write(b"x" * 100)
    incoming.abort()
    assert boxes.files() == before and len(inbox.snapshot) == 3


def test_R247_a_row_whose_file_a_crash_left_in_tmp_is_settled(boxes: Boxes, inbox: Mailbox) -> None:
    incoming = inbox.incoming()
    incoming.write(b"Subject: kept\n\n")
    place = incoming._arriving.finish(frozenset({SEEN}), None)
    inbox.commit(arrivals=[(place, inbox.ledger.table.number(frozenset({SEEN})))])
    again = boxes.reopened().mailbox()  # killed between commit and settle
    assert list(again.snapshot.uids) == [1, 2, 3, 4]
    assert bodies(again)[4] == b"Subject: kept\r\n\r\n"


def test_R244_messages_of_one_name_both_stay(boxes: Boxes, inbox: Mailbox) -> None:
    tidied(inbox)
    boxes.deliver("2.M1.host", b"Subject: another\n\n")
    inbox.sync(whole=True)
    tidied(inbox)
    assert list(inbox.snapshot.uids) == [1, 2, 3, 4]
    assert bodies(inbox)[4] == b"Subject: another\r\n\r\n"
    assert bodies(inbox)[2] == b"Subject: 2\r\n\r\nbody\r\n"


def test_a_message_renamed_by_another_program_is_still_read_and_removed(
    boxes: Boxes, inbox: Mailbox
) -> None:
    path = boxes.root / "INBOX"
    (path / "new" / "1.M1.host").rename(path / "cur" / "1.M1.host:2,RS")
    assert bodies(inbox)[1] == b"Subject: 1\r\n\r\nbody\r\n"
    (path / "cur" / "1.M1.host:2,RS").rename(path / "cur" / "1.M1.host:2,S")
    assert inbox.remove([1]) == (1,)
    assert "cur/1.M1.host:2,S" not in boxes.files()
    inbox.sync(whole=True)
    assert list(inbox.snapshot.uids) == [2, 3]


def test_L27_one_unreadable_message_does_not_hide_the_others(boxes: Boxes, inbox: Mailbox) -> None:
    path = boxes.root / "INBOX" / "new" / "2.M1.host"
    path.unlink()
    path.symlink_to("/etc/passwd")
    ((first, _),) = inbox.read([1, 2, 3])
    assert first == 1
    ((second, error),) = inbox.read([2, 3])
    assert second == 2 and isinstance(error, StoreError)
    ((third, _),) = inbox.read([3])
    assert third == 3
    assert inbox.sizes([1, 2, 3]) == [20, None, 20]
    heads = dict(inbox.heads([1, 2, 3]))
    assert heads[3] == b"Subject: 3\r\n\r\n"


def test_without_hints_directory_times_are_compared(
    boxes: Boxes, inbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes.watcher.close()
    assert not inbox.fresh()
    boxes.deliver("4.M1.host")
    inbox.sync()
    assert len(inbox.snapshot) == 4
    boxes.deliver("5.M1.host")
    inbox.sync()
    assert len(inbox.snapshot) == 5 and not inbox.fresh()


def test_listeners_hear_of_every_new_snapshot(boxes: Boxes, inbox: Mailbox) -> None:
    heard: list[int] = []

    def callback() -> None:
        heard.append(len(inbox.snapshot))

    inbox.listen(callback)
    boxes.deliver("4.M1.host")
    inbox.sync()
    inbox.unlisten(callback)
    inbox.remove([1])
    assert heard == [4]


def test_R058_a_deleted_mailbox_changes_nothing_any_more(boxes: Boxes, inbox: Mailbox) -> None:
    inbox.retire()
    with pytest.raises(MailboxGone):
        inbox.store([1], StoreMode.ADD, frozenset({DELETED}))
    with pytest.raises(MailboxGone):
        inbox.sync()
    with pytest.raises(MailboxGone):
        inbox.remove([1])
    assert "new/1.M1.host" in boxes.files()


def test_expunge_of_some_leaves_other_deleted_messages(inbox: Mailbox) -> None:
    inbox.store([1, 2], StoreMode.ADD, frozenset({DELETED}))
    assert inbox.expunge([2, 3]) == (2,)
    assert inbox.expunge() == (1,)
    assert inbox.expunge() == ()


def test_R210_uidls_are_printable_unique_and_stay(boxes: Boxes, inbox: Mailbox) -> None:
    uidls = inbox.uidls([1, 2, 3])
    assert len(set(uidls)) == 3
    assert all(1 <= len(uidl) <= 70 and uidl.isalnum() for uidl in uidls)
    assert boxes.reopened().mailbox().uidls([1, 2, 3]) == uidls


def test_sizes_and_dates_once_learned_survive_a_restart(boxes: Boxes, inbox: Mailbox) -> None:
    sizes, dates = inbox.sizes([1, 2, 3]), inbox.internal_dates([1, 2, 3])
    tidied(inbox)
    again = boxes.reopened().mailbox()
    assert list(again.snapshot.sizes) == sizes
    assert list(again.snapshot.dates) == dates
