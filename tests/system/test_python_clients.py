"""A whole user's round with the standard library's imaplib and poplib."""

from __future__ import annotations

import imaplib
import poplib
import re
import ssl
import time
from collections.abc import Callable

import pytest

from . import messages
from .clients import bodies, fetch, imap, pop3, trust
from .messages import as_sent
from .server import Server
from .users import User


@pytest.mark.parametrize("security", ["plain", "starttls", "tls"])
def test_imaplib_reads_every_message_octet_by_octet(
    server: Server, user: User, security: str
) -> None:
    for message in messages.ALL:
        user.deliver(message)
    if security == "tls":
        context = trust(server.certificate)
        client: imaplib.IMAP4 = imaplib.IMAP4_SSL("127.0.0.1", server.imaps, ssl_context=context)
    else:
        client = imaplib.IMAP4("127.0.0.1", server.imap)
        if security == "starttls":
            client.starttls(trust(server.certificate))
            assert isinstance(client.sock, ssl.SSLSocket)
    client.login(user.name, user.password)
    assert sorted(bodies(client)) == sorted(as_sent(m) for m in messages.ALL)
    client.logout()
    assert sorted(user.contents()) == sorted(messages.ALL)


def test_imaplib_whole_round(server: Server, user: User) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = imap(server, user)
    assert client.select("INBOX") == ("OK", [b"4"])

    _, found = client.search(None, "SUBJECT", '"plain words"')
    plain = found[0].decode()
    assert (
        fetch(client, plain, "(BODY[HEADER.FIELDS (SUBJECT)])") == b"Subject: plain words\r\n\r\n"
    )
    assert fetch(client, plain, "(BODY[TEXT]<4.5>)") == b"quick"
    _, found = client.search(None, "TEXT", '"Sylter Deich"')
    assert len(found[0].split()) == 1
    _, structure = client.fetch(f"{found[0].decode()}", "(BODYSTRUCTURE RFC822.SIZE)")
    assert b'"text" "plain"' in structure[0].lower()
    assert b"RFC822.SIZE %d" % len(as_sent(messages.EIGHT_BIT)) in structure[0]

    assert client.store(plain, "+FLAGS", r"(\Flagged $Label1)")[0] == "OK"
    _, flags = client.fetch(plain, "(FLAGS)")
    assert set(imaplib.ParseFlags(flags[0])) >= {rb"\Seen", rb"\Flagged", b"$Label1"}

    assert client.create("Kept")[0] == "OK"
    assert client.copy(plain, "Kept")[0] == "OK"
    assert client.store(plain, "+FLAGS.SILENT", r"\Deleted")[0] == "OK"
    assert client.expunge() == ("OK", [plain.encode()])
    assert client.close()[0] == "OK"

    assert bodies(client, "Kept") == [as_sent(messages.PLAIN)]
    _, flags = client.fetch("1", "(FLAGS)")
    assert set(imaplib.ParseFlags(flags[0])) >= {rb"\Seen", rb"\Flagged", b"$Label1"}
    assert client.rename("Kept", "Old")[0] == "OK"
    assert bodies(client, "Old") == [as_sent(messages.PLAIN)]
    assert client.unselect()[0] == "OK"
    assert client.delete("Old")[0] == "OK"
    assert client.select("Old")[0] == "NO"
    client.logout()

    kept = [m for m in messages.ORDINARY if m != messages.PLAIN]
    assert sorted(user.contents()) == sorted(kept)


def test_imaplib_append_is_stored_as_given(server: Server, user: User) -> None:
    client = imap(server, user)
    sent = as_sent(messages.ATTACHMENT)
    when = imaplib.Time2Internaldate(1_700_000_000)
    status, answer = client.append("INBOX", r"(\Seen \Draft)", when, sent)
    assert status == "OK"
    uidvalidity, uid = re.search(rb"APPENDUID (\d+) (\d+)", answer[0]).groups()
    client.select("INBOX")
    assert client.response("UIDVALIDITY")[1] == [uidvalidity]
    assert fetch(client, "1", "(BODY.PEEK[])") == sent
    _, answer = client.fetch("1", "(UID FLAGS INTERNALDATE)")
    assert b"UID " + uid in answer[0]
    assert set(imaplib.ParseFlags(answer[0])) >= {rb"\Seen", rb"\Draft"}
    assert time.mktime(imaplib.Internaldate2tuple(answer[0])) == 1_700_000_000
    client.logout()
    (stored,) = user.files()
    assert as_sent(stored.read_bytes()) == sent
    assert int(stored.stat().st_mtime) == 1_700_000_000
    assert stored.parent.name == "cur"
    assert set("DS") <= set(stored.name.rpartition(",")[2])


def test_R074_uids_outlive_session_and_restart(own_server: Server, user: User) -> None:
    for number in range(5):
        user.deliver(messages.numbered(number))
    client = imap(own_server, user)
    client.select("INBOX")
    before = client.response("UIDVALIDITY")[1], client.uid("SEARCH", "ALL")[1]
    bodies_before = bodies(client)
    client.logout()
    own_server.stop()
    own_server.start()
    client = imap(own_server, user)
    client.select("INBOX")
    assert (client.response("UIDVALIDITY")[1], client.uid("SEARCH", "ALL")[1]) == before
    assert bodies(client) == bodies_before
    client.logout()


