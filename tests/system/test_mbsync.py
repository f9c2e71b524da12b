"""mbsync (isync) in both directions between the server and a Maildir of its own."""

from __future__ import annotations

import imaplib
import re
import shutil
from pathlib import Path

import pytest

from . import messages
from .clients import bodies, imap
from .messages import as_sent, as_stored
from .rawlog import recorded
from .server import Server
from .users import User, give, run_client

RC = """
IMAPStore far
Host localhost
Port {port}
User {user}
Pass "{password}"
{security}

MaildirStore near
Path {folder}/mail/
Inbox {folder}/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns {patterns}
Create Both
Expunge Both
SyncState *
"""
SECURITY = {
    "plain": "SSLType None\nAuthMechs LOGIN",
    "starttls": "SSLType STARTTLS\nCertificateFile {certificate}",
    "tls": "SSLType IMAPS\nCertificateFile {certificate}",
}


class Mbsync:
    def __init__(
        self,
        folder: Path,
        server: Server,
        user: User,
        security: str = "tls",
        patterns: str = "INBOX Shared",
    ) -> None:
        self.folder = folder
        self.patterns = patterns
        self.make("mail")
        self.point(server, user, security)

    def point(self, server: Server, user: User, security: str) -> None:
        """Use this server from now on."""
        folder = self.folder
        secure = SECURITY[security].format(certificate=server.certificate)
        self.rc = folder / "mbsyncrc"
        self.rc.write_text(
            RC.format(
                port=server.imaps if security == "tls" else server.imap,
                user=user.name,
                password=user.password.replace("\\", "\\\\"),
                security=secure,
                folder=folder,
                patterns=self.patterns,
            )
        )

    def make(self, *names: str) -> None:
        for name in names:
            (self.folder / name).mkdir()
            give(self.folder / name)

    def put(self, mailbox: str, name: str, message: bytes) -> None:
        """A message which the user's MUA has stored locally."""
        path = self.folder / "mail" / mailbox / "new" / name
        path.write_bytes(message)
        give(path)

    def make_folder(self, name: str) -> None:
        """A folder which the user's MUA has made locally."""
        self.make(f"mail/{name}", *(f"mail/{name}/{part}" for part in ("cur", "new", "tmp")))

    def remove_folder(self, name: str) -> None:
        """A folder which the user's MUA has deleted, with what mbsync noted of it."""
        shutil.rmtree(self.folder / "mail" / name)

    def folders(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "mail").iterdir())

    def flag(self, message: bytes, letters: str) -> None:
        """Give a message of the INBOX these flags."""
        path = self.one(message)
        base = path.name.partition(":2,")[0]
        path.rename(path.parent.parent / "cur" / f"{base}:2,{letters}")

    def move(self, message: bytes, mailbox: str, target: str) -> None:
        """As a MUA does that knows mbsync: without the number in the name."""
        path = self.one(message, mailbox)
        base = re.sub(r",U=\d+", "", path.name.partition(":2,")[0])
        path.rename(self.folder / "mail" / target / "cur" / f"{base}:2,")

    def run(self) -> str:
        done = run_client(["mbsync", "--config", self.rc, "--all", "--verbose"], self.folder)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, said
        return said

    def files(self, mailbox: str = "INBOX") -> list[Path]:
        base = self.folder / "mail" / mailbox
        return sorted(p for d in ("cur", "new") for p in (base / d).iterdir())

    def contents(self, mailbox: str = "INBOX") -> list[bytes]:
        """What lies in the local copy, without the X-TUID that mbsync gives what it copied."""
        return sorted(without_tuid(path.read_bytes()) for path in self.files(mailbox))

    def one(self, message: bytes, mailbox: str = "INBOX") -> Path:
        (found,) = (p for p in self.files(mailbox) if without_tuid(p.read_bytes()) == message)
        return found


def without_tuid(data: bytes) -> bytes:
    """A message less the field by which mbsync finds again what it has copied."""
    return re.sub(rb"^X-TUID: [^\n]*\n", b"", data, count=1, flags=re.MULTILINE)


