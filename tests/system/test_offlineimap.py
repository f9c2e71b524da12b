"""offlineimap3: a Maildir kept like the server's, in both directions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import messages
from .clients import bodies, imap
from .messages import as_sent
from .server import Server
from .users import User, give, run_client

RC = """
[general]
accounts = all
metadata = {folder}/metadata
ui = basic
socktimeout = 60

[Account all]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = {folder}/mail
sync_deletes = yes

[Repository far]
type = IMAP
remotehost = localhost
remoteport = {port}
ssl = {tls}
starttls = no
sslcacertfile = {certificate}
ssl_version = tls1_2
remoteuser = {user}
remotepassfile = {folder}/password
{more}
"""


class OfflineImap:
    """The program, its configuration and the Maildir it fills."""

    def __init__(self, folder: Path, server: Server, user: User, tls: bool = True) -> None:
        self.folder = folder
        self.rc = folder / "offlineimaprc"
        for name, text in (
            ("password", user.password),
            (
                "offlineimaprc",
                RC.format(
                    folder=folder,
                    port=server.imaps if tls else server.imap,
                    tls="yes" if tls else "no",
                    certificate=server.certificate,
                    user=user.name,
                    more="" if tls else "auth_mechanisms = LOGIN",
                ),
            ),
        ):
            (folder / name).write_text(text)
            give(folder / name)

    def run(self) -> str:
        done = run_client(["offlineimap", "-o", "-c", self.rc], self.folder)
        said = (done.stdout + done.stderr).decode("utf-8", "replace")
        assert done.returncode == 0, said
        assert "ERROR" not in said, said
        return said

    def files(self, mailbox: str = "INBOX") -> list[Path]:
        base = self.folder / "mail" / mailbox
        return sorted(p for d in ("cur", "new") for p in (base / d).iterdir())

    def contents(self, mailbox: str = "INBOX") -> list[bytes]:
        """What lies in the local copy, without the field by which it finds what it uploaded."""
        return sorted(without_own_field(path.read_bytes()) for path in self.files(mailbox))

    def one(self, message: bytes, mailbox: str = "INBOX") -> Path:
        (path,) = (p for p in self.files(mailbox) if without_own_field(p.read_bytes()) == message)
        return path

    def flag(self, path: Path, letters: str) -> None:
        path.rename(path.parent.parent / "cur" / f"{path.name.partition(':2,')[0]}:2,{letters}")

    def put(self, mailbox: str, message: bytes) -> None:
        path = self.folder / "mail" / mailbox / "new" / f"{len(self.files(mailbox))}.local"
        path.write_bytes(message)
        give(path)

    def state(self) -> list[tuple[str, int, bytes]]:
        return [(p.name, p.stat().st_ino, p.read_bytes()) for p in self.files()]


def without_own_field(data: bytes) -> bytes:
    return re.sub(rb"^X-OfflineIMAP: [^\n]*\n", b"", data, count=1, flags=re.MULTILINE)


@pytest.mark.parametrize("tls", [True, False], ids=["tls", "plain"])
def test_a_round_in_both_directions_and_then_nothing(
    server: Server, user: User, scratch: Path, tls: bool
) -> None:
    sent = [messages.numbered(number) for number in range(4)]
    for message in (*messages.ORDINARY, *sent):
        user.deliver(message)
    client = OfflineImap(scratch, server, user, tls)
    client.run()
    assert client.contents() == sorted((*messages.ORDINARY, *sent))

    # Both sides change, while there is no connection.
    client.flag(client.one(sent[0]), "FRS")
    client.one(sent[1]).unlink()
    client.put("INBOX", messages.numbered(20))
    session = imap(server, user)
    session.select("INBOX")
    session.store(str(uid_of(session, "number 2")), "+FLAGS", r"(\Answered \Seen)")
    session.store(str(uid_of(session, "number 3")), "+FLAGS", r"\Deleted")
    session.expunge()
    session.create("Projects")
    session.append("Projects", "", "", as_sent(messages.PLAIN))
    user.deliver(messages.numbered(21))
    client.run()

    kept = sorted((*messages.ORDINARY, sent[0], sent[2], *map(messages.numbered, (20, 21))))
    assert client.contents() == kept
    assert client.contents("Projects") == [messages.PLAIN]
    assert set(client.one(sent[2]).name.partition(":2,")[2]) == {"R", "S"}
    session.noop()
    assert flags_of(session, "number 0") >= {rb"\Flagged", rb"\Answered", rb"\Seen"}
    assert uid_of(session, "number 20")
    assert sorted(map(strip, bodies(session))) == sorted(map(as_sent, kept))
    session.logout()

    before = client.state(), sorted(path.name for path in user.settled())
    said = client.run()
    assert (client.state(), sorted(path.name for path in user.settled())) == before
    assert not re.search(r"(?i)copy message|deleting|adding", said), said


def strip(data: bytes) -> bytes:
    return re.sub(rb"^X-OfflineIMAP: [^\r\n]*\r\n", b"", data, count=1, flags=re.MULTILINE)


def uid_of(session: object, subject: str) -> int:
    _, found = session.search(None, "SUBJECT", f'"{subject}"')  # type: ignore[attr-defined]
    numbers = [int(word) for word in found[0].split()]
    return numbers[0] if numbers else 0


def flags_of(session: object, subject: str) -> set[bytes]:
    _, answer = session.fetch(str(uid_of(session, subject)), "(FLAGS)")  # type: ignore[attr-defined]
    found = re.search(rb"FLAGS \(([^)]*)\)", answer[0])
    assert found is not None
    return set(found.group(1).split())
