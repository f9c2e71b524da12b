"""A real `twistd maa` with two workers: replaced, drained, and stopped as one."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from maa.service import fleet as fleet_module
from maa.service.accepting import SLACK, ahead
from maa.service.board import Board
from maa.service.demo import new_certificate
from maa.service.fleet import LONGEST_WAIT_SECONDS, wait_seconds
from maa.service.growth import History, Sample
from maa.service.metrics import Metric, prometheus
from maa.transport.sessions import Limits
from service.test_server import PATIENCE_SECONDS, Running


class Fleet(Running):
    """Two workers in a folder of their own."""

    workers = 2

    def children(self) -> list[int]:
        pid = self.process.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def logged_in(self) -> socket.socket:
        client = self.connected(self.imap)
        self.asked(client, b"", b"\r\n")
        self.asked(client, b"a LOGIN joe secret\r\n", b"a OK")
        return client

    def figures(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics") as answer:
            return str(answer.read().decode())


def worker_of(client: socket.socket, children: list[int]) -> int:
    """Which process serves a connection: the one that has the other end's inode."""
    server, own = client.getpeername()[1], client.getsockname()[1]
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, *rest = line.split()
            if int(local[-4:], 16) == server and int(remote[-4:], 16) == own:
                wanted = f"socket:[{rest[6]}]"
                for child in children:
                    with suppress(FileNotFoundError):  # ended, or closed meanwhile
                        for descriptor in Path(f"/proc/{child}/fd").iterdir():
                            if descriptor.is_symlink() and os.readlink(descriptor) == wanted:
                                return child
    raise AssertionError("nobody serves it")


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    running = Fleet(tmp_path)
    wait_until(lambda: len(running.children()) == 2)
    yield running
    if running.process.poll() is None:
        _, output = running.stop()
        assert "Traceback" not in output


def test_connections_are_spread_over_the_workers(fleet: Fleet) -> None:
    clients = [fleet.logged_in() for _ in range(60)]
    children = fleet.children()
    served = [worker_of(client, children) for client in clients]
    fewest = min(served.count(child) for child in children)
    assert fewest >= 30 - SLACK
    for client in clients:
        client.close()


def test_a_tls_session_is_resumed_with_any_worker(fleet: Fleet) -> None:
    context = ssl.create_default_context(cafile=str(fleet.folder / "cert.pem"))
    session = None
    served = set()
    reused = []
    clients = []
    for _ in range(30):
        raw = fleet.connected(fleet.imaps)
        client = context.wrap_socket(raw, server_hostname="localhost", session=session)
        assert client.recv(1000).startswith(b"* OK")  # the tickets come before it
        reused.append(client.session_reused)
        session = client.session
        served.add(worker_of(client, fleet.children()))
        clients.append(client)
    assert reused == [False] + [True] * 29
    assert len(served) == 2
    for client in clients:
        client.close()


def test_R222_guesses_at_all_workers_are_held_against_the_address_behind_a_balancer(
    fleet: Fleet,
) -> None:
    context = ssl.create_default_context(cafile=str(fleet.folder / "cert.pem"))

    def connected(address: str) -> ssl.SSLSocket:
        raw = fleet.connected(fleet.balanced)
        raw.sendall(b"PROXY TCP4 %b 192.0.2.1 5000 993\r\n" % address.encode("ascii"))
        client = context.wrap_socket(raw, server_hostname="localhost")
        fleet.asked(client, b"", b"\r\n")
        return client

    guessers = [connected("203.0.113.7") for _ in range(60)]
    assert len({worker_of(client, fleet.children()) for client in guessers}) == 2
    for number, client in enumerate(guessers):
        client.sendall(b"a LOGIN nobody guess%d\r\n" % number)
    answers = [fleet.asked(client, b"", b"a ") for client in guessers]
    heard = sum(b"a NO [AUTHENTICATIONFAILED]" in answer for answer in answers)
    unheard = sum(b"a NO [UNAVAILABLE] Too many failed logins" in answer for answer in answers)
    assert heard + unheard == 60
    # Each worker by itself would have heard more than 12.
    assert 12 <= heard < 20
    with connected("203.0.113.8") as client:
        assert b"a OK" in fleet.asked(client, b"a LOGIN joe secret\r\n", b"a ")
    for client in guessers:
        client.close()


def test_a_killed_worker_is_replaced_and_the_other_goes_on(fleet: Fleet) -> None:
    children = fleet.children()
    clients = [fleet.logged_in() for _ in range(40)]
    doomed, other = children
    by_worker = {worker_of(client, children): client for client in clients}
    os.kill(doomed, signal.SIGKILL)
    assert by_worker[doomed].recv(100) == b""
    assert b"b OK" in fleet.asked(by_worker[other], b"b NOOP\r\n", b"b ")
    wait_until(lambda: len(set(fleet.children()) - {doomed, other}) == 1)
    assert other in fleet.children()
    wait_until(lambda: "\nmaa_workers_replaced_total 1\n" in fleet.figures())
    for client in clients:
        client.close()


