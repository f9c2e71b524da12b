"""Mailboxes adopted from files that another server left, in the index and to open sessions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.message.flags import DELETED, SEEN
from maa.store.account import Account
from maa.store.adopt.apply import Adoption, adopt
from maa.store.adopt.gather import Options, gather
from maa.store.adopt.plan import Plan, Verdict, derived
from maa.store.errors import MailboxGone, MaildropInUse
from maa.store.foreign.dovecot import UidlFormat
from maa.store.places import MailPaths
from maa.store.snapshot import StoreMode
from maa.user import User
from store.account_cases import Site, deliver, maildir
from store.mboxes import Mboxes

VALIDITY = 1234567890


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    maildir(tmp_path / "home/joe/Maildir")
    yield Site(tmp_path)


def uidlist(path: Path, *rows: tuple[int, str, str], validity: int = VALIDITY) -> None:
    """Dovecot's list: (UID, extensions, file)."""
    last = max((uid for uid, _, _ in rows), default=0)
    lines = [f"{uid} {extra}:{name}" for uid, extra, name in rows]
    text = "\n".join([f"3 V{validity} N{last + 1} G00", *lines, ""])
    (path / "dovecot-uidlist").write_text(text)


def adoption(site: Site, **options: object) -> Adoption:
    home = site.root / "home/joe"
    paths = MailPaths(str(home / "Maildir"), str(home / "Maildir"))
    return Adoption(paths, str(home), Options(**options), str(site.root / "state/users/joe"))  # type: ignore[arg-type]


def adopted(site: Site, account: Account, **options: object) -> dict[str, Plan]:
    found = adoption(site, **options)
    plans = found.plans(account.ledger.index)
    return {plan.name: plan for plan in adopt(account, found, plans, new=False)}


def uids(account: Account, name: str = "INBOX") -> list[int]:
    return list(account.open(name).snapshot.uids)


def test_R074_uids_stay_and_what_is_new_comes_behind(site: Site) -> None:
    first, second, late = (deliver(site.maildir()) for _ in range(3))
    uidlist(site.maildir(), (7, "", first), (9, "", second), (12, "", "expunged"))
    account = site.account()
    plan = adopted(site, account)["INBOX"]
    assert (plan.verdict, plan.kept, plan.present) == (Verdict.TAKE, 2, 3)
    inbox = account.open("INBOX")
    assert (inbox.uidvalidity, uids(account)) == (VALIDITY, [7, 9, 13])
    assert late.encode() in inbox.snapshot.places[2]
    # Only what the old server had not seen is recent.
    assert inbox.recent_unclaimed == 1


def test_keywords_are_those_of_the_letters_in_file_names(site: Site) -> None:
    root = site.maildir()
    for name in ("1.a:2,Sab", "2.b:2,c", "3.c:2,F", "4.d"):
        (root / "cur" / name).write_bytes(b"Subject: x\n\nx\n")
    (root / "dovecot-keywords").write_text("0 $Label1\n1 work\n")
    uidlist(root, *((n, "", f"{n}.{'abcd'[n - 1]}") for n in range(1, 5)))
    account = site.account()
    plan = adopted(site, account)["INBOX"]
    assert plan.keywords == 1 and "does not name" in plan.notes[0]
    snapshot = account.open("INBOX").snapshot
    assert snapshot.flags(0) == {SEEN, "$Label1", "work"} and not snapshot.flags(1)
    # The letters stay, so the way back is open.
    account.open("INBOX").store([1], StoreMode.ADD, frozenset({DELETED}))
    account.open("INBOX").tidy()
    assert (root / "cur/1.a:2,STab").exists()


def test_R211_the_old_names_are_answered_and_others_are_made_of_numbers(site: Site) -> None:
    first, second, third, late = (deliver(site.maildir()) for _ in range(4))
    uidlist(site.maildir(), (1, "Pkept ", first), (2, "P ", second), (3, "", third))
    account = site.account()
    adopted(site, account)
    expected = [b"kept", second.encode(), derived(VALIDITY, 3), derived(VALIDITY, 4)]
    assert account.open("INBOX").uidls([1, 2, 3, 4]) == expected
    again = Site(site.root).account().open("INBOX")
    assert again.uidls([1, 2, 3, 4]) == expected and late.encode() in again.snapshot.places[3]


