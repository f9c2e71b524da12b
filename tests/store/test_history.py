"""What changed since a mod-sequence, from memory and by a look at all messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maa.store.history import CHANGES_KEPT, UIDS_KEPT, History
from maa.store.index import Counters
from maa.store.snapshot import FlagTable, Snapshot

TABLE = FlagTable([(0, "")], lambda _: 0)


def snapshot(modseqs: dict[int, int]) -> Snapshot:
    rows = [(uid, b"", 0, modseqs[uid]) for uid in sorted(modseqs)]
    return Snapshot.of(1, Counters(1000, max(modseqs.values()), 1), TABLE, rows)


@given(st.lists(st.tuples(st.integers(1, 5), st.sets(st.integers(1, 9))), max_size=20))
def test_R160_history_and_snapshot_say_the_same(steps: list) -> None:
    modseqs = dict.fromkeys(range(1, 10), 3)
    history, at = History(3), 3
    for gap, uids in steps:
        at += gap
        history.add([(at, sorted(uids))])
        modseqs.update(dict.fromkeys(uids, at))
    now = snapshot(modseqs)
    for since in range(3, at + 2):
        assert history.reaches(since)
        assert history.since(since, now) == History(at).since(since, now)


def test_what_is_kept_is_bounded() -> None:
    history = History(1)
    for modseq in range(2, CHANGES_KEPT + 5):
        history.add([(modseq, [7])])
    assert not history.reaches(3)
    assert history.since(3, snapshot({7: CHANGES_KEPT + 4, 8: 2})) == [7]
    history.add([(CHANGES_KEPT + 5, range(UIDS_KEPT + 1))])
    assert history.reaches(CHANGES_KEPT + 5)
    assert not history.reaches(CHANGES_KEPT + 4)
