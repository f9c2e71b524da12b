"""What the tests of adopting share: an old server's mailboxes, and the commands."""

from __future__ import annotations

import imaplib
import os
import poplib
import subprocess
from pathlib import Path
from typing import Protocol

from . import messages
from .messages import as_sent
from .server import ROOT, Server
from .users import User

MAA = ROOT / ".venv/bin/maa"
KEYWORDS = {"number 0": r"(\Seen $Label1 work)", "number 2": r"(\Flagged Later)"}


class Old(Protocol):
    imap: int
    pop3: int


def as_server(old: Old, server: Server) -> Server:
    """The old server as the classes of clients know one."""
    return Server(server.folder, server.homes, [], imap=old.imap, pop3=old.pop3)


def fill(old: Old, user: User, prefix: str = "", separator: str = ".") -> None:
    """Use the old server as people do: read, mark, delete, file, subscribe, fetch by POP3."""
    client = imaplib.IMAP4("127.0.0.1", old.imap)
    client.login(user.name, user.password)
    assert client.select("INBOX")[0] == "OK"
    for subject, flags in KEYWORDS.items():
        number = client.search(None, "SUBJECT", f'"{subject}"')[1][0].decode()
        assert client.store(number, "+FLAGS", flags)[0] == "OK"
    # A gap in the numbers.
    number = client.search(None, "SUBJECT", '"number 3"')[1][0].decode()
    client.store(number, "+FLAGS", r"(\Deleted)")
    client.expunge()
    for name in ("Shared", "Not wanted", f"Arch&AOk-ve{separator}2026"):
        assert client.create(f'"{prefix}{name}"')[0] == "OK"
        for count in range(3):
            message = as_sent(messages.numbered(10 + count))
            assert client.append(f'"{prefix}{name}"', r"(\Answered)", "", message)[0] == "OK"
    for name in ("Shared", f"Arch&AOk-ve{separator}2026"):
        assert client.subscribe(f'"{prefix}{name}"')[0] == "OK"
    client.select(f"{prefix}Shared")
    client.store("2", "+FLAGS", "(work)")
    client.close()
    client.logout()
    assert len(uidls(old, user)) == len(messages_in(old, user))


def messages_in(old: Old, user: User, mailbox: str = "INBOX") -> dict[bytes, bytes]:
    """By UID, what FETCH says of flags."""
    client = imaplib.IMAP4("127.0.0.1", old.imap)
    client.login(user.name, user.password)
    client.select(mailbox, readonly=True)
    rows = [row for row in client.fetch("1:*", "(UID FLAGS)")[1] if isinstance(row, bytes)]
    client.logout()
    return {row.partition(b"UID ")[2].split()[0]: row for row in rows}


def uidls(old: Old, user: User) -> list[bytes]:
    client = poplib.POP3("127.0.0.1", old.pop3)
    client.user(user.name)
    client.pass_(user.password)
    found = [line.split()[1] for line in client.uidl()[1]]
    client.quit()
    return found


def spool(user: User, count: int) -> None:
    """An mbox file as mail.local fills it."""
    froms = (b"From ann@example.org Mon Mar  2 10:11:%02d 2026\n" % n for n in range(count))
    texts = (messages.numbered(n) for n in range(count))
    user.spool.write_bytes(b"".join(a + b + b"\n" for a, b in zip(froms, texts, strict=True)))
    user.spool.chmod(0o600)
    user.give(user.spool)


def adopt(server: Server, user: User, *arguments: str, status: int = 0) -> str:
    """`maa adopt`; what it says."""
    command = [MAA, "adopt", "--config", server.folder / "maa.toml", "--user", user.name]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def compare(old: Old, server: Server, user: User, status: int = 0, protocol: str = "both") -> str:
    """`maa compare` of an old server with maa, without TLS."""
    command = [
        *(MAA, "compare", "--user", user.name, "--protocol", protocol),
        *("--with", "127.0.0.1", "--with-tls", "none"),
        *("--with-imap", str(old.imap), "--with-pop3", str(old.pop3)),
        *("--to", "localhost", "--to-imap", str(server.imaps), "--to-pop3", str(server.pop3s)),
        *("--cafile", server.certificate),
    ]
    environment = {**os.environ, "MAA_PASSWORD": user.password}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file with its content."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