def test_L17_of_two_messages_with_one_name_the_second_gets_another(site: Site) -> None:
    rows = [deliver(site.maildir()) for _ in range(5)]
    twin = derived(VALIDITY, 3).decode()
    extra = ("Psame ", "Psame ", "", f"P{twin} ", "P" + "x" * 71 + " ")
    uidlist(site.maildir(), *((n + 1, extra[n], rows[n]) for n in range(5)))
    account = site.account()
    plan = adopted(site, account)["INBOX"]
    names = account.open("INBOX").uidls(range(1, 6))
    assert names == [b"same", *(derived(VALIDITY, uid) for uid in range(2, 6))]
    assert plan.named == 2 and len(plan.notes) == 2


def test_an_expunged_message_takes_its_name_with_it(site: Site) -> None:
    name = deliver(site.maildir())
    uidlist(site.maildir(), (1, "Pkept ", name))
    account = site.account()
    adopted(site, account)
    account.open("INBOX").remove([1])
    row = account.ledger.index.mailboxes()["INBOX"]
    assert account.ledger.index.uidls(row.id) == {}


def test_adopting_again_changes_nothing(site: Site) -> None:
    names = [deliver(site.maildir()) for _ in range(3)]
    uidlist(site.maildir(), *((n + 1, f"Px{n} ", name) for n, name in enumerate(names)))
    account = site.account()
    adopted(site, account)
    inbox = account.open("INBOX")
    deliver(site.maildir())
    inbox.store([2], StoreMode.ADD, frozenset({SEEN, "mine"}))
    inbox.remove([1])
    before = account.ledger.index.mailboxes(), inbox.sync()
    assert adopted(site, account)["INBOX"].verdict is Verdict.SAME
    assert adopted(site, account, replace=True)["INBOX"].verdict is Verdict.SAME
    assert (account.ledger.index.mailboxes(), account.open("INBOX").snapshot) == before


def test_what_the_old_server_numbered_since_is_added(site: Site) -> None:
    first = deliver(site.maildir())
    uidlist(site.maildir(), (5, "", first))
    account = site.account()
    adopted(site, account)
    second = deliver(site.maildir())
    uidlist(site.maildir(), (5, "", first), (8, "Pq ", second))
    assert adopted(site, account)["INBOX"].verdict is Verdict.TAKE
    assert uids(account) == [5, 8]
    assert account.open("INBOX").uidls([8]) == [b"q"]


def test_R075_uids_that_the_old_server_gave_to_what_is_gone_are_not_given(site: Site) -> None:
    first = deliver(site.maildir())
    uidlist(site.maildir(), (5, "", first))
    account = site.account()
    adopted(site, account)
    uidlist(site.maildir(), (5, "", first), (9, "", "expunged"))
    assert adopted(site, account)["INBOX"].verdict is Verdict.TAKE
    assert adopted(site, account)["INBOX"].verdict is Verdict.SAME
    deliver(site.maildir())
    assert uids(account) == [5, 10]


def test_R078_numbers_that_both_gave_are_replaced_only_when_asked_to(site: Site) -> None:
    first = deliver(site.maildir())
    uidlist(site.maildir(), (5, "", first))
    account = site.account()
    adopted(site, account)
    second, third = deliver(site.maildir()), deliver(site.maildir())
    assert uids(account) == [5, 6, 7]
    uidlist(site.maildir(), (5, "", first), (6, "", third), (7, "", second))
    plan = adopted(site, account)["INBOX"]
    assert plan.verdict is Verdict.REFUSED and "2 UIDs to different messages" in plan.reason
    assert uids(account) == [5, 6, 7]
    adopted(site, account, replace=True)
    places = dict(zip(uids(account), account.open("INBOX").snapshot.places, strict=True))
    assert third.encode() in places[6] and second.encode() in places[7]


def test_what_maa_gave_is_replaced_only_when_asked_to(site: Site) -> None:
    first, second = deliver(site.maildir()), deliver(site.maildir())
    account = site.account()
    inbox = account.open("INBOX")
    inbox.store([2], StoreMode.ADD, frozenset({"mine"}))
    given, details = inbox.uidls([1, 2]), inbox.details([1, 2])
    uidlist(site.maildir(), (5, "", first))
    plan = adopted(site, account)["INBOX"]
    assert plan.verdict is Verdict.REFUSED and "UIDVALIDITY" in plan.reason
    assert account.open("INBOX") is inbox

    heard: list[None] = []
    inbox.listen(lambda: heard.append(None))
    adopted(site, account, replace=True)
    assert heard and inbox.gone  # R058
    with pytest.raises(MailboxGone):
        inbox.store([1], StoreMode.ADD, frozenset({SEEN}))
    # What the old server did not know keeps its flags, and the name by which POP3 knows it.
    now = account.open("INBOX")
    assert (now.uidvalidity, list(now.snapshot.uids)) == (VALIDITY, [5, 6])
    assert now.snapshot.flags(1) == {"mine"} and second.encode() in now.snapshot.places[1]
    assert now.uidls([5, 6]) == [derived(VALIDITY, 5), given[1]]
    assert now.details([5, 6]) == {5: details[1], 6: details[2]}  # EMAILID means the message


