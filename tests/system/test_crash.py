"""kill -9 at any moment: no mail is lost, and a UID never means another message (R247)."""

from __future__ import annotations

import imaplib
import random
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from . import messages
from .clients import bodies, imap
from .messages import as_sent
from .server import Server
from .users import User

ROUNDS = 8
SUBJECT = re.compile(rb"UID (\d+) .*?Subject: number (\d+)", re.S)


@dataclass
class Known:
    """What the server has told its client so far, over all its lives."""

    kept: set[int] = field(default_factory=set)
    """Messages that were acknowledged, and that nobody asked to remove."""
    announced: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """(UIDVALIDITY, UID) to the message."""
    delivered: int = 0

    def learn(self, validity: bytes, uid: int, number: int) -> None:
        assert self.announced.setdefault((validity, uid), number) == number


@pytest.mark.parametrize("own_server", [1, 2], indirect=True)
def test_R247_killed_at_any_moment(own_server: Server, user: User) -> None:
    known = Known()
    rng = random.Random(20260302)
    numbers = iter(range(1, 100_000))
    for _ in range(ROUNDS):
        killer = threading.Timer(0.2 + rng.random() * 0.5, own_server.kill)
        killer.start()
        with suppress(OSError, imaplib.IMAP4.abort):  # killed
            work(own_server, user, known, numbers)
        killer.join()
        own_server.start()
        survey(own_server, user, known)
    assert len(known.kept) > 5 * ROUNDS


def work(server: Server, user: User, known: Known, numbers: Iterator[int]) -> None:
    """Append, deliver, flag, move, copy and remove until the server is gone."""
    client = imap(server, user)
    client.create("Moved")
    client.select("INBOX")
    while True:
        number = next(numbers)
        status, answer = client.append("INBOX", "", "", as_sent(messages.numbered(number)))
        assert status == "OK", answer
        validity, uid = re.search(rb"APPENDUID (\d+) (\d+)", answer[0]).groups()
        known.kept.add(number)
        known.learn(validity, int(uid), number)
        if number % 3 == 0:
            delivered = next(numbers)
            user.deliver(messages.numbered(delivered))
            known.kept.add(delivered)
        client.uid("STORE", uid.decode(), "+FLAGS", r"(\Flagged)")
        if number % 5 == 0:
            client.uid("MOVE", uid.decode(), "Moved")
        elif number % 7 == 0:
            client.uid("COPY", uid.decode(), "Moved")
        elif number % 11 == 0:
            known.kept.discard(number)
            client.uid("STORE", uid.decode(), "+FLAGS.SILENT", r"(\Deleted)")
            client.expunge()


def survey(server: Server, user: User, known: Known) -> None:
    """All that was acknowledged is there, in one of the mailboxes, under the UID it had."""
    client = imap(server, user)
    present: set[int] = set()
    for mailbox in ("INBOX", "Moved"):
        if client.select(mailbox)[0] != "OK":
            continue
        (validity,) = client.response("UIDVALIDITY")[1]
        _, rows = client.uid("FETCH", "1:*", "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        for row in rows:
            if isinstance(row, tuple):
                uid, number = map(int, SUBJECT.search(b" ".join(row)).groups())
                known.learn(validity, uid, number)
                present.add(number)
    client.logout()
    assert known.kept <= present, known.kept - present


def test_R076_a_lost_index_begins_a_greater_uidvalidity(own_server: Server, user: User) -> None:
    user.deliver(messages.PLAIN, "cur", ":2,FS")
    user.deliver(messages.DOTS)
    client = imap(own_server, user)
    client.select("INBOX")
    before = int(client.response("UIDVALIDITY")[1][0])
    found = bodies(client)
    client.logout()
    own_server.stop()
    shutil.rmtree(own_server.folder / "state/users" / user.name)
    own_server.start()
    client = imap(own_server, user)
    client.select("INBOX")
    assert int(client.response("UIDVALIDITY")[1][0]) > before
    assert bodies(client) == found
    _, flagged = client.search(None, "FLAGGED", "SEEN", "TEXT", '"quick brown"')
    assert len(flagged[0].split()) == 1
    client.logout()
