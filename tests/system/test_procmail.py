"""procmail delivers into the Maildir while sessions read it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from . import messages
from .clients import Wire, bodies, imap, imap_wire, pop3
from .messages import as_sent
from .server import Server
from .users import User, run_as

RECIPE = """SHELL=/bin/sh
HOME={home}
LINEBUF=8192
MAILDIR=$HOME/Maildir/
DEFAULT=$HOME/Maildir/

:0
* ^Subject: dots
.Lists.maa/
"""


MH_RECIPE = """SHELL=/bin/sh
HOME={home}
DEFAULT=$HOME/Maildir/new
"""
"""Without the slash procmail takes `new` for an MH folder (L-23)."""


class Procmail:
    def __init__(self, user: User, recipe: str = RECIPE) -> None:
        self.user = user
        self.recipe = user.home / "procmailrc"
        self.recipe.write_text(recipe.format(home=user.home))
        self.recipe.chmod(0o600)
        user.give(self.recipe)

    def deliver(self, message: bytes) -> None:
        command: list[str | Path] = ["procmail", self.recipe]
        done = run_as(self.user.uid, self.user.uid, command, self.user.home, message)
        assert done.returncode == 0, done.stderr


def test_what_procmail_delivers_is_read_octet_by_octet(server: Server, local_user: User) -> None:
    user = local_user
    mda = Procmail(user)
    client = imap(server, user)
    client.select("INBOX")
    for message in (messages.PLAIN, messages.EIGHT_BIT, messages.ATTACHMENT):
        mda.deliver(message)
    stored = user.contents()
    client.noop()
    assert client.response("EXISTS")[1][-1] == b"3"
    assert sorted(bodies(client)) == sorted(map(as_sent, stored))
    # procmail ends a message with a blank line of its own, nothing else is changed.
    assert sorted(text.rstrip(b"\n") for text in stored) == sorted(
        text.rstrip(b"\n") for text in (messages.PLAIN, messages.EIGHT_BIT, messages.ATTACHMENT)
    )
    other = pop3(server, user)
    assert other.stat()[0] == 3
    other.quit()
    client.logout()


def test_a_recipe_makes_a_folder_which_appears_in_list(server: Server, local_user: User) -> None:
    user = local_user
    client = imap(server, user)
    mda = Procmail(user)
    mda.deliver(messages.DOTS)
    _, listed = client.list()
    assert any(line.endswith(b"Lists.maa") for line in listed), listed
    (text,) = bodies(client, "Lists.maa")
    assert text.rstrip(b"\r\n") == as_sent(messages.DOTS).rstrip(b"\r\n")
    mda.deliver(messages.DOTS)
    client.noop()
    assert len(bodies(client, "Lists.maa")) == 2
    client.logout()


def test_deliveries_while_sessions_flag_and_expunge_lose_nothing(
    server: Server, local_user: User
) -> None:
    user = local_user
    mda = Procmail(user)
    sent = [messages.numbered(number) for number in range(30)]
    done = threading.Event()

    def deliver() -> None:
        try:
            for message in sent:
                mda.deliver(message)
        finally:
            done.set()

    watcher = imap_wire(server, user)
    client = imap(server, user)
    client.select("INBOX")
    delivering = threading.Thread(target=deliver)
    delivering.start()
    expunged: list[bytes] = []
    while True:
        last = done.is_set()
        client.noop()
        # Remove every message with an odd number as it comes, flag the others.
        _, found = client.search(None, "UNFLAGGED")
        for number in reversed(found[0].split()):
            body = client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1]
            if int(body.split(b"Subject: number ")[1].split()[0]) % 2:
                expunged.append(body)
                client.store(number.decode(), "+FLAGS.SILENT", r"(\Deleted \Flagged)")
            else:
                client.store(number.decode(), "+FLAGS.SILENT", r"\Flagged")
        client.expunge()
        if last:
            break
    delivering.join()

    kept = bodies(client)
    assert subjects(kept) == list(range(0, 30, 2))
    assert subjects(expunged) == list(range(1, 30, 2))
    assert subjects(user.contents()) == list(range(0, 30, 2))
    _, flagged = client.search(None, "FLAGGED")
    assert len(flagged[0].split()) == 15
    client.logout()

    assert exists(watcher) == 15
    watcher.socket.close()


def test_L23_messages_which_procmail_names_msg_and_writes_in_place(
    server: Server, local_user: User
) -> None:
    """None is seen before it is whole, none is doubled, and names that come again are new mail."""
    user = local_user
    mda = Procmail(user, MH_RECIPE)
    sent = [messages.numbered(number) + b"more\n" * 20_000 for number in range(40)]
    over = threading.Event()

    def look() -> None:
        with imap_wire(server, user) as wire:
            while not over.is_set():
                wire.command(b"NOOP")
                wire.command(b"UID FETCH 1:* (UID RFC822.SIZE)")

    looking = threading.Thread(target=look)
    looking.start()
    client = imap(server, user)
    client.select("INBOX")
    uids: set[bytes] = set()
    try:
        for number, message in enumerate(sent):
            mda.deliver(message)
            client.noop()
            (text,) = bodies(client)
            assert text.rstrip(b"\r\n") == as_sent(message).rstrip(b"\r\n")
            client.select("INBOX")
            _, found = client.uid("SEARCH", "ALL")  # type: ignore[call-arg]
            assert found[0] not in uids
            uids.add(found[0])
            if number % 2:
                client.store("1", "+FLAGS", "(\\Deleted)")
                client.expunge()
            else:
                # Another program removes it: its inode, and so its name, comes again.
                (path,) = user.files()
                path.unlink()
    finally:
        over.set()
        looking.join()
    client.logout()
    assert user.files() == []


def test_another_mua_changes_flags_in_the_file_name(server: Server, user: User) -> None:
    path = user.deliver(messages.PLAIN, "cur", ":2,S")
    with imap_wire(server, user) as wire:
        path.rename(path.with_name(path.name + "F"))
        said = wire.command(b"NOOP")
        assert any(b" FETCH (" in line and b"\\Flagged" in line for line in said), said
        wire.command(b"STORE 1 +FLAGS (\\Answered)")
        wire.command(b"CHECK")
        deadline = time.monotonic() + 5
        while not user.files()[0].name.endswith(":2,FRS"):
            assert time.monotonic() < deadline, user.files()
            time.sleep(0.02)
        (path,) = user.files()
        path.rename(path.with_name(path.name.replace(":2,FRS", ":2,RS")))
        assert any(b" FETCH (" in line for line in wire.command(b"NOOP"))
        row = wire.command(b"FETCH 1 (FLAGS)")[0]
        assert b"\\Flagged" not in row
        assert b"\\Answered" in row


def subjects(found: list[bytes]) -> list[int]:
    return sorted(int(text.split(b"Subject: number ")[1].split()[0]) for text in found)


def exists(wire: Wire) -> int:
    """What a session which was silent all the time counts after one NOOP (R064, R065)."""
    count = 0
    for line in wire.command(b"NOOP"):
        if line.endswith(b" EXISTS"):
            count = int(line.split()[1])
        elif line.endswith(b" EXPUNGE"):
            assert 1 <= int(line.split()[1]) <= count or count == 0
            count -= 1
    return count


def test_a_delivery_reaches_an_idle_session_within_50_ms(server: Server, user: User) -> None:
    with imap_wire(server, user) as wire:
        wire.send(b"i IDLE\r\n")
        assert wire.line().startswith(b"+ ")
        waits = []
        for number in range(20):
            # Not in step with any clock of the server.
            time.sleep(0.02 + 0.013 * (number % 5))
            begun = time.monotonic()
            user.deliver(messages.numbered(number))
            while wire.line() != b"* %d EXISTS" % (number + 1):
                pass
            waits.append(time.monotonic() - begun)
        wire.send(b"DONE\r\n")
        assert wire.until(b"i")[-1].startswith(b"i OK")
    median = sorted(waits)[10]
    print(
        f"from delivery to EXISTS: median {median * 1000:.1f} ms, worst {max(waits) * 1000:.1f} ms"
    )
    assert median < 0.050