def test_R058_another_process_finds_the_mailbox_gone_and_then_the_new_one(site: Site) -> None:
    first = deliver(site.maildir())
    server = site.accounts().open(User("joe"))
    held, folders = server.open("INBOX"), server.mailboxes()
    uidlist(site.maildir(), (5, "", first))
    adopted(site, site.account(), replace=True)
    assert not held.fresh()
    with pytest.raises(MailboxGone):
        held.sync()
    assert held.gone
    assert uids(server) == [5] and server.mailboxes() == folders


def test_another_process_that_never_opened_the_mailbox_opens_the_new_one(site: Site) -> None:
    first = deliver(site.maildir())
    site.account().open("INBOX")
    server = site.account()
    server.mailboxes()
    uidlist(site.maildir(), (5, "", first))
    adopted(site, site.account(), replace=True)
    assert uids(server) == [5]


def test_R199_nothing_is_adopted_while_a_POP3_session_is_open(site: Site) -> None:
    deliver(site.maildir())
    account = site.account()
    with account.hold_maildrop(), pytest.raises(MaildropInUse):
        adopted(site, account)


def test_R075_uids_that_maa_gave_are_not_given_again_when_the_index_was_lost(site: Site) -> None:
    first = deliver(site.maildir())
    uidlist(site.maildir(), (5, "", first))
    account = site.account()
    adopted(site, account)
    deliver(site.maildir())
    assert uids(account) == [5, 6]
    account.ledger.close()
    for file in (site.root / "state/users/joe").glob("index.db*"):
        file.unlink()
    account = site.account()
    adopted(site, account)
    assert account.open("INBOX").uidvalidity == VALIDITY
    assert uids(account)[0] == 5 and uids(account)[1] > 1000


def test_R077_mailboxes_with_one_uidvalidity(site: Site) -> None:
    for name in ("a", "b"):
        box = maildir(site.maildir() / f".{name}")
        uidlist(box, *((uid, "", deliver(box)) for uid in range(1, 4 if name == "a" else 2)))
    account = site.account()
    adopted(site, account)
    assert uids(account, "a") == [1, 2, 3] and uids(account, "b") == [1]
    for _ in range(2):  # the beacon keeps them apart
        account = site.account()
        deliver(site.maildir() / ".b")
    assert uids(account, "b") == [1, 2, 3] and uids(account, "a") == [1, 2, 3]
    assert {account.open(name).uidvalidity for name in "ab"} == {VALIDITY}
    ids = {name: account.open(name).row.object_id for name in "ab"}
    assert ids["a"] != ids["b"]
    assert account.open("a").details([1])[1][1] != account.open("b").details([1])[1][1]
    # Under another's former name the numbers must not mean other messages.
    account.rename("a", "c")
    account.rename("b", "a")
    assert account.open("a").uidvalidity > VALIDITY < account.open("c").uidvalidity
    assert uids(account, "a") == [1, 2, 3]
    assert {"c": ids["a"], "a": ids["b"]} == {
        name: account.open(name).row.object_id for name in "ca"
    }


def test_R076_mailboxes_made_later_have_a_greater_uidvalidity(site: Site) -> None:
    uidlist(site.maildir(), validity=2_000_000_000)
    (site.maildir() / "dovecot-uidvalidity").write_text("77500000")
    account = site.account()
    adopted(site, account)
    account.create("new")
    assert account.open("new").uidvalidity > 0x77500000 > account.open("INBOX").uidvalidity


def test_R176_modseqs_go_on_above_the_old_servers(site: Site) -> None:
    name = deliver(site.maildir())
    uidlist(site.maildir(), (1, "", name))
    account = site.account()
    adopted(site, account)
    assert account.open("INBOX").snapshot.highest_modseq > 1_600_000_000


