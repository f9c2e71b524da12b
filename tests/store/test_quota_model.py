"""After whatever two processes and another program do, the sum is that of a recount, for both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from maa.message.flags import DELETED
from maa.store.account import Account
from maa.store.errors import MailboxNotFound, MessageGone, OverQuota
from maa.store.mailbox import Mailbox
from maa.store.snapshot import StoreMode
from maa.user import User
from store.boxes import tidied
from tests.store.account_cases import Site, deliver, maildir
from tests.store.test_quota import counted

WHO = st.integers(0, 1)
WHERE = st.sampled_from(["INBOX", "Drafts", "Trash", "Work"])
PICK = st.integers(0, 30)
OCTETS = st.integers(1, 3000)


class Counting(RuleBasedStateMachine):
    """Two accounts as two workers have them, each with its own watcher, locks and memory."""

    @initialize()
    def begin(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.site = Site(Path(self.directory.name), quota="1 GiB")
        self.root = self.site.maildir()
        self.accounts = [self.opened(), self.opened()]
        self.turn = 0

    def opened(self) -> Account:
        account: Account = self.site.accounts(neighbours=True).open(User("joe"))
        return account

    def path(self, name: str) -> Path:
        return self.root if name == "INBOX" else self.root / f".{name}"

    def file(self, name: str, pick: int) -> Path | None:
        found = [*self.path(name).glob("new/*"), *self.path(name).glob("cur/*")]
        return sorted(found)[pick % len(found)] if found else None

    def message(self, who: int, name: str, pick: int) -> tuple[Mailbox, int] | None:
        try:
            mailbox = self.accounts[who].open(name)
        except MailboxNotFound:
            return None
        uids = mailbox.snapshot.uids
        return (mailbox, uids[pick % len(uids)]) if uids else None

    # --- sessions

    @rule(who=WHO, name=WHERE, octets=OCTETS)
    def a_session_appends(self, who: int, name: str, octets: int) -> None:
        with suppress(MailboxNotFound):
            incoming = self.accounts[who].open(name).incoming()
            incoming.write(b"x" * octets)
            incoming.commit()

    @rule(who=WHO, source=WHERE, into=WHERE, pick=PICK, moved=st.booleans())
    def a_session_copies(self, who: int, source: str, into: str, pick: int, moved: bool) -> None:
        found = self.message(who, source, pick)
        with suppress(MailboxNotFound, MessageGone):
            if found is not None:
                mailbox, uid = found
                bring = mailbox.move if moved else mailbox.copy
                bring([uid], self.accounts[who].open(into))

    @rule(who=WHO, name=WHERE, pick=PICK)
    def a_session_removes(self, who: int, name: str, pick: int) -> None:
        found = self.message(who, name, pick)
        if found is not None:
            found[0].remove([found[1]])

    @rule(who=WHO, name=WHERE, pick=PICK)
    def a_session_marks(self, who: int, name: str, pick: int) -> None:
        found = self.message(who, name, pick)
        if found is not None:
            found[0].store([found[1]], StoreMode.ADD, frozenset({DELETED}))
            tidied(found[0])

    @rule(who=WHO)
    def a_session_makes_or_deletes_a_mailbox(self, who: int) -> None:
        if self.path("Work").exists():
            self.accounts[who].delete("Work")
        else:
            self.accounts[who].create("Work")

    @rule(who=WHO)
    def a_session_renames_a_mailbox(self, who: int) -> None:
        here, there = ("Work", "Else") if self.path("Work").exists() else ("Else", "Work")
        if self.path(here).exists() and not self.path(there).exists():
            self.accounts[who].rename(here, there)

    @rule(who=WHO)
    def a_process_begins_anew(self, who: int) -> None:
        self.accounts[who].ledger.close()
        self.accounts[who] = self.opened()

    # --- another program

    @rule(name=WHERE, octets=OCTETS, told=st.booleans())
    def an_mda_delivers(self, name: str, octets: int, told: bool) -> None:
        path = maildir(self.path(name))
        delivered = path / "new" / deliver(path, b"x" * octets)
        if told:
            delivered.rename(f"{delivered},S={octets}")

    @rule(name=WHERE, pick=PICK)
    def another_program_removes(self, name: str, pick: int) -> None:
        file = self.file(name, pick)
        if file is not None:
            file.unlink()

    @rule(name=WHERE, pick=PICK)
    def another_program_reads(self, name: str, pick: int) -> None:
        file = self.file(name, pick)
        if file is not None:
            base = file.name.partition(":2,")[0]
            file.rename(file.parent.parent / "cur" / f"{base}:2,S")

    @rule()
    def time_passes(self) -> None:
        """So that the times of directories are trusted from now on; each time others."""
        self.turn += 1
        then = time.time() - 1000 + self.turn
        for path in (self.root, *self.root.glob(".*")):
            for part in ("new", "cur"):
                with suppress(FileNotFoundError, NotADirectoryError):
                    os.utime(path / part, (then, then))

    # --- what must be so

    @invariant()
    def both_have_the_same_sum_as_a_recount(self) -> None:
        if hasattr(self, "accounts"):
            expected = counted(self.root)
            assert [account.quota.usage() for account in self.accounts] == [expected, expected]

    def teardown(self) -> None:
        if hasattr(self, "accounts"):
            for account in self.accounts:
                account.ledger.close()
            self.directory.cleanup()


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)


# --- two real processes

LIMIT = 40_000
OCTETS_EACH = 300


def main(root: str) -> None:
    """One process: messages, one after the other, until there is no room left."""
    account = Site(Path(root), quota=f"{LIMIT} octets").accounts(neighbours=True).open(User("joe"))
    print("ready", flush=True)
    sys.stdin.readline()
    taken = 0
    with suppress(OverQuota):
        while True:
            incoming = account.open("Drafts").incoming()
            incoming.write(b"x" * OCTETS_EACH)
            try:
                # Without a reservation: what the lock alone decides.
                incoming.commit(admit=account.quota.admission(account.open("Sent")))
            except OverQuota:
                incoming.abort()
                raise
            taken += 1
    print(json.dumps(taken), flush=True)


def test_two_processes_fill_a_quota_to_the_brim_and_no_further(tmp_path: Path) -> None:
    Site(tmp_path).account()  # makes what a first login makes
    folder = str(Path(__file__).resolve().parents[2])
    call = f"from tests.store.test_quota_model import main; main({str(tmp_path)!r})"
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import sys; sys.path[:0] = [{folder!r}, {folder + '/tests'!r}]; {call}",
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    taken = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(taken) == LIMIT // OCTETS_EACH
    assert counted(Site(tmp_path).maildir()).octets == LIMIT // OCTETS_EACH * OCTETS_EACH