def test_connections_that_wait_are_lost_by_no_workers_death(fleet: Fleet) -> None:
    children = fleet.children()
    for child in children:
        os.kill(child, signal.SIGSTOP)  # so that nobody accepts
    clients = [fleet.connected(fleet.imap) for _ in range(50)]
    for child in children:
        os.kill(child, signal.SIGKILL)
    for client in clients:
        assert fleet.asked(client, b"", b"\r\n").startswith(b"* OK")
        client.close()


def test_workers_that_always_die_are_replaced_ever_later(fleet: Fleet) -> None:
    (fleet.folder / "passwd").chmod(0o600)
    died = 0
    until = time.monotonic() + 2.0
    while time.monotonic() < until:
        for child in fleet.children():
            os.kill(child, signal.SIGKILL)
            died += 1
        time.sleep(0.01)
    # 0.1, 0.2, 0.4, 0.8 seconds and so on, for each death in a row.
    assert 4 <= died <= 12
    _, output = fleet.stop()
    assert "was killed by signal 9: replaced in 0.8 s" in output


def test_the_wait_for_a_replacement_doubles_up_to_a_limit() -> None:
    assert [wait_seconds(deaths) for deaths in range(5)] == [0, 0.1, 0.2, 0.4, 0.8]
    assert wait_seconds(12) == wait_seconds(10_000) == LONGEST_WAIT_SECONDS


def test_R252_SIGTERM_says_goodbye_in_every_worker(fleet: Fleet) -> None:
    clients = [fleet.logged_in() for _ in range(30)]
    status, output = fleet.stop()
    for client in clients:
        assert client.recv(1000).startswith(b"* BYE [UNAVAILABLE]")
        assert client.recv(1000) == b""
    assert status in (0, -signal.SIGTERM)
    assert output.count("[maa.service.server#info] stopped") == 2
    assert "Traceback" not in output


def test_a_signal_to_every_process_stops_them_once(fleet: Fleet) -> None:
    client = fleet.logged_in()
    for child in fleet.children():
        os.kill(child, signal.SIGINT)
        os.kill(child, signal.SIGTERM)
    status, output = fleet.stop()
    assert client.recv(1000).startswith(b"* BYE")
    assert status in (0, -signal.SIGTERM)
    assert "Traceback" not in output and "Unhandled" not in output


def test_SIGHUP_brings_new_workers_and_drains_the_old(fleet: Fleet) -> None:
    before = fleet.children()
    clients = [fleet.logged_in() for _ in range(4)]
    old = {worker_of(client, before) for client in clients}
    (fleet.folder / "passwd").write_text("joe:{PLAIN}secret\njim:{PLAIN}secret\n")
    text = (fleet.folder / "maa.toml").read_text()
    (fleet.folder / "maa.toml").write_text(text.replace("mail.example.org", "new.example.org"))
    fleet.process.send_signal(signal.SIGHUP)
    wait_until(lambda: len(set(fleet.children()) - set(before)) == 2)

    def greeting() -> bytes:
        with fleet.connected(fleet.imap) as client:
            return fleet.asked(client, b"", b"\r\n")

    wait_until(lambda: b"new.example.org" in greeting())
    for _ in range(10):
        assert b"new.example.org" in greeting()
    for client in clients:  # who was there stays where it was
        assert b"b OK" in fleet.asked(client, b"b NOOP\r\n", b"b ")
        assert worker_of(client, before) in old
        client.close()
    wait_until(lambda: not set(before) & set(fleet.children()))
    assert len(fleet.children()) == 2


def test_SIGHUP_again_ends_those_who_drain_longest(fleet: Fleet) -> None:
    generations = []
    clients = []
    for _ in range(3):
        now = set(fleet.children()) - {pid for pids in generations for pid in pids}
        generations.append(now)
        served: set[int] = set()
        while not served >= now:  # so that each has somebody to drain for
            clients.append(fleet.logged_in())
            served.add(worker_of(clients[-1], fleet.children()))
        seen = set(fleet.children())
        fleet.process.send_signal(signal.SIGHUP)
        wait_until(lambda seen=seen: len(set(fleet.children()) - seen) == 2)  # type: ignore[misc]
    assert not generations[0] & set(fleet.children())
    with fleet.connected(fleet.imap) as client:
        assert fleet.asked(client, b"", b"\r\n").startswith(b"* OK")
    for client in clients:
        client.close()


def test_SIGHUP_keeps_the_configuration_when_the_new_one_is_faulty(fleet: Fleet) -> None:
    before = fleet.children()
    (fleet.folder / "maa.toml").write_text("hostname = 7\n")
    fleet.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not set(before) & set(fleet.children()) and len(fleet.children()) == 2)
    with fleet.connected(fleet.imap) as client:
        assert b"mail.example.org" in fleet.asked(client, b"", b"\r\n")


