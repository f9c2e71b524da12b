"""Mailboxes that Debian's Dovecot served, adopted: clients with their old state fetch nothing."""

from __future__ import annotations

import imaplib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import messages
from .adoption import adopt, as_server, compare, files_below, fill, messages_in, spool, uidls
from .clients import bodies, imap, pop3
from .dovecot import Dovecot
from .server import Server
from .test_fetchmail import Fetchmail
from .test_mbsync import Mbsync, remote, snapshot
from .users import User

Start = Callable[..., Dovecot]


@pytest.fixture
def dovecot(base: Path) -> Iterator[Start]:
    started: list[Dovecot] = []

    def start(user: User, **settings: str) -> Dovecot:
        server = Dovecot(base / f"dovecot-{user.name}-{len(started)}", [user], **settings)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def test_mbsync_and_fetchmail_with_their_old_state_fetch_nothing(
    server: Server, user: User, scratch: Path, dovecot: Start
) -> None:
    for count in range(5):
        user.deliver(messages.numbered(count))
    old = dovecot(user)
    fill(old, user)
    sync = Mbsync(scratch, as_server(old, server), user, "plain")
    sync.run()
    pop = Fetchmail(scratch, as_server(old, server), user)
    assert pop.run("POP3", keep=True) == 0, pop.said
    near, far, fetched = snapshot(sync), remote(user), pop.arrived()
    before = files_below(user.home)

    said = adopt(server, user)
    assert "INBOX: to be adopted (dovecot)" in said and "4 keep their UID" in said
    assert files_below(user.home) == before  # a report, and nothing else
    assert not (server.folder / "state/users" / user.name).exists()
    said = adopt(server, user, "--apply")
    assert "4 mailboxes adopted" in said

    assert "\n0 messages would be fetched again" in compare(old, server, user)
    sync.point(server, user, "tls")
    sync.run()
    assert (snapshot(sync), remote(user)) == (near, far)
    pop = Fetchmail(scratch, server, user)
    assert pop.run("POP3", keep=True) == 1, pop.said
    assert pop.arrived() == fetched

    # New mail is fetched, once.
    user.deliver(messages.numbered(20))
    sync.run()
    assert len(snapshot(sync)) == len(near) + 1
    assert pop.run("POP3", keep=True) == 0 and pop.run("POP3", keep=True) == 1
    assert len(pop.arrived()) == len(fetched) + 1


def test_flags_keywords_and_subscriptions_are_those_of_before(
    server: Server, user: User, dovecot: Start
) -> None:
    for count in range(5):
        user.deliver(messages.numbered(count))
    old = dovecot(user)
    fill(old, user)
    before = {name: messages_in(old, user, name) for name in ("INBOX", "Shared")}
    adopt(server, user, "--apply")
    client = imap(server, user)
    for name, rows in before.items():
        client.select(name)
        answer = client.fetch("1:*", "(UID FLAGS)")[1]
        assert [flags_of(row) for row in answer] == [flags_of(row) for row in rows.values()]
    # Exactly what was subscribed, and what maa makes for special uses.
    subscribed = {line.split()[-1] for line in client.lsub()[1]}
    assert {b"Shared", b"Arch&AOk-ve.2026"} <= subscribed
    assert not any(b"wanted" in line for line in client.lsub()[1])
    client.logout()


def flags_of(row: bytes) -> set[bytes]:
    return set(row.partition(b"FLAGS (")[2].partition(b")")[0].split()) - {rb"\Recent"}


def test_adopting_again_changes_nothing(server: Server, user: User, dovecot: Start) -> None:
    for count in range(5):
        user.deliver(messages.numbered(count))
    fill(dovecot(user), user)
    adopt(server, user, "--apply")
    client = imap(server, user)
    client.select("INBOX")
    client.store("1", "-FLAGS", "work")
    client.unsubscribe("Shared")
    user.deliver(messages.numbered(30))
    client.noop()
    state = client.fetch("1:*", "(UID FLAGS)"), client.lsub()
    said = adopt(server, user, "--apply")
    assert "INBOX: adopted already" in said and "0 mailboxes adopted" in said
    # Not even the session has noticed.
    assert (client.fetch("1:*", "(UID FLAGS)"), client.lsub()) == state
    client.logout()


