"""Two sessions and an external writer against a model of the mailbox.

After every step each session's client, which knows only what it was told, must agree with the
model about every message it may know of: numbering, UIDs, flags and content.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from maa.message.flags import DELETED, FLAGGED, RECENT, SEEN
from maa.store.errors import MessageGone, StoreError
from maa.store.snapshot import StoreMode
from maa.store.view import Arrived, Expunged, FlagsChanged, Update, View
from store.boxes import Boxes, tidied

FLAG = st.sampled_from([SEEN, FLAGGED, DELETED, "work"])
WHO = st.integers(0, 1)
PICK = st.integers(0, 30)
LETTERS = {SEEN: "S", FLAGGED: "F", DELETED: "T"}


@dataclass
class Client:
    """What one session's client knows, from what it was told and nothing else."""

    view: View
    uids: list[int]
    flags: dict[int, set[str]] = field(default_factory=dict)

    def hear(self, updates: list[Update]) -> None:
        for update in updates:
            if isinstance(update, Expunged):
                told = [self.uids.pop(number - 1) for number in update.numbers]
                assert told == list(update.uids)
                for uid in told:
                    del self.flags[uid]
            elif isinstance(update, Arrived):
                assert update.exists > len(self.uids)
                for position in range(len(self.uids), update.exists):
                    uid = self.view.uids[position]
                    assert not self.uids or uid > self.uids[-1]
                    self.uids.append(uid)
                    self.flags[uid] = set(self.view.flags(position)) - {RECENT}
            elif isinstance(update, FlagsChanged):
                for number, uid, flags, _ in update.rows:
                    assert self.uids[number - 1] == uid
                    self.flags[uid] = set(flags) - {RECENT}