def test_flags_set_before_a_crash_are_there_after_it(own_server: Server, user: User) -> None:
    for number in range(3):
        user.deliver(messages.numbered(number))
    client = imap(own_server, user)
    client.select("INBOX")
    client.store("2", "+FLAGS", r"(\Flagged $Important)")
    uid = client.fetch("2", "(UID)")[1]
    own_server.kill()
    own_server.start()
    client = imap(own_server, user)
    client.select("INBOX")
    flags = imaplib.ParseFlags(client.fetch("2", "(FLAGS)")[1][0])
    assert {rb"\Flagged", b"$Important"} <= set(flags)
    assert client.fetch("2", "(UID)")[1] == uid
    client.logout()


@pytest.mark.parametrize("security", ["plain", "stls", "tls"])
def test_poplib_reads_every_message_octet_by_octet(
    server: Server, user: User, security: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # poplib gives up at 2,048 octets; mail has longer lines.
    monkeypatch.setattr(poplib, "_MAXLINE", 1 << 20)
    for message in messages.ALL:
        user.deliver(message)
    if security == "tls":
        context = trust(server.certificate)
        client: poplib.POP3 = poplib.POP3_SSL("127.0.0.1", server.pop3s, context=context)
    else:
        client = poplib.POP3("127.0.0.1", server.pop3)
        if security == "stls":
            client.stls(trust(server.certificate))
    client.user(user.name)
    client.pass_(user.password)
    expected = sorted(_ended(as_sent(m)) for m in messages.ALL)
    count, octets = client.stat()
    assert count == len(messages.ALL)
    received = []
    listed = {}
    for entry in client.list()[1]:
        number, size = entry.split()
        listed[int(number)] = int(size)
    assert octets == sum(listed.values())
    for number in range(1, count + 1):
        lines = client.retr(number)[1]
        received.append(b"".join(line + b"\r\n" for line in lines))
        # R203: LIST told the octets of RETR; a missing last line end is supplied (R204).
        assert 0 <= len(received[-1]) - listed[number] <= 2
    assert sorted(received) == expected
    client.quit()
    assert sorted(user.contents()) == sorted(messages.ALL)


def _ended(sent: bytes) -> bytes:
    return sent if sent.endswith(b"\r\n") else sent + b"\r\n"


def test_poplib_whole_round(server: Server, user: User) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = pop3(server, user)
    assert client.stat()[0] == 4
    uidls = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(uidls)) == 4
    plain = next(n for n in range(1, 5) if b"plain words" in b"".join(client.top(n, 0)[1]))
    assert client.top(plain, 1)[1][-2:] == [b"", b"The quick brown fox."]
    client.dele(plain)
    assert client.stat()[0] == 3
    client.rset()
    assert client.stat()[0] == 4
    client.dele(plain)
    client.quit()

    kept = [m for m in messages.ORDINARY if m != messages.PLAIN]
    assert sorted(user.contents()) == sorted(kept)
    client = pop3(server, user)
    del uidls[plain - 1]
    assert [line.split()[1] for line in client.uidl()[1]] == uidls
    client.quit()


def test_R208_a_dropped_pop3_session_deletes_nothing(server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    client = pop3(server, user)
    client.dele(1)
    client.close()
    deadline = time.monotonic() + 5
    while True:
        try:
            again = pop3(server, user)
            break
        except poplib.error_proto as error:
            # The server may not have seen the end of the former session yet (R199).
            assert b"IN-USE" in error.args[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert again.stat()[0] == 1
    again.quit()
    assert user.contents() == [messages.PLAIN]


def test_R199_a_second_pop3_session_is_refused(server: Server, user: User) -> None:
    first = pop3(server, user)
    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        pop3(server, user)
    first.quit()
    pop3(server, user).quit()


def test_R220_pop3_deletion_shows_in_an_imap_session(server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    user.deliver(messages.DOTS)
    client = imap(server, user)
    client.select("INBOX")
    (subject,) = (n for n in "12" if fetch(client, n, "(BODY.PEEK[])") == as_sent(messages.PLAIN))
    other = pop3(server, user)
    other.dele(int(subject))
    other.quit()
    client.noop()
    assert client.response("EXPUNGE")[1] == [subject.encode()]
    assert fetch(client, "1", "(BODY.PEEK[])") == as_sent(messages.DOTS)
    client.logout()


def test_wrong_password_is_told_as_such(server: Server, user: User) -> None:
    client = imaplib.IMAP4("127.0.0.1", server.imap)
    with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
        client.login(user.name, "wrong")
    client.logout()
    other = poplib.POP3("127.0.0.1", server.pop3)
    other.user(user.name)
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        other.pass_("wrong")
    other.quit()


def test_two_sessions_and_an_mda_agree(server: Server, new_user: Callable[[], User]) -> None:
    user = new_user()
    one, two = imap(server, user), imap(server, user)
    one.select("INBOX")
    two.select("INBOX")
    sent = [messages.numbered(n) for n in range(10)]
    for number, message in enumerate(sent):
        user.deliver(message)
        (one, two)[number % 2].noop()
    one.store("3", "+FLAGS", r"\Deleted")
    one.expunge()
    two.noop()
    assert bodies(one) == bodies(two)
    assert sorted(bodies(one)) == sorted(as_sent(m) for m in sent if m != _third(sent))
    one.logout()
    two.logout()


def _third(sent: list[bytes]) -> bytes:
    return sent[2]
