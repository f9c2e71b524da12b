"""SEARCH over a real Maildir (RFC 3501 §6.4.4)."""

import base64
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from imap.desk import Desk
from maa.imap.matching import evaluated, leaves
from maa.imap.responses import ProtocolError
from maa.imap.search_keys import All, Any, HasFlag, Not
from maa.message.octets import SMALL
from maa.store.errors import Unavailable
from maa.store.mailbox import Mailbox
from maa.store.snapshot import StoreMode

JAN_2000 = 946_684_800
ONE = (
    b"From: Joe Doe <joe@x.org>\nTo: ann@y.org\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\n"
    b"Message-ID: <one@x.org>\nDate: Fri, 31 Dec 1999 23:30:00 -0500\nX-Tag: Red\n\nquarterly\n"
)
TWO = (
    b"From: me\nSubject:\nContent-Type: multipart/mixed; boundary=b\n\npreamble\n"
    b"--b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n"
    + base64.b64encode("Füße und Hände".encode())
    + b"\n--b\nContent-Type: image/png\nX-Part: shiny\nContent-Transfer-Encoding: base64\n\n"
    + base64.b64encode(b"picture quarterly")
    + b"\n--b\nContent-Type: message/rfc822\n\nSubject: enclosed\n\ninside it\n--b--\n"
)
THREE = b"no header at all\n"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.deliver(ONE, date=JAN_2000 + 100)
    desk.deliver(TWO, date=JAN_2000 + 86_400 * 5)
    desk.deliver(THREE, date=JAN_2000 + 86_400 * 10)
    desk.refreshed()
    desk.mailbox.store([1], StoreMode.ADD, frozenset({"\\Seen", "$Work"}))
    desk.mailbox.store([2], StoreMode.ADD, frozenset({"\\Seen", "\\Flagged"}))
    desk.refreshed()
    return desk


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (b"ALL", [1, 2, 3]),
        (b"SEEN", [1, 2]),
        (b"UNSEEN", [3]),
        (b"FLAGGED SEEN", [2]),
        (b"NOT (SEEN FLAGGED)", [1, 3]),
        (b"OR FLAGGED UNSEEN", [2, 3]),
        (b"KEYWORD $work", [1]),
        (b"UNKEYWORD $WORK", [2, 3]),
        (b"NEW", []),
        (b"OLD", [1, 2, 3]),
        (b"2:*", [2, 3]),
        (b"NOT 2:*", [1]),
        (b"*", [3]),
        (b"UID 2,9", [2]),
        (b"9", []),  # R178: lenient
        (b"1:9 SEEN", [1, 2]),
    ],
)
def test_R178_R184_flags_and_sets_need_no_disk(
    desk: Desk, keys: bytes, expected: list[int]
) -> None:
    assert desk.found(b"SEARCH " + keys) == expected
    assert desk.slow == 0


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (b"ON 1-Jan-2000", [1]),
        (b"BEFORE 2-Jan-2000", [1]),
        (b"BEFORE 1-Jan-2000", []),
        (b"SINCE 6-Jan-2000", [2, 3]),
        (b"SINCE 7-Jan-2000", [3]),
        # R182: the day as written, not in UTC
        (b"SENTON 31-Dec-1999", [1]),
        (b"SENTON 1-Jan-2000", []),
        # without a Date they match none of the three
        (b"SENTSINCE 1-Jan-1900", [1]),
        (b"SENTBEFORE 1-Jan-2100", [1]),
        (b"NOT SENTSINCE 1-Jan-1900", [2, 3]),
    ],
)
def test_R182_dates(desk: Desk, keys: bytes, expected: list[int]) -> None:
    assert desk.found(b"SEARCH " + keys) == expected


