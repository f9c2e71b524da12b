"""mboxo, mboxrd, mboxcl and mboxcl2: told apart, shown as meant, and left as they are (R230)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.flags import SEEN
from maa.store import mbox_lines
from maa.store.mbox_lines import by_lines, pieces_of_lines, quoted, unquoted
from tests.store.mboxes import FROM, Mboxes, append, entry, texts

LINE = FROM % 9
BODY = b"one\n\n" + LINE + b"Subject: inside\n\n>From two\n>>From three\n"
QUOTED = BODY.replace(b">From", b">>From").replace(b"\nFrom ", b"\n>From ")
QUOTED = QUOTED.replace(b">>>From three", b">>>From three")


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Mboxes]:
    boxes = Mboxes(tmp_path)
    yield boxes
    boxes.close()


@pytest.fixture
def rd(tmp_path: Path) -> Iterator[Mboxes]:
    boxes = Mboxes(tmp_path, mboxrd=True)
    yield boxes
    boxes.close()


def shown(number: int, body: bytes) -> bytes:
    return (b"Subject: %d\n\n" % number + body).replace(b"\n", b"\r\n")


def test_R230_mboxrd_is_shown_as_it_was_sent(rd: Mboxes) -> None:
    rd.deliver(1, quoted(BODY))
    rd.deliver(2, b">From the start\n>> From\n> From\n")
    mailbox = rd.mailbox()
    assert texts(mailbox) == {
        1: shown(1, BODY),
        2: shown(2, b"From the start\n>> From\n> From\n"),
    }
    assert mailbox.sizes([1, 2]) == [len(text) for text in texts(mailbox).values()]
    assert [
        b"".join(wire.chunks())
        for uid in (1, 2)
        for _, wire in [mailbox.read([uid])[0]]
        if not isinstance(wire, Exception)
    ] == list(texts(mailbox).values())


def test_R230_mboxo_is_never_unquoted(boxes: Mboxes) -> None:
    boxes.deliver(1, b">From the start\n>>From\n")
    assert texts(boxes.mailbox()) == {1: shown(1, b">From the start\n>>From\n")}


def test_R230_mboxcl_and_mboxcl2_are_told_apart_by_what_they_say_of_themselves(
    boxes: Mboxes,
) -> None:
    quoted_body = BODY.replace(b"\nFrom ", b"\n>From ")  # as mboxcl has it, which is not undone
    for number, body in ((1, BODY), (2, quoted_body), (3, b"mboxo\n")):
        length = b"" if number == 3 else b"Content-Length: %d\n" % len(body)
        boxes.deliver(number, body, length)
    mailbox = boxes.mailbox()
    assert texts(mailbox) == {
        1: shown(1, BODY),
        2: shown(2, quoted_body),
        3: shown(3, b"mboxo\n"),
    }
    before = boxes.path().read_bytes()
    mailbox.remove([2])
    assert boxes.path().read_bytes() == before.replace(
        entry(2, quoted_body, b"Content-Length: %d\n" % len(quoted_body)), b""
    )


def test_R230_what_is_appended_to_mboxrd_is_quoted_for_every_reader(rd: Mboxes) -> None:
    rd.deliver(1)
    mailbox = rd.mailbox()
    incoming = mailbox.incoming()
    incoming.write(shown(2, BODY))
    uid = incoming.commit(frozenset({SEEN}), 1767254400)
    assert texts(mailbox)[uid] == shown(2, BODY)
    data = rd.path().read_bytes()
    assert data.count(b"\n\nFrom ") == 1
    assert quoted(BODY) in data
    assert b"Content-Length" not in data
    rd.path("Other").touch()
    other = rd.mailbox("Other")
    mailbox.copy([uid], other)
    assert texts(other) == {1: shown(2, BODY)}
    again = rd.reopened()
    assert texts(again.mailbox())[uid] == shown(2, BODY)
    again.close()


def test_R078_another_variant_makes_other_messages(boxes: Mboxes) -> None:
    boxes.deliver(1, b">From the start\n")
    assert texts(boxes.mailbox()) == {1: shown(1, b">From the start\n")}
    boxes.mboxrd = True
    again = boxes.reopened()
    assert texts(again.mailbox()) == {2: shown(1, b"From the start\n")}
    again.close()


def test_R230_a_large_message_is_unquoted_while_it_is_copied(
    rd: Mboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mbox_lines, "PIECE", 1 << 16)
    body = b"".join(b"x" * (n % 90) + b"\nFrom %d\n" % n for n in range(20_000))
    append(rd.path(), entry(1, quoted(body)))
    assert texts(rd.mailbox()) == {1: shown(1, body)}


text = st.lists(
    st.sampled_from([b"From ", b">", b">From ", b"\n", b"\r\n", b"x", b" ", b"Fro", b"m "]),
    max_size=40,
).map(b"".join)


@given(text, st.integers(1, 9))
def test_R230_unquoting_undoes_quoting_however_it_is_cut(data: bytes, octets: int) -> None:
    assert unquoted(quoted(data)) == data
    assert all(not line.startswith(b"From ") for line in quoted(data).split(b"\n"))
    pieces = list(pieces_of_lines(data, 0, len(data)))
    assert b"".join(pieces) == data
    assert b"".join(by_lines(pieces, quoted)) == quoted(data)
    # Even when pieces end within lines, no line is made to begin a message.
    cut = [data[at : at + octets] for at in range(0, len(data), octets)]
    assert b"".join(by_lines(cut, lambda piece: piece)) == data