def test_R211_POP3_names_of_another_form_stay_and_new_mail_gets_others(
    server: Server, user: User, scratch: Path, dovecot: Start
) -> None:
    for count in range(4):
        user.deliver(messages.numbered(count))
    old = dovecot(user, settings="pop3_uidl_format = %v.%f")
    names = uidls(old, user)
    pop = Fetchmail(scratch, as_server(old, server), user)
    assert pop.run("POP3", keep=True) == 0, pop.said
    # The one message that does not know the form yet.
    assert "4 of 4 messages again" in _compared_pop3(old, server, user, "%08Xu%08Xv")
    said = adopt(server, user, "--apply", "--uidl-format", "%v.%f", status=1)
    assert "refused: 4 messages would get other POP3 names" in said
    adopt(server, user, "--apply", "--uidl-format", "%v.%f", "--replace")
    assert uidls(server, user) == names
    assert "0 of 4 messages again" in compare(old, server, user, protocol="pop3")
    pop = Fetchmail(scratch, server, user)
    assert pop.run("POP3", keep=True) == 1, pop.said
    user.deliver(messages.numbered(30))
    assert len(set(uidls(server, user))) == 5 and uidls(server, user)[:4] == names


def _compared_pop3(old: Dovecot, server: Server, user: User, form: str) -> str:
    adopt(server, user, "--apply", "--uidl-format", form)
    return compare(old, server, user, status=1, protocol="pop3")


def test_POP3_names_that_dovecot_saved_count_before_any_form(
    server: Server, user: User, dovecot: Start
) -> None:
    for count in range(4):
        user.deliver(messages.numbered(count))
    first = dovecot(user, settings="pop3_uidl_format = %f\npop3_save_uidl = yes")
    names = uidls(first, user)
    first.stop()
    user.deliver(messages.numbered(4))
    second = dovecot(user)
    assert uidls(second, user)[:4] == names
    adopt(server, user, "--apply")
    assert uidls(server, user) == uidls(second, user)
    assert "0 of 5 messages again" in compare(second, server, user, protocol="pop3")


def test_what_maa_gave_out_is_replaced_only_when_asked_to(
    server: Server, user: User, dovecot: Start
) -> None:
    for count in range(5):
        user.deliver(messages.numbered(count))
    old = dovecot(user)
    fill(old, user)
    client = imap(server, user)
    assert client.select("INBOX") == ("OK", [b"4"])
    said = adopt(server, user, "--apply", status=1)
    assert "INBOX: refused: maa has served it under UIDVALIDITY" in said
    assert "Shared: to be adopted" in said
    assert client.noop()[0] == "OK"
    adopt(server, user, "--apply", "--replace")
    # The session's numbers mean nothing any more (R058).
    with pytest.raises(imaplib.IMAP4.abort):
        client.noop()
        client.fetch("1:*", "(UID)")
    assert "\n0 messages would be fetched again" in compare(old, server, user)
    client = imap(server, user)
    assert client.select("INBOX") == ("OK", [b"4"])
    assert len(bodies(client)) == 4
    client.logout()


def test_a_POP3_session_keeps_its_numbers(server: Server, user: User, dovecot: Start) -> None:
    user.deliver(messages.numbered(1))
    old = dovecot(user)
    names = uidls(old, user)
    session = pop3(server, user)
    assert "a POP3 session is open" in adopt(server, user, "--apply", "--replace", status=1)
    assert len(session.uidl()[1]) == 1
    session.quit()
    adopt(server, user, "--apply", "--replace")
    assert uidls(server, user) == names


@pytest.mark.parametrize("own_server", [2], indirect=True)
def test_all_workers_take_notice(own_server: Server, user: User, dovecot: Start) -> None:
    server = own_server
    for count in range(5):
        user.deliver(messages.numbered(count))
    old = dovecot(user)
    fill(old, user)
    sessions = [imap(server, user) for _ in range(6)]
    for session in sessions:
        session.select("INBOX")
    adopt(server, user, "--apply", "--replace")
    for session in sessions:
        with pytest.raises(imaplib.IMAP4.abort):
            session.noop()
            session.fetch("1:*", "(UID)")
    for _ in range(6):
        assert "\n0 messages would be fetched again" in compare(old, server, user)


def test_mbox_files_that_dovecot_served(server: Server, spooled_user: User, dovecot: Start) -> None:
    user = spooled_user
    spool(user, 5)
    old = dovecot(
        user,
        location="mbox:~/mail:INBOX=~/spool",
        settings="mbox_write_locks = fcntl",
    )
    fill(old, user, separator="/")
    said = adopt(server, user, "--apply")
    assert "INBOX: to be adopted (dovecot)" in said
    assert "\n0 messages would be fetched again" in compare(old, server, user)
    before = messages_in(old, user)
    client = imap(server, user)
    client.select("INBOX")
    answer = client.fetch("1:*", "(UID FLAGS)")[1]
    assert [flags_of(row) for row in answer] == [flags_of(row) for row in before.values()]
    client.logout()
