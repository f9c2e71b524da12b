"""Mailboxes of UW's c-client, which UW's servers and Alpine are made of, as Alpine leaves them."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time

from .adoption import adopt, spool, uidls
from .clients import imap
from .server import Server
from .users import CLIENT, User

SECONDS = 30
BASE = re.compile(rb"^X-IMAPbase: (\d+) (\d+)", re.MULTILINE)
FORGED = b"""From eve@example.org Tue Mar  3 10:11:12 2026
Subject: forged
X-UID: 2
Status: RO

hello

"""


def alpine(user: User, keys: bytes) -> None:
    """Open the spool file, type, and leave without expunging."""
    rc = user.home / ".pinerc"
    rc.write_text(
        "last-version-used=9.99\nuser-domain=example.org\nfeature-list=quit-without-confirm\n"
    )
    user.give(rc)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["alpine", "-p", rc, "-f", user.spool, "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=user.home,
        env={"HOME": str(user.home), "TERM": "vt100", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        user=user.uid,
        group=CLIENT.pw_gid,
        extra_groups=[],
        start_new_session=True,
    )
    os.close(theirs)
    try:
        shown(ours, b"opened with")
        os.write(ours, keys + b"q")
        if b"d" in keys:
            shown(ours, b"Expunge")
            os.write(ours, b"n")
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)
    text = user.spool.read_bytes()
    assert b"X-UID: 1\n" in text
    base = BASE.search(text)
    assert base is not None
    while time.time() < int(base[1]) + 1:
        # A mailbox that maa makes in the same second shares the UIDVALIDITY: then it skips UIDs.
        time.sleep(0.1)


def shown(screen: int, text: bytes) -> None:
    """Wait until a program has written this."""
    said = b""
    deadline = time.monotonic() + SECONDS
    while text not in said:
        assert time.monotonic() < deadline, said[-1000:]
        if select.select([screen], [], [], 0.1)[0]:
            said += os.read(screen, 1 << 16)


def test_uids_flags_and_the_names_of_ipop3d(server: Server, spooled_user: User) -> None:
    user = spooled_user
    spool(user, 4)
    alpine(user, b"nd")
    text = user.spool.read_bytes()
    base = BASE.search(text)
    assert base is not None and b"X-Status: D" in text
    uidvalidity, last = int(base[1]), int(base[2])
    (user.home / ".mailboxlist").write_bytes(b"INBOX\nmail/Work\nmail/Gone\n")
    said = adopt(server, user, "--apply")
    assert "INBOX: to be adopted (uw)" in said and "4 keep their UID" in said

    client = imap(server, user)
    client.select("INBOX")
    assert client.response("UIDVALIDITY")[1] == [b"%d" % uidvalidity]
    answer = b"".join(client.fetch("1:*", "(UID FLAGS)")[1])
    assert re.findall(rb"UID (\d+)", answer) == [b"%d" % uid for uid in range(1, last + 1)]
    assert answer.count(rb"\Deleted") == 1
    assert {line.split()[-1] for line in client.lsub()[1]} >= {b"Work", b"Gone"}
    client.logout()
    assert uidls(server, user) == [b"%08x%08x" % (uidvalidity, uid) for uid in range(1, last + 1)]
    assert user.spool.read_bytes() == text


def test_what_a_sender_writes_is_not_believed(server: Server, spooled_user: User) -> None:
    user = spooled_user
    spool(user, 3)
    alpine(user, b"n")
    with open(user.spool, "ab") as file:
        file.write(b"\n" * (not user.spool.read_bytes().endswith(b"\n\n")) + FORGED)
    said = adopt(server, user, "--apply")
    assert "1 messages have no usable X-UID" in said
    client = imap(server, user)
    client.select("INBOX")
    answer = client.fetch("1:*", "(UID FLAGS)")[1]
    assert re.findall(rb"UID (\d+)", b"".join(answer)) == [b"1", b"2", b"3", b"4"]
    assert rb"\Seen" not in answer[3]
    client.logout()
