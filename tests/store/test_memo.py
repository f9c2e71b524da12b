"""What is worked out of a mailbox's messages is kept while they are the same."""

from array import array

from maa.store.memo import OCTETS_MAX, VALUES_MAX, Memo


def test_values_belong_to_one_set_of_messages() -> None:
    memo = Memo()
    one, other = array("I", [1, 2]), array("I", [1, 2])
    memo.keep(one, "dates", array("q", [5, 6]))
    memo.keep(one, "threads", b"(1 2)")
    assert memo.get(one, "dates") == array("q", [5, 6])
    assert memo.get(one, "threads") == b"(1 2)"
    assert memo.get(other, "dates") is None
    memo.keep(other, "dates", array("q", [7, 8]))
    assert memo.get(one, "dates") is None
    assert memo.get(other, "threads") is None


def test_what_is_kept_is_bounded() -> None:
    memo = Memo()
    uids = array("I", [1])
    memo.keep(uids, "large", bytes(OCTETS_MAX + 1))
    memo.keep(uids, "long", array("q", bytes(OCTETS_MAX + 8)))
    assert memo.get(uids, "large") is memo.get(uids, "long") is None
    for number in range(VALUES_MAX + 1):
        memo.keep(uids, str(number), b"x")
    assert memo.get(uids, "0") is None
    assert memo.get(uids, "1") == memo.get(uids, str(VALUES_MAX)) == b"x"