def letters(path: Path) -> set[str]:
    """The flags in a Maildir file name."""
    return set(path.name.partition(":2,")[2]) & set("DFPRST")


@pytest.mark.parametrize("security", ["plain", "starttls", "tls"])
def test_pull_and_a_second_run_does_nothing(
    server: Server, user: User, scratch: Path, security: str
) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = Mbsync(scratch, server, user, security)
    client.run()
    assert client.contents() == sorted(messages.ORDINARY)
    before = snapshot(client), remote(user)
    client.run()
    assert (snapshot(client), remote(user)) == before


def snapshot(client: Mbsync) -> list[tuple[str, int, bytes]]:
    return [(p.name, p.stat().st_ino, p.read_bytes()) for p in client.files()]


def remote(user: User) -> list[tuple[str, int, bytes]]:
    return [(p.name, p.stat().st_ino, p.read_bytes()) for p in user.settled()]


def test_push_uploads_octet_by_octet(server: Server, user: User, scratch: Path) -> None:
    client = Mbsync(scratch, server, user)
    client.run()
    for number, message in enumerate(messages.ORDINARY):
        client.put("INBOX", f"{number}.local", message)
    client.run()
    session = imap(server, user)
    assert sorted(map(without_tuid, bodies(session))) == sorted(map(as_sent, messages.ORDINARY))
    session.logout()
    stored = map(as_stored, user.contents())
    assert sorted(map(without_tuid, stored)) == sorted(messages.ORDINARY)
    before = snapshot(client), remote(user)
    client.run()
    assert (snapshot(client), remote(user)) == before


def test_flags_travel_both_ways(server: Server, user: User, scratch: Path) -> None:
    near, far = messages.numbered(1), messages.numbered(2)
    user.deliver(near)
    user.deliver(far)
    client = Mbsync(scratch, server, user)
    client.run()

    path = client.one(near)
    base = path.name.partition(":2,")[0]
    path.rename(path.parent.parent / "cur" / f"{base}:2,FRS")
    session = imap(server, user)
    session.select("INBOX")
    number = search(session, "number 2")
    session.store(number, "+FLAGS", r"(\Answered \Draft)")
    client.run()

    assert letters(client.one(far)) == {"R", "D"}
    session.noop()
    answer = session.fetch(search(session, "number 1"), "(FLAGS)")[1][0]
    assert {rb"\Flagged", rb"\Answered", rb"\Seen"} <= flags(answer)
    session.store(number, "-FLAGS", r"\Answered")
    client.run()
    assert letters(client.one(far)) == {"D"}
    session.logout()


def search(session: imaplib.IMAP4, subject: str) -> str:
    _, found = session.search(None, "SUBJECT", f'"{subject}"')
    return str(found[0].decode())


def flags(answer: bytes) -> set[bytes]:
    found = re.search(rb"FLAGS \(([^)]*)\)", answer)
    assert found is not None
    return set(found.group(1).split())


def test_expunge_travels_both_ways(server: Server, user: User, scratch: Path) -> None:
    sent = [messages.numbered(n) for n in range(4)]
    for message in sent:
        user.deliver(message)
    client = Mbsync(scratch, server, user)
    client.run()

    path = client.one(sent[0])
    path.rename(path.parent.parent / "cur" / (path.name.partition(":2,")[0] + ":2,T"))
    session = imap(server, user)
    session.select("INBOX")
    session.store(search(session, "number 3"), "+FLAGS", r"\Deleted")
    session.expunge()
    client.run()

    assert client.contents() == sorted(sent[1:3])
    assert sorted(user.contents()) == sorted(sent[1:3])
    session.noop()
    assert sorted(bodies(session)) == sorted(map(as_sent, sent[1:3]))
    session.logout()


def test_a_folder_made_here_appears_there(server: Server, user: User, scratch: Path) -> None:
    client = Mbsync(scratch, server, user)
    client.run()
    client.make("mail/Shared", *(f"mail/Shared/{name}" for name in ("cur", "new", "tmp")))
    client.put("Shared", "1.local", messages.PLAIN)
    client.run()
    session = imap(server, user)
    assert list(map(without_tuid, bodies(session, "Shared"))) == [as_sent(messages.PLAIN)]
    session.append("Shared", "", "", as_sent(messages.DOTS))
    session.logout()
    client.run()
    assert client.contents("Shared") == sorted([messages.PLAIN, messages.DOTS])