def test_R183_sizes_are_strict(desk: Desk) -> None:
    size = len(THREE) + 1
    assert desk.found(b"SEARCH SMALLER %d" % size) == []
    assert desk.found(b"SEARCH SMALLER %d" % (size + 1)) == [3]
    assert desk.found(b"SEARCH LARGER %d" % size) == [1, 2]
    assert desk.found(b"SEARCH LARGER %d" % (size - 1)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("keys", "literals", "expected"),
    [
        (b"FROM joe", [], [1]),
        (b'FROM "DOE <JOE@"', [], [1]),
        (b"FROM @", [], [1, 2]),  # an empty host is one, too (R152)
        (b"TO ann", [], [1]),
        (b"CC ann", [], []),
        (b'SUBJECT ""', [], [1, 2]),
        (b"SUBJECT %", ["GRÜSSE".encode()], [1]),
        (b"CHARSET UTF-8 SUBJECT %", ["grüße".encode()], [1]),
        (b"CHARSET ISO-8859-1 SUBJECT %", ["grü".encode("latin-1")], [1]),
        (b'HEADER Message-ID "<one@"', [], [1]),
        (b'HEADER message-id ""', [], [1]),
        (b"HEADER X-Tag red", [], [1]),
        (b'HEADER X-Tag ""', [], [1]),
        (b'HEADER X-Ta ""', [], []),
        (b'NOT HEADER X-Tag ""', [], [2, 3]),
        (b"HEADER Subject utf-8", [], []),  # decoded (R179)
    ],
)
def test_R179_R181_header_fields(
    desk: Desk, keys: bytes, literals: list[bytes], expected: list[int]
) -> None:
    for _ in range(2):  # read, then remembered
        assert desk.found(b"SEARCH " + keys, *literals) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("BODY QUARTERLY", [1]),  # not in the encoded picture
        ("BODY FÜSSE", [2]),
        ("BODY ände", [2]),
        ("BODY inside", [2]),
        ("BODY enclosed", [2]),  # the header of a message inside is body
        ("BODY preamble", []),
        ("BODY shiny", []),
        ("BODY Joe", []),
        ("TEXT shiny", [2]),
        ("TEXT Joe", [1]),
        ("TEXT multipart/mixed", [2]),
        ("TEXT quarterly", [1]),
        ('BODY ""', [1, 2, 3]),
        ("NOT TEXT f", [3]),
        ("OR BODY quarterly BODY inside", [1, 2]),
        ("BODY quarterly BODY inside", []),
        ("FLAGGED OR SUBJECT nothing BODY inside", [2]),
        ("NOT BODY quarterly", [2, 3]),
    ],
)
def test_R185_text_and_body(desk: Desk, keys: str, expected: list[int]) -> None:
    key, _, text = keys.rpartition(" ")
    line = f"SEARCH CHARSET UTF-8 {key} %".encode()
    for _ in range(2):
        if text == '""' or key.startswith(("OR", "BODY ", "FLAGGED")):
            assert desk.found(f"SEARCH {keys}".encode()) == expected
        else:
            assert desk.found(line, text.encode()) == expected


PART = b"--b\nContent-Type: text/plain; charset=utf-8\n"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"Content-Transfer-Encoding: 8bit\n\nneedle", [1]),
        # RFC 2045 §6.4: no one knows what that is
        (b"Content-Transfer-Encoding: 8 bit\n\nneedle", []),
        (b"Content-Transfer-Encoding: x-none\n\nneedle", []),
        (b"Content-Type: multipart/mixed; boundary=b\n\nneedle\n" + PART + b"\nno\n--b--", []),
        (b"Content-Type: multipart/mixed; boundary=b\n\nneedle", []),
        # without a blank line the first part's header is in the message's
        (b"Content-Type: multipart/mixed; boundary=b\n" + PART + b"\nneedle\n--b--", [1]),
        (b"Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=b\n\nneedle", [1]),
        (b"Content-Type: multipart/x; boundary=a\nContent-Type: multipart/y\n\nneedle", []),
    ],
)
def test_R185_what_is_text(tmp_path: Path, message: bytes, expected: list[int]) -> None:
    desk = Desk(tmp_path, message)
    for _ in range(2):
        assert desk.found(b"SEARCH BODY needle") == expected
        assert desk.found(b"SEARCH TEXT needle") == expected


