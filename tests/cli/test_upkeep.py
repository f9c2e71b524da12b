"""`maa backup`, `maa verify` and `maa rebuild`, as an operator uses them."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from maa.cli import main
from maa.message.flags import interned
from maa.store.account import Account
from maa.store.beacon import Beacon
from maa.store.index import Counters
from maa.store.snapshot import StoreMode
from maa.user import User
from tests.store.account_cases import Site, deliver
from tests.store.test_beacon import Contents, append, index_of

CONFIGURATION = """
hostname = "mail.example.org"
state = "{root}/state"
[listen]
imap = ["tcp:143"]
[auth]
password-file.path = "{root}/passwd"
[mail]
home = "{root}/home/{{user}}"
inbox = "maildir:{{home}}/Maildir"
folders = "{folders}"
"""
MAILDIR = "maildir:{home}/Maildir"
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name, folders in (("maa.toml", MAILDIR), ("mbox.toml", "mbox:{home}/mail")):
        text = CONFIGURATION.format(root=tmp_path, folders=folders)
        (tmp_path / name).write_text(text)
    (tmp_path / "passwd").write_text("joe:{PLAIN}x\nann:{PLAIN}x\n")
    return Site(tmp_path)


@pytest.fixture
def run(site: Site, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: str, config: str = "maa.toml") -> tuple[int, str]:
        status = main([*arguments, "--config", str(site.root / config)])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return command


def opened(site: Site, name: str = "joe") -> Account:
    account = site.account(name)
    for text in ("one", "two", "three"):
        append(account, text)
    account.open("INBOX").store([2], StoreMode.ADD, interned(["$Label"]))
    account.open("INBOX").tidy()
    return account


def everything(root: Path) -> dict[Path, str]:
    """What is in every file, but SQLite's shared memory and empty logs."""
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.stat().st_size and not path.name.endswith("-shm")
    }


# --- verify


def test_a_sound_account_has_no_findings_beside_the_server(site: Site, run: Run) -> None:
    account = opened(site)
    account.open("INBOX").sizes([1, 2, 3])
    while account.open("INBOX").tidy():
        continue
    before = everything(site.root)
    assert run("verify", "--user", "joe", "--deep") == (0, "joe: no faults, no notes\n")
    assert everything(site.root) == before


def test_what_the_server_puts_right_is_a_note(site: Site, run: Run) -> None:
    account = opened(site)
    places = list(account.open("INBOX").snapshot.places)
    account.create("Old")
    account.open("INBOX").store([3], StoreMode.ADD, interned(["\\Flagged"]))
    account.ledger.close()
    deliver(site.maildir())
    inbox = os.fsencode(site.maildir())
    os.unlink(inbox + b"/" + places[0])
    os.rename(inbox + b"/" + places[1], inbox + b"/" + places[1] + b"S")
    shutil.rmtree(site.maildir() / ".Old")
    for part in ("cur", "new", "tmp"):
        (site.maildir() / ".Strange" / part).mkdir(parents=True)
    status, said = run("verify", "--user", "joe")
    assert status == 0
    for text in (
        "joe: note: INBOX: UIDs 1 have no message",
        "joe: note: INBOX: 1 messages have no UID yet",
        "joe: note: INBOX: 1 messages were moved or flagged by another program",
        "joe: note: INBOX: the file names of UIDs 3 do not show their flags yet",
        "joe: note: Old: its directory or file is not there",
        "joe: note: Strange: it is not in the index yet",
        "joe: no faults, 6 notes\n",
    ):
        assert text in said


