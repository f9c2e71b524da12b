"""procmail and sessions of both protocols share one spool file."""

from __future__ import annotations

import fcntl
import re
import signal
import threading
import time

import pytest

from . import messages
from .clients import Wire, bodies, imap, imap_wire, pop3, quoted
from .messages import as_sent
from .server import Server
from .spooled import Procmail, locks
from .users import User

LOCK_SECONDS = 30


def numbers(texts: list[bytes]) -> list[int]:
    found = (re.search(rb"^Subject: number (\d+)", text, re.MULTILINE) for text in texts)
    return sorted(int(match[1]) for match in found if match)


def test_what_procmail_delivers_is_read_octet_by_octet(server: Server, spooled_user: User) -> None:
    user = spooled_user
    mda = Procmail(user)
    client = imap(server, user)
    assert client.select("INBOX") == ("OK", [b"0"])
    sent = (messages.PLAIN, messages.EIGHT_BIT, messages.ATTACHMENT)
    for message in sent:
        mda.deliver(message)
    client.noop()
    assert client.response("EXISTS")[1][-1] == b"3"
    assert bodies(client) == [as_sent(message) for message in sent]
    other = pop3(server, user)
    assert [b"\r\n".join(other.retr(n)[1]) + b"\r\n" for n in (1, 2, 3)] == bodies(client)
    other.dele(2)
    other.quit()
    client.noop()
    assert bodies(client) == [as_sent(messages.PLAIN), as_sent(messages.ATTACHMENT)]
    client.logout()
    assert locks(user) == []


def test_a_delivery_reaches_an_idle_session(server: Server, spooled_user: User) -> None:
    mda = Procmail(spooled_user)
    mda.deliver(messages.PLAIN)
    with imap_wire(server, spooled_user) as wire:
        wire.send(b"i IDLE\r\n")
        assert wire.line().startswith(b"+ ")
        mda.deliver(messages.DOTS)
        while wire.line() != b"* 2 EXISTS":
            pass
        wire.send(b"DONE\r\n")
        assert wire.until(b"i")[-1].startswith(b"i OK")


@pytest.mark.parametrize("kills", [0, 4])
def test_procmail_and_sessions_at_once_lose_nothing(
    own_server: Server, spooled_user: User, kills: int
) -> None:
    """Deliveries, APPEND, MOVE and EXPUNGE in one spool file; the server is killed now and then."""
    user, server = spooled_user, own_server
    mda = Procmail(user)
    waits: list[float] = []

    def deliver() -> None:
        for number in range(30):
            began = time.monotonic()
            mda.deliver(messages.numbered(number))
            waits.append(time.monotonic() - began)

    delivering = threading.Thread(target=deliver)
    delivering.start()
    appended, rounds, killed = [], 0, 0
    while delivering.is_alive() or rounds < 12:
        rounds += 1
        try:
            client = imap(server, user)
            client.select("INBOX")
            number = 1000 + rounds
            client.append("INBOX", "", "", as_sent(messages.numbered(number)))  # type: ignore[arg-type]
            appended.append(number)
            client.create("done")
            _, found = client.uid("SEARCH", "SEEN")  # type: ignore[call-arg]
            _, fresh = client.uid("SEARCH", "UNSEEN")  # type: ignore[call-arg]
            for uid in fresh[0].split()[:4]:
                client.uid("STORE", uid, "+FLAGS", "(\\Seen)")
            for uid in found[0].split()[:2]:
                client.uid("MOVE", uid, "done")
            client.logout()
        except (OSError, client.abort):
            continue
        if killed < kills and rounds % 3 == 0:
            killed += 1
            assert server.process is not None
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
            server.start()
    delivering.join()
    client = imap(server, user)
    everything = bodies(client) + bodies(client, "done")
    client.logout()
    assert numbers(everything) == [*range(30), *appended]
    assert all(as_sent(messages.numbered(n)) in everything for n in range(30))
    assert locks(user) == []
    assert max(waits) < 5


def test_R232_a_lock_that_never_ends_is_told_and_holds_up_nobody_else(
    server: Server, spooled_user: User, user: User
) -> None:
    Procmail(spooled_user).deliver(messages.PLAIN)
    user.deliver(messages.DOTS)
    wires = [Wire(server.imap) for _ in range(12)]  # more than there are threads
    for wire in wires:
        wire.line()
        wire.command(f"LOGIN {spooled_user.name} {quoted(spooled_user.password)}".encode())
    with open(spooled_user.spool, "r+b") as spool:
        fcntl.lockf(spool, fcntl.LOCK_EX)
        begun = time.monotonic()
        for wire in wires:
            wire.send(b"s SELECT INBOX\r\n")
        slowest = 0.0
        while time.monotonic() < begun + 3:
            before = time.monotonic()
            client = imap(server, user)
            assert bodies(client) == [as_sent(messages.DOTS)]
            client.logout()
            slowest = max(slowest, time.monotonic() - before)
        told = [wire.until(b"s")[-1] for wire in wires]
        seconds = time.monotonic() - begun
    print(f"{told[0]!r} after {seconds:.0f} s, another user waited {slowest:.2f} s at most")
    assert all(line.startswith(b"s NO [INUSE] ") for line in told), told
    assert seconds < LOCK_SECONDS
    assert slowest < 1
    for wire in wires:
        wire.command(b"SELECT INBOX")
        wire.socket.close()