def test_names_made_of_files_need_no_index_of_the_old_server(site: Site) -> None:
    names = [deliver(site.maildir()) for _ in range(3)]
    account = site.account()
    plan = adopted(site, account, uidl_format=UidlFormat.parse("%f"))["INBOX"]
    assert plan.named == 3
    expected = [name.encode() for name in names]
    assert account.open("INBOX").uidls(uids(account)) == expected
    deliver(site.maildir())
    again = adopted(site, account, uidl_format=UidlFormat.parse("%f"))["INBOX"]
    assert again.verdict is Verdict.TAKE  # which the old server would have named so, too
    assert account.open("INBOX").uidls(uids(account))[:3] == expected


def test_courier_with_pop3_alone(site: Site) -> None:
    names = [deliver(site.maildir()) for _ in range(2)]
    lines = [f"{name}:2,S 51 {n + 1}:77:0\n" for n, name in enumerate(names)]
    (site.maildir() / "courierpop3dsizelist").write_text("/3 3 77\n" + "".join(lines))
    account = site.account()
    assert adopted(site, account)["INBOX"].verdict is Verdict.TAKE
    assert account.open("INBOX").uidls(uids(account)) == [b"UID1-77", b"UID2-77"]
    assert adopted(site, account)["INBOX"].verdict is Verdict.SAME


def test_courier_keywords_the_newest_file_counts(site: Site) -> None:
    names = [deliver(site.maildir()) for _ in range(3)]
    keywords = site.maildir() / "courierimapkeywords"
    keywords.mkdir()
    (keywords / ":list").write_text("old\nother\n\n" + "".join(f"{n}:0 1\n" for n in names))
    (keywords / f".10.{names[0]}").write_text("ten\n")
    (keywords / f".9.{names[0]}").write_text("nine\n")
    (keywords / names[1]).write_text("")
    rows = "".join(f"{n + 1} {name}\n" for n, name in enumerate(names))
    (site.maildir() / "courierimapuiddb").write_text(f"1 {VALIDITY} 4\n{rows}")
    account = site.account()
    adopted(site, account)
    snapshot = account.open("INBOX").snapshot
    assert [set(snapshot.flags(p)) for p in range(3)] == [{"ten"}, set(), {"old", "other"}]


def test_of_two_servers_the_one_that_wrote_last_counts(site: Site) -> None:
    name = deliver(site.maildir())
    (site.maildir() / "courierimapuiddb").write_text(f"1 77 4\n3 {name}\n")
    uidlist(site.maildir(), (5, "", name))
    os.utime(site.maildir() / "courierimapuiddb", (1, 1))
    account = site.account()
    assert adopted(site, account)["INBOX"].old.source == "dovecot"
    os.utime(site.maildir() / "dovecot-uidlist", (0, 0))
    assert adoption(site).plans(None)[0].old.source == "courier"
    assert adoption(site, source="dovecot").plans(None)[0].old.source == "dovecot"


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory", "damaged"])
def test_files_that_are_none_are_passed_over_and_reported(site: Site, kind: str) -> None:
    deliver(site.maildir())
    path = site.maildir() / "dovecot-uidlist"
    if kind == "symlink":
        path.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"\0" * 1000)
    account = site.account()
    plan = adopted(site, account)["INBOX"]
    assert plan.verdict is Verdict.NOTHING and plan.notes
    assert uids(account) == [1]


def test_looking_writes_nothing(site: Site) -> None:
    name = deliver(site.maildir())
    uidlist(site.maildir(), (5, "", name))
    before = sorted(site.root.rglob("*"))
    assert adoption(site).plans(None)[0].verdict is Verdict.TAKE
    assert sorted(site.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("subscriptions", "V\t2\n\nWork\tDeep\nArch&AOk-ve\nnowhere\n"),
        ("subscriptions", "Work.Deep\nArch&AOk-ve\nnowhere\n"),
        ("courierimapsubscribed", "INBOX.Work.Deep\nINBOX.Archéve\nINBOX.nowhere\n"),
    ],
)
def test_R107_subscriptions_are_taken_once(site: Site, file: str, text: str) -> None:
    for name in ("Work.Deep", "Arch&AOk-ve", "Unwanted"):
        maildir(site.maildir() / f".{name}")
    (site.maildir() / file).write_text(text)
    found = adoption(site)
    plans = found.plans(None)
    account = site.account()
    adopt(account, found, plans, new=True)
    subscribed = account.subscriptions()
    assert {"Work.Deep", "Archéve", "nowhere", "INBOX", "Sent"} <= subscribed
    assert "Unwanted" not in subscribed
    account.unsubscribe("nowhere")
    adopt(account, found, [], new=False)
    assert "nowhere" not in account.subscriptions()