def harm(site: Site, statement: str, database: str = "index.db") -> None:
    path = index_of(site).with_name(database)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE mailbox SET uidnext = 3 WHERE name = 'INBOX'", "UIDNEXT is 3"),
        ("UPDATE message SET modseq = 1 << 50 WHERE uid = 2", "mod-sequences of UIDs 2 are above"),
        ("UPDATE message SET flag_id = 99 WHERE uid = 3", "flags of UIDs 3 are lost"),
        ("UPDATE message SET place = (SELECT min(place) FROM message)", "are one message"),
        ("UPDATE message SET place = 'text' WHERE uid = 2", "make no sense: message"),
        ("UPDATE mailbox SET uidnext = 'x' WHERE name = 'INBOX'", "make no sense: mailbox"),
    ],
)
def test_what_is_wrong_in_the_index_is_a_fault(
    site: Site, run: Run, statement: str, text: str
) -> None:
    opened(site).ledger.close()
    harm(site, statement)
    status, said = run("verify", "--user", "joe")
    assert status == 1
    assert text in said and "to do: maa rebuild" in said
    assert run("rebuild", "--user", "joe")[0] == 0
    assert run("verify", "--user", "joe")[0] == 0


def test_a_damaged_index_or_cache_is_a_fault(site: Site, run: Run) -> None:
    account = opened(site)
    account.open("INBOX").sizes([1, 2, 3])
    account.open("INBOX").tidy()
    account.ledger.close()
    cache = index_of(site).with_name("cache.db")
    whole = cache.read_bytes()
    cache.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert "cache.db is damaged" in run("verify", "--user", "joe")[1]
    cache.write_bytes(whole)
    index = index_of(site)
    index.write_bytes(index.read_bytes()[:8192])
    status, said = run("verify", "--user", "joe")
    assert status == 1 and "index.db is damaged" in said
    assert not list(index.parent.glob("index.db.damaged*"))


def test_the_beacon_is_compared(site: Site, run: Run) -> None:
    account = opened(site)
    validity = account.open("INBOX").uidvalidity
    account.ledger.close()
    path = site.maildir() / "maa-beacon.joe"
    text = path.read_bytes()
    path.unlink()
    assert "there is no beacon" in run("verify", "--user", "joe")[1]
    path.write_bytes(text[:-5])
    assert "is damaged" in run("verify", "--user", "joe")[1]
    path.write_bytes(text)
    beacon = Beacon(str(path))
    beacon.reach(validity, Counters(50, 50, 1))
    beacon.close()
    status, said = run("verify", "--user", "joe")
    assert status == 1 and "INBOX: the index is older than the beacon: UIDNEXT 4, not 50" in said


def test_cached_answers_are_compared_with_the_messages(site: Site, run: Run) -> None:
    account = opened(site)
    mailbox = account.open("INBOX")
    mailbox.sizes([1, 2, 3])
    mailbox.remember("envelope/1", {2: b"(nonsense)"})
    mailbox.tidy()
    account.ledger.close()
    assert run("verify", "--user", "joe")[0] == 0
    status, said = run("verify", "--user", "joe", "--deep")
    assert status == 1 and "cached answers of UIDs 2 are not" in said
    harm(site, "UPDATE fact SET size = size + 1 WHERE uid = 3", "cache.db")
    assert "cached answers of UIDs 3 are not" in run("verify", "--user", "joe")[1]


def test_mbox_files_are_compared(site: Site, run: Run) -> None:
    account = site.accounts("mbox:{home}/mail").open(User("joe"))
    account.create("box")
    append(account, "one", "box")
    append(account, "two", "box")
    account.ledger.close()
    assert run("verify", "--user", "joe", config="mbox.toml") == (0, "joe: no faults, no notes\n")
    path = site.root / "home" / "joe" / "mail" / "box"
    path.write_bytes(
        path.read_bytes() + b"From ann Mon Mar  2 10:11:12 2026\nSubject: new\n\nnew\n\n"
    )
    assert (
        "box: 1 messages have no UID yet" in run("verify", "--user", "joe", config="mbox.toml")[1]
    )
    notes = (index_of(site).parent / "mbox").glob("*.path")
    (note,) = (note for note in notes if note.read_bytes() == os.fsencode(path))
    note.with_suffix(".staged-1").touch()  # of nobody's: the next use removes it
    assert "interrupted" not in run("verify", "--user", "joe", config="mbox.toml")[1]
    note.with_suffix(".plan").touch()
    said = run("verify", "--user", "joe", config="mbox.toml")[1]
    assert "box: a change of the mbox was interrupted" in said


