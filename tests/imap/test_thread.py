"""THREAD over a real Maildir, and its algorithms on their own (RFC 5256 §3)."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.desk import Desk
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.imap.sort_keys import NO_ID, REFERENCES_MAX, derived
from maa.imap.thread import parse, threads
from maa.imap.thread_algorithms import Subjects, ordered_subject, references, refs
from maa.imap.thread_links import Forest, Links
from maa.store.mailbox import Mailbox
from maa.store.memo import Memo

JAN_2000 = 946_684_800


def mail(
    number: int, refers: str = "", subject: str = "x", answers: str = "", own: str | None = None
) -> bytes:
    """A message <number@x> sent in that minute, with References and In-Reply-To."""
    lines = [
        f"Message-ID: <{number}@x>" if own is None else own,
        f"Date: 1 Jan 2000 00:{number:02d}:00 +0000",
        f"Subject: {subject}",
    ]
    if refers:
        lines.append("References: " + " ".join(f"<{one}@x>" for one in refers.split()))
    if answers:
        lines.append(f"In-Reply-To: {answers}")
    return ("\n".join(lines) + "\n\nbody\n").encode()


def answer(desk: Desk, algorithm: str, *, by_uid: bool = False) -> str:
    uid = b"UID " if by_uid else b""
    said = desk.ask(uid + f"THREAD {algorithm} UTF-8 ALL".encode()).decode()
    assert said.startswith("* THREAD")
    assert said.endswith("\r\n")
    return said.removeprefix("* THREAD").strip()


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], ""),
        ([mail(1), mail(2, subject="y")], "(1)(2)"),
        ([mail(1), mail(2, "1"), mail(3, "1 2")], "(1 2 3)"),
        ([mail(1), mail(2, "1"), mail(3, "1")], "(1 (2)(3))"),
        ([mail(1), mail(2, "1"), mail(3, "1"), mail(4, "1 2")], "(1 (2 4)(3))"),
        # siblings by sent date, not by number
        ([mail(1), mail(3, "1"), mail(2, "1")], "(1 (3)(2))"),
        # a reply that came first
        ([mail(2, "1"), mail(1)], "(2 1)"),
        # siblings whose parent is not there
        ([mail(1, "9"), mail(2, "9")], "((1)(2))"),
        # dummies inside vanish, a dummy with one child too
        ([mail(1), mail(2, "1 8 9"), mail(3, "1 8")], "(1 (2)(3))"),
        ([mail(1, "8 9"), mail(2, "8 9 1")], "(1 2)"),
        # In-Reply-To counts without References, and of it the first
        ([mail(1), mail(2, answers="<1@x> <9@x>")], "(1 2)"),
        ([mail(1), mail(2), mail(3, "2", answers="<1@x>")], "((1)(2 3))"),
        # quoting makes no difference, case does
        ([mail(1, own='Message-ID: <"one"@x>'), mail(2, answers="<one@x>")], "(1 2)"),
        ([mail(1, own="Message-ID: <One@x>"), mail(2, answers="<one@x>", subject="y")], "(1)(2)"),
        # of two with one ID the first has it
        ([mail(1), mail(1, subject="y"), mail(3, "1", subject="z")], "(1 3)(2)"),
        # no ID at all
        ([mail(1, own="X: y"), mail(2, own="Message-ID: none", subject="y")], "(1)(2)"),
        # loops
        ([mail(1, "1")], "(1)"),
        ([mail(1, "2"), mail(2, "1", subject="y")], "(2 1)"),
        ([mail(1, "2", "a"), mail(2, "3", "b"), mail(3, "1", "c")], "(3 2 1)"),
        # one subject: replies below the message, all others together
        ([mail(1), mail(2, subject="Re: X")], "(1 2)"),
        ([mail(2, subject="Re: x"), mail(1)], "(2 1)"),
        ([mail(1), mail(2)], "((1)(2))"),
        ([mail(1), mail(2), mail(3)], "((1)(2)(3))"),
        ([mail(1), mail(2, "9"), mail(3, "9"), mail(4, subject="fwd: x")], "((1)(2)(3)(4))"),
        ([mail(1, "8"), mail(2, "8"), mail(3, "9"), mail(4, "9")], "((1)(2)(3)(4))"),
        ([mail(1, subject="Re: x"), mail(2), mail(3, "2", "Re: x")], "(2 (1)(3))"),
        ([mail(1, subject=""), mail(2, subject="Re:")], "(1)(2)"),
    ],
)  # fmt: skip
def test_R191_references(tmp_path: Path, messages: Sequence[bytes], expected: str) -> None:
    assert answer(Desk(tmp_path, *messages), "REFERENCES") == expected


def test_R191_the_example_of_dummies_at_the_root(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mail(1), mail(2, "1"), mail(3, "1"), mail(4, subject="z"))
    assert desk.ask(b"THREAD REFERENCES UTF-8 2:*") == b"* THREAD ((2)(3))(4)\r\n"
    assert desk.ask(b"THREAD REFERENCES UTF-8 SUBJECT nowhere") == b"* THREAD\r\n"


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([mail(1, subject="b"), mail(2, subject="a"), mail(3, subject="Re: b"),
          mail(4, subject="[l] B (fwd)"), mail(5, subject="Re: A")], "(1 (3)(4))(2 5)"),
        ([mail(2), mail(1, "2"), mail(3)], "(2 (1)(3))"),
        ([mail(1, subject=""), mail(2, subject="y"), mail(3, subject="re:")], "(1 3)(2)"),
    ],
)  # fmt: skip
def test_R191_ordered_subject(tmp_path: Path, messages: Sequence[bytes], expected: str) -> None:
    assert answer(Desk(tmp_path, *messages), "ORDEREDSUBJECT") == expected


def test_refs_stand_by_their_newest_message_and_know_no_subjects(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for octets, date in (
        (mail(5, subject="Re: x"), 70),
        (mail(1), 10),
        (mail(3, "1"), 20),
        (mail(2, "1"), 90),
        (mail(4, "9"), 50),
        (mail(6, "9"), 40),
    ):
        desk.deliver(octets, date=JAN_2000 + date)
    desk.refreshed()
    # Siblings by sent date.
    assert answer(desk, "REFS") == "((5)(6))(1)(2 (4)(3))"


def test_UID_THREAD_is_in_UIDs_and_reads_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path, mail(9, subject="gone"), mail(1), mail(2, "1"), mail(3, "1 2"))
    desk.mailbox.remove([1])
    desk.refreshed()
    assert answer(desk, "REFERENCES") == "(1 2 3)"

    def unread(mailbox: Mailbox, *arguments: object) -> None:
        raise AssertionError("a message was opened")

    monkeypatch.setattr(Mailbox, "heads", unread)
    desk.mailbox.memo = Memo()
    assert answer(desk, "REFERENCES", by_uid=True) == "(2 3 4)"
    assert desk.slow > 0
    monkeypatch.setattr(Mailbox, "cached", unread)
    assert answer(desk, "REFERENCES", by_uid=True) == "(2 3 4)"
    assert desk.slow == 0


def test_L27_messages_that_cannot_be_read_are_threads_of_their_own(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mail(1), mail(2, "1"), mail(3, "1"))
    path = desk.file(2)
    away = path.rename(tmp_path / "away")
    path.mkdir()
    for _ in range(2):
        assert answer(desk, "REFERENCES") == "(2)(1 3)"
    path.rmdir()
    away.rename(path)
    assert answer(desk, "REFERENCES") == "(1 (2)(3))"


def test_R180_unknown_charsets_are_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mail(1))
    assert desk.ask(b"THREAD REFERENCES X-NONE ALL") == b""
    assert desk.status().startswith(b"NO BADCHARSET (UTF-8 ")


@pytest.mark.parametrize(
    "arguments",
    [b"", b" REFERENCES", b" REFERENCES ALL", b" REFERENCES UTF-8", b" NOBODY UTF-8 ALL",
     b" (REFERENCES) UTF-8 ALL", b" RETURN () REFERENCES UTF-8 ALL"],
)  # fmt: skip
def test_nonsense_is_bad(arguments: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse(b"a", Cursor((arguments,)))


# --- the algorithms


def digest(number: int) -> bytes:
    return blake2b(b"%d" % number, digest_size=16).digest()


def linked(ids: Sequence[int | None], references_of: Sequence[Sequence[int]]) -> Forest:
    links = Links([NO_ID if number is None else digest(number) for number in ids])
    for node, numbers in enumerate(references_of):
        links.add(node, b"".join(map(digest, numbers)))
    return links.forest()


def members(forest: Forest) -> list[int]:
    found, waiting = [], list(forest.roots)
    while waiting:
        node = waiting.pop()
        found += [node] if node < forest.count else []
        waiting += forest.children.get(node, ())
    return found


NUMBERS = st.integers(0, 12)
MAILBOXES = st.lists(
    st.tuples(st.none() | NUMBERS, st.lists(NUMBERS, max_size=6),
              st.sampled_from([b"", b"A", b"B"]), st.booleans(), st.integers(0, 5)),
    max_size=14,
)  # fmt: skip


@given(MAILBOXES)
def test_R191_each_message_is_in_one_thread_whatever_refers_to_what(
    mailbox: Sequence[tuple[int | None, Sequence[int], bytes, bool, int]],
) -> None:
    count = len(mailbox)
    ids, refer, texts, answers, dates = zip(*mailbox, strict=True) if mailbox else ((),) * 5
    subjects = Subjects(texts, answers)
    for forest in (
        references(linked(ids, refer), subjects, dates),
        refs(linked(ids, refer), dates, dates[::-1]),
        ordered_subject(subjects, dates),
    ):
        assert sorted(members(forest)) == list(range(count))
        for node, children in forest.children.items():
            assert len(children) > (node >= count)  # a dummy has several
        said = b"".join(threads(forest, range(1, count + 1)))
        assert sorted(map(int, re.findall(rb"\d+", said))) == list(range(1, count + 1))
        assert said.count(b"(") == said.count(b")")
        assert re.search(rb"\( |\)\d| \)|\d\(|  |\(\)", said) is None
        assert forest.roots == [] or len(re.findall(rb"\(", said)) >= len(forest.roots)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[int], list[list[int]], list[int]]:
    """IDs, their references, none contradicting another, and their true parents; in any order."""
    count = draw(st.integers(1, 12))
    parents = [draw(st.integers(-1, number - 1)) if number else -1 for number in range(count)]
    chains: list[list[int]] = []
    for parent in parents:
        chains.append([] if parent < 0 else [*chains[parent], parent])
    order = draw(st.permutations(range(count)))
    # References may be cut at the beginning.
    cut = [chains[n][draw(st.integers(0, max(len(chains[n]) - 1, 0))) :] for n in order]
    return list(order), cut, [parents[n] for n in order]


@given(conversations())
def test_R191_who_names_his_parent_gets_it(
    conversation: tuple[list[int], list[list[int]], list[int]],
) -> None:
    ids, refer, parents = conversation
    forest = linked(ids, refer)
    found = {child: node for node, children in forest.children.items() for child in children}
    for node, parent in enumerate(parents):
        assert found.get(node, -1) == (ids.index(parent) if parent >= 0 else -1)


def test_a_parent_that_is_named_replaces_one_that_others_named() -> None:
    # The first says 2 answers 1; 2 itself says it answers 3; and 4 that it answers nobody.
    forest = linked([5, 2, 4, 1, 3], [[1, 2, 4], [3], [], [], []])
    assert forest.children == {4: [1], 2: [0]}
    assert sorted(forest.roots) == [2, 3, 4]


def seconds(count: int, references_of: Sequence[Sequence[int]]) -> float:
    begun = time.process_time()
    forest = linked(range(count), references_of)
    subjects = Subjects([b"S"] * count, [False] * count)
    threaded = references(forest, subjects, range(count))
    assert sum(map(len, threads(threaded, range(count)))) > count
    assert len(members(threaded)) == count
    return time.process_time() - begun


@pytest.mark.parametrize(
    "shape",
    [
        lambda n, count: [n - 1] if n else [],  # one chain, upwards
        lambda n, count: [n + 1] if n + 1 < count else [],  # downwards: each answers the next
        lambda n, count: [0],  # all answer one
        lambda n, count: [(n + 1) % count],  # one loop
        lambda n, count: [n ^ 1, n],  # many loops
        lambda n, count: [count - 1, 0, n // 2],  # each says that the first answers the last
        lambda n, count: [count + 2 * n, count + 2 * n + 1],  # nobody is there
        lambda n, count: [count + n + 1, count + n],  # one chain of those who are not
    ],
)
def test_R191_hostile_references_take_linear_time(shape) -> None:
    count = 50_000
    assert seconds(count, [shape(n, count) for n in range(count)]) < 4


def test_R191_a_message_with_100_000_references_is_nothing_special(tmp_path: Path) -> None:
    header = b"Message-ID: <0@x>\r\nReferences: " + b"".join(
        b"<%d@x>\r\n " % number for number in range(1, 100_001)
    )
    begun = time.process_time()
    _, kept = derived(header)
    assert time.process_time() - begun < 1
    assert len(kept) == 16 * REFERENCES_MAX
    links = Links([digest(0)])
    begun = time.process_time()
    links.add(0, kept)
    assert links.forest() == Forest(1, [0], {})
    assert time.process_time() - begun < 0.2
    desk = Desk(tmp_path)
    half = header[: header.index(b"<50001@")].replace(b"\r\n", b"\n").rstrip() + b"\n\nbody\n"
    for date, octets in enumerate((half, mail(1, "9"), mail(2, "50000"))):
        desk.deliver(octets, date=JAN_2000 + date)
    desk.refreshed()
    assert answer(desk, "REFS") == "(2)((1)(3))"


def test_digests_of_ids_do_not_collide() -> None:
    ids = [derived(b"Message-ID: <%d@x>" % number)[0][:16] for number in range(2000)]
    assert len(set(ids)) == 2000
    assert NO_ID not in ids


def test_message_ids_that_nobody_has_are_taken_in_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("maa.imap.thread_links._DUMMIES_MAX", 0)
    monkeypatch.setattr("maa.imap.thread_links._DUMMIES_PER_MESSAGE", 1)
    forest = linked([0, 1, 2], [[10, 11, 12, 13, 14], [14, 0], [14, 10]])
    assert forest.children == {0: [1], 3: [0, 2]}