def test_SIGHUP_keeps_the_configuration_that_can_be_served(fleet: Fleet) -> None:
    before, file = fleet.children(), fleet.folder / "maa.toml"
    file.write_text(file.read_text() + f'[log]\naudit = "{fleet.folder}/nowhere/audit.log"\n')
    fleet.process.send_signal(signal.SIGHUP)
    wait_until(lambda: not set(before) & set(fleet.children()) and len(fleet.children()) == 2)
    with fleet.connected(fleet.imap) as client:
        assert fleet.asked(client, b"", b"\r\n").startswith(b"* OK")


def test_SIGHUP_takes_a_new_certificate_in_all_workers(fleet: Fleet) -> None:
    def certificates() -> set[str]:
        return {ssl.get_server_certificate(("127.0.0.1", fleet.imaps)) for _ in range(12)}

    (before,) = certificates()
    new_certificate(fleet.folder / "cert.pem", fleet.folder / "key.pem")
    fleet.process.send_signal(signal.SIGHUP)
    wait_until(lambda: before not in certificates())
    assert len(certificates()) == 1


def test_workers_end_when_their_parent_is_killed(fleet: Fleet) -> None:
    children = fleet.children()
    client = fleet.logged_in()
    fleet.process.kill()
    assert client.recv(1000).startswith(b"* BYE")
    wait_until(lambda: not any(Path(f"/proc/{child}/exe").exists() for child in children))
    fleet.process.communicate(timeout=PATIENCE_SECONDS)
    Fleet(fleet.folder).stop()


def test_figures_are_labelled(fleet: Fleet) -> None:
    clients = [fleet.logged_in() for _ in range(20)]

    def logins() -> list[int]:
        found = re.findall(r'^maa_logins_total\{worker="\d"\} (\d+)$', fleet.figures(), re.M)
        return [int(number) for number in found]

    wait_until(lambda: sum(logins()) == 20)
    assert len(logins()) == 2
    text = fleet.figures()
    assert text.count("# TYPE maa_logins_total") == 1
    with urllib.request.urlopen(f"http://127.0.0.1:{fleet.http}/") as answer:
        assert re.search(rb"Connections that logged in<td>\d+<td>\d+", answer.read())
    for client in clients:
        client.close()
    # What concerns no worker is said once.
    History(fleet.folder / "state").add([Sample(time.time(), "/home", 1, 2, 3)])
    text = fleet.figures()
    assert re.findall(r"^maa_mail_octets.*", text, re.M) == ['maa_mail_octets{partition="/home"} 1']


def test_R222_the_limits_are_shared() -> None:
    whole, part = Limits(), Limits().shared(3)
    assert whole.connections <= 3 * part.connections <= whole.connections + 2
    assert whole.strangers <= 3 * part.strangers <= whole.strangers + 2
    assert whole.strangers_per_address <= 3 * part.strangers_per_address <= 502
    assert part.per_user >= whole.per_user // 3
    assert whole.shared(1) == whole


def test_a_worker_far_ahead_leaves_connections_to_the_others() -> None:
    assert not ahead(SLACK, 0)
    assert ahead(SLACK + 1, 0)
    assert not ahead(1000, 990)
    assert ahead(1100, 1000)


def test_the_board_shows_what_was_put_there_last() -> None:
    board = Board(3)
    assert not board.taken(0)
    board.sit(0, 5)
    board.sit(2, 9)
    assert board.least(but=0) == 9
    assert board.least(but=1) == 5
    for value in (1, 2, 3):
        board.publish(2, [Metric("maa_x", "gauge", "x", value)])
    assert list(board.figures()) == [(2, [Metric("maa_x", "gauge", "x", 3)])]
    assert board.connections(2) == 9
    board.vacate(2)
    assert not board.taken(2)
    assert [seat for seat, _ in board.figures()] == [2]
    board.clear(2)
    assert list(board.figures()) == []


def test_figures_of_one_name_have_one_heading() -> None:
    rows = [Metric("maa_x", "gauge", "x", n, worker=str(n)) for n in range(2)]
    assert prometheus(iter(rows)).decode().splitlines() == [
        "# HELP maa_x x",
        "# TYPE maa_x gauge",
        'maa_x{worker="0"} 0',
        'maa_x{worker="1"} 1',
    ]


def test_a_worker_that_cannot_be_forked_is_tried_again_and_signals_are_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    later: list[float] = []
    parent = fleet_module.Fleet.__new__(fleet_module.Fleet)
    parent._board, parent._workers, parent._young_deaths = Board(2), {}, 0
    monkeypatch.setattr(parent, "_later", later.append)
    monkeypatch.setattr(os, "fork", refuse)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    parent._start_one()
    parent._start_one()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
    assert later == [wait_seconds(1), wait_seconds(2)]
