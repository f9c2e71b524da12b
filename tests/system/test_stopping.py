"""SIGTERM while sessions are at work (R252)."""

from __future__ import annotations

import time

from . import messages
from .clients import bodies, imap, imap_wire, pop3_wire
from .messages import as_sent
from .server import Server
from .users import User


def test_R252_imap_sessions_are_told_and_the_server_ends(own_server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    idle, selected = imap_wire(own_server, user), imap_wire(own_server, user)
    idle.send(b"i IDLE\r\n")
    assert idle.line().startswith(b"+ ")
    begun = time.monotonic()
    own_server.terminate()
    for wire in (idle, selected):
        said = wire.ended()
        assert said.startswith(b"* BYE [UNAVAILABLE] "), said
        assert said.count(b"\r\n") == 1
    assert own_server.ended(10)
    assert time.monotonic() - begun < 10


def test_R252_pop3_deletes_nothing(own_server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    user.deliver(messages.DOTS)
    with pop3_wire(own_server, user) as wire:
        wire.send(b"DELE 1\r\n")
        assert wire.line().startswith(b"+OK")
        own_server.terminate()
        assert wire.ended() == b""
    assert own_server.ended(10)
    assert sorted(user.contents()) == sorted([messages.PLAIN, messages.DOTS])


def test_R252_an_append_in_progress_is_finished(own_server: Server, user: User) -> None:
    sent = as_sent(messages.ATTACHMENT)
    with imap_wire(own_server, user) as wire:
        wire.send(b"a APPEND INBOX {%d}\r\n" % len(sent))
        assert wire.line().startswith(b"+ ")
        wire.send(sent[:100_000])
        time.sleep(0.2)
        own_server.terminate()
        time.sleep(0.5)
        wire.send(sent[100_000:] + b"\r\n")
        said = wire.ended()
    assert b"\r\na OK [APPENDUID " in b"\r\n" + said, said
    assert own_server.ended(10)
    assert list(map(as_sent, user.contents())) == [sent]
    own_server.start()
    client = imap(own_server, user)
    assert bodies(client) == [sent]
    client.logout()


def test_R048_a_crash_in_the_middle_of_append_leaves_nothing(
    own_server: Server, user: User
) -> None:
    sent = as_sent(messages.ATTACHMENT)
    with imap_wire(own_server, user) as wire:
        wire.send(b"a APPEND INBOX {%d}\r\n" % len(sent))
        assert wire.line().startswith(b"+ ")
        wire.send(sent[:100_000])
        time.sleep(0.2)
        own_server.kill()
    assert user.files() == []
    own_server.start()
    client = imap(own_server, user)
    assert bodies(client) == []
    client.append("INBOX", "", "", sent)
    assert bodies(client) == [sent]
    client.logout()


def test_R048_an_append_cut_off_by_the_client_leaves_nothing(server: Server, user: User) -> None:
    sent = as_sent(messages.ATTACHMENT)
    with imap_wire(server, user) as wire:
        wire.send(b"a APPEND INBOX {%d}\r\n" % len(sent))
        assert wire.line().startswith(b"+ ")
        wire.send(sent[:-1])
    client = imap(server, user)
    assert bodies(client) == []
    assert user.files() == []
    deadline = time.monotonic() + 5
    while list((user.maildir / "tmp").iterdir()):
        assert time.monotonic() < deadline, "the draft in tmp/ stays"
        time.sleep(0.05)
    client.logout()