class Sessions(RuleBasedStateMachine):
    """The machine; `model` is content and flags by UID as everybody should see them."""

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.boxes = Boxes(Path(self.directory.name))
        self.mailbox = self.boxes.mailbox()
        self.model: dict[int, tuple[bytes, set[str]]] = {}
        self.uidvalidity = self.mailbox.uidvalidity
        self.serial = 0
        self.ever: dict[int, bytes] = {}
        self.clients = [self.client(), self.client()]

    def client(self) -> Client:
        view = self.mailbox.view(claim_recent=False)
        uids = list(view.uids)
        flags = {uid: set(view.flags(p)) - {RECENT} for p, uid in enumerate(uids)}
        return Client(view, uids, flags)

    def refresh(self, who: int, expunges: bool) -> None:
        client = self.clients[who]
        client.view, updates = client.view.refresh(expunges)
        if not expunges:
            assert not any(isinstance(update, Expunged) for update in updates)
        client.hear(updates)

    def content(self) -> bytes:
        self.serial += 1
        return b"Subject: %d\r\n\r\n" % self.serial

    def place(self, pick: int) -> tuple[int, Path] | None:
        """A message file as another program finds it, and its UID."""
        uids = sorted(self.model)
        if not uids:
            return None
        uid = uids[pick % len(uids)]
        position = self.mailbox.snapshot.position(uid)
        assert position is not None
        name = os.fsdecode(self.mailbox.snapshot.places[position])
        return uid, self.boxes.root / "INBOX" / name

    @rule()
    def the_mda_delivers(self) -> None:
        data = self.content()
        self.boxes.deliver(f"{self.serial}.M1.host", data)
        self.mailbox.sync()
        self.learn(data, set())

    def learn(self, data: bytes, flags: set[str]) -> None:
        (uid,) = set(self.mailbox.snapshot.uids) - set(self.model)
        assert uid not in self.ever
        self.ever[uid] = data
        self.model[uid] = (data, flags)

    @rule(pick=PICK)
    def another_program_removes(self, pick: int) -> None:
        found = self.place(pick)
        if found:
            found[1].unlink()
            del self.model[found[0]]
            self.mailbox.sync()

    @rule(pick=PICK, flag=st.sampled_from([SEEN, FLAGGED, DELETED]))
    def another_program_sets_a_flag(self, pick: int, flag: str) -> None:
        found = self.place(pick)
        if not found:
            return
        uid, path = found
        base, _, letters = path.name.partition(":2,")
        if LETTERS[flag] in letters:
            return  # it sees the flag already, though ours may have been cleared meanwhile
        letters = "".join(sorted({*letters, LETTERS[flag]}))
        path.rename(path.parent.parent / "cur" / f"{base}:2,{letters}")
        self.model[uid][1].add(flag)
        self.mailbox.sync()

    @rule(who=WHO, pick=PICK, flag=FLAG, mode=st.sampled_from(list(StoreMode)))
    def a_session_stores(self, who: int, pick: int, flag: str, mode: StoreMode) -> None:
        client = self.clients[who]
        if not client.uids:
            return
        uid = client.uids[pick % len(client.uids)]
        stored = self.mailbox.store([uid], mode, frozenset({flag}))
        assert stored.changed <= {uid}
        if uid in self.model:
            flags = self.model[uid][1]
            now = mode.applied(frozenset(flags), frozenset({flag}))
            flags.clear()
            flags.update(now)
        self.refresh(who, expunges=False)

    @rule(who=WHO, pick=PICK)
    def a_session_copies(self, who: int, pick: int) -> None:
        client = self.clients[who]
        if not client.uids:
            return
        uid = client.uids[pick % len(client.uids)]
        if uid not in self.model:
            try:
                self.mailbox.copy([uid], self.mailbox)
            except MessageGone:
                return
            raise AssertionError("copied a message that is gone")
        copied = self.mailbox.copy([uid], self.mailbox)
        self.learn(self.model[uid][0], set(self.model[uid][1]))
        assert copied.targets == (max(self.model),)

    @rule(flags=st.sets(FLAG))
    def a_session_appends(self, flags: set[str]) -> None:
        data = self.content()
        incoming = self.mailbox.incoming()
        incoming.write(data)
        incoming.commit(frozenset(flags))
        self.learn(data, set(flags))

    @rule(who=WHO)
    def a_session_expunges(self, who: int) -> None:
        gone = self.mailbox.expunge()
        assert set(gone) == {uid for uid, (_, flags) in self.model.items() if DELETED in flags}
        for uid in gone:
            del self.model[uid]
        self.refresh(who, expunges=True)

    @rule(who=WHO)
    def a_session_says_noop(self, who: int) -> None:
        self.refresh(who, expunges=True)
        client = self.clients[who]
        assert client.uids == sorted(self.model)
        assert client.flags == {uid: flags for uid, (_, flags) in self.model.items()}

    @rule(who=WHO)
    def a_session_fetches_with_expunges_held_back(self, who: int) -> None:
        self.refresh(who, expunges=False)

    @rule()
    def files_are_renamed_behind_the_replies(self) -> None:
        tidied(self.mailbox)
        assert self.mailbox.fresh()

    @precondition(lambda self: self.serial % 3 == 0)
    @rule()
    def the_server_restarts(self) -> None:
        self.boxes = self.boxes.reopened()
        self.mailbox = self.boxes.mailbox()
        assert self.mailbox.uidvalidity == self.uidvalidity
        self.clients = [self.client(), self.client()]

    @invariant()
    def the_mailbox_is_as_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        snapshot = self.mailbox.snapshot
        assert list(snapshot.uids) == sorted(self.model)
        assert snapshot.uidnext > max(self.ever, default=0)
        for position, uid in enumerate(snapshot.uids):
            assert snapshot.flags(position) == self.model[uid][1]
        assert snapshot.unseen == sum(SEEN not in flags for _, flags in self.model.values())
        for client in self.clients:
            assert list(client.view.uids) == client.uids
            for uid in client.uids:
                if uid in self.model:
                    continue  # its flags are the newest only after a refresh
                assert client.view.index(client.uids.index(uid)) is None or client.view.stale

    @invariant()
    def every_message_has_its_own_octets(self) -> None:
        if not hasattr(self, "model") or not self.model:
            return
        for uid, wire in self.mailbox.read(sorted(self.model)):
            assert not isinstance(wire, StoreError)
            assert wire.slice(0, 1000) == self.model[uid][0]
            wire.close()

    def teardown(self) -> None:
        if hasattr(self, "boxes"):
            self.boxes.ledger.close()
            self.boxes.watcher.close()
            self.directory.cleanup()


Sessions.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestSessions = Sessions.TestCase
