from maa.message.flags import ANSWERED, DELETED, FLAGGED, SEEN
from maa.store.maildrop import Scan
from maa.store.reconcile import Differences, merged, reconcile


def key(place: bytes) -> bytes:
    return place[4:].partition(b":2,")[0]


def whole(*places: bytes) -> Scan:
    return Scan(frozenset(places))


def test_equal_sides_have_no_differences() -> None:
    known = [b"cur/a:2,S", b"new/b"]
    assert reconcile(whole(*known), known, key) == Differences((), (), (), ())


def test_a_place_with_a_new_key_is_an_arrival() -> None:
    found = reconcile(whole(b"cur/a:2,", b"new/b"), [b"cur/a:2,"], key)
    assert list(found.arrivals) == [b"new/b"]
    assert not found.missing and not found.moved


def test_a_known_key_elsewhere_has_moved() -> None:
    found = reconcile(whole(b"cur/a:2,FS"), [b"new/a"], key)
    assert list(found.moved) == [(0, b"cur/a:2,FS")]
    assert not found.arrivals and not found.missing


def test_R240_what_is_not_seen_is_missing_where_the_scan_looked() -> None:
    known = [b"cur/a:2,", b"cur/b:2,", b"new/c"]
    assert list(reconcile(whole(b"cur/a:2,", b"new/c"), known, key).missing) == [1]
    part = Scan(frozenset({b"new/d"}), within=b"new/")
    assert reconcile(part, known, key) == Differences([b"new/d"], [], [2], [])


def test_R244_a_second_message_of_the_same_key_is_a_double() -> None:
    found = reconcile(whole(b"cur/a:2,S", b"new/a"), [b"cur/a:2,S"], key)
    assert list(found.doubles) == [b"new/a"]
    assert not found.arrivals


def test_R244_two_arrivals_of_the_same_key_are_one_arrival_and_a_double() -> None:
    found = reconcile(whole(b"cur/a:2,S", b"new/a"), [], key)
    assert len(found.arrivals) == len(found.doubles) == 1


def test_flags_set_by_another_program_are_added() -> None:
    assert merged(frozenset({FLAGGED, "work"}), frozenset(), frozenset({SEEN})) == {
        FLAGGED,
        "work",
        SEEN,
    }


def test_flags_cleared_by_another_program_are_removed_and_ours_stay() -> None:
    known = frozenset({SEEN, ANSWERED, DELETED})
    assert merged(known, frozenset({SEEN, ANSWERED}), frozenset({SEEN})) == {SEEN, DELETED}


def test_a_place_that_shows_no_flags_changes_none() -> None:
    assert merged(frozenset({SEEN}), frozenset({SEEN}), None) == {SEEN}


def ordered(*places: bytes, rearranged: bool = False) -> Scan:
    return Scan(list(places), ordered=True, rearranged=rearranged)


def digest(place: bytes) -> bytes:
    return place.partition(b":")[0]


def test_what_is_behind_all_that_is_known_has_arrived() -> None:
    known = [b"a:", b"b:R"]
    assert reconcile(ordered(b"a:", b"b:R", b"d:", b"c:"), known, digest) == Differences(
        [b"d:", b"c:"], (), (), ()
    )
    assert list(reconcile(ordered(b"a:", b"c:"), known, digest).missing) == [1]
    assert list(reconcile(ordered(b"a:", b"b:", b"c:"), known, digest).moved) == [(1, b"b:")]


def test_R238_only_what_was_rearranged_follows_the_order() -> None:
    known = [b"a:", b"b:", b"c:", b"d:"]
    now = (b"a:", b"c:F", b"b:", b"d:", b"e:")
    assert not reconcile(ordered(*now), known, digest).rearranged
    found = reconcile(ordered(*now, rearranged=True), known, digest)
    assert found.rearranged == {1: b"b:", 3: b"d:"}
    assert (list(found.arrivals), list(found.moved)) == ([b"e:"], [(2, b"c:F")])
    # What is new in the middle has a greater UID than all that is known.
    found = reconcile(ordered(b"b:", b"x:", b"c:", b"a:", rearranged=True), known, digest)
    assert found.rearranged == {2: b"c:", 0: b"a:"}
    assert list(found.missing) == [3]
    assert not reconcile(ordered(*known, rearranged=True), known, digest).rearranged
