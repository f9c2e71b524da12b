"""Whatever both servers do between adoptions: a number and a POP3 name mean one message."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from maa.store.adopt.apply import Adoption, adopt
from maa.store.adopt.gather import Options
from maa.store.adopt.plan import Verdict
from maa.store.places import MailPaths
from store.account_cases import Site, deliver, maildir

VALIDITY = 1234567890
ACTS = (
    *("deliver", "old looks", "old expunges", "old renames", "maa looks", "maa expunges"),
    *("adopt", "restart"),
)


class World:
    """One Maildir, an old server that numbers what it sees, and maa."""

    def __init__(self, root: Path) -> None:
        self.site = Site(root)
        self.box = maildir(self.site.maildir())
        self.uids: dict[str, int] = {}
        self.names: dict[str, str] = {}
        self.next = 1
        self.account = self.site.account()
        self.meant: dict[tuple[int, int], bytes] = {}
        self.called: dict[bytes, bytes] = {}

    def files(self) -> list[Path]:
        found = [*(self.box / "new").iterdir(), *(self.box / "cur").iterdir()]
        return sorted(found, key=lambda path: path.name)

    def act(self, what: str) -> None:
        getattr(self, what.replace(" ", "_"))()

    def deliver(self) -> None:
        deliver(self.box)

    def old_looks(self) -> None:
        for path in self.files():
            key = path.name.partition(":")[0]
            if key not in self.uids:
                self.uids[key] = self.next
                self.next += 1
        rows = sorted((uid, key) for key, uid in self.uids.items())
        lines = [f"{uid} {self.names.get(key, '')}:{key}\n" for uid, key in rows]
        head = f"3 V{VALIDITY} N{self.next} G00\n"
        (self.box / "dovecot-uidlist").write_text(head + "".join(lines))

    def old_expunges(self) -> None:
        if files := self.files():
            files[0].unlink()

    def old_renames(self) -> None:
        """It begins to keep POP3 names, of which some are alike."""
        for count, key in enumerate(self.uids):
            self.names.setdefault(key, f"Pname{count // 2} ")

    def maa_looks(self) -> None:
        inbox = self.account.open("INBOX")
        uids = list(inbox.snapshot.uids)
        called = inbox.uidls(uids)
        assert len(set(called)) == len(called)  # R210
        for uid, place, name in zip(uids, inbox.snapshot.places, called, strict=True):
            key = inbox.maildrop.key(place)
            assert self.meant.setdefault((inbox.uidvalidity, uid), key) == key  # R078
            assert self.called.setdefault(key, name) == name  # R211
            assert self.called.setdefault(name, key) == key  # L-17: never another message's

    def maa_expunges(self) -> None:
        inbox = self.account.open("INBOX")
        inbox.remove(list(inbox.snapshot.uids)[-1:])

    def adopt(self) -> None:
        paths = MailPaths(str(self.box), str(self.box))
        state = str(self.site.root / "state/users/joe")
        adoption = Adoption(paths, str(self.box.parent), Options(), state)
        (plan,) = [
            plan
            for plan in adopt(
                self.account, adoption, adoption.plans(self.account.ledger.index), new=False
            )
            if plan.name == "INBOX"
        ]
        if plan.verdict is Verdict.TAKE:
            inbox = self.account.open("INBOX")
            assert inbox.uidvalidity == VALIDITY
            again = adoption.plans(self.account.ledger.index)[0]
            assert again.verdict is Verdict.SAME
        self.maa_looks()

    def restart(self) -> None:
        self.account.ledger.close()
        self.account = self.site.account()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(ACTS), min_size=3, max_size=25))
def test_R078_a_number_and_a_name_mean_one_message(acts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory))
        for act in acts:
            world.act(act)
        world.maa_looks()
        world.account.ledger.close()
