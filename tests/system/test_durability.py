"""Two hundred times kill -9 while clients of both protocols and an MDA work (R074, R075, R247).

Whatever was acknowledged holds: no message, flag or UID is lost, no UID means another message,
UIDVALIDITY stays, what was expunged stays away, and no lock is left in an MDA's way.
"""

from __future__ import annotations

import errno
import imaplib
import os
import poplib
import random
import shutil
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from .busy import Clients, Refused, survey
from .clients import imap, pop3
from .facts import INBOX, OTHER, Facts, text
from .preloaded import Preloaded, QuickServer
from .spooled import Procmail, Undelivered, locks
from .users import User

KILLS = 50
SOAK_KILLS = 500
HARMS = 12
FULL_ROUNDS = 10
DISK_OCTETS = 64 << 20
DELIVERY_SECONDS = 5
Harm = Callable[[QuickServer, User, Facts, random.Random], None]
LOCKS = '["fcntl", "dotlock"]'


@pytest.fixture(scope="module")
def preloaded() -> Iterator[Preloaded]:
    process = Preloaded()
    yield process
    process.close()


@pytest.fixture
def quick_server(
    request: pytest.FixtureRequest, base: Path, everyone: list[User], preloaded: Preloaded
) -> Iterator[QuickServer]:
    """A server with as many workers as an indirect parameter says."""
    folder = base / f"quick-{request.node.name.translate(str.maketrans('[]-', '___'))}"
    server = QuickServer(
        folder, base / "home", everyone, workers=request.param, locks=LOCKS, preloaded=preloaded
    )
    server.configure()
    try:
        server.start()
        yield server
    finally:
        server.stop()
    assert not server.faults()


def begun(server: QuickServer, user: User) -> None:
    client = imap(server, user)
    client.create(OTHER)
    client.logout()


def delivery(user: User) -> Callable[[bytes], None]:
    """How mail comes to the user; Refused when the disk is full."""
    # By default procmail looks again after eight seconds, once it has found a dotlock.
    mda = Procmail(user, more="LOCKSLEEP=1") if user.settings else None

    def deliver(message: bytes) -> None:
        try:
            if mda is not None:
                mda.deliver(message)
            else:
                user.deliver(message)
        except Undelivered:
            raise Refused("procmail") from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise Refused("the MDA") from None

    return deliver


def a_delivery_waits_for_nobody(user: User, facts: Facts) -> None:
    """No lock of the killed server's is left in an MDA's way."""
    if not user.settings:
        return
    assert locks(user) == []
    number = facts.new()
    facts.adding(number, INBOX)
    began = time.monotonic()
    Procmail(user, "procmailrc.plain").deliver(text(number).replace(b"\r\n", b"\n"))
    facts.added(number, INBOX)
    assert time.monotonic() - began < DELIVERY_SECONDS


def killed_again_and_again(
    server: QuickServer, user: User, kills: int, seed: int, harm: Harm | None = None
) -> None:
    """`harm`: what is done to the index between two lives."""
    rng = random.Random(seed)
    facts = Facts()
    deliver = delivery(user)
    begun(server, user)
    shown = survey(server, user, facts)
    for _ in range(kills):
        clients = Clients(server, user, facts, deliver, rng)
        threads = clients.begin(shown)
        time.sleep(0.02 + 0.28 * rng.random())
        if harm is None and len(server.processes()) > 2 and rng.random() < 0.5:
            # The other worker lives, knows what it knew, and goes on beside what was left.
            os.kill(rng.choice(server.processes()[1:]), signal.SIGKILL)
            time.sleep(0.1 * rng.random())
            clients.enough.set()
            ended(threads)
            assert not clients.wrong
            shown = survey(server, user, facts)
            continue
        server.kill()
        if harm is not None:
            # Deliveries go on: one may be waiting for what the start removes.
            ended(threads[1:])
            harm(server, user, facts, rng)
        server.start()
        clients.enough.set()
        ended(threads)
        assert not clients.wrong
        a_delivery_waits_for_nobody(user, facts)
        shown = survey(server, user, facts)
    assert facts.acknowledged > 5 * kills


def ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_R247_a_maildir_under_fifty_kills(quick_server: QuickServer, user: User) -> None:
    killed_again_and_again(quick_server, user, KILLS, 20260301)


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_R247_mbox_files_under_fifty_kills(quick_server: QuickServer, spooled_user: User) -> None:
    killed_again_and_again(quick_server, spooled_user, KILLS, 20260302)


@pytest.mark.soak
@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_R247_a_maildir_under_many_kills(quick_server: QuickServer, user: User) -> None:
    killed_again_and_again(quick_server, user, SOAK_KILLS, time.time_ns())


@pytest.mark.soak
@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_R247_mbox_files_under_many_kills(quick_server: QuickServer, spooled_user: User) -> None:
    killed_again_and_again(quick_server, spooled_user, SOAK_KILLS, time.time_ns())


# --- the index is lost or damaged between two lives


def harmed(server: QuickServer, user: User, facts: Facts, rng: random.Random) -> None:
    """Do one of the things that become of an index."""
    state = server.folder / "state/users" / user.name
    index = state / "index.db"
    backup = server.folder / f"backup-{user.name}.db"
    kind = rng.choice(("gone", "cut", "scribbled", "state", "cache", "helpers", "old", "saved"))
    if kind == "gone":
        lose(index)
    elif kind == "cut":
        victim = rng.choice((index, Path(f"{index}-wal")))
        if victim.exists():
            os.truncate(victim, rng.randrange(victim.stat().st_size + 1))
    elif kind == "scribbled":
        with index.open("r+b") as file:
            file.seek(rng.randrange(max(1, index.stat().st_size)))
            file.write(rng.randbytes(5000))
    elif kind == "state":
        for path in state.iterdir():
            # Without its journal an mbox in the middle of a change stays as it is.
            if path.name != "mbox":
                path.unlink()
    elif kind == "cache":
        lose(state / "cache.db")
    elif kind == "helpers":
        for name in ("shared", "bulletin", "pop3.lock", "mailboxes.lock"):
            (state / name).unlink(missing_ok=True)
    elif kind == "old" and backup.exists():
        lose(index)
        shutil.copy(backup, index)
        user.give(index)
    elif kind == "saved":
        with closing(sqlite3.connect(index)) as live, closing(sqlite3.connect(backup)) as copy:
            live.backup(copy)
        for path in state.iterdir():
            user.give(path)
    # What may change is what only the index had: never what a UID means.
    if kind in ("gone", "cut", "scribbled", "state"):
        facts.forget_index()
        backup.unlink(missing_ok=True)  # it has the UIDVALIDITYs of before
    elif kind == "old":
        facts.flags.clear()