def test_a_users_round_both_ways_and_a_second_run_does_nothing(
    server: Server, user: User, scratch: Path
) -> None:
    """Two sides are changed between runs, the way a person with a laptop changes them."""
    for number in range(1, 7):
        user.deliver(messages.numbered(number))
    client = Mbsync(scratch, server, user, patterns="*")
    client.run()
    assert client.contents() == sorted(messages.numbered(n) for n in range(1, 7))
    assert {"Sent", "Trash", "Drafts"} <= set(client.folders())

    # New mail there, a sent message here.
    user.deliver(messages.numbered(7))
    client.put("Sent", "1.local", messages.PLAIN)
    # Here: one is read, one is flagged, one is moved, one is deleted.
    client.flag(messages.numbered(1), "S")
    client.flag(messages.numbered(2), "FS")
    client.make_folder("Projects")
    client.move(messages.numbered(3), "INBOX", "Projects")
    client.flag(messages.numbered(4), "T")
    # There: one is answered, one is moved, and a folder is made with something in it.
    session = imap(server, user)
    session.create("Receipts")
    session.select("INBOX")
    session.store(search(session, "number 5"), "+FLAGS", r"\Answered")
    assert session.uid("MOVE", uid_of(session, "number 6"), "Receipts")[0] == "OK"
    session.append("Receipts", r"(\Seen)", "", as_sent(messages.DOTS))
    client.run()
    client.run()  # what was moved there arrives here under a number it has now

    assert client.contents() == sorted(messages.numbered(n) for n in (1, 2, 5, 7))
    assert client.contents("Projects") == [messages.numbered(3)]
    assert client.contents("Receipts") == sorted([messages.numbered(6), messages.DOTS])
    assert letters(client.one(messages.numbered(5))) == {"R"}
    assert letters(client.one(messages.DOTS, "Receipts")) == {"S"}
    assert far_flags(session, "INBOX") == {
        "number 1 words": {rb"\Seen"},
        "number 2 words": {rb"\Seen", rb"\Flagged"},
        "number 5 words": {rb"\Answered"},
        "number 7 words": set(),
    }
    assert set(far_flags(session, "Projects")) == {"number 3 words"}
    assert set(far_flags(session, "Sent")) == {"plain words"}

    # Folders are renamed and deleted: mbsync takes a renamed one for a new one.
    session.select("INBOX")
    assert session.rename("Projects", "Done")[0] == "OK"
    client.remove_folder("Receipts")
    assert session.delete("Receipts")[0] == "OK"
    client.remove_folder("Projects")
    client.run()
    assert client.contents("Done") == [messages.numbered(3)]
    assert "Receipts" not in client.folders()
    session.logout()

    before = everything(client), user.settled()
    with recorded(server, user) as said:
        client.run()
    assert (everything(client), user.files()) == before
    assert b"SELECT" in said()
    assert not re.search(rb" (?:APPEND|STORE|COPY|MOVE|EXPUNGE|CREATE|DELETE|RENAME) ", said())
    assert b"BODY" not in said()


def uid_of(session: imaplib.IMAP4, subject: str) -> str:
    _, found = session.uid("SEARCH", "SUBJECT", f'"{subject}"')
    return str(found[0].decode())


def far_flags(session: imaplib.IMAP4, mailbox: str) -> dict[str, set[bytes]]:
    """The flags of each message by its subject, as the server has them."""
    session.select(mailbox, readonly=True)
    _, found = session.fetch("1:*", "(FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    pairs = (item for item in found if isinstance(item, tuple))
    return {
        field.decode().strip().removeprefix("Subject: "): flags(head) - {rb"\Recent"}
        for head, field in pairs
    }


def everything(client: Mbsync) -> dict[str, list[str]]:
    return {name: [path.name for path in client.files(name)] for name in client.folders()}
