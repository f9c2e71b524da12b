"""NOTIFY with two workers: what happens anywhere is pushed within 50 ms (RFC 5465)."""

from __future__ import annotations

import statistics
import time

from . import messages
from .clients import Wire
from .messages import as_sent
from .server import Server
from .test_workers import PROMPT_SECONDS, TIMES, both, heard
from .users import User


def append(wire: Wire, mailbox: bytes) -> None:
    sent = as_sent(messages.PLAIN)
    wire.send(b"a APPEND %b {%d+}\r\n%b\r\n" % (mailbox, len(sent), sent))


def prompt(seconds: list[float]) -> None:
    print(f"median {statistics.median(seconds) * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms")
    assert statistics.median(seconds) < PROMPT_SECONDS, seconds


def test_the_selected_mailbox_is_told_of_between_commands(two_workers: Server, user: User) -> None:
    quiet, active = both(two_workers, user)
    quiet.command(b"NOTIFY SET (SELECTED (MessageNew (UID) MessageExpunge FlagChange))")
    seconds = []
    for number in range(1, TIMES + 1):
        begun = time.monotonic()
        append(active, b"INBOX")
        seconds.append(heard(quiet, rb"\* %d FETCH \(UID %d\)" % (number, number), begun))
        active.until(b"a")
        begun = time.monotonic()
        active.send(b"s STORE %d +FLAGS.SILENT (\\Flagged)\r\n" % number)
        seconds.append(heard(quiet, rb"\* %d FETCH .*Flagged" % number, begun))
        active.until(b"s")
        begun = time.monotonic()
    active.command(b"STORE 3 +FLAGS.SILENT (\\Deleted)")
    active.send(b"e EXPUNGE\r\n")
    assert heard(quiet, rb"\* 3 EXPUNGE", time.monotonic()) < 1
    prompt(seconds)


def test_other_mailboxes_are_told_of(two_workers: Server, user: User) -> None:
    quiet, active = both(two_workers, user)
    active.command(b"CREATE Lists")
    quiet.command(b"NOTIFY SET (personal (MessageNew MessageExpunge))")
    folder = next(user.maildir.rglob(".Lists"))
    seconds = []
    for number in range(1, TIMES + 1):
        begun = time.monotonic()
        append(active, b"Lists")
        status = rb"\* STATUS Lists \(MESSAGES %d "
        seconds.append(heard(quiet, status % (2 * number - 1), begun))
        active.until(b"a")
        name = f"{time.time_ns()}.M1P{number}.mda"
        (folder / "tmp" / name).write_bytes(messages.PLAIN)
        user.give(folder / "tmp" / name)
        begun = time.monotonic()
        (folder / "tmp" / name).rename(folder / "new" / name)
        seconds.append(heard(quiet, status % (2 * number), begun))
    prompt(seconds)


def test_names_and_subscriptions_are_told_of(two_workers: Server, user: User) -> None:
    quiet, active = both(two_workers, user)
    quiet.command(b"NOTIFY SET (personal (MailboxName SubscriptionChange))")
    seconds = []
    for number in range(5):
        for said, expected in (
            (b"CREATE a%d", rb"\* LIST \([^)]*\) \".\" a%d"),
            (b"SUBSCRIBE a%d", rb"\* LIST \([^)]*\\Subscribed\) \".\" a%d"),
            (b"UNSUBSCRIBE a%d", rb"\* LIST \((\\HasNoChildren)\) \".\" a%d"),
            (b"RENAME a%d b%d", rb"\* LIST .* b%d \(\"OLDNAME\" \(a%d\)\)"),
            (b"DELETE b%d", rb"\* LIST \(\\NonExistent\) \".\" b%d"),
        ):
            begun = time.monotonic()
            active.send(b"n " + said.replace(b"%d", b"%d" % number) + b"\r\n")
            seconds.append(heard(quiet, expected.replace(b"%d", b"%d" % number), begun))
            active.until(b"n")
    prompt(seconds)
