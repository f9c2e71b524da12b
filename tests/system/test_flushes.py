"""What is acknowledged has reached the disk: the system calls of a real server, in their order.

kill -9 takes nothing from the page cache, so this is what shows that a power failure loses
nothing: before the tagged OK each file and each directory that changed was flushed, in the order
of docs/on-disk-format.md.
"""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import messages
from .clients import Wire, imap_wire
from .messages import as_sent
from .server import Server
from .users import User

CALLS = (
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,"
    "ftruncate,sendto,sendmsg,write,writev"
)
COMMIT = r"fdatasync\(\d+<.*/index\.db-wal>"
SENT = r"(?:sendto|sendmsg|writev?)\(.*w OK "


class Trace:
    """strace, attached to a server for one command."""

    def __init__(self, server: Server, log: Path) -> None:
        self._log = log
        pids = [word for pid in server.processes() for word in ("-p", str(pid))]
        command = ["strace", "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", log, *pids]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        assert "attached" in self._process.stderr.readline()

    def calls(self) -> list[str]:
        """The calls in the order in which they were done."""
        time.sleep(0.2)  # what is put off until after the reply
        self._process.send_signal(signal.SIGINT)
        self._process.communicate(timeout=20)
        begun: dict[str, str] = {}
        done = []
        for line in self._log.read_text(errors="replace").splitlines():
            pid, _, text = line.partition(" ")
            text = text.strip()
            if text.endswith("<unfinished ...>"):
                begun[pid] = text.removesuffix("<unfinished ...>")
            elif text.startswith("<... "):
                done.append(begun.pop(pid, "") + text.partition("resumed>")[2])
            else:
                done.append(text)
        return [call for call in done if " = -1 " not in call]


def in_order(calls: list[str], *patterns: str) -> None:
    """Each pattern matches a call after that of the pattern before."""
    at = 0
    for pattern in patterns:
        rest = [n for n in range(at, len(calls)) if re.search(pattern, calls[n])]
        assert rest, f"no {pattern} in time:\n" + "\n".join(call[:200] for call in calls)
        at = rest[0] + 1


def flush(path: str) -> str:
    return rf"f(?:data)?sync\(\d+<[^>]*{path}>"


@pytest.fixture
def wire(own_server: Server, user: User) -> Iterator[Wire]:
    user.deliver(messages.PLAIN)
    user.deliver(messages.DOTS)
    with imap_wire(own_server, user) as wire:
        for command in (b"CREATE Other", b"UID FETCH 1:* FLAGS", b"SELECT INBOX"):
            wire.command(command)
        time.sleep(0.3)  # until the delivered messages are where they belong
        yield wire


def traced(server: Server, wire: Wire, *commands: bytes) -> list[str]:
    log = server.folder / "trace"
    trace = Trace(server, log)
    for command in commands:
        wire.send(command)
    assert wire.until(b"w")[-1].startswith(b"w OK")
    return trace.calls()


def append(message: bytes) -> bytes:
    sent = as_sent(message)
    return b"w APPEND INBOX {%d+}\r\n%s\r\n" % (len(sent), sent)


def test_R243_an_appended_message_is_on_the_disk_before_its_ok(
    own_server: Server, wire: Wire
) -> None:
    calls = traced(own_server, wire, append(messages.PLAIN))
    in_order(calls, flush("/tmp/[^/]*"), COMMIT, r"renameat2\(.*/tmp/", flush("/cur"), SENT)


def test_copied_messages_are_on_the_disk_before_the_ok(own_server: Server, wire: Wire) -> None:
    calls = traced(own_server, wire, b"w COPY 1:2 Other\r\n")
    in_order(calls, COMMIT, r"linkat\(", r"linkat\(", flush("/.Other/cur"), SENT)


def test_moved_messages_are_on_the_disk_before_the_ok(own_server: Server, wire: Wire) -> None:
    calls = traced(own_server, wire, b"w MOVE 1:2 Other\r\n")
    in_order(calls, COMMIT, r"renameat2\(.*/\.Other/cur/", flush("/.Other/cur"), SENT)
    in_order(calls, flush("/.Other/cur"), flush("/Maildir/cur"), COMMIT, SENT)


def test_expunged_messages_are_gone_from_the_disk_before_the_ok(
    own_server: Server, wire: Wire
) -> None:
    wire.command(b"STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    time.sleep(0.3)
    calls = traced(own_server, wire, b"w EXPUNGE\r\n")
    in_order(calls, r"unlink(?:at)?\(.*/cur/", flush("/Maildir/cur"), COMMIT, SENT)


def test_a_new_mailbox_is_on_the_disk_before_the_ok(own_server: Server, wire: Wire) -> None:
    calls = traced(own_server, wire, b"w CREATE New\r\n")
    in_order(calls, flush(r"/maa-beacon\.[^/]*"), COMMIT, r"rename(?:at2?)?\(.*\.New", SENT)
    in_order(calls, r"rename(?:at2?)?\(.*\.New", flush("/Maildir"), SENT)


@pytest.fixture
def mbox_wire(own_server: Server, spooled_user: User) -> Iterator[Wire]:
    with imap_wire(own_server, spooled_user) as wire:
        for number in (1, 2, 3):
            wire.send(append(messages.numbered(number)))
            assert wire.until(b"w")[-1].startswith(b"w OK")
        wire.command(b"CREATE Other")
        yield wire


def test_a_message_appended_to_an_mbox_is_on_the_disk_before_its_ok(
    own_server: Server, mbox_wire: Wire
) -> None:
    calls = traced(own_server, mbox_wire, append(messages.PLAIN))
    in_order(calls, flush(r"\.staged-[^/]*"), COMMIT, flush("/spool"), r"unlink\(.*\.staged-", SENT)


def test_a_spool_file_that_was_not_there_is_in_its_directory_before_the_ok(
    own_server: Server, spooled_user: User
) -> None:
    with imap_wire(own_server, spooled_user) as wire:
        calls = traced(own_server, wire, append(messages.PLAIN))
    in_order(calls, COMMIT, flush("/spool"), SENT)
    in_order(calls, COMMIT, flush(f"/home/{spooled_user.name}"), SENT)


def test_messages_copied_to_an_mbox_are_on_the_disk_before_the_ok(
    own_server: Server, mbox_wire: Wire
) -> None:
    calls = traced(own_server, mbox_wire, b"w COPY 1:2 Other\r\n")
    in_order(calls, flush(r"\.staged-[^/]*"), COMMIT, flush("/mail/Other"), SENT)


def test_messages_expunged_from_an_mbox_are_gone_before_the_ok(
    own_server: Server, mbox_wire: Wire
) -> None:
    mbox_wire.command(b"STORE 1 +FLAGS.SILENT (\\Deleted)")
    calls = traced(own_server, mbox_wire, b"w EXPUNGE\r\n")
    in_order(calls, flush(r"\.plan\.new"), flush(r"\.window0"), flush("/spool"), COMMIT, SENT)
    in_order(calls, r"ftruncate\(\d+<[^>]*/spool>", flush("/spool"), COMMIT, SENT)


def test_a_new_mbox_is_on_the_disk_before_the_ok(own_server: Server, mbox_wire: Wire) -> None:
    calls = traced(own_server, mbox_wire, b"w CREATE New\r\n")
    in_order(calls, flush(r"/\.maa-beacon\.[^/]*"), COMMIT, flush("/mail"), SENT)
