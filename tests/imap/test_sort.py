"""SORT over a real Maildir (RFC 5256 §3, RFC 5957, RFC 5267 §3)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imap.desk import Desk
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.imap.sort import CRITERIA_MAX, Criterion, parse
from maa.imap.sort_columns import SortKey
from maa.imap.sort_keys import derived, sort_keys
from maa.message.octets import crlf
from maa.store.mailbox import Mailbox
from maa.store.memo import Memo

JAN_2000 = 946_684_800


def message(**fields: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items()]
    return "".join(lines).encode() + b"\nbody\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    one = message(From="Zoe <ann@x.org>", To="carl@x.org", Cc="q@x.org", Subject="Re: b",
                  Date="2 Jan 2000 01:00:00 +0200")  # fmt: skip
    two = message(From="=?utf-8?q?=C3=84nne?= <Bob@x.org>", To="Group: bea@x.org;", Subject="a",
                  Date="1 Jan 2000 22:00:00 -0200")  # fmt: skip
    three = message(From='"" <ann@x.org>', To="Bea B <zed@x.org>", Subject="[list] B")
    desk.deliver(one, date=JAN_2000 + 500)
    desk.deliver(two + b"longer\n", date=JAN_2000 + 400)
    desk.deliver(three, date=JAN_2000 + 600)
    desk.refreshed()
    return desk


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        (b"ARRIVAL", [2, 1, 3]),
        (b"REVERSE ARRIVAL", [3, 1, 2]),
        (b"SIZE", [3, 1, 2]),
        (b"DATE", [3, 1, 2]),  # the third by INTERNALDATE; the others in UTC (§2.2)
        (b"REVERSE DATE", [2, 1, 3]),
        (b"SUBJECT", [2, 1, 3]),  # base subjects a, b and B; ties by number
        (b"REVERSE SUBJECT", [1, 3, 2]),  # ties by number also in reverse
        (b"SUBJECT REVERSE ARRIVAL", [2, 3, 1]),
        (b"FROM", [1, 3, 2]),
        (b"FROM REVERSE SUBJECT DATE", [3, 1, 2]),
        (b"CC", [2, 3, 1]),  # absent: the empty string
        (b"TO", [1, 2, 3]),  # a group by its name: carl, Group, zed
        (b"DISPLAYFROM", [3, 2, 1]),  # ann@x.org, Änne (decomposed), Zoe
        (b"DISPLAYTO", [3, 1, 2]),  # Bea B, carl@x.org, Group
        (b"reverse displayto", [2, 1, 3]),
    ],
)
def test_R190_criteria(desk: Desk, criteria: bytes, expected: list[int]) -> None:
    for _ in range(2):  # read, then remembered
        assert desk.found(b"SORT (%b) UTF-8 ALL" % criteria) == expected


def test_R190_only_what_matches_is_sorted(desk: Desk) -> None:
    assert desk.found(b"SORT (SUBJECT) UTF-8 FROM ann") == [1, 3]
    assert desk.found(b"SORT (SUBJECT) US-ASCII SUBJECT nowhere") == []
    assert desk.found(b"SORT (DATE) UTF-8 3") == [3]
    desk.mailbox.remove([2])
    desk.refreshed()
    assert desk.found(b"UID SORT (DATE) UTF-8 ALL") == [3, 1]
    assert desk.found(b"SORT (DATE) UTF-8 ALL") == [2, 1]


def test_RFC5267_a_sort_is_extended_as_a_search_is(desk: Desk) -> None:
    ask = desk.ask
    assert ask(b"SORT RETURN () (DATE) UTF-8 ALL") == b'* ESEARCH (TAG "a") ALL 3,1:2\r\n'
    assert ask(b"UID SORT RETURN (MIN MAX COUNT) (REVERSE DATE) UTF-8 ALL") == (
        b'* ESEARCH (TAG "a") UID MIN 2 MAX 3 COUNT 3\r\n'
    )
    assert ask(b"SORT RETURN (PARTIAL -1:-2) (DATE) UTF-8 ALL") == (
        b'* ESEARCH (TAG "a") PARTIAL (-1:-2 1:2)\r\n'
    )
    assert ask(b"SORT RETURN (SAVE MIN) (DATE) UTF-8 ALL") == b'* ESEARCH (TAG "a") MIN 3\r\n'
    assert desk.found(b"SEARCH $") == [3]
    assert ask(b"SORT RETURN (SAVE) (REVERSE DATE) UTF-8 NOT $") == b""
    assert desk.found(b"SEARCH $") == [1, 2]


def test_R180_the_charset_is_one_that_is_known(desk: Desk) -> None:
    assert desk.found(b"SORT (SUBJECT) GB18030 SUBJECT %", "b".encode("gb18030")) == [1, 3]
    assert desk.ask(b"SORT (SUBJECT) X-NONE SUBJECT x") == b""
    assert desk.status().startswith(b"NO BADCHARSET (UTF-8 ")


def test_a_warm_sort_opens_no_message_and_a_warmer_one_asks_no_cache(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = b"(SUBJECT FROM DISPLAYTO DATE SIZE)"
    expected = desk.found(b"SORT %b UTF-8 ALL" % keys)

    def unread(mailbox: Mailbox, uids: Sequence[int]) -> None:
        raise AssertionError("a message was opened")

    monkeypatch.setattr(Mailbox, "heads", unread)
    monkeypatch.setattr(Mailbox, "read", unread)
    desk.mailbox.memo = Memo()
    assert desk.found(b"SORT %b UTF-8 ALL" % keys) == expected
    assert desk.slow > 0
    monkeypatch.setattr(Mailbox, "cached", unread)
    assert desk.found(b"SORT %b UTF-8 ALL" % keys) == expected
    assert desk.slow == 0


def test_what_is_remembered_of_a_mailbox_is_not_used_when_others_are_in_it(desk: Desk) -> None:
    assert desk.found(b"SORT (SUBJECT) UTF-8 ALL") == [2, 1, 3]
    desk.deliver(message(Subject="aa"))
    desk.refreshed()
    assert desk.found(b"SORT (SUBJECT) UTF-8 ALL") == [2, 4, 1, 3]


def test_L27_messages_that_cannot_be_read_are_sorted_nevertheless(desk: Desk) -> None:
    path = desk.file(2)
    away = path.rename(desk.boxes.root / "away")
    path.mkdir()
    for _ in range(2):
        assert desk.found(b"SORT (REVERSE SUBJECT) UTF-8 ALL") == [1, 3, 2]
    path.rmdir()
    away.rename(path)
    assert desk.found(b"SORT (REVERSE SUBJECT) UTF-8 ALL") == [1, 3, 2]
    assert desk.found(b"SORT (FROM) UTF-8 ALL") == [1, 3, 2]


def test_R249_a_sort_of_many_is_no_work_for_the_reactor(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.found(b"SORT (DATE SIZE) UTF-8 ALL")
    monkeypatch.setattr("maa.imap.sort._AT_ONCE", 5)
    desk.found(b"SORT (DATE) UTF-8 ALL")
    assert desk.slow == 0
    desk.found(b"SORT (DATE SIZE) UTF-8 ALL")
    assert desk.slow == 1


CRITERIA = st.lists(
    st.builds(Criterion, st.sampled_from(list(SortKey)), st.booleans()), min_size=1, max_size=3
)
SUBJECTS = ["", "a", "Re: A", "B", "[x] re: b", "\u00e4", "Fwd: _"]
ADDRESSES = ["", "ann@x", "Ann <bob@x>", '"Zed" <ANN@y>', "g:;"]
DATES = ["", "1 Jan 2001 00:00:00 +0000", "1 Jan 2001 01:00:00 +0100", "31 Dec 1999 10:00:00 GMT"]
MESSAGES = [
    crlf(message(Subject=subject, From=address, To=address[::2], Cc=address, Date=date))
    for subject, address, date in product(SUBJECTS, ADDRESSES, DATES)
]


@pytest.fixture(scope="module")
def many() -> Desk:
    desk = Desk(Path(tempfile.mkdtemp()))
    for number, octets in enumerate(MESSAGES):
        desk.deliver(octets, date=JAN_2000 + number * 7919 % 1000)
    desk.refreshed()
    return desk


def model(number: int, criterion: Criterion) -> bytes | int:
    """What a message is sorted by."""
    keys = sort_keys(derived(MESSAGES[number - 1])[0])
    arrival = JAN_2000 + (number - 1) * 7919 % 1000
    match criterion.key:
        case SortKey.ARRIVAL:
            return arrival
        case SortKey.DATE:
            return int(keys.date) if keys.date else arrival
        case SortKey.SIZE:
            return len(MESSAGES[number - 1])
    name = {"FROM": "from_", "DISPLAYFROM": "display_from", "DISPLAYTO": "display_to"}
    text = getattr(keys, name.get(criterion.key.name, criterion.key.name.lower()))
    assert isinstance(text, bytes)
    return text


@given(CRITERIA, st.sampled_from([b"ALL", b"1:10", b"NOT SUBJECT a", b"5:*"]))
@settings(max_examples=60, deadline=None)
def test_R190_sorting_equals_the_model(
    many: Desk, criteria: Sequence[Criterion], key: bytes
) -> None:
    expected = many.found(b"SEARCH " + key)
    for criterion in reversed(criteria):
        expected.sort(key=lambda n: model(n, criterion), reverse=criterion.reverse)
    words = [(b"REVERSE " if c.reverse else b"") + c.key.value for c in criteria]
    assert many.found(b"SORT (%b) UTF-8 %b" % (b" ".join(words), key)) == expected


@pytest.mark.parametrize(
    "arguments",
    [b" () UTF-8 ALL", b" DATE UTF-8 ALL", b" (DATE UTF-8 ALL", b" (DATE) ALL", b" (DATE) UTF-8",
     b" (NAME) UTF-8 ALL", b" (REVERSE) UTF-8 ALL", b" (REVERSE REVERSE DATE) UTF-8 ALL",
     b" ( DATE) UTF-8 ALL", b" (DATE,FROM) UTF-8 ALL", b"(DATE) UTF-8 ALL", b"",
     b" (" + b"DATE " * CRITERIA_MAX + b"DATE) UTF-8 ALL"],
)  # fmt: skip
def test_nonsense_is_bad(arguments: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(b"a", Cursor((arguments,)))