def test_an_index_set_aside_is_spoken_of(site: Site, run: Run) -> None:
    opened(site).ledger.close()
    index_of(site).write_bytes(b"nonsense" * 1000)
    site.account().ledger.close()
    assert "a damaged index was set aside as index.db.damaged-" in run("verify", "--all")[1]


def test_users_nobody_knows_and_users_without_an_index(site: Site, run: Run) -> None:
    status, said = run("verify", "--user", "bob", "--user", "ann")
    assert status == 2
    assert "bob: nobody knows such a user" in said
    assert "ann: note: there is no index" in said
    assert main(["verify", "--all", "--config", "/nowhere.toml"]) == 2


def test_a_newer_index_can_only_be_backed_up(site: Site, run: Run) -> None:
    opened(site).ledger.close()
    harm(site, "UPDATE setting SET value = '99' WHERE key = 'schema'")
    before = index_of(site).read_bytes()
    for command, expected in (("verify", 2), ("rebuild", 1)):
        status, said = run(command, "--user", "joe")
        assert status == expected and "schema 99" in said
        assert index_of(site).read_bytes() == before, command
    assert run("backup", "--user", "joe", "--to", str(site.root / "vault"))[0] == 0
    assert index_of(site).read_bytes() == before


# --- backup and rebuild


@pytest.mark.parametrize("way", ["rebuild", "copied"])
def test_R248_a_backup_survives_the_loss_of_the_state(site: Site, run: Run, way: str) -> None:
    account, contents = opened(site), Contents()
    opened(site, "ann").ledger.close()
    account.subscribe("Elsewhere")
    contents.learn(account)
    vault = site.root / "vault"
    assert run("backup", "--all", "--to", str(vault)) == (0, f"2 indexes are copied to {vault}\n")
    assert sorted(path.name for path in vault.iterdir()) == ["ann.db", "joe.db"]
    assert vault.stat().st_mode & 0o777 == 0o700
    append(account, "four")
    contents.learn(account)
    account.open("INBOX").remove([1])
    account.ledger.close()
    shutil.rmtree(site.root / "state")
    if way == "rebuild":
        status, said = run("rebuild", "--user", "joe", "--from", str(vault))
        assert status == 0
        assert "joe: INBOX: UIDVALIDITY" in said
        assert "(kept), 2 UIDs kept, 1 new, 1 without a message" in said
    else:
        index_of(site).parent.mkdir(parents=True, mode=0o700)
        shutil.copy(vault / "joe.db", index_of(site))
    account = site.account()
    assert contents.learn(account)[:2] == [2, 3]
    snapshot = account.open("INBOX").snapshot
    assert "$Label" in snapshot.flags(0)
    assert "Elsewhere" in account.subscriptions()
    append(account, "five")
    contents.learn(account)
    account.ledger.close()
    assert run("verify", "--user", "joe")[0] == 0


def test_a_backup_says_what_it_could_not_do(site: Site, run: Run) -> None:
    opened(site).ledger.close()
    vault = site.root / "vault"
    status, said = run("backup", "--user", "ann", "--user", "bob", "--to", str(vault))
    assert status == 1
    assert "ann: has no index yet" in said and "bob: nobody knows" in said
    index_of(site).write_bytes(b"nonsense" * 1000)
    status, said = run("backup", "--all", "--to", str(vault))
    assert status == 1 and "0 indexes are copied" in said
    assert list(vault.iterdir()) == []


def test_a_rebuild_from_what_is_no_backup_changes_nothing(site: Site, run: Run) -> None:
    opened(site).ledger.close()
    opened(site, "ann").ledger.close()
    before = index_of(site).read_bytes()
    nonsense = site.root / "nonsense"
    nonsense.write_bytes(b"nonsense" * 1000)
    assert run("rebuild", "--user", "joe", "--from", str(nonsense))[0] == 1
    assert run("rebuild", "--user", "joe", "--from", str(site.root / "nowhere"))[0] == 1
    said = run("rebuild", "--all", "--from", str(nonsense))[1]
    assert "one backup file is of one user" in said
    assert index_of(site).read_bytes() == before
