"""Thunderbird: a user's round, changes made offline, and a second start that has nothing to do."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

from . import messages
from .clients import imap
from .messages import as_sent
from .rawlog import recorded
from .server import Server
from .thunderbird import Thunderbird
from .users import User

WRITES = rb" (?:UID )?(?:APPEND|COPY|MOVE|STORE|EXPUNGE|CREATE|DELETE|RENAME|SUBSCRIBE) "


def subject(number: int) -> str:
    return f"number {number} words"


def eventually(check: Callable[[], bool]) -> None:
    """What Thunderbird does in its own time."""
    deadline = time.monotonic() + 15
    while not check():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.1)


def subjects(program: Thunderbird, path: str) -> list[str]:
    return sorted(one["subject"] for one in program.mail("list", path))


def flags(server: Server, user: User, mailbox: str) -> dict[str, set[str]]:
    """What the server has: the flags of each message by its subject."""
    session = imap(server, user)
    session.select(mailbox, readonly=True)
    _, found = session.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    session.logout()
    pairs = (item for item in found if isinstance(item, tuple))
    told = {}
    for head, field in pairs:
        words = re.search(rb"FLAGS \(([^)]*)\)", head)
        assert words is not None
        name = field.decode().strip().removeprefix("Subject: ")
        told[name] = set(words[1].decode().split()) - {r"\Recent"}
    return told


def test_a_users_round_offline_changes_and_a_second_start(
    server: Server, user: User, scratch: Path
) -> None:
    for number in range(1, 7):
        user.deliver(messages.numbered(number))
    user.deliver(messages.ATTACHMENT)
    with Thunderbird(scratch, server, user) as program:
        eventually(lambda: {"INBOX", "Sent", "Trash"} <= set(program.mail("folders")))
        program.mail("get")
        program.mail("count", "INBOX", 7)
        assert subjects(program, "INBOX")[:6] == [subject(n) for n in range(1, 7)]
        sent = program.source("INBOX", "with an attachment")
        assert sent == as_sent(messages.ATTACHMENT)

        # New mail, and what another client does.
        user.deliver(messages.numbered(7))
        program.mail("get")
        program.mail("count", "INBOX", 8)
        other = imap(server, user)
        other.select("INBOX")
        other.store("1", "+FLAGS", r"(\Answered \Flagged)")
        program.mail("get")
        program.mail("seen", "INBOX", subject(1), "isFlagged")

        program.mail("read", "INBOX", subject(1))
        program.mail("flag", "INBOX", subject(2))
        program.mail("label", "INBOX", subject(2), "$label1")
        program.mail("create", "Projects")
        program.mail("move", "INBOX", subject(3), "Projects")
        program.mail("remove", "INBOX", subject(4))
        program.mail("rename", "Projects", "Done")
        program.mail("fetch", "Done")
        program.mail("count", "Done", 1)
        program.mail("create", "Short-lived")
        program.remove_folder("Short-lived")
        program.mail("get")

        # Offline; the server hears of it later. Twice, for Thunderbird repeats one kind of change
        # and no more when it is online again.
        program.mail("offline")
        program.mail("read", "INBOX", subject(5))
        program.mail("flag", "INBOX", subject(6))
        assert r"\Seen" not in flags(server, user, "INBOX")[subject(5)]
        program.mail("online")
        eventually(lambda: r"\Seen" in flags(server, user, "INBOX")[subject(5)])
        eventually(lambda: r"\Flagged" in flags(server, user, "INBOX")[subject(6)])
        program.mail("offline")
        program.mail("move", "INBOX", subject(7), "Done")
        assert subject(7) in flags(server, user, "INBOX")
        program.mail("online")
        eventually(lambda: set(flags(server, user, "Done")) == {subject(3), subject(7)})
        eventually(lambda: subject(7) not in flags(server, user, "INBOX"))
        program.mail("fetch", "Done")
        program.mail("count", "Done", 2)
        other.logout()

    found = flags(server, user, "INBOX")
    assert set(found) == {*map(subject, (1, 2, 5, 6)), "with an attachment"}
    assert found[subject(1)] >= {r"\Seen", r"\Flagged", r"\Answered"}
    assert found[subject(2)] >= {r"\Flagged", "$label1"}
    assert found[subject(5)] >= {r"\Seen"}
    assert found[subject(6)] >= {r"\Flagged"}
    assert subject(4) in flags(server, user, "Trash")

    before = user.settled()
    with recorded(server, user) as said, Thunderbird(scratch, server, user) as program:
        program.mail("folders")
        program.mail("get")
        program.mail("fetch", "Done")
        assert subjects(program, "INBOX") == sorted(found)
        assert subjects(program, "Done") == [subject(3), subject(7)]
        assert not program.mail("exists", "Projects")
    assert user.files() == before
    assert b" select " in said()
    assert re.search(WRITES, said(), re.IGNORECASE) is None
    assert b"BODY" not in said().upper(), "it knows every message"
