"""An index made anew keeps what can be read of the old one, of backups and of the spare."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from maa.message.flags import interned
from maa.store.account import Account
from maa.store.beacon import RESERVE
from maa.store.errors import MailboxGone, NewerIndex, StoreError, Unavailable
from maa.store.identity import Identity
from maa.store.index import Change, Counters
from maa.store.rebuild import Rebuilt, rebuild
from maa.store.salvage import contents, write_index
from maa.store.snapshot import StoreMode
from maa.store.spare import index_fault
from maa.user import User
from tests.store.account_cases import Site
from tests.store.mboxes import Mboxes
from tests.store.test_beacon import Contents, append, index_of

MANY = 600


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def rebuilt(site: Site, *sources: Path) -> Rebuilt:
    spare = site.maildir() / "maa-index.joe"
    return rebuild(index_of(site).parent, Identity.own(), sources, spare)


def filled(site: Site, count: int = 3) -> tuple[Account, Contents]:
    """An account with messages, flags, keywords, another mailbox and a subscription."""
    account, found = site.account(), Contents()
    account.create("Work.old")
    account.subscribe("Elsewhere")
    for number in range(count):
        append(account, f"message {number}")
    append(account, "work", "Work.old")
    inbox = account.open("INBOX")
    inbox.store([1, count], StoreMode.ADD, interned(["$Label", "\\Flagged"]))
    found.learn(account)
    found.learn(account, "Work.old")
    return account, found


def flags_of(account: Account, name: str = "INBOX") -> dict[int, list[str]]:
    snapshot = account.open(name).snapshot
    return {uid: sorted(snapshot.flags(p)) for p, uid in enumerate(snapshot.uids)}


def known(account: Account) -> tuple[object, ...]:
    return (
        {line.name: account.open(line.name).uidvalidity for line in account.mailboxes()
         if line.selectable},
        flags_of(account), flags_of(account, "Work.old"), account.subscriptions(),
        [(line.name, line.use) for line in account.mailboxes()],
    )  # fmt: skip


def test_a_whole_index_is_the_same_afterwards(site: Site) -> None:
    account, found = filled(site)
    before = known(account)
    highest = account.open("INBOX").snapshot.highest_modseq
    account.ledger.close()
    done = rebuilt(site)
    assert done.remarks == []
    assert done.aside is not None and index_fault(done.aside) == ""
    assert {(box.name, box.messages) for box in done.kept} >= {("INBOX", 3), ("Work.old", 1)}
    account = site.account()
    assert known(account) == before
    found.learn(account)
    assert min(account.open("INBOX").snapshot.modseqs) > highest  # R176
    uid = append(account, "four")
    assert uid > RESERVE
    found.learn(account)


def test_what_is_expunged_or_lost_is_in_the_history(site: Site) -> None:
    account, _ = filled(site, 5)
    account.open("INBOX").remove([2, 5])
    account.ledger.close()
    rebuilt(site)
    with sqlite3.connect(index_of(site)) as connection:
        rows = connection.execute(
            "SELECT uids FROM expunged JOIN mailbox ON mailbox = id WHERE name = 'INBOX'"
        ).fetchall()
    assert rows == [("2,5",)]


def test_sessions_beside_it_end_and_go_on_with_the_new_one(site: Site) -> None:
    accounts = site.accounts()
    account = accounts.open(User("joe"))
    mailbox = account.open("INBOX")
    append(account, "one")
    rebuilt(site)
    with pytest.raises(MailboxGone):
        mailbox.incoming().commit()
    again = accounts.open(User("joe"))
    assert list(again.open("INBOX").snapshot.uids) == [1]
    assert append(again, "two") > RESERVE


def test_a_backup_brings_uids_flags_and_subscriptions_to_an_index_begun_anew(site: Site) -> None:
    account, found = filled(site)
    before = known(account)
    account.ledger.close()
    backup = Path(shutil.copy(index_of(site), site.root / "backup.db"))
    shutil.rmtree(index_of(site).parent)
    account = site.account()  # the server began anew
    assert account.open("INBOX").uidvalidity != before[0]["INBOX"]  # type: ignore[index]
    found.learn(account)
    append(account, "later")
    found.learn(account)
    account.ledger.close()
    rebuilt(site, backup)
    account = site.account()
    assert account.open("INBOX").uidvalidity == before[0]["INBOX"]  # type: ignore[index]
    uids = found.learn(account)
    assert uids[:3] == [1, 2, 3] and uids[3] > RESERVE
    assert {uid: flags_of(account)[uid] for uid in (1, 2, 3)} == before[1]
    assert account.subscriptions() >= before[3]  # type: ignore[operator]


def test_of_a_message_in_both_the_present_index_says_the_flags(site: Site) -> None:
    account, found = filled(site)
    account.ledger.close()
    backup = Path(shutil.copy(index_of(site), site.root / "backup.db"))
    account = site.account()
    account.open("INBOX").store([2], StoreMode.ADD, interned(["$New"]))
    append(account, "four")
    found.learn(account)
    before = flags_of(account)
    account.ledger.close()
    rebuilt(site, backup)
    account = site.account()
    assert flags_of(account) == before
    found.learn(account)


def test_a_lost_index_is_made_of_the_spare(site: Site) -> None:
    account, found = filled(site)
    account.keep_spare()
    before = known(account)
    account.ledger.close()
    index_of(site).unlink()
    done = rebuilt(site)
    assert done.aside is None
    account = site.account()
    assert known(account) == before
    found.learn(account)


def test_with_nothing_to_go_by_uidvalidity_rises(site: Site) -> None:
    account, found = filled(site)
    before = account.open("INBOX").uidvalidity
    account.ledger.close()
    index_of(site).write_bytes(b"nonsense" * 4000)
    done = rebuilt(site)
    assert done.kept == []
    assert any("greater UIDVALIDITY" in remark for remark in done.remarks)
    account = site.account()
    assert account.open("INBOX").uidvalidity > before
    assert len(found.learn(account)) == 3


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_index_keeps_every_row_that_can_be_read(site: Site, seed: int) -> None:
    account, found = filled(site, 2)
    index = account.ledger.index
    row = index.mailboxes()["INBOX"]
    rows = [(uid, b"cur/lost-%d:2," % uid, 0, 9) for uid in range(3, MANY)]
    index.apply(row.id, Change(arrivals=rows, counters=Counters(MANY, 9, 1)))
    account.ledger.close()
    path = index_of(site)
    size, rng = path.stat().st_size, random.Random(seed)
    pages = rng.sample(range(12, size // 4096), 3)
    with path.open("r+b") as file:
        for page in pages:
            file.seek(4096 * page)
            file.write(rng.randbytes(4096))
    try:
        read = contents(path)
    except StoreError:
        pytest.fail("nothing was read")
    messages = read.rows("message")
    assert len({(row["mailbox"], row["uid"]) for row in messages}) == len(messages)
    done = rebuilt(site)
    assert index_fault(path) == ""
    kept = {box.name: box.messages for box in done.kept}
    if "message" in read.damaged:
        # A page has some forty rows.
        assert kept.get("INBOX", 0) >= MANY - 3 * 150
        assert f"{path}: the table message is damaged" in done.remarks
    account = site.account()
    found.learn(account)
    append(account, "later")
    found.learn(account)


def test_what_is_no_index_is_refused_by_name(site: Site) -> None:
    account, _ = filled(site)
    account.ledger.close()
    before = index_of(site).read_bytes()
    other = site.root / "other.db"
    for data in (b"", b"nonsense" * 4000):
        other.write_bytes(data)
        with pytest.raises(Unavailable):
            rebuilt(site, other)
    with pytest.raises(Unavailable):
        rebuilt(site, site.root / "nowhere.db")
    assert index_of(site).read_bytes() == before


@pytest.mark.parametrize("which", ["present", "backup"])
def test_an_index_of_a_newer_maa_is_left_alone(site: Site, which: str) -> None:
    account, _ = filled(site)
    account.ledger.close()
    backup = Path(shutil.copy(index_of(site), site.root / "backup.db"))
    newer = index_of(site) if which == "present" else backup
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE setting SET value = '99' WHERE key = 'schema'")
    with pytest.raises(NewerIndex):
        rebuilt(site, backup)
    assert not list(index_of(site).parent.glob("index.db.*"))


def test_nonsense_in_an_index_is_left_out(site: Site) -> None:
    account, found = filled(site)
    account.ledger.close()
    with sqlite3.connect(index_of(site)) as connection:
        (inbox,) = connection.execute("SELECT id FROM mailbox WHERE name = 'INBOX'").fetchone()
        for uid, place in (
            (0, b"a"),
            (-5, b"a"),
            (1 << 40, b"a"),
            ("x", b"a"),
            (77, "text"),
            (78, 7),
        ):
            connection.execute(
                "INSERT INTO message (mailbox, uid, place, flag_id, modseq)"
                " VALUES (?, ?, ?, 9999, 1)",
                (inbox, uid, place),
            )
        connection.execute("UPDATE mailbox SET uidnext = 'x' WHERE id = ?", (inbox,))
        connection.execute("INSERT INTO setting VALUES ('uidvalidity ', 'x')")
        connection.execute("UPDATE mailbox SET uidvalidity = -1 WHERE name = 'Work.old'")
    rebuilt(site)
    account = site.account()
    assert found.learn(account) == [1, 2, 3]
    append(account, "four")
    found.learn(account)
    found.learn(account, "Work.old")


def test_tables_that_are_none_of_ours_are_left_out(site: Site) -> None:
    account, _ = filled(site)
    account.ledger.close()
    backup = site.root / "backup.db"
    with sqlite3.connect(backup) as connection:
        connection.executescript(
            "CREATE TABLE setting (a); INSERT INTO setting VALUES (1);"
            "CREATE TABLE mailbox (id, name); CREATE TABLE message (mailbox, uid);"
        )
    with pytest.raises(Unavailable):
        rebuilt(site, backup)


def test_R237_a_keyword_with_a_slash_is_no_part_of_a_messages_name(tmp_path: Path) -> None:
    boxes = Mboxes(tmp_path)
    for number in (1, 2, 3):
        boxes.deliver(number, header=b"X-Keywords: work/urgent\n")
    boxes.mailbox()
    boxes.close()
    found = contents(tmp_path / "state" / "index.db")
    (kept,) = write_index(tmp_path / "new.db", [found], [found])
    assert kept.messages == 3
