"""Which UIDs are gone: the log of expunges, its end, and what a client remembers."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from maa.imap.vanished import agreed
from maa.message.numbers import NumberSet, common, without, written, written_ranges
from maa.store import page
from tests.imap.world import SessionWorld

MakeWorld = Callable[..., SessionWorld]
SETS = st.sets(st.integers(1, 40))


def ranges(numbers: set[int]) -> list[tuple[int, int]]:
    return NumberSet.parse(written(sorted(numbers))).resolved(99) if numbers else []


def members(found: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in found for number in range(low, high + 1)}


@given(SETS, SETS)
def test_ranges_are_sets(one: set[int], other: set[int]) -> None:
    assert members(common(ranges(one), ranges(other))) == one & other
    left = without(ranges(one), sorted(other))
    assert members(left) == one - other
    assert left == sorted(left) and all(low <= high for low, high in left)
    assert written_ranges(ranges(one)) == written(sorted(one))


@given(st.sets(st.integers(1, 60), min_size=1), st.data())
def test_R173_a_sample_says_up_to_where_a_client_knows_what_is_gone(
    uids: set[int], data: st.DataObject
) -> None:
    numbers = data.draw(st.sets(st.integers(1, len(uids) + 5), min_size=1))
    known = data.draw(st.sets(st.integers(1, 70), min_size=len(numbers), max_size=len(numbers)))
    ordered = sorted(uids)
    pairs = zip(sorted(numbers), sorted(known), strict=True)
    wanted = [uid for number, uid in pairs if ordered[number - 1 : number] == [uid]]
    found = agreed(ordered, ranges(numbers), ranges(known))
    assert found == max(wanted, default=0)


def test_R173_ranges_of_a_sample_are_never_expanded() -> None:
    whole = [(1, 2**32 - 1)]
    assert agreed(range(1, 100_001), whole, whole) == 100_000
    assert agreed([1, 2, 4, 5], [(1, 2), (3, 9)], [(1, 2), (5, 11)]) == 2


def selected(world: SessionWorld, parameters: bytes) -> list[bytes]:
    client = world.client(9)
    client.ask(b"e ENABLE QRESYNC")
    answer = client.ask(b"s SELECT INBOX (QRESYNC (%b))" % parameters)
    assert b"\ns OK " in answer
    return re.findall(rb"^\* (?:VANISHED|[0-9]+ FETCH) .*(?=\r)", answer, re.MULTILINE)


def aged(world: SessionWorld) -> tuple[int, int]:
    """Messages 2, 3 and 5 of 8 are gone, and of 2 and 3 the log has nothing any more."""
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    mailbox = client.session.state.mailbox
    for uids in ([2], [3], [5]):
        mailbox.remove(uids)
    mailbox.ledger.index.prune(mailbox.row.id, 1, 0)
    return mailbox.uidvalidity, mailbox.snapshot.highest_modseq


def test_R172_where_the_log_is_too_short_all_missing_uids_are_told(make_world: MakeWorld) -> None:
    world = make_world(messages=["one.eml"] * 8)
    validity, modseq = aged(world)
    first = b"%d %d" % (validity, modseq - 1)
    assert selected(world, first) == [b"* VANISHED (EARLIER) 5"]
    assert selected(world, b"%d %d" % (validity, modseq)) == []
    old = b"%d %d" % (validity, modseq - 3)
    assert selected(world, old) == [b"* VANISHED (EARLIER) 2:3,5"]
    assert selected(world, old + b" 1:2,4:8") == [b"* VANISHED (EARLIER) 2,5"]
    # What is expunged before the client is told of it is told once.
    assert selected(world, old + b" 3:4294967295") == [b"* VANISHED (EARLIER) 3,5"]


def test_R173_a_sample_narrows_what_is_told(make_world: MakeWorld) -> None:
    world = make_world(messages=["one.eml"] * 8)
    validity, modseq = aged(world)
    old = b"%d %d" % (validity, modseq - 3)
    assert selected(world, old + b" 1:8 (1 1)") == [b"* VANISHED (EARLIER) 2:3,5"]
    assert selected(world, old + b" 1:8 (2 4)") == [b"* VANISHED (EARLIER) 5"]
    assert selected(world, old + b" (1,3 1,6)") == []
    assert selected(world, old + b" (2:3 2:3)") == [b"* VANISHED (EARLIER) 2:3,5"]


def test_R175_old_expunges_are_dropped_while_the_mailbox_is_open(
    make_world: MakeWorld, monkeypatch
) -> None:
    monkeypatch.setattr(page, "EXPUNGES_KEPT", 2)
    monkeypatch.setattr(page, "PRUNED_EACH", 3)
    world = make_world(messages=["one.eml"] * 8)
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    mailbox = client.session.state.mailbox
    index, begin = mailbox.ledger.index, mailbox.snapshot.highest_modseq
    for uid in (1, 2, 3, 4):
        mailbox.remove([uid])
    last = mailbox.snapshot.highest_modseq
    assert index.expunged(mailbox.row.id, begin, last) is None
    assert index.expunged(mailbox.row.id, last - 3, last) == [b"2", b"3", b"4"]
    index.prune(mailbox.row.id, 99, 2**40)  # all are older than that
    assert index.expunged(mailbox.row.id, last - 1, last) is None
    assert index.expunged(mailbox.row.id, last, last) == []
    assert index.last_expunge(mailbox.row.id) == last


def test_R176_an_index_brought_back_tells_clients_everything(make_world: MakeWorld) -> None:
    world = make_world(messages=["one.eml"] * 3)
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    mailbox = client.session.state.mailbox
    told = mailbox.snapshot.highest_modseq
    # What the beacon does when it knows more than the index (R248).
    mailbox.ledger.index.skip(mailbox.row.id, 1000, told + 500)
    reopened = type(mailbox)(mailbox.row, mailbox.maildrop, mailbox.ledger)
    reopened.sync()
    assert list(reopened.changed_since(told + 499)) == [1, 2, 3]
    assert reopened.expunged_after(told + 499)
    assert reopened.expunged(told + 499, told + 500) == [(4, 999)]


def test_uids_that_arrived_and_went_in_another_process_are_told(make_world: MakeWorld) -> None:
    world = make_world(messages=["one.eml"])
    client = world.client(1)
    client.ask(b"a SELECT INBOX")
    mailbox = client.session.state.mailbox
    begin = mailbox.snapshot.highest_modseq
    other = type(mailbox)(mailbox.row, mailbox.maildrop, mailbox.ledger)
    other.sync()
    incoming = other.incoming()
    incoming.write(b"A: b\r\n\r\n")
    uid = incoming.commit()
    other.remove([uid])
    mailbox.ledger.bulletin.put_back(mailbox.row.id)
    mailbox.sync()
    assert mailbox.expunged_after(begin)
    assert mailbox.expunged(begin, mailbox.snapshot.highest_modseq) == [(2, 2)]