UW = b"""From MAILER-DAEMON Mon Mar  2 10:00:00 2026
Date: 02 Mar 2026 10:00:00 +0000
From: Mail System Internal Data <MAILER-DAEMON@host>
Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA
X-IMAP: 1234567890 0000000009 work
Status: RO

This text is part of the internal format of your mail folder.

From ann@example.org Mon Mar  2 10:11:12 2026
Subject: one
Status: RO
X-Status: F
X-Keywords: work
X-UID: 4

one

From ann@example.org Mon Mar  2 10:11:13 2026
Subject: two
Status: O
X-UID: 9

two

From eve@example.org Mon Mar  2 10:11:14 2026
Subject: forged
Status: RO
X-UID: 7
X-Keywords: work

three

"""


def mboxes(site: Site, state: str) -> Adoption:
    home = site.root / "home/joe"
    paths = MailPaths(str(home / "spool"), str(home / "mail"), "mbox", "mbox")
    return Adoption(paths, str(home), Options(), state)


def test_R236_mbox_files_of_uw_servers(site: Site) -> None:
    home = site.root / "home/joe"
    (home / "spool").write_bytes(UW)
    (home / "mail/Work").mkdir(parents=True)
    (home / "mail/Work/a.b").write_bytes(UW)
    (home / ".mailboxlist").write_text("mail/Work/a.b\n~/mail/Gone\n")
    before = sorted(site.root.rglob("*"))
    seen = mboxes(site, str(site.root / "nowhere/-")).plans(None)
    assert sorted(site.root.rglob("*")) == before
    assert [(plan.name, plan.kept, plan.present) for plan in seen] == [
        ("INBOX", 2, 3),
        ("Work.a/b", 2, 3),
    ]
    user = User("joe", inbox="mbox:{home}/spool", folders="mbox:{home}/mail")
    account = site.accounts().open(user)
    adopt(account, mboxes(site, str(site.root / "state/users/joe")), seen, new=True)
    for name in ("INBOX", "Work/a.b"):
        box = account.open(name)
        assert (box.uidvalidity, list(box.snapshot.uids)) == (VALIDITY, [4, 9, 10])
        shown = [set(box.snapshot.flags(position)) for position in range(3)]
        assert shown == [{SEEN, "\\Flagged", "work"}, set(), set()]
    names = account.open("INBOX").uidls([4, 9, 10])
    uw = [b"499602d2%08x" % uid for uid in (4, 9)]
    assert names == [*uw, derived(VALIDITY, 10)]
    assert {"Work/a.b", "Gone"} <= account.subscriptions()
    assert (home / "spool").read_bytes() == UW
    again = mboxes(site, str(site.root / "nowhere/-")).plans(account.ledger.index)
    assert {plan.name for plan in again if plan.verdict is Verdict.SAME} == {"INBOX", "Work.a/b"}


def test_dovecot_names_with_couriers_prefix_and_folders_below_inbox(site: Site) -> None:
    for name in ("Work", "INBOX.below"):
        maildir(site.maildir() / f".{name}")
    (site.maildir() / "subscriptions").write_text("INBOX.Work\nINBOX.below\nINBOX\n")
    assert adoption(site).subscriptions() == ["Work", "INBOX.below", "INBOX"]


@pytest.mark.parametrize(
    ("fields", "believed"),
    [
        (b"X-IMAPbase: 1700000000 100\nX-UID: 90\n", True),
        (b"X-IMAPbase: 1700000000 100\n", False),
        (b"X-IMAPbase: 2100000000 100\nX-UID: 90\n", False),
    ],
)
def test_R236_a_senders_own_numbers_are_not_adopted(
    tmp_path: Path, fields: bytes, believed: bool
) -> None:
    boxes = Mboxes(tmp_path)
    boxes.deliver(1, header=fields)
    boxes.deliver(2, header=b"X-UID: 95\n" if believed else b"")
    drop = boxes.maildrop()
    places = list(drop.scan().places)
    old = gather(drop, places, Options(), True, str(tmp_path))
    assert bool(old.uids) == believed and bool(old.notes) != believed
    asked = gather(drop, places, Options(source="uw"), True, str(tmp_path))
    assert asked.uidvalidity == int(fields.split()[1])
    boxes.close()
