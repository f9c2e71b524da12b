"""Two workers: sessions of one user in both of them are as in one process."""

from __future__ import annotations

import os
import re
import signal
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from . import messages
from .clients import Wire, imap, imap_wire, pop3_wire, quoted
from .messages import as_sent
from .server import Server
from .users import User

TIMES = 20
PROMPT_SECONDS = 0.050
ROUNDS = 6


def apart(server: Server, make: Callable[[], Wire]) -> tuple[Wire, Wire]:
    """Two connections, each in another worker."""
    first = make()
    spare = []
    for _ in range(50):
        second = make()
        if server.worker_of(first.socket) != server.worker_of(second.socket):
            for wire in spare:
                wire.socket.close()
            return first, second
        spare.append(second)
    raise AssertionError("all connections went to one worker")


def both(server: Server, user: User) -> tuple[Wire, Wire]:
    """Two IMAP sessions in INBOX, each in another worker."""
    return apart(server, lambda: imap_wire(server, user))


def heard(idle: Wire, pattern: bytes, begun: float) -> float:
    """Wait for an untagged response that matches; the seconds since `begun`."""
    while not re.search(pattern, idle.line()):
        continue
    return time.monotonic() - begun


def idling(wire: Wire) -> None:
    wire.send(b"i IDLE\r\n")
    while not wire.line().startswith(b"+ "):
        continue