def test_R179_text_of_damaged_UTF8_is_found(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"Content-Type: text/plain; charset=utf-8\n\nGr\xc3\xbc\xc3\x9fe \xff\n")
    assert desk.found(b"SEARCH CHARSET UTF-8 BODY %", "grüsse".encode()) == [1]


def test_R186_nothing_found_is_an_empty_answer_and_nothing_is_seen(desk: Desk) -> None:
    assert desk.ask(b"SEARCH BODY nowhere") == b"* SEARCH\r\n"
    assert desk.ask(b"SEARCH TEXT header") == b"* SEARCH 3\r\n"
    assert desk.mailbox.snapshot.unseen == 1


def test_R178_uid_search_gives_uids(desk: Desk) -> None:
    desk.mailbox.remove([1])
    desk.refreshed()
    assert desk.found(b"SEARCH ALL") == [1, 2]
    assert desk.found(b"UID SEARCH ALL") == [2, 3]
    assert desk.found(b"UID SEARCH 1") == [2]


def test_R067_what_is_expunged_and_not_yet_told_is_still_numbered(desk: Desk) -> None:
    desk.mailbox.remove([2])
    desk.refreshed(expunges=False)
    assert desk.found(b"SEARCH ALL") == [1, 2, 3]
    assert desk.found(b"SEARCH SEEN") == [1, 2]
    assert desk.found(b"SEARCH RECENT") == []
    # Its size is not known any more, so it is neither small nor large.
    assert desk.found(b"SEARCH OR LARGER 1 SMALLER 2") == [1, 3]
    assert desk.found(b"SEARCH SUBJECT %", b"") == [1]


def test_R180_unknown_charsets_are_named(desk: Desk) -> None:
    for name in (b"zlib", b"unicode_escape", b"idna", b"X-NONE"):
        assert desk.ask(b"SEARCH CHARSET %b SUBJECT %%" % name, b"x") == b""
        assert desk.status().startswith(b"NO BADCHARSET (UTF-8 US-ASCII ")


def test_R180_the_charsets_that_are_named_are_known(desk: Desk) -> None:
    desk.ask(b"SEARCH CHARSET X-NONE ALL")
    for name in desk.status().partition(b"(")[2].rstrip(b")").split():
        assert desk.found(b"SEARCH CHARSET %b ALL" % name) == [1, 2, 3]


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("GBK", "测试"), ("GB18030", "测试"), ("GB2312", "测试"), ("HZ-GB-2312", "测试"),
        ("EUC-JP", "テスト"), ("Big5", "測試"),
        ("Big5-HKSCS", "測試"), ("ISO-2022-JP", "テスト"), ("Shift_JIS", "テスト"),
        ("EUC-KR", "한국"), ("ISO-2022-KR", "한국"), ("KOI8-R", "ТЕСТ"),
        ("windows-1251", "ТЕСТ"), ("ISO-8859-15", "Œuvre"), ("cp037", "test"), ("UTF-16", "ß"),
        ("UTF-7", "ü"), ("macintosh", "Ü"),
    ],
)  # fmt: skip
def test_R180_text_is_searched_in_every_charset(tmp_path: Path, charset: str, text: str) -> None:
    asked = text.encode({"macintosh": "mac-roman", "HZ-GB-2312": "hz"}.get(charset, charset))
    subject = base64.b64encode(f"({text.lower()})".encode())
    desk = Desk(
        tmp_path,
        b"Subject: =?utf-8?B?%b?=\n\n" % subject,
        b"Subject: x\nContent-Type: text/plain; charset=utf-8\n\n--" + text.encode() + b"--\n",
        b"Subject: other\n\nother\n",
    )
    if b"\0" in asked:  # no literal can hold it
        with pytest.raises(ProtocolError):
            desk.found(b"SEARCH CHARSET %b SUBJECT %%" % charset.encode(), asked)
        return
    assert desk.found(b"SEARCH CHARSET %b SUBJECT %%" % charset.encode(), asked) == [1]
    assert desk.found(b"SEARCH CHARSET %b BODY %%" % charset.encode(), asked) == [2]


