"""A 1 GiB mbox: opened, delivered into while open, expunged; servers side by side.

    cd SHARED && python3 THIS --work WORK --peer maa --peer dovecot

SHARED is the folder that holds the harness `bench` (its options apply: `--reps`, `--lock`, ...);
root, procmail and about 6 GiB under WORK are needed. `make bench-mbox` does all this.
The file is made once, from the harness's own seeded messages: 106,000 of them.

What is measured, each for every server on a file of its own:

- SELECT of a file never seen, of one known after a restart of the server, and of one in use;
- procmail delivering while a session idles: from its start until it has ended and the session is
  told (EXISTS);
- what a session costs that comes after a delivery: LOGIN, SELECT, ENVELOPE of the new message;
- EXPUNGE of 100 messages all over the file: until the reply, and until all of it is on the disk;
- how long a delivery by procmail waits at most: while a file never seen is opened, while 100
  messages are expunged, and when the server is killed (-9) in the middle of that;
- POP3: STAT and UIDL of a file never seen and known, and QUIT deleting 100.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, os.getcwd())  # the harness; of its types nothing is known here

from bench.__main__ import main
from bench.peers import MAIL_UID

from bench import gen, proc, work

BOX = "1 GiB mbox"
DATASET = "mbox1g"
USER = "umbox"
MESSAGES = 106_000
REMOVED = 100
DELIVERIES = 20
LIMIT = 120.0
GIVEN_UP = 20.0
"""Seconds after which a delivery is given up."""
RECIPE = "SHELL=/bin/sh\nLINEBUF=65536\nHOME={home}\nDEFAULT={spool}\nORGMAIL={spool}\n"

gen.DATASETS[DATASET] = ("mbox", MESSAGES, 1_000, 0.0)


class Mda:
    """procmail, delivering into the file."""

    def __init__(self, spool: Path) -> None:
        self.recipe = spool.parent / "procmailrc"
        self.recipe.write_text(RECIPE.format(home=spool.parent, spool=spool))
        self.recipe.chmod(0o600)
        os.chown(self.recipe, MAIL_UID, MAIL_UID)
        self.delivered = 0

    def deliver(self) -> float:
        """Deliver one message; the seconds that took."""
        self.delivered += 1
        message = gen.message(500_000 + self.delivered)[1]
        began = time.perf_counter()
        mda = subprocess.Popen(
            ["procmail", "-f", "ann@example.org", str(self.recipe)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            user=MAIL_UID,
            group=MAIL_UID,
            extra_groups=[],
            cwd=self.recipe.parent,
        )
        try:
            mda.communicate(message, timeout=GIVEN_UP)
        except subprocess.TimeoutExpired:  # it waits for a lock that nobody gives back
            mda.terminate()
            mda.wait()
        return time.perf_counter() - began

    @contextmanager
    def delivering(self) -> Iterator[list[float]]:
        """Deliver again and again meanwhile; the seconds of each."""
        waits: list[float] = []
        over = threading.Event()

        def run() -> None:
            while not over.is_set():
                waits.append(self.deliver())
                time.sleep(0.01)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield waits
        finally:
            over.set()
            thread.join()


def spool(b: work.Bench) -> Path:
    """The file, of a server that has one."""
    if not b.server.mbox:
        raise work.NotApplicable("no mbox")
    b.limit = LIMIT
    found: Path = b.server.peer.mbox_path(USER)
    return found


@work.workload  # type: ignore[untyped-decorator]
def mbox_1g_opening(b: work.Bench) -> None:
    spool(b)
    opening(b)


@work.workload  # type: ignore[untyped-decorator]
def mbox_1g_delivering(b: work.Bench) -> None:
    path = spool(b)
    b.ready(USER, DATASET)
    delivering(b, Mda(path))


@work.workload  # type: ignore[untyped-decorator]
def mbox_1g_expunging(b: work.Bench) -> None:
    path = spool(b)
    b.ready(USER, DATASET)
    expunging(b, path)


@work.workload  # type: ignore[untyped-decorator]
def mbox_1g_waiting(b: work.Bench) -> None:
    spool(b)
    waiting(b)


@work.workload  # type: ignore[untyped-decorator]
def mbox_1g_pop3(b: work.Bench) -> None:
    spool(b)
    pop3(b)
    b.dirty(USER)


def opening(b: work.Bench) -> None:
    cold: list[dict[str, float]] = []
    for _ in range(b.reps):
        b.reset(USER, DATASET)
        with b.timed(cold):
            c = b.imap(USER)
        c.logout()
    emit(b, f"SELECT {BOX}, never seen", cold)
    b.repeat(f"LOGIN SELECT LOGOUT {BOX}, warm", lambda: b.imap(USER).logout(), 3 * b.reps)
    again: list[dict[str, float]] = []
    for _ in range(b.reps):
        b.server.stop()
        b.server.start()
        with b.timed(again):
            c = b.imap(USER)
        c.logout()
    emit(b, f"SELECT {BOX}, server started anew", again)


def delivering(b: work.Bench, mda: Mda) -> None:
    c = b.imap(USER)
    news = []
    c.send(b"i IDLE\r\n")
    c.line()
    for _ in range(DELIVERIES):
        began = time.perf_counter()
        mda.deliver()
        while not c.line().endswith(b" EXISTS"):
            pass
        news.append(1000 * (time.perf_counter() - began))
    c.send(b"DONE\r\n")
    c.drain(b"i")
    c.logout()
    b.emit(f"procmail's start to EXISTS, {BOX} idle", news, "ms")
    after: list[dict[str, float]] = []
    for _ in range(b.reps):
        mda.deliver()
        with b.timed(after):
            c = b.imap(USER)
            c.do(b"FETCH * ENVELOPE")
            c.logout()
    emit(b, f"LOGIN SELECT, ENVELOPE of one delivered, {BOX}", after)


def expunging(b: work.Bench, path: Path) -> None:
    replied: list[dict[str, float]] = []
    flushed = []
    for _ in range(b.reps):
        c = marked(b)
        began = time.perf_counter()
        with b.timed(replied):
            c.do(b"EXPUNGE")
        flush(path)
        flushed.append(time.perf_counter() - began)
        c.logout()
    emit(b, f"EXPUNGE {REMOVED} of {BOX}", replied)
    b.emit(f"EXPUNGE {REMOVED} of {BOX}, until it is on the disk", flushed, "s")


def waiting(b: work.Bench) -> None:
    b.reset(USER, DATASET)
    mda = Mda(spool(b))
    with mda.delivering() as waits:
        time.sleep(0.1)
        b.imap(USER).logout()
    b.emit(f"longest delivery meanwhile, SELECT of {BOX} never seen", [max(waits)], "s")
    c = marked(b)
    with mda.delivering() as waits:
        c.do(b"EXPUNGE")
    c.logout()
    b.emit(f"longest delivery meanwhile, EXPUNGE of {BOX}", [max(waits)], "s")
    killed = []
    for part in range(1, 4):
        c = marked(b)
        c.send(b"x EXPUNGE\r\n")
        time.sleep(0.4 * part)
        for pid in proc.tree(b.server.roots):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed.append(mda.deliver())
        c.close()
        b.server.start()
        killed.append(mda.deliver())
    b.emit(f"longest delivery, kill -9 amid EXPUNGE of {BOX}", [max(killed)], "s")
    b.dirty(USER)


def marked(b: work.Bench) -> work.Imap:
    """A session in which messages all over the file are to be expunged."""
    c = b.imap(USER)
    step = MESSAGES * 9 // 10 // REMOVED
    picks = ",".join(str(50 + number * step) for number in range(REMOVED))
    c.do(b"STORE %s +FLAGS.SILENT (\\Deleted)" % picks.encode("ascii"))
    flush(b.server.peer.mbox_path(USER))  # what earlier rounds left to be written
    return c


def pop3(b: work.Bench) -> None:
    rows: list[dict[str, float]] = []
    for _ in range(b.reps):
        b.reset(USER, DATASET)
        with b.timed(rows):
            check(b)
    emit(b, f"POP3 STAT UIDL {BOX}, never seen", rows)
    b.repeat(f"POP3 STAT UIDL {BOX}, warm", lambda: check(b))
    deleted: list[dict[str, float]] = []
    for _ in range(b.reps):
        c = b.pop3(USER)
        for number in range(REMOVED):
            c.do(b"DELE %d" % (50 + number * 800))
        flush(b.server.peer.mbox_path(USER))
        with b.timed(deleted):
            c.quit()
    emit(b, f"POP3 QUIT deleting {REMOVED} of {BOX}", deleted)


def check(b: work.Bench) -> None:
    c = b.pop3(USER)
    c.do(b"STAT")
    c.multi(b"UIDL")
    c.quit()


def flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def emit(b: work.Bench, metric: str, rows: list[dict[str, float]]) -> None:
    b.emit(metric, [row["wall"] for row in rows], "s", rows=rows)


if __name__ == "__main__":
    if not any(word.startswith("--workload") for word in sys.argv):
        for name in work.WORKLOADS:
            if name.startswith("mbox_1g"):
                sys.argv += ["--workload", name]
    sys.exit(main())
