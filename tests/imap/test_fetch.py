"""FETCH over a real Maildir (RFC 3501 §6.4.5)."""

import os
import tracemalloc
from pathlib import Path

import pytest

from imap.desk import Desk
from maa.conversation import CLOSE
from maa.imap.responses import ProtocolError
from maa.message.flags import SEEN
from maa.message.octets import SMALL
from maa.store.errors import MailboxGone, Unavailable
from maa.store.snapshot import StoreMode

PLAIN = b"From: joe@x.org\nTo: ann@x.org\nSubject: hello\n\nbody\n"
MIXED = (
    b"Subject: mixed\nContent-Type: multipart/mixed; boundary=b\n\n"
    b"--b\n\nfirst part\n"
    b"--b\nContent-Type: message/rfc822\n\n"
    b"From: inner@x.org\nSubject: inner\n\ninner body\n--b--\n"
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, PLAIN, MIXED)


def wire(message: bytes) -> bytes:
    return message.replace(b"\n", b"\r\n")


def literal(data: bytes) -> bytes:
    return b"{%d}\r\n%b" % (len(data), data)


def test_flags_and_uids_come_from_memory(desk: Desk) -> None:
    assert desk.ask(b"FETCH 1:* (UID FLAGS)") == (
        b"* 1 FETCH (UID 1 FLAGS ())\r\n* 2 FETCH (UID 2 FLAGS ())\r\n"
    )
    assert desk.slow == 0


def test_Q8_items_come_in_the_order_asked_for(desk: Desk) -> None:
    assert desk.ask(b"FETCH 1 (FLAGS UID)") == b"* 1 FETCH (FLAGS () UID 1)\r\n"
    assert desk.ask(b"UID FETCH 1 (FLAGS UID)") == b"* 1 FETCH (FLAGS () UID 1)\r\n"
    assert desk.ask(b"UID FETCH 1 FLAGS") == b"* 1 FETCH (UID 1 FLAGS ())\r\n"


def test_R132_an_item_asked_twice_is_answered_once(desk: Desk) -> None:
    assert desk.ask(b"FETCH 1 (UID UID)") == b"* 1 FETCH (UID 1)\r\n"


def test_R015_missing_numbers_are_bad_and_missing_uids_are_nothing(desk: Desk) -> None:
    with pytest.raises(ProtocolError):
        desk.ask(b"FETCH 1:3 UID")
    assert desk.ask(b"UID FETCH 7,9:12 FLAGS") == b""
    assert desk.status() == b"OK"
    # n:* with n above the largest means the largest (R014)
    assert desk.ask(b"UID FETCH 9:* FLAGS") == b"* 2 FETCH (UID 2 FLAGS ())\r\n"


