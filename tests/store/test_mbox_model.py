"""An mbox that sessions, an MDA and another mail program change in any order, against a model."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maa.message.flags import SEEN
from maa.store import mbox_file
from maa.store.mbox_split import split
from tests.store.mboxes import Mboxes, append, entry, texts

BODIES = (b"", b"body\n", b"\n\n", b"From here\n", b"x\n\nFrom a@b Thu Jan  1 10:00:00 2026\ny\n")
steps = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 3)),
        st.tuples(st.just("append"), st.integers(0, len(BODIES) - 1)),
        st.tuples(st.just("remove"), st.integers(0, 9)),
        st.tuples(st.just("copy"), st.integers(0, 9)),
        st.tuples(st.just("cut by mail(1)"), st.integers(0, 9)),
        st.tuples(st.just("read by mail(1)"), st.integers(0, 9)),
        st.tuples(st.just("sorted by mail(1)"), st.integers(0, 9)),
        st.tuples(st.just("restart"), st.just(0)),
        st.tuples(st.just("lose the table"), st.just(0)),
    ),
    max_size=14,
)


class Model:
    """What must be true: every UID means one text for ever, and the file has just these texts."""

    def __init__(self, root: Path, mboxrd: bool = False) -> None:
        self.boxes = Mboxes(root, mboxrd=mboxrd)
        self.mailbox = self.boxes.mailbox()
        self.known: dict[int, bytes] = {}
        self.texts: list[bytes] = []
        self.delivered = 0

    def step(self, what: str, number: int) -> None:
        uids = list(self.mailbox.snapshot.uids)
        uid = uids[number % len(uids)] if uids else 0
        if what == "deliver":
            self.delivered += 1
            data = entry(self.delivered, b"line\n" * number)
            append(self.boxes.path(), data)
            self.texts.append(data.partition(b"\n")[2][:-1].replace(b"\n", b"\r\n"))
        elif what == "append":
            text = b"Subject: a\r\n\r\n" + BODIES[number].replace(b"\n", b"\r\n")
            incoming = self.mailbox.incoming()
            incoming.write(text)
            incoming.commit(frozenset(), 1_700_000_000)
            self.texts.append(text)
        elif what == "restart":
            self.boxes = self.boxes.reopened()
            self.mailbox = self.boxes.mailbox()
        elif what == "lose the table":
            for path in (self.boxes.root / "state/mbox").glob("*.table"):
                path.unlink()
            self.step("restart", 0)
        elif what == "sorted by mail(1)":
            self._sorted(number)
        elif uid:
            self._change(what, uid, self.known[uid])

    def _change(self, what: str, uid: int, text: bytes) -> None:
        if what == "remove":
            self.mailbox.remove([uid])
            self.texts.remove(text)
        elif what == "copy":
            self.mailbox.copy([uid], self.mailbox)
            self.texts.append(text)
        else:
            self._by_another_program(what, text)

    def _sorted(self, number: int) -> None:
        """Another program moves the first messages to the end; it finds them by Content-Length."""
        if not self.boxes.path().exists():
            return
        data = self.boxes.path().read_bytes()
        found = list(split(data, 0, len(data)))
        whole = [data[m.start : m.end].rstrip(b"\n") + b"\n\n" for m in found]
        if any(data[m.start : m.stop] != text for m, text in zip(found, whole, strict=True)):
            return  # it would change a message that ends in empty lines
        at = number % (len(whole) or 1)
        with open(self.boxes.path(), "r+b") as file:
            file.write(b"".join(whole[at:] + whole[:at]))
            os.utime(file.fileno())

    def _by_another_program(self, what: str, text: bytes) -> None:
        """It knows messages by their first line, and leaves alone what it may take for two."""
        data = self.boxes.path().read_bytes()
        found = re.search(
            rb"^From [^\n]*\n" + re.escape(text.partition(b"\r\n")[0]) + rb"\n", data, re.M
        )
        if found is None or not re.match(rb"Subject: \d", text):
            return
        after = data.find(b"\n\nFrom ", found.end())
        stop = len(data) if after < 0 else after + 2
        if what == "cut by mail(1)":
            new = data[: found.start()] + data[stop:]
            self.texts.remove(text)
        else:
            new = data[: found.end()] + b"Status: RO\n" + data[found.end() :]
        with open(self.boxes.path(), "r+b") as file:
            file.truncate(0)
            file.write(new)

    def check(self) -> None:
        self.mailbox.sync()
        found = texts(self.mailbox)
        assert sorted(found.values()) == sorted(self.texts)
        for uid, text in found.items():
            assert self.known.setdefault(uid, text) == text
        assert self.mailbox.snapshot.uidnext > max(self.known, default=0)
        assert {path.name for path in (self.boxes.root / "mail").iterdir()} <= {"INBOX"}


@settings(max_examples=60, deadline=None)
@given(steps, st.booleans(), st.sampled_from([0, 200, mbox_file.AHEAD_OCTETS]))
def test_any_order_of_changes_loses_nothing_and_changes_no_uid(
    changes: list[tuple[str, int]], mboxrd: bool, ahead_octets: int
) -> None:
    with tempfile.TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mbox_file, "AHEAD_OCTETS", ahead_octets)
        model = Model(Path(root), mboxrd)
        for what, number in changes:
            model.step(what, number)
            model.check()
        model.boxes.close()


def test_flags_that_another_program_shows_arrive(tmp_path: Path) -> None:
    model = Model(tmp_path)
    for what in ("deliver", "deliver"):
        model.step(what, 1)
        model.check()
    model.step("read by mail(1)", 1)
    model.check()
    assert [model.mailbox.snapshot.flags(p) for p in (0, 1)] == [frozenset(), {SEEN}]
    model.boxes.close()
