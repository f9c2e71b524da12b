"""fetchmail brings mail home through an MDA which writes each message to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import messages
from .server import Server
from .users import User, give, run_client

# The options keep fetchmail from adding or rewriting header fields of its own.
RC = """
set no bouncemail
set no softbounce
set invisible
set pidfile {folder}/pid
poll localhost service {port} protocol {protocol} {uidl}
  user {user} password "{password}"
  {security}
  {keep} no rewrite no mimedecode
  mda "{folder}/deliver"
"""
DELIVER = """#!/bin/sh
exec cat > "$(mktemp "$0d.XXXXXXXX")"
"""


class Fetchmail:
    def __init__(self, folder: Path, server: Server, user: User) -> None:
        self.folder, self.server, self.user = folder, server, user
        (folder / "deliver").write_text(DELIVER)
        (folder / "deliver").chmod(0o755)

    def run(self, protocol: str, keep: bool, tls: bool = False) -> int:
        """One run; fetchmail's exit code: 0 mail was fetched, 1 there was none."""
        service = {"POP3": "pop3", "IMAP": "imap"}[protocol] + ("s" if tls else "")
        security = f"ssl sslcertck sslcertfile {self.server.certificate}" if tls else "sslproto ''"
        rc = self.folder / "fetchmailrc"
        rc.write_text(
            RC.format(
                folder=self.folder,
                port=getattr(self.server, service),
                protocol=protocol,
                uidl="uidl" if protocol == "POP3" else "",
                user=self.user.name,
                password=self.user.password.replace("\\", "\\\\"),
                security=security,
                keep="keep" if keep else "no keep",
            )
        )
        rc.chmod(0o600)
        give(rc)
        done = run_client(
            ["fetchmail", "-f", rc, "-i", self.folder / "ids", "--nosyslog", "--nodetach"],
            self.folder,
        )
        self.said = done.stdout + done.stderr
        return done.returncode

    def arrived(self) -> list[bytes]:
        return sorted(path.read_bytes() for path in self.folder.glob("deliverd.*"))


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_pop3_with_uidl_keeps_and_fetches_only_what_is_new(
    server: Server, user: User, scratch: Path, tls: bool
) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = Fetchmail(scratch, server, user)
    assert client.run("POP3", keep=True, tls=tls) == 0, client.said
    assert client.arrived() == sorted(messages.ORDINARY)
    assert sorted(user.contents()) == sorted(messages.ORDINARY)

    assert client.run("POP3", keep=True, tls=tls) == 1, client.said
    assert len(client.arrived()) == len(messages.ORDINARY)

    user.deliver(messages.numbered(1))
    assert client.run("POP3", keep=True, tls=tls) == 0, client.said
    assert client.arrived() == sorted([*messages.ORDINARY, messages.numbered(1)])


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("protocol", ["POP3", "IMAP"])
def test_without_keep_the_mailbox_is_emptied(
    server: Server, user: User, scratch: Path, protocol: str, tls: bool
) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = Fetchmail(scratch, server, user)
    assert client.run(protocol, keep=False, tls=tls) == 0, client.said
    assert client.arrived() == sorted(messages.ORDINARY)
    assert user.contents() == []
    assert client.run(protocol, keep=False, tls=tls) == 1, client.said


def test_imap_keep_marks_seen_and_fetches_only_unseen(
    server: Server, user: User, scratch: Path
) -> None:
    for message in messages.ORDINARY:
        user.deliver(message)
    client = Fetchmail(scratch, server, user)
    assert client.run("IMAP", keep=True) == 0, client.said
    assert client.arrived() == sorted(messages.ORDINARY)
    assert client.run("IMAP", keep=True) == 1, client.said
    assert sorted(user.contents()) == sorted(messages.ORDINARY)
