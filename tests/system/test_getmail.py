"""getmail6 with its POP3 and IMAP retrievers, into a Maildir."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import messages
from .server import Server
from .users import User, give, run_client

RC = """[retriever]
type = {retriever}
server = 127.0.0.1
port = {port}
username = {user}
password = {password}
{more}
[destination]
type = Maildir
path = {folder}/Maildir/

[options]
read_all = {read_all}
delete = {delete}
delivered_to = false
received = false
verbose = 1
"""


class Getmail:
    def __init__(self, folder: Path, server: Server, user: User, kind: str) -> None:
        self.folder, self.server, self.user, self.kind = folder, server, user, kind
        for name in ("Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp"):
            (folder / name).mkdir()
            give(folder / name)

    def run(self, read_all: bool = False, delete: bool = False) -> str:
        secure = "SSL" in self.kind
        imap = "IMAP" in self.kind
        port = ("imap" if imap else "pop3") + ("s" if secure else "")
        more = f"ca_certs = {self.server.certificate}\n" if secure else ""
        rc = self.folder / "getmailrc"
        rc.write_text(
            RC.format(
                retriever=self.kind,
                port=getattr(self.server, port),
                user=self.user.name,
                password=self.user.password,
                more=more + ('mailboxes = ("INBOX",)\n' if imap else ""),
                folder=self.folder,
                read_all=str(read_all).lower(),
                delete=str(delete).lower(),
            )
        )
        rc.chmod(0o600)
        give(rc)
        done = run_client(["getmail", "--getmaildir", self.folder, "--rcfile", rc], self.folder)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == 0, said
        return said

    def arrived(self) -> list[bytes]:
        """What lies in the local Maildir, without the field getmail adds to mail from IMAP."""
        own = b"X-getmail-retrieved-from-mailbox: INBOX\n"
        found = (self.folder / "Maildir/new").iterdir()
        return sorted(path.read_bytes().replace(own, b"", 1) for path in found)


@pytest.mark.parametrize(
    "kind",
    [
        "SimplePOP3Retriever",
        "SimplePOP3SSLRetriever",
        "SimpleIMAPRetriever",
        "SimpleIMAPSSLRetriever",
    ],
)
def test_getmail_brings_each_message_home_once(
    server: Server, user: User, scratch: Path, kind: str
) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = Getmail(scratch, server, user, kind)
    client.run()
    assert client.arrived() == sorted(messages.ORDINARY)
    assert sorted(user.contents()) == sorted(messages.ORDINARY)

    client.run()
    assert len(client.arrived()) == len(messages.ORDINARY)

    user.deliver(messages.numbered(1))
    client.run()
    assert client.arrived() == sorted([*messages.ORDINARY, messages.numbered(1)])

    client.run(delete=True)
    assert user.contents() == []