def test_R015_a_star_in_an_empty_mailbox(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(ProtocolError):
        desk.ask(b"FETCH 1:* FLAGS")
    assert desk.ask(b"UID FETCH 1:* FLAGS") == b""


def test_R089_R090_date_and_size(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.deliver(PLAIN, date=837571465)
    desk.refreshed()
    assert desk.ask(b"FETCH 1 FAST") == (
        b'* 1 FETCH (FLAGS () INTERNALDATE "17-Jul-1996 02:44:25 +0000" RFC822.SIZE %d)\r\n'
        % len(wire(PLAIN))
    )
    assert desk.slow == 1
    desk.ask(b"FETCH 1 FAST")
    assert desk.slow == 0  # once known, from memory


def test_R135_header_and_text_are_the_whole(desk: Desk) -> None:
    whole = wire(PLAIN)
    header, text = whole[: whole.index(b"body")], b"body\r\n"
    assert desk.ask(b"FETCH 1 (BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT])") == (
        b"* 1 FETCH (BODY[] %b BODY[HEADER] %b BODY[TEXT] %b)\r\n"
        % (literal(whole), literal(header), literal(text))
    )
    assert desk.ask(b"FETCH 1 BODY.PEEK[HEADER]") == (
        b"* 1 FETCH (BODY[HEADER] %b)\r\n" % literal(header)
    )


def test_R134_partial_ranges(desk: Desk) -> None:
    whole = wire(PLAIN)
    size = len(whole)
    for first, count in ((0, 5), (3, 7), (size - 2, 10), (size, 1), (size + 9, 9), (0, 2**32 - 1)):
        taken = whole[first : first + count]
        value = literal(taken) if taken else b'""'
        asked = b"FETCH 1 BODY.PEEK[]<%d.%d>" % (first, count)
        assert desk.ask(asked) == b"* 1 FETCH (BODY[]<%d> %b)\r\n" % (first, value)


def test_R136_header_fields_keep_message_order(desk: Desk) -> None:
    answer = b"* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT FROM X-NONE)] %b)\r\n" % literal(
        b"From: joe@x.org\r\nSubject: hello\r\n\r\n"
    )
    for _ in range(2):  # read, then remembered
        assert desk.ask(b"FETCH 1 BODY.PEEK[HEADER.FIELDS (subject From x-none)]") == answer
    assert desk.slow == 1
    assert desk.ask(b"FETCH 1 BODY.PEEK[HEADER.FIELDS (FROM SUBJECT X-NONE)]<5.6>") == (
        b"* 1 FETCH (BODY[HEADER.FIELDS (FROM SUBJECT X-NONE)]<5> %b)\r\n" % literal(b" joe@x")
    )
    assert desk.ask(b"FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (FROM SUBJECT)]") == (
        b"* 1 FETCH (BODY[HEADER.FIELDS.NOT (FROM SUBJECT)] %b)\r\n"
        % literal(b"To: ann@x.org\r\n\r\n")
    )
    assert desk.ask(b"FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (FROM)]<4.7>") == (
        b"* 1 FETCH (BODY[HEADER.FIELDS.NOT (FROM)]<4> %b)\r\n" % literal(b"ann@x.o")
    )


def test_R137_R138_sections_of_parts(desk: Desk) -> None:
    inner = b"From: inner@x.org\r\nSubject: inner\r\n\r\ninner body"
    expected = {
        b"1": literal(b"first part"),
        b"1.MIME": literal(b"\r\n"),
        b"2": literal(inner),
        b"2.MIME": literal(b"Content-Type: message/rfc822\r\n\r\n"),
        b"2.HEADER": literal(inner[: inner.index(b"inner body")]),
        b"2.TEXT": literal(b"inner body"),
        b"2.1": literal(b"inner body"),
        b"2.1.MIME": literal(b"\r\n"),
        b"2.HEADER.FIELDS (SUBJECT)": literal(b"Subject: inner\r\n\r\n"),
        # R139: what is not there is NIL
        b"1.HEADER": b"NIL",
        b"1.1": b"NIL",
        b"2.2": b"NIL",
        b"3": b"NIL",
        b"3.MIME": b"NIL",
        b"1.TEXT": b"NIL",
    }
    for _ in range(2):  # scanned, then from the remembered offsets
        for section, value in expected.items():
            answer = desk.ask(b"FETCH 2 BODY.PEEK[%b]" % section)
            assert answer == b"* 2 FETCH (BODY[%b] %b)\r\n" % (section, value)


def test_R137_a_message_without_parts_has_part_1(desk: Desk) -> None:
    assert desk.ask(b"FETCH 1 (BODY.PEEK[1] BODY.PEEK[1.1] BODY.PEEK[2])") == (
        b"* 1 FETCH (BODY[1] %b BODY[1.1] NIL BODY[2] NIL)\r\n" % literal(b"body\r\n")
    )


def test_R157_old_names(desk: Desk) -> None:
    whole = wire(PLAIN)
    assert desk.ask(b"FETCH 1 (RFC822.PEEK RFC822.HEADER RFC822.TEXT.PEEK)") == (
        b"* 1 FETCH (RFC822 %b RFC822.HEADER %b RFC822.TEXT %b)\r\n"
        % (literal(whole), literal(whole[:-6]), literal(whole[-6:]))
    )


def test_L4_an_empty_text_is_an_empty_string(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"Subject: x\n\n", b"")
    assert desk.ask(b"FETCH 1:2 BODY.PEEK[TEXT]") == (
        b'* 1 FETCH (BODY[TEXT] "")\r\n* 2 FETCH (BODY[TEXT] "")\r\n'
    )
    assert desk.ask(b"FETCH 2 (BODY.PEEK[] RFC822.SIZE)") == (
        b'* 2 FETCH (BODY[] "" RFC822.SIZE 0)\r\n'
    )


def test_R156_nul_is_replaced(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"Subject: x\n\na\0b\n")
    assert b"a\x80b\r\n" in desk.ask(b"FETCH 1 BODY.PEEK[TEXT]")


@pytest.mark.parametrize("item", [b"BODY[]", b"BODY[TEXT]", b"RFC822", b"RFC822.TEXT", b"BODY[1]"])
def test_R087_R158_reading_sets_seen_and_tells_so(desk: Desk, item: bytes) -> None:
    answer = desk.ask(b"FETCH 1 " + item)
    assert answer.endswith(b" FLAGS (\\Seen))\r\n")
    assert desk.mailbox.snapshot.flags(0) == {SEEN}
    assert b"FLAGS" not in desk.ask(b"FETCH 1 " + item)
    # What this command did itself is told, so nothing is left to tell.
    assert desk.state.view.refresh(expunges=True)[1] == []


def test_R087_what_was_seen_stays_so(desk: Desk) -> None:
    desk.ask(b"FETCH 1:2 RFC822.TEXT")
    assert b"FLAGS" not in desk.ask(b"FETCH 1:2 RFC822.TEXT")


def test_R087_flags_asked_for_are_those_after_reading(desk: Desk) -> None:
    assert desk.ask(b"UID FETCH 1 (FLAGS BODY[TEXT])") == (
        b"* 1 FETCH (UID 1 FLAGS (\\Seen) BODY[TEXT] %b)\r\n" % literal(b"body\r\n")
    )


@pytest.mark.parametrize("item", [b"BODY.PEEK[]", b"RFC822.HEADER", b"ENVELOPE", b"BODYSTRUCTURE"])
def test_R087_peeking_does_not(desk: Desk, item: bytes) -> None:
    desk.ask(b"FETCH 1 " + item)
    assert desk.mailbox.snapshot.flags(0) == frozenset()


def test_R053_reading_an_examined_mailbox_changes_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PLAIN, read_only=True)
    assert b"FLAGS" not in desk.ask(b"FETCH 1 BODY[]")
    assert desk.mailbox.snapshot.flags(0) == frozenset()


def test_R068_changes_by_others_are_told_inside(desk: Desk) -> None:
    desk.mailbox.store([2], StoreMode.ADD, frozenset({"\\Flagged"}))
    answer = desk.ask(b"FETCH 1 BODY[TEXT]")
    assert answer.startswith(b"* 2 FETCH (FLAGS (\\Flagged))\r\n* 1 FETCH (BODY[TEXT]")


def test_envelope_and_structure_are_remembered(desk: Desk) -> None:
    asked = b"FETCH 1:2 (ENVELOPE BODYSTRUCTURE BODY)"
    first = desk.ask(asked)
    assert first.count(b"FETCH") == 2
    for path in (desk.boxes.root / "INBOX" / "new").iterdir():
        path.write_bytes(b"")  # nobody may look again
    assert desk.ask(asked) == first
    assert desk.status() == b"OK"


def test_a_batch_partly_remembered_is_whole(desk: Desk) -> None:
    one, two = desk.ask(b"FETCH 1 ENVELOPE"), desk.ask(b"FETCH 2 ENVELOPE")
    desk.deliver(PLAIN, MIXED)
    desk.refreshed()
    answer = desk.ask(b"FETCH 1:4 (ENVELOPE)")
    assert answer.startswith(one + two)
    assert answer.count(b"FETCH (ENVELOPE") == 4


def test_L27_R159_one_unreadable_message_does_not_hinder_the_others(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PLAIN, PLAIN, PLAIN)
    desk.ask(b"FETCH 1,3 BODY.PEEK[1]")
    bad = next((tmp_path / "INBOX" / "new").glob("1000002*"))
    bad.unlink()
    bad.mkdir()
    answer = desk.ask(b"FETCH 1:* (UID ENVELOPE BODY.PEEK[TEXT] RFC822.SIZE)")
    assert answer.count(b"ENVELOPE") == 2
    assert b"* 2 FETCH (UID 2 BODY[TEXT] NIL)\r\n" in answer
    assert answer.count(literal(b"body\r\n")) == 2
    assert desk.status().startswith(b"NO")


def test_R067_an_expunged_message_keeps_its_number(desk: Desk) -> None:
    size = len(wire(MIXED))
    desk.ask(b"FETCH 1:2 RFC822.SIZE")
    desk.mailbox.store([1], StoreMode.ADD, frozenset({"\\Deleted"}))
    desk.mailbox.expunge()
    desk.refreshed(expunges=False)
    assert desk.ask(b"FETCH 1:2 (FLAGS RFC822.SIZE)") == (
        b"* 1 FETCH (FLAGS ())\r\n* 2 FETCH (FLAGS () RFC822.SIZE %d)\r\n" % size
    )
    assert desk.ask(b"FETCH 1 RFC822.SIZE") == b""
    assert desk.ask(b"FETCH 1:2 (UID BODY.PEEK[TEXT])").startswith(
        b"* 1 FETCH (UID 1 BODY[TEXT] NIL)\r\n* 2 FETCH (UID 2 BODY[TEXT] {"
    )
    assert desk.status() == b"NO EXPUNGEISSUED"
    assert len(desk.state.view) == 2


def test_R227_a_large_message_is_streamed(tmp_path: Path) -> None:
    large = b"Subject: large\n\n" + b"0123456789abcde\n" * (SMALL // 16 + 5000)
    desk = Desk(tmp_path, PLAIN, large, PLAIN)
    answer = desk.ask(b"FETCH 1:3 (UID BODY.PEEK[] BODY.PEEK[TEXT]<100000.200000>)")
    assert b"* 2 FETCH (UID 2 BODY[] " + literal(wire(large)) in answer
    text = wire(large).partition(b"\r\n\r\n")[2]
    assert b" BODY[TEXT]<100000> " + literal(text[100000:300000]) + b")\r\n" in answer
    assert answer.count(literal(wire(PLAIN))) == 2
    assert max(map(len, desk.pieces)) <= 2 * 65536
    assert desk.slow > len(large) // 65536


def test_R226_small_messages_are_sent_in_pieces(tmp_path: Path) -> None:
    message = b"Subject: x\n\n" + b"0123456789abcde\n" * 1000
    desk = Desk(tmp_path, *[message] * 30)
    answer = desk.ask(b"FETCH 1:* BODY.PEEK[]")
    assert answer.count(literal(wire(message))) == 30
    assert max(map(len, desk.pieces)) <= 2 * 65536


@pytest.mark.parametrize(
    "section",
    [b"BODY.PEEK[HEADER.FIELDS.NOT (X%d)]", b"BODY.PEEK[HEADER.FIELDS (L X%d)]",
     b"BINARY.PEEK[1]<%d.900000>", b"BODY.PEEK[TEXT]<%d.900000>"],
)  # fmt: skip
def test_R227_many_long_sections_of_one_message_are_not_all_in_memory(
    tmp_path: Path, section: bytes
) -> None:
    long = b"L: " + b"x" * (SMALL // 3) + b"\n\n" + b"0123456789abcde\n" * (SMALL // 50)
    desk = Desk(tmp_path, long)
    items = b" ".join(section % number for number in range(60))
    tracemalloc.start()
    for _ in desk.started(b"FETCH 1 (%b)" % items):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * SMALL
    assert desk.ask(b"FETCH 1 (%b)" % items).count(b"<" if b"<" in section else b"HEADER") >= 60
    assert desk.slow >= 10


def test_a_fetch_that_is_abandoned_closes_its_files(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"Subject: x\n\n" + b"0123456789abcde\n" * (SMALL // 15))

    def messages_open() -> int:
        # Its own alone: what other tests left behind may be given back at any moment.
        links = (os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink())
        return sum(str(tmp_path) in link and ".host" in link for link in links)

    assert messages_open() == 0
    steps = desk.started(b"FETCH 1 BODY.PEEK[]")
    while not isinstance(next(steps), bytes):
        pass
    assert messages_open() == 1
    steps.close()
    assert messages_open() == 0


def test_many_flags_lines_are_made_in_batches(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(2500):
        desk.boxes.deliver(f"{number:07}.M1P1.host", b"")
    desk.mailbox.sync()
    desk.refreshed()
    desk.mailbox.store([3, 1700], StoreMode.ADD, frozenset({"\\Seen", "$Junk"}))
    desk.refreshed()
    answer = desk.ask(b"FETCH 1:* (UID FLAGS)").split(b"\r\n")
    assert len(answer) == 2501
    assert answer[2] == b"* 3 FETCH (UID 3 FLAGS (\\Seen $Junk))"
    assert answer[1699] == b"* 1700 FETCH (UID 1700 FLAGS (\\Seen $Junk))"
    assert answer[2499] == b"* 2500 FETCH (UID 2500 FLAGS ())"
    assert desk.slow == 0
    assert len(desk.pieces) > 1


def test_recent_is_told_to_the_session_that_has_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.boxes.deliver("1.M1P1.host", PLAIN)
    desk.mailbox.sync()
    desk.claimed()
    assert desk.ask(b"FETCH 1 FLAGS") == b"* 1 FETCH (FLAGS (\\Recent))\r\n"
    desk.deliver(PLAIN)
    desk.refreshed()
    assert desk.ask(b"FETCH 1:2 FLAGS") == (
        b"* 1 FETCH (FLAGS (\\Recent))\r\n* 2 FETCH (FLAGS ())\r\n"
    )


def test_nothing_is_kept_of_very_long_values(tmp_path: Path) -> None:
    header = b"".join(b"X-%d: y\n" % number for number in range(20_000))
    desk = Desk(tmp_path, b"To: " + b"a@b.org,\n " * 12_000 + b"c@d.org\n" + header + b"\nbody\n")
    first = desk.ask(b"FETCH 1 ENVELOPE")
    assert len(first) > 65536
    assert desk.mailbox.cached("envelope/1", [1]) == {}
    assert desk.ask(b"FETCH 1 ENVELOPE") == first


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"Subject: x\n\n" + b"0123456789abcde\n" * (SMALL // 8))
    steps = desk.started(b"FETCH 1 BODY.PEEK[]")
    sent = 0
    while sent < 200_000:
        step = next(steps)
        sent += len(step) if isinstance(step, bytes) else 0
    os.truncate(desk.file(1), 1000)
    # The literal promised more octets: whatever came next would be taken for them.
    rest: list[object] = []
    with pytest.raises(Unavailable):
        rest.extend(steps)
    assert rest[-1] is CLOSE


def test_L27_a_file_that_shrinks_before_it_is_sent_is_nil(tmp_path: Path) -> None:
    desk = Desk(tmp_path, b"Subject: x\n\n" + b"0123456789abcde\n" * (SMALL // 8), PLAIN)
    steps = desk.started(b"FETCH 1:2 (UID BODYSTRUCTURE BODY.PEEK[1])")
    sent = b""
    for step in steps:
        if isinstance(step, bytes):
            sent += step
            os.truncate(desk.file(1), 1000)  # after the UID
    assert sent.startswith(b"* 1 FETCH (UID 1 BODY[1] NIL)\r\n* 2 FETCH (UID 2 BODYSTRUCTURE (")


def test_reading_goes_on_when_seen_cannot_be_kept(desk: Desk) -> None:
    desk.ask(b"FETCH 1 BODY.PEEK[TEXT]")
    desk.mailbox.ledger.index.close()  # as good as a broken disk
    assert desk.ask(b"FETCH 1 BODY[TEXT]") == (
        b"* 1 FETCH (BODY[TEXT] %b)\r\n" % literal(b"body\r\n")
    )
    assert desk.status() == b"OK"


def test_R058_a_mailbox_that_is_gone_is_gone(desk: Desk) -> None:
    desk.mailbox.retire()
    with pytest.raises(MailboxGone):
        desk.ask(b"FETCH 1 BODY[TEXT]")


def test_R158_remembered_fields_tell_the_new_flags_too(desk: Desk) -> None:
    asked = b"BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
    fields = desk.ask(b"FETCH 1:2 " + asked)
    seen = desk.ask(b"FETCH 1:2 " + asked.replace(b".PEEK", b""))
    assert seen == fields.replace(b")\r\n* 2", b" FLAGS (\\Seen))\r\n* 2")[:-3] + (
        b" FLAGS (\\Seen))\r\n"
    )


def test_sizes_are_learned_of_messages_that_stay_closed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, PLAIN)
    structure = desk.ask(b"FETCH 1 BODYSTRUCTURE")
    # Another server process knows the structure from the cache, but not the sizes.
    desk.mailbox.snapshot.sizes[0] = desk.mailbox.snapshot.dates[0] = -1
    desk.deliver(MIXED)
    desk.refreshed()
    answer = desk.ask(b"FETCH 1:2 (BODYSTRUCTURE RFC822.SIZE INTERNALDATE)")
    assert answer.startswith(structure[:-3] + b" RFC822.SIZE %d INTERNAL" % len(wire(PLAIN)))
    assert answer.count(b"INTERNALDATE") == 2


def test_medium_messages_are_cut(tmp_path: Path) -> None:
    message = b"Subject: x\n\n" + b"0123456789abcde\n" * 20_000
    desk = Desk(tmp_path, message)
    assert desk.ask(b"FETCH 1 BODY.PEEK[]") == (
        b"* 1 FETCH (BODY[] %b)\r\n" % literal(wire(message))
    )
    assert max(map(len, desk.pieces)) <= 2 * 65536


def test_a_header_longer_than_a_chunk(tmp_path: Path) -> None:
    header = b"".join(b"X-%d: filler\n" % number for number in range(10_000)) + b"\n"
    desk = Desk(tmp_path, header + b"body\n")
    asked = b"FETCH 1 (BODY.PEEK[HEADER] BODY.PEEK[TEXT])"
    assert desk.ask(asked) == b"* 1 FETCH (BODY[HEADER] %b BODY[TEXT] %b)\r\n" % (
        literal(wire(header)),
        literal(b"body\r\n"),
    )
    assert b"X-9999: filler\r\n\r\n" in desk.ask(b"FETCH 1 BODY.PEEK[HEADER.FIELDS (X-9999)]")
