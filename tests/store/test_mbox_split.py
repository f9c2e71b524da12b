"""Where messages of an mbox begin and end (R229-R231)."""

from __future__ import annotations

import os
import tempfile
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.flags import ANSWERED, FLAGGED, SEEN
from maa.store import mbox_split
from maa.store.mbox_lines import date_of
from maa.store.mbox_notes import flags_of
from maa.store.mbox_split import NotMbox, arrived, digest, message_at, split
from maa.store.mbox_staging import stage

LINE = b"From joe@example.org Thu Jan  1 10:00:00 2026\n"


def parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Visible header and body of each message."""
    found = list(split(data, 0, len(data)))
    assert [m.start for m in found[1:]] == [m.stop for m in found[:-1]]
    assert not found or (found[0].start, found[-1].stop) == (0, len(data))
    for message in found:
        again = message_at(data, message.start, message.stop)
        assert (again.body_start, again.end) == (message.body_start, message.end)
    return [(m.visible_header, data[m.body_start : m.end]) for m in found]


@pytest.mark.parametrize(
    "line",
    [
        b"From joe@example.org Thu Jan  1 10:00:00 2026",
        b"From joe Thu Jan  1 10:00 2026",
        b"From joe Thu Jan  1 10:00:00 GMT 2026",
        b"From joe Thu Jan  1 10:00:00 2026 +0000",
        b"From joe Thu Jan 01 10:00:00 +0000 2026",
        b"From joe Thu Jan  1 10:00:00 MET DST 2026",
        b"From joe Thu Jan  1 10:00:00 2026 remote from uunet",
        b'From "joe schmoe"@example.org Thu Jan  1 10:00:00 2026',
        b"From  Thu Jan  1 10:00:00 2026",
        b"From joe Thu, 1 Jan 2026 10:00:00 +0000",
        b"From MAILER_DAEMON Thu Jan  1 10:00:00 2026\r",
    ],
)
def test_R229_odd_from_lines_that_programs_write(line: bytes) -> None:
    data = LINE + b"Subject: 1\n\none\n\n" + line + b"\nSubject: 2\n\ntwo\n\n"
    assert [header[:10] for header, _ in parts(data)] == [b"Subject: 1", b"Subject: 2"]
    os.environ["TZ"] = "UTC"
    time.tzset()
    if b"MET" not in line:
        assert date_of(line) == 1767261600


@pytest.mark.parametrize(
    "line",
    [
        b"From here on it is different",
        b"From joe Thu Jan 32 10:00:00 2026",
        b"From joe Thu Jan  1 25:00:00 2026",
        b"From the 1st of Jan 2026",
        b"from joe Thu Jan  1 10:00:00 2026",
        b">From joe Thu Jan  1 10:00:00 2026",
        b"From joe Thu Jan  1 10:00:00",
    ],
)
def test_R229_lines_that_are_text(line: bytes) -> None:
    body = b"one\n\n" + line + b"\nrest\n"
    assert parts(LINE + b"Subject: 1\n\n" + body + b"\n") == [(b"Subject: 1\n\n", body)]


def test_R229_a_from_line_not_behind_an_empty_line_is_text() -> None:
    body = b"one\n" + LINE + b"two\n"
    assert parts(LINE + b"Subject: 1\n\n" + body) == [(b"Subject: 1\n\n", body)]


def test_R229_content_length_that_lands_exactly_wins() -> None:
    body = b"one\n\n" + LINE + b"Subject: inside\n\ntwo\n"
    header = b"Subject: 1\nContent-Length: %d\n\n" % len(body)
    second = LINE + b"Subject: 2\n\n\n"
    for behind in (b"\n", b"", b"\n" + second, second):
        found = parts(LINE + header + body + behind)
        assert found[0] == (b"Subject: 1\n\n", body)
        assert len(found) == (2 if second in behind else 1)


@pytest.mark.parametrize("length", [0, 1, 40, 10**11])
def test_R229_content_length_that_does_not_land_means_nothing(length: int) -> None:
    data = LINE + b"Subject: 1\nContent-Length: %d\n\none\n\n" % length
    found = parts(data + LINE + b"Subject: 2\n\ntwo\n\n")
    assert [body for _, body in found] == [b"one\n", b"two\n"]


def test_R231_the_empty_line_belongs_to_nobody() -> None:
    ends = (b"one", b"one\n", b"one\n\n")
    assert [parts(LINE + b"A: b\n\n" + end)[0][1] for end in ends] == [b"one", b"one\n", b"one\n"]
    assert parts(LINE + b"A: b\n\n") == [(b"A: b\n\n", b"")]
    assert parts(LINE + b"A: b\n\n" + LINE + b"C: d\n\n\n") == [
        (b"A: b\n\n", b""),
        (b"C: d\n\n", b""),
    ]
    assert parts(LINE + b"\nbody\n\n") == [(b"\n", b"body\n")]


def test_the_next_delivery_does_not_change_the_last_message() -> None:
    behind = LINE + b"Subject: 2\n\ntwo\n\n"
    for end, added in ((b"one", b"\n\n"), (b"one\n", b"\n"), (b"one\n\n", b"")):
        data = LINE + b"A: b\n\n" + end
        first = next(split(data, 0, len(data)))
        grown = data + added + behind
        again = next(split(grown, 0, len(grown)))
        assert digest(data, first, False) == digest(grown, again, False)


@pytest.mark.parametrize("data", [b"Subject: x\n\nx\n", b"\n" + LINE, b"From nobody\n\n"])
def test_what_does_not_begin_with_a_from_line_is_no_mbox(data: bytes) -> None:
    with pytest.raises(NotMbox):
        list(split(data, 0, len(data)))
    assert parts(b"") == []


def test_metadata_is_found_hidden_and_read() -> None:
    header = (
        b"Status: RO\nSubject: x\nX-STATUS: AF\nX-Keywords: a\n b\nX-UID: 5\nLines: 9\n"
        b"Content-Length: 2\nLines: 1\nStatus-Report: kept\n\n"
    )
    message = next(split(LINE + header + b"x\n\n", 0, len(LINE + header) + 3))
    assert message.visible_header == b"Subject: x\nLines: 9\nStatus-Report: kept\n\n"
    assert message.notes == b"AFR a b"
    assert flags_of(message.notes) == {SEEN, ANSWERED, FLAGGED, "a", "b"}


def test_R089_without_a_date_in_the_from_line_the_newest_received_counts() -> None:
    header = (
        b"Received: from a by b; Thu, 1 Jan 2026\n 10:00:00 +0000\n"
        b"Received: from c by a; Thu, 1 Jan 2026 09:00:00 +0000\n\n"
    )
    data = b"From joe\n" + header
    assert arrived(message_at(data, 0, len(data))) == 1767261600
    data = b"From joe\nDate: Thu, 1 Jan 2026 10:00:00 +0000\n\n"
    assert arrived(message_at(data, 0, len(data))) == 1767261600


def test_messages_at_the_edges_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mbox_split, "BLOCK", 512)
    for octets in range(400, 640):
        first = LINE + b"Subject: 1\n\n" + b"x" * octets + b"\n\n"
        data = first + LINE + b"Subject: 2\n\ntwo\n\n" + LINE + b"Subject: 3\n\nthree\n\n"
        assert [body for _, body in parts(data)][1:] == [b"two\n", b"three\n"]


def test_long_headers_and_large_messages_are_read_whole() -> None:
    header = b"X: " + b"y\n " * 20000 + b"z\n\n"
    body = b"line\n" * 100_000
    assert parts(LINE + header + body + b"\n" + LINE + b"A: b\n\nc\n") == [
        (header, body),
        (b"A: b\n\n", b"c\n"),
    ]


lines = st.lists(
    st.sampled_from(
        [
            b"text",
            b"",
            b"From here on",
            LINE[:-1],
            b">From x",
            b"Subject: x",
            b"Status: RO",
            b"\xff\0",
        ]
    ),
    max_size=12,
)
names = st.sampled_from(
    [b"Subject: a", b"X-B: c\n d", b"Status: RO", b"Content-Length: 3", b"From: x@y"]
)


@given(
    st.lists(st.tuples(st.lists(names, max_size=4), lines, st.booleans()), min_size=1, max_size=6)
)
def test_what_is_staged_is_split_into_what_was_given(
    messages: list[tuple[list[bytes], list[bytes], bool]],
) -> None:
    """Whatever bodies hold, other programs' lines and all, each comes back octet for octet."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, sources = [], []
        for number, (fields, body, crlf) in enumerate(messages):
            hidden = (b"Status", b"Content-Length")
            shown = [field for field in fields if not field.startswith(hidden)]
            text = b"".join(line + b"\n" for line in body)
            wanted.append((b"".join(field + b"\n" for field in shown) + b"\n", text))
            data = b"".join(field + b"\n" for field in fields) + b"\n" + text
            path = f"{folder}/{number}"
            with open(path, "wb") as file:
                file.write(data.replace(b"\n", b"\r\n") if crlf else data)
            sources.append((os.open(path, os.O_RDONLY), frozenset({SEEN}), 1767261600))
        staged = stage(f"{folder}/staged", iter(sources), mboxrd=False)
        for descriptor, _, _ in sources:
            os.close(descriptor)
        with open(staged.path, "rb") as file:
            assert parts(file.read()) == wanted
        assert {letters for _, _, letters in staged.messages} == {b"R"}


@given(
    st.binary(max_size=400),
    st.lists(st.sampled_from([b"\n", b"\r\n", LINE, b"A: b\n"]), max_size=8),
)
def test_any_octets_are_split_without_a_gap(junk: bytes, pieces: list[bytes]) -> None:
    data = LINE + junk[:200] + b"".join(pieces) + junk[200:]
    for _, body in parts(data):
        assert len(body) <= len(data)
