"""One user's mailboxes."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

import pytest

from maa.store.account import Account
from maa.store.errors import (
    CannotChange,
    HasChildren,
    InvalidName,
    MailboxExists,
    MailboxGone,
    MailboxNotFound,
    MaildropInUse,
    NotSelectable,
    Unavailable,
)
from maa.store.mailbox import Mailbox
from maa.user import User
from tests.store.account_cases import ROLE_NAMES, Site, deliver, maildir, names_of


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def account(site: Site) -> Account:
    return site.account()


def count(account: Account, name: str) -> int:
    return len(account.open(name).snapshot.uids)


# --- the first login


def test_L1_the_first_login_makes_a_mailbox_for_each_use(account: Account) -> None:
    uses = {line.name: line.use for line in account.mailboxes()}
    assert uses == {"INBOX": None} | {name: f"\\{name}" for name in ROLE_NAMES}
    assert account.subscriptions() == {"INBOX", *ROLE_NAMES}


def test_L1_what_other_servers_and_clients_made_gets_its_use(site: Site) -> None:
    for directory in (".Sent Items", ".Verzonden items", ".Papierkorb", ".Archive.2023", ".Work"):
        maildir(site.maildir() / directory)
    account = site.account()
    uses = {line.name: line.use for line in account.mailboxes() if line.selectable}
    assert uses == {
        "INBOX": None,
        "Archive": "\\Archive",
        "Archive.2023": None,
        "Drafts": "\\Drafts",
        "Junk": "\\Junk",
        "Papierkorb": "\\Trash",
        "Sent Items": "\\Sent",
        "Verzonden items": None,
        "Work": None,
    }
    assert account.subscriptions() == set(uses)


def test_L1_a_deleted_special_mailbox_does_not_come_back(site: Site, account: Account) -> None:
    account.delete("Junk")
    account.unsubscribe("Junk")
    again = site.account()
    assert "Junk" not in names_of(again, roles=True)
    assert "Junk" not in again.subscriptions()


def test_L2_a_use_is_never_given_twice(account: Account) -> None:
    with pytest.raises(CannotChange):
        account.create("Outbox", use="\\Sent")
    with pytest.raises(CannotChange):
        account.create("Everything", use="\\All")
    account.create("Sent Items")
    account.delete("Sent")
    account.create("Verzonden")
    account.create("Enviados")
    uses = [line.use for line in account.mailboxes()]
    assert uses.count("\\Sent") == 1
    account.delete("Verzonden")
    account.create("Outbox", use="\\Sent")
    assert [line.name for line in account.mailboxes() if line.use == "\\Sent"] == ["Outbox"]


def test_Q32_a_client_that_makes_its_drafts_anew_keeps_the_use(account: Account) -> None:
    account.delete("Drafts")
    account.create("Drafts")
    assert [line.use for line in account.mailboxes() if line.name == "Drafts"] == ["\\Drafts"]


def test_a_first_login_that_cannot_make_all_is_tried_again(site: Site) -> None:
    site.maildir().mkdir(parents=True)
    (site.maildir() / ".Sent").write_text("in the way")
    account = site.account()
    assert "Sent" not in names_of(account, roles=True)
    (site.maildir() / ".Sent").unlink()
    assert "Sent" in names_of(site.account(), roles=True)


# --- INBOX


def test_R093_inbox_always_exists_in_any_case(account: Account) -> None:
    assert account.open("inbox") is account.open("INBOX")
    assert account.opened("iNbOx") is account.open("INBOX")
    with pytest.raises(MailboxExists):
        account.create("Inbox")
    with pytest.raises(CannotChange):
        account.delete("inbox")


def test_L14_children_of_inbox_in_any_case(account: Account) -> None:
    account.create("inbox.Lists")
    assert names_of(account) == ["INBOX", "INBOX.Lists"]
    assert account.open("Inbox.Lists").name == "INBOX.Lists"
    assert account.mailboxes()[0].children


def test_L15_an_inbox_on_a_disk_that_is_not_mounted_loses_nothing(site: Site) -> None:
    account = site.account()
    deliver(site.maildir())
    before = account.open("INBOX")
    uids, uidvalidity = list(before.snapshot.uids), before.uidvalidity
    site.maildir().rename(site.root / "unmounted")
    with pytest.raises(Unavailable):
        site.account()
    assert not site.maildir().exists()
    (site.root / "unmounted").rename(site.maildir())
    after = site.account().open("INBOX")
    assert (list(after.snapshot.uids), after.uidvalidity) == (uids, uidvalidity)


def test_an_inbox_that_never_had_mail_is_made_again(site: Site) -> None:
    site.account().open("INBOX")
    shutil.rmtree(site.maildir())
    assert count(site.account(), "INBOX") == 0


# --- listing


def test_folders_of_other_programs_appear_and_vanish(site: Site, account: Account) -> None:
    assert names_of(account) == ["INBOX"]
    maildir(site.maildir() / ".Work")
    assert names_of(account) == ["INBOX", "Work"]
    assert account.open("Work").snapshot.uidvalidity > 0
    (site.maildir() / ".Work").rename(site.maildir() / ".Play")
    assert names_of(account) == ["INBOX", "Play"]
    assert account.opened("Work") is None
    with pytest.raises(MailboxNotFound):
        account.open("Work")
    shutil.rmtree(site.maildir() / ".Play")
    assert names_of(account) == ["INBOX"]


def test_a_folder_made_step_by_step_appears_when_it_is_whole(site: Site, account: Account) -> None:
    work = site.maildir() / ".Work"
    work.mkdir()
    assert names_of(account) == ["INBOX"]
    for part in ("tmp", "new", "cur"):
        (work / part).mkdir()
    assert names_of(account) == ["INBOX", "Work"]


def test_R105_a_parent_that_is_no_mailbox_is_listed(account: Account) -> None:
    account.create("a.b.c")
    assert names_of(account) == ["INBOX", "(a)", "(a.b)", "a.b.c"]
    with pytest.raises(NotSelectable):
        account.open("a.b")
    account.create("a")
    assert names_of(account) == ["INBOX", "a", "(a.b)", "a.b.c"]


def test_an_unchanged_listing_is_answered_from_memory(site: Site, account: Account) -> None:
    account.open("INBOX")
    first = account.mailboxes()
    assert account.mailboxes() is first
    deliver(site.maildir())
    assert account.mailboxes() is first


def test_other_files_in_the_maildir_say_nothing(site: Site, account: Account) -> None:
    first = account.mailboxes()
    (site.maildir() / "dovecot-uidlist").touch()
    assert account.mailboxes() is first


def test_a_disk_that_comes_back_is_read_again(site: Site, account: Account) -> None:
    account.create("Work")
    deliver(site.maildir() / ".Work")
    assert count(account, "Work") == 1
    site.maildir().rename(site.root / "unmounted")
    with pytest.raises(Unavailable):
        account.mailboxes()
    with pytest.raises(Unavailable):
        account.open("Work")
    (site.root / "unmounted").rename(site.maildir())
    assert names_of(account) == ["INBOX", "Work"]
    assert list(account.open("Work").snapshot.uids) == [1]
    maildir(site.maildir() / ".New")
    assert names_of(account) == ["INBOX", "New", "Work"]


def test_the_whole_maildir_may_be_a_symlink(site: Site) -> None:
    maildir(site.root / "disk" / "joe")
    site.maildir().parent.mkdir(parents=True)
    site.maildir().symlink_to(site.root / "disk" / "joe")
    account = site.account()
    mailbox = account.open("INBOX")
    assert account.opened("INBOX") is mailbox
    maildir(site.maildir() / ".Work")
    assert names_of(account) == ["INBOX", "Work"]


def test_R246_without_hints_the_folders_are_read_each_time(site: Site) -> None:
    accounts = site.accounts()
    accounts.watcher.close()
    account = accounts.open(User("joe"))
    maildir(site.maildir() / ".Work")
    assert names_of(account) == ["INBOX", "Work"]
    mailbox = account.open("Work")
    assert account.opened("Work") is None
    assert account.open("Work") is mailbox
    shutil.rmtree(site.maildir() / ".Work")
    assert names_of(account) == ["INBOX"]
    assert mailbox.gone


def test_folders_may_be_in_another_maildir(site: Site) -> None:
    account = site.accounts(folders="maildir:{home}/folders").open(User("joe"))
    account.create("Work")
    assert (site.root / "home/joe/folders/.Work/cur").is_dir()
    assert not (site.maildir() / ".Work").exists()
    deliver(site.maildir())
    assert count(account, "INBOX") == 1


# --- create


def test_R098_create_with_a_separator_at_the_end(account: Account) -> None:
    account.create("Work.")
    with pytest.raises(MailboxExists):
        account.create("Work")
    assert names_of(account) == ["INBOX", "Work"]


@pytest.mark.parametrize("name", ["", "a..b", "a\nb", "/etc/passwd", "~root", ".", "..", "x" * 300])
def test_R096_names_that_cannot_be(account: Account, name: str) -> None:
    for act in (account.create, account.open, account.delete, account.subscribe):
        with pytest.raises(InvalidName):
            act(name)
    with pytest.raises(InvalidName):
        account.rename("Sent", name)


@pytest.mark.parametrize("name", ["R&D", "Fun 😀", "台北.日本語", "1/2", "a//b/", "%", "*"])
def test_L13_any_other_name_works(site: Site, account: Account, name: str) -> None:
    account.create(name)
    deliver(Path(account.open(name).maildrop.watched()[0]).parent)
    assert count(account, name) == 1
    again = site.account()
    assert name in names_of(again)
    assert count(again, name) == 1
    account.delete(name)
    assert sorted(os.listdir(site.root)) == ["home", "state"]


def test_R095_one_name_in_two_forms_is_one_mailbox(account: Account) -> None:
    account.create("Entwürfe.Büro")
    with pytest.raises(MailboxExists):
        account.create("Entwu\u0308rfe.Bu\u0308ro")
    assert account.open("Entwu\u0308rfe.Bu\u0308ro") is account.open("Entwürfe.Büro")
    account.subscribe("Entwürfe.Büro")
    account.rename("Entwu\u0308rfe", "Alt")
    assert names_of(account) == ["INBOX", "(Alt)", "Alt.Büro"]
    assert "Alt.Büro" in account.subscriptions()


def test_R077_a_name_used_again_never_repeats_an_old_uid(site: Site, account: Account) -> None:
    account.create("Work")
    deliver(site.maildir() / ".Work")
    first = account.open("Work")
    account.delete("Work")
    account.create("Work")
    second = account.open("Work")
    assert second is not first
    assert second.uidvalidity > first.uidvalidity
    account.create("Play")
    deliver(site.maildir() / ".Play")
    play = account.open("Play")
    account.delete("Work")
    account.rename("Play", "Work")
    third = account.open("Work")
    assert (third.uidvalidity, list(third.snapshot.uids)) == (play.uidvalidity, [1])
    assert third.uidvalidity > second.uidvalidity


# --- delete


def test_R099_deleting_leaves_what_is_below(site: Site, account: Account) -> None:
    account.create("a")
    account.create("a.b")
    deliver(site.maildir() / ".a.b")
    account.delete("a")
    assert names_of(account) == ["INBOX", "(a)", "a.b"]
    assert count(account, "a.b") == 1
    with pytest.raises(HasChildren):
        account.delete("a")
    account.delete("a.b")
    assert names_of(account) == ["INBOX"]
    with pytest.raises(MailboxNotFound):
        account.delete("a")


def test_R100_deleting_keeps_the_subscription(account: Account) -> None:
    account.create("Work")
    account.subscribe("Work")
    account.delete("Work")
    assert "Work" in account.subscriptions()


def test_R058_a_deleted_mailbox_is_gone_for_its_sessions(account: Account) -> None:
    account.create("Work")
    mailbox = account.open("Work")
    account.delete("Work")
    assert account.opened("Work") is None
    with pytest.raises(MailboxGone):
        mailbox.sync()


# --- rename


def test_R101_renaming_moves_what_is_below(site: Site, account: Account) -> None:
    for name in ("a", "a.b", "a.b.c", "ab"):
        account.create(name)
    deliver(site.maildir() / ".a.b.c")
    before = account.open("a.b.c")
    account.rename("a", "x.y")
    assert names_of(account) == ["INBOX", "ab", "(x)", "x.y", "x.y.b", "x.y.b.c"]
    after = account.open("x.y.b.c")
    assert before.gone
    assert account.opened("a.b.c") is None
    # R102
    assert (after.uidvalidity, list(after.snapshot.uids)) == (before.uidvalidity, [1])


def test_R101_a_parent_that_is_no_mailbox_may_be_renamed(account: Account) -> None:
    account.create("a.b")
    account.rename("a", "c")
    assert names_of(account) == ["INBOX", "(c)", "c.b"]
    account.rename("c.b", "c")
    assert names_of(account) == ["INBOX", "c"]


def test_R101_renaming_onto_a_mailbox_changes_nothing(account: Account) -> None:
    for name in ("a", "a.x", "a.y.z", "b.x"):
        account.create(name)
    before = account.mailboxes()
    for old, new in (("a", "b"), ("a", "a"), ("a", "inbox"), ("a", "Sent"), ("a.y", "a")):
        with pytest.raises(MailboxExists):
            account.rename(old, new)
    with pytest.raises(CannotChange):
        account.rename("a", "a.b")
    with pytest.raises(MailboxNotFound):
        account.rename("missing", "other")
    with pytest.raises(InvalidName):
        account.rename("a", "z" * 253)
    assert account.mailboxes() == before


def test_renaming_onto_something_that_is_no_mailbox_changes_nothing(
    site: Site, account: Account
) -> None:
    account.create("a")
    account.create("a.b")
    (site.maildir() / ".x.b").write_text("in the way")
    with pytest.raises(CannotChange):
        account.rename("a", "x")
    assert names_of(account) == ["INBOX", "a", "a.b"]


def test_a_half_done_rename_with_something_new_in_the_way_is_ended(
    site: Site, account: Account
) -> None:
    account.create("a")
    maildir(site.maildir() / ".b")
    steps = [["a", str(site.maildir() / ".a"), "b"], ["gone", str(site.maildir() / ".gone"), "c"]]
    account.ledger.index.set_setting("renaming", json.dumps(steps))
    account.create("other")
    assert names_of(account) == ["INBOX", "a", "b", "other"]
    assert account.open("a").uidvalidity != account.open("b").uidvalidity


def test_R101_renaming_inbox_moves_its_messages_only(site: Site, account: Account) -> None:
    account.create("INBOX.child")
    deliver(site.maildir())
    deliver(site.maildir())
    account.rename("inbox", "Old.2024")
    assert names_of(account) == ["INBOX", "INBOX.child", "(Old)", "Old.2024"]
    assert count(account, "INBOX") == 0
    assert count(account, "Old.2024") == 2
    with pytest.raises(MailboxExists):
        account.rename("INBOX", "Old.2024")


def test_Q16_renaming_moves_subscriptions(account: Account) -> None:
    account.create("a.b")
    for name in ("a", "a.b", "ab"):
        account.subscribe(name)
    account.rename("a", "c")
    assert account.subscriptions() - {"INBOX", *ROLE_NAMES} == {"c", "c.b", "ab"}


def test_a_renamed_special_mailbox_keeps_its_use(account: Account) -> None:
    account.rename("Sent", "Verzonden")
    assert [line.name for line in account.mailboxes() if line.use == "\\Sent"] == ["Verzonden"]


# --- subscriptions


def test_Q17_any_name_may_be_subscribed(account: Account) -> None:
    account.subscribe("does.not.exist")
    account.subscribe("does.not.exist.")
    account.subscribe("inbox")
    assert account.subscriptions() - set(ROLE_NAMES) == {"INBOX", "does.not.exist"}


def test_R112_unsubscribing_what_is_not_subscribed_is_no_error(account: Account) -> None:
    account.subscribe("Entwürfe")
    account.unsubscribe("Entwu\u0308rfe")
    account.unsubscribe("never")
    account.unsubscribe("inbox")
    assert account.subscriptions() == set(ROLE_NAMES)


# --- opened mailboxes


def test_an_opened_mailbox_answers_from_memory_while_nothing_happens(
    site: Site, account: Account
) -> None:
    assert account.opened("INBOX") is None
    mailbox = account.open("INBOX")
    assert account.opened("INBOX") is mailbox
    deliver(site.maildir())
    assert account.opened("INBOX") is None
    assert account.open("INBOX") is mailbox
    assert len(mailbox.snapshot.uids) == 1
    maildir(site.maildir() / ".New")
    # Until the folders are read again nobody knows whether this one is still itself.
    assert account.opened("INBOX") is None
    account.open("INBOX")
    assert account.opened("INBOX") is mailbox


def test_many_threads_open_one_mailbox_once(account: Account) -> None:
    account.create("Work")
    found: list[Mailbox] = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        found.append(account.open("Work"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 8
    assert len({id(mailbox) for mailbox in found}) == 1


def test_a_folder_replaced_by_another_directory_is_another_mailbox(
    site: Site, account: Account
) -> None:
    account.create("Work")
    deliver(site.maildir() / ".Work")
    before = account.open("Work")
    (site.maildir() / ".Work").rename(site.root / "old")
    maildir(site.maildir() / ".Work")
    after = account.open("Work")
    assert before.gone
    assert after is not before
    assert list(after.snapshot.uids) == []
    # The same row: UIDs go on, so no UID means two messages (R074).
    deliver(site.maildir() / ".Work")
    assert list(account.open("Work").snapshot.uids) == [2]


# --- the maildrop


def test_R199_one_session_holds_the_maildrop(site: Site, account: Account) -> None:
    with account.hold_maildrop():
        with pytest.raises(MaildropInUse):
            account.hold_maildrop()
        with pytest.raises(MaildropInUse):
            site.account().hold_maildrop()
    account.hold_maildrop().release()