def test_flags_set_in_one_worker_are_heard_in_another(two_workers: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    idle, active = both(two_workers, user)
    idling(idle)
    seconds = []
    for number in range(TIMES):
        begun = time.monotonic()
        active.send(b"s STORE 1 %sFLAGS.SILENT (\\Flagged)\r\n" % (b"-" if number % 2 else b"+"))
        seconds.append(heard(idle, rb"\* 1 FETCH .*FLAGS", begun))
        active.until(b"s")
        time.sleep(0.01)
    assert statistics.median(seconds) < PROMPT_SECONDS, seconds


def test_appends_in_one_worker_are_heard_in_another(two_workers: Server, user: User) -> None:
    idle, active = both(two_workers, user)
    idling(idle)
    sent = as_sent(messages.PLAIN)
    seconds = []
    for number in range(1, TIMES + 1):
        active.send(b"a APPEND INBOX {%d}\r\n" % len(sent))
        while not active.line().startswith(b"+ "):
            continue
        begun = time.monotonic()
        active.send(sent + b"\r\n")
        seconds.append(heard(idle, rb"\* %d EXISTS" % number, begun))
        active.until(b"a")
    assert statistics.median(seconds) < PROMPT_SECONDS, seconds


def test_deliveries_are_heard_in_every_worker(two_workers: Server, user: User) -> None:
    wires = both(two_workers, user)
    for wire in wires:
        idling(wire)
    seconds = []
    for number in range(1, TIMES + 1):
        begun = time.monotonic()
        user.deliver(messages.PLAIN)
        seconds += [heard(wire, rb"\* %d EXISTS" % number, begun) for wire in wires]
    assert statistics.median(seconds) < PROMPT_SECONDS, seconds


def test_expunges_in_one_worker_are_heard_in_another(two_workers: Server, user: User) -> None:
    for _ in range(3):
        user.deliver(messages.PLAIN)
    idle, active = both(two_workers, user)
    idling(idle)
    active.command(b"STORE 2 +FLAGS.SILENT (\\Deleted)")
    active.command(b"EXPUNGE")
    assert heard(idle, rb"\* 2 EXPUNGE", time.monotonic()) < 1


def test_what_one_worker_answered_the_next_command_in_another_knows(
    two_workers: Server, user: User
) -> None:
    for _ in range(3):
        user.deliver(messages.PLAIN)
    wires = both(two_workers, user)
    for number in range(TIMES):
        one, other = wires if number % 2 else wires[::-1]
        one.command(b"STORE 1:3 FLAGS (k%d)" % number)
        (line, *_) = [line for line in other.command(b"UID FETCH 2 FLAGS") if b"* 2 FETCH" in line]
        assert b"k%d" % number in line


def test_R081_a_message_is_recent_in_one_session_of_all_workers(
    two_workers: Server, user: User
) -> None:
    one, other = both(two_workers, user)
    for number in range(1, TIMES + 1):
        user.deliver(messages.PLAIN)
        for wire in (one, other):
            while not any(b"%d EXISTS" % number in line for line in wire.command(b"NOOP")):
                time.sleep(0.005)
    recent = [
        {
            int(re.search(rb"UID (\d+)", line)[1])
            for line in wire.command(b"UID FETCH 1:* FLAGS")
            if b"\\Recent" in line
        }
        for wire in (one, other)
    ]
    assert not recent[0] & recent[1]
    assert recent[0] | recent[1] == set(range(1, TIMES + 1))


def test_R199_the_maildrop_is_locked_in_all_workers(two_workers: Server, user: User) -> None:
    user.deliver(messages.PLAIN)

    def greeted() -> Wire:
        wire = Wire(two_workers.pop3)
        wire.line()
        return wire

    def logs_in(wire: Wire) -> bytes:
        wire.send(f"USER {user.name}\r\nPASS {user.password}\r\n".encode())
        assert wire.line().startswith(b"+OK")
        return wire.line()

    one, other = apart(two_workers, greeted)
    assert logs_in(one).startswith(b"+OK")
    assert logs_in(other).startswith(b"-ERR [IN-USE]")
    one.send(b"DELE 1\r\nQUIT\r\n")
    assert one.ended().count(b"+OK") == 2
    assert logs_in(other).startswith(b"+OK")
    other.send(b"STAT\r\n")
    assert other.line() == b"+OK 0 0"


@pytest.mark.parametrize("own_server", [2], indirect=True)
def test_R199_the_maildrop_is_free_when_its_worker_is_killed(
    own_server: Server, user: User
) -> None:
    wire = pop3_wire(own_server, user)
    os.kill(own_server.worker_of(wire.socket), signal.SIGKILL)
    assert wire.ended() == b""
    pop3_wire(own_server, user).socket.close()


def test_a_mailbox_deleted_in_one_worker_is_gone_in_another(
    two_workers: Server, user: User
) -> None:
    one, other = both(two_workers, user)
    one.command(b"CREATE Short")
    assert any(b"Short" in line for line in other.command(b'LIST "" *'))
    other.command(b"SELECT Short")
    one.command(b"DELETE Short")
    assert not any(b"Short" in line for line in one.command(b'LIST "" *'))
    other.send(b"n NOOP\r\n")
    said = other.ended() if b"BYE" in (line := other.line()) else line
    assert b"BYE" in said or not said.startswith(b"n OK"), said
    again = imap_wire(two_workers, user)
    assert not any(b"Short" in line for line in again.command(b'LIST "" *'))
    one.command(b"CREATE Short")
    again.command(b"SELECT Short")


@pytest.mark.parametrize("own_server", [2], indirect=True)
def test_R247_a_worker_killed_at_work_loses_nothing_acknowledged(
    own_server: Server, user: User
) -> None:
    killed_at_work(own_server, user)


@pytest.mark.parametrize("own_server", [2], indirect=True)
def test_R247_a_worker_killed_at_work_on_an_mbox_loses_nothing_acknowledged(
    own_server: Server, spooled_user: User
) -> None:
    killed_at_work(own_server, spooled_user)


def killed_at_work(own_server: Server, user: User) -> None:
    """Four sessions append and flag while one worker after the other is killed."""
    kept: dict[int, int] = {}
    wrong: list[str] = []
    stop = threading.Event()
    numbers = iter(range(2, 1_000_000))
    turn = threading.Lock()

    def work() -> None:
        while not stop.is_set():
            with suppress(OSError, EOFError), imap_wire(own_server, user) as wire:
                while not stop.is_set():
                    with turn:
                        number = next(numbers)
                    sent = as_sent(messages.numbered(number))
                    wire.send(b"a APPEND INBOX (\\Seen) {%d}\r\n" % len(sent))
                    while not (line := wire.line()).startswith((b"+ ", b"a ")):
                        continue
                    wire.send(sent + b"\r\n")
                    done = wire.until(b"a")[-1]
                    match = re.search(rb"APPENDUID \d+ (\d+)", done)
                    if match is None:
                        wrong.append(repr((line, done)))
                        return
                    uid = int(match[1])
                    if uid in kept:
                        wrong.append(f"UID {uid} twice")
                    kept[uid] = number
                    wire.send(b"s UID STORE %d +FLAGS.SILENT (\\Flagged)\r\n" % uid)
                    wire.until(b"s")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in workers:
        thread.start()
    for number in range(ROUNDS):
        time.sleep(0.5)
        children = own_server.processes()[1:]
        os.kill(children[number % len(children)], signal.SIGKILL)
    time.sleep(0.5)
    stop.set()
    for thread in workers:
        thread.join(30)
    assert not wrong
    client = imap(own_server, user)
    client.select("INBOX")
    _, rows = client.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = {}
    for row in rows:
        if isinstance(row, tuple):
            text = b" ".join(row)
            uid = int(re.search(rb"UID (\d+)", text)[1])
            found[uid] = int(re.search(rb"Subject: number (\d+)", text)[1])
    client.logout()
    assert len(kept) > 20
    assert {uid: found.get(uid) for uid in kept} == kept
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize("own_server", [2], indirect=True)
def test_an_mbox_is_shared_as_a_maildir_is(own_server: Server, spooled_user: User) -> None:
    idle, active = both(own_server, spooled_user)
    idling(idle)
    for number in (1, 2, 3):
        sent = as_sent(messages.numbered(number))
        active.send(b"a APPEND INBOX {%d}\r\n" % len(sent))
        while not active.line().startswith(b"+ "):
            continue
        active.send(sent + b"\r\n")
        heard(idle, rb"\* %d EXISTS" % number, time.monotonic())
        active.until(b"a")
    active.command(b"STORE 2 +FLAGS.SILENT (\\Deleted $Later)")
    heard(idle, rb"\* 2 FETCH .*\$Later", time.monotonic())
    active.command(b"EXPUNGE")
    heard(idle, rb"\* 2 EXPUNGE", time.monotonic())
    idle.send(b"DONE\r\n")
    idle.until(b"i")
    for wire in (idle, active):
        lines = wire.command(b"UID FETCH 1:* RFC822.SIZE")
        assert re.findall(rb"UID (\d+)", b" ".join(lines)) == [b"1", b"3"]


def test_a_login_needs_no_particular_worker(two_workers: Server, user: User) -> None:
    wires = []
    for _ in range(10):
        wire = Wire(two_workers.imap)
        wire.line()
        wire.command(f"LOGIN {user.name} {quoted(user.password)}".encode())
        wires.append(wire)
    assert len({two_workers.worker_of(wire.socket) for wire in wires}) == 2