def lose(database: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_R248_a_maildir_whose_index_is_lost_or_damaged(
    quick_server: QuickServer, user: User
) -> None:
    killed_again_and_again(quick_server, user, HARMS, 20260303, harmed)


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_R248_mbox_files_whose_index_is_lost_or_damaged(
    quick_server: QuickServer, spooled_user: User
) -> None:
    killed_again_and_again(quick_server, spooled_user, HARMS, 20260304, harmed)


# --- a full disk


@contextmanager
def small_disk(server: QuickServer, user: User) -> Iterator[Path]:
    """Have the state and the user's home on one file system of a few megabytes."""
    server.stop()
    state = server.folder / "state"
    mount("-t", "tmpfs", "-o", f"size={DISK_OCTETS},mode=0711", "tmpfs", state)
    try:
        home = state / "home"
        shutil.copytree(user.home, home, symlinks=True)
        for path in (home, *home.rglob("*")):
            user.give(path)
        mount("--bind", home, user.home)
        try:
            yield state
        finally:
            server.stop()
            subprocess.run(["umount", user.home], check=True)
    finally:
        subprocess.run(["umount", state], check=True)


def mount(*arguments: str | Path) -> None:
    Path(arguments[-1]).mkdir(exist_ok=True)
    subprocess.run(["mount", *arguments], check=True)


def fill(disk: Path) -> None:
    """Leave no octet."""
    with open(disk / "filler", "ab", buffering=0) as file:
        for octets in (1 << 16, 4096, 512, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(octets))


def through_full_disks(server: QuickServer, user: User, seed: int) -> None:
    rng = random.Random(seed)
    facts = Facts()
    refusals = 0
    with small_disk(server, user) as disk:
        deliver = delivery(user)
        server.start()
        begun(server, user)
        shown = survey(server, user, facts)
        for number in range(FULL_ROUNDS):
            clients = Clients(server, user, facts, deliver, rng)
            threads = clients.begin(shown)
            for _ in range(3):
                time.sleep(0.1 * rng.random())
                fill(disk)
                time.sleep(0.1 * rng.random())
                if number % 2 == 0:
                    (disk / "filler").unlink()
            if number % 2:  # killed, and started again, while there is no room
                server.kill()
                server.start()
                time.sleep(0.1 * rng.random())
            (disk / "filler").unlink(missing_ok=True)
            clients.enough.set()
            ended(threads)
            assert not clients.wrong
            refusals += clients.refusals
            shown = survey(server, user, facts)
    assert refusals > FULL_ROUNDS


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_a_maildir_on_a_disk_that_is_full_now_and_then(
    quick_server: QuickServer, user: User
) -> None:
    through_full_disks(quick_server, user, 20260305)


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_mbox_files_on_a_disk_that_is_full_now_and_then(
    quick_server: QuickServer, spooled_user: User
) -> None:
    through_full_disks(quick_server, spooled_user, 20260306)


# --- an index that cannot be used


def refused(server: QuickServer, user: User) -> tuple[str, str]:
    """What a login is told by IMAP and by POP3."""
    with pytest.raises(imaplib.IMAP4.error) as by_imap:
        imap(server, user)
    with pytest.raises(poplib.error_proto) as by_pop3:
        pop3(server, user)
    return str(by_imap.value), str(by_pop3.value)


@pytest.mark.parametrize("quick_server", [1, 2], indirect=True)
def test_an_index_of_a_newer_maa_is_refused_and_left_alone(
    quick_server: QuickServer, user: User
) -> None:
    server = quick_server
    begun(server, user)
    server.stop()
    index = server.folder / "state/users" / user.name / "index.db"
    with closing(sqlite3.connect(index, isolation_level=None)) as connection:
        connection.execute("UPDATE setting SET value = '99' WHERE key = 'schema'")
    before = index.read_bytes()
    server.start()
    by_imap, by_pop3 = refused(server, user)
    assert "[CONTACTADMIN]" in by_imap and "[SYS/PERM]" in by_pop3
    server.stop()
    assert index.read_bytes() == before
    assert f"index {index} has schema 99" in server.tail(20_000)


@pytest.mark.parametrize("quick_server", [1], indirect=True)
def test_a_state_that_may_only_be_read_refuses_until_it_may_be_written(
    quick_server: QuickServer, user: User
) -> None:
    server = quick_server
    facts = Facts()
    with small_disk(server, user) as disk:
        server.start()
        begun(server, user)
        client = imap(server, user)
        for _ in range(3):
            number = facts.new()
            facts.adding(number, INBOX)
            client.append(INBOX, "", "", text(number))  # type: ignore[arg-type]
            facts.added(number, INBOX)
        client.logout()
        survey(server, user, facts)
        server.stop()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        try:
            server.start()
            by_imap, by_pop3 = refused(server, user)
            assert "[UNAVAILABLE]" in by_imap and "[SYS/TEMP]" in by_pop3
            assert "Read-only file system" in server.tail(20_000)
        finally:
            subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        survey(server, user, facts)