def test_RFC5032_ages_are_exact_to_the_second(desk: Desk) -> None:
    desk.now = JAN_2000 + 86_400 * 10 + 0.9
    five_days = 86_400 * 5
    assert desk.found(b"SEARCH OLDER %d" % five_days) == [1, 2]
    assert desk.found(b"SEARCH YOUNGER %d" % five_days) == [2, 3]
    assert desk.found(b"SEARCH OLDER %d" % (five_days + 1)) == [1]
    assert desk.found(b"SEARCH YOUNGER %d" % (five_days - 1)) == [3]
    assert desk.found(b"SEARCH NOT OLDER 1 YOUNGER 1") == [3]


def test_R188_a_search_that_cannot_be_done_empties_what_was_saved(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(mailbox: Mailbox, item: str, uids: Sequence[int]) -> dict[int, bytes]:
        raise Unavailable("the disk is on fire")

    assert desk.ask(b"SEARCH RETURN (SAVE) ALL") == b""
    monkeypatch.setattr(Mailbox, "cached", broken)
    assert desk.ask(b"SEARCH RETURN (COUNT) SUBJECT x") == b""
    assert desk.status() == b"NO UNAVAILABLE"
    assert desk.found(b"SEARCH $") == [1, 2, 3]
    assert desk.ask(b"SEARCH RETURN (SAVE) SUBJECT x") == b""
    assert desk.status() == b"NO UNAVAILABLE"
    assert desk.found(b"SEARCH $") == []


def test_L18_a_message_just_appended_is_found(desk: Desk) -> None:
    incoming = desk.mailbox.incoming()
    incoming.write(b"Message-ID: <new@x.org>\r\nX-Key: k\r\n\r\n")
    incoming.commit(frozenset(), None)
    desk.refreshed()
    assert desk.found(b'SEARCH HEADER Message-ID "<new@x.org>"') == [4]
    assert desk.found(b"UID SEARCH HEADER X-Key k") == [4]


def test_an_empty_mailbox_finds_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.found(b"SEARCH 1:* BODY x") == []


def test_bodies_are_read_of_undecided_messages_alone(desk: Desk) -> None:
    desk.found(b"SEARCH BODY x")
    for path in (desk.boxes.root / "INBOX" / "new").glob("100000[23]*"):
        path.unlink()
        path.mkdir()  # reading them would fail
    assert desk.found(b"SEARCH KEYWORD $Work BODY quarterly") == [1]
    # Unreadable messages are not found, not even by NOT.
    assert desk.found(b"SEARCH NOT BODY nowhere") == [1]


def test_text_of_a_large_message_is_found_across_its_pieces(tmp_path: Path) -> None:
    filler = b"0123456789abcde\n"
    large = b"Subject: x\n\n" + filler * (SMALL // 16 - 1) + b"needle in hay\n" + filler * 70_000
    desk = Desk(tmp_path, large)
    assert desk.found(b'SEARCH BODY "needle in hay"') == [1]
    assert desk.found(b'SEARCH BODY "needle in the hay"') == []
    assert desk.slow > 2


def test_R192_a_search_yields_often(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(1200):
        desk.boxes.deliver(f"{number:07}.M1P1.host", b"Subject: s%d\n\nb\n" % number)
    desk.mailbox.sync()
    desk.refreshed()
    assert desk.found(b"SEARCH SUBJECT s77") == [78, *range(771, 781)]
    assert desk.slow == 3
    assert len(desk.found(b"SEARCH ALL")) == 1200


def test_long_answers_come_in_pieces(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(6000):
        desk.boxes.deliver(f"{number:07}.M1P1.host", b"")
    desk.mailbox.sync()
    desk.refreshed()
    assert desk.found(b"SEARCH ALL") == list(range(1, 6001))
    assert len(desk.pieces) == 4


def test_evaluation_leaves_open_what_is_unknown() -> None:
    a, b = HasFlag("a"), HasFlag("b")
    everything = {1, 2, 3, 4}

    def decided(leaf: object, positions: set[int]) -> set[int] | None:
        return {1, 2} & positions if leaf == a else None

    assert leaves(All((a, Not(Any((b, a)))))) in ([a, b], [b, a])
    for key, matched, undecided in (
        (All((a, b)), set(), {1, 2}),
        (All((b, a)), set(), {1, 2}),
        (Any((a, b)), {1, 2}, {3, 4}),
        (Any((b, a)), {1, 2}, {3, 4}),
        (Not(b), set(), everything),
        (Not(All((a, b))), {3, 4}, {1, 2}),
        (Not(Any((a, b))), set(), {3, 4}),
        (All(()), everything, set()),
        (All((Not(a), Any((a, b)))), set(), {3, 4}),
    ):
        assert evaluated(key, everything, decided) == (matched, undecided)


def test_R249_many_conditions_on_many_messages_are_no_work_for_the_reactor(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maa.imap.matching._AT_ONCE_IN_MEMORY", 6)
    assert desk.found(b"SEARCH SEEN UNKEYWORD a") == [1, 2]
    assert desk.slow == 0
    assert desk.found(b"SEARCH SEEN UNKEYWORD a UNKEYWORD b") == [1, 2]
    assert desk.slow == 1


def test_sizes_are_asked_for_once_whatever_the_conditions(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def sizes(mailbox: Mailbox, uids: Sequence[int]) -> list[int | None]:
        asked.append(len(uids))
        return [100, 200, None]

    monkeypatch.setattr(Mailbox, "sizes", sizes)
    assert desk.found(b"SEARCH OR LARGER 150 NOT LARGER 50") == [2, 3]
    assert asked == [3]


def test_of_two_dates_the_first_counts(tmp_path: Path) -> None:
    first, second = b"Date: 1 Jan 2001 00:00 +0000\n", b"Date: 2 Feb 2002 00:00 +0000\n"
    desk = Desk(tmp_path, first + second + b"\n")
    assert desk.found(b"SEARCH SENTON 1-Jan-2001") == [1]
    assert desk.found(b"SEARCH SENTON 2-Feb-2002") == []


def test_header_texts_too_long_to_keep_are_read_each_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"To: " + b"somebody@example.org,\n " * 4000 + b"last@x.org\n\n")
    for _ in range(2):
        assert desk.found(b"SEARCH TO last@x.org") == [1]
    assert desk.mailbox.cached("search/2", [1]) == {}


@pytest.mark.parametrize("key", [b"SUBJECT x", b"HEADER X-A x", b"TEXT x", b"NOT SUBJECT x"])
def test_L27_unreadable_messages_are_passed_over(tmp_path: Path, key: bytes) -> None:
    message = b"Subject: x\nX-A: x\n\nx\n"
    desk = Desk(tmp_path, message, message)
    path = desk.file(1)
    path.unlink()
    path.mkdir()
    assert desk.found(b"SEARCH " + key) == ([] if key.startswith(b"NOT") else [2])


def test_a_file_that_shrinks_while_it_is_searched_is_passed_over(tmp_path: Path) -> None:
    large = b"Subject: x\n\n" + b"0123456789abcde\n" * (SMALL // 8)
    desk = Desk(tmp_path, large, b"Subject: y\n\nneedle\n")
    steps = desk.started(b"SEARCH BODY needle")
    found = b""
    for step in steps:
        if isinstance(step, bytes):
            found += step
        elif desk.file(1).stat().st_size > SMALL and len(open_files(desk.file(1))):
            os.truncate(desk.file(1), 100)
    assert found == b"* SEARCH 2\r\n"


def open_files(path: Path) -> list[str]:
    """The descriptors of this process that are open on a file."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}") == str(path):
                found.append(name)
        except FileNotFoundError:
            continue
    return found


def test_text_that_is_not_in_its_charset_is_bad(desk: Desk) -> None:
    with pytest.raises(ProtocolError):
        desk.ask(b"SEARCH SUBJECT %", b"\xff\xfe")
