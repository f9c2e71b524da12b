"""What a server started by root may do once it serves, and what its users' links reach."""

from __future__ import annotations

import imaplib
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from . import messages
from .clients import bodies, imap, pop3
from .debian_venv import made
from .messages import as_sent
from .server import Server
from .users import User

SERVER = pwd.getpwnam("daemon")
SETGID, SETUID = 1 << 6, 1 << 7
SECRET = b"From: a@example.org\nSubject: secret\n\nthe victim's own words\n"


@pytest.fixture(scope="module")
def programs(base: Path) -> Path:
    return made(base / "debian-python")


@pytest.fixture(scope="module", params=[1, 2], ids=["one", "workers"])
def server(
    request: pytest.FixtureRequest, base: Path, programs: Path, everyone: list[User]
) -> Iterator[Server]:
    folder = base / f"privileges{request.param}"
    serving = Server(
        folder,
        base / "home",
        everyone,
        workers=request.param,
        more=f'run_as = "{SERVER.pw_name}"',
        twistd=programs / "twistd",
    )
    serving.configure()
    # The key is read before root is given up; the password file again and again.
    os.chown(folder / "passwd", SERVER.pw_uid, SERVER.pw_gid)
    try:
        serving.start()
        yield serving
    finally:
        serving.stop()
    assert "Traceback" not in serving.log.read_text()


def status(pid: int) -> Iterator[dict[str, str]]:
    """What the kernel says of each thread."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        lines = (thread / "status").read_text().splitlines()
        yield {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def shown(client: imaplib.IMAP4, mailbox: str) -> bytes:
    """Everything that the client can be told of a mailbox."""
    if client.select(mailbox)[0] != "OK":
        return b""
    answers = [client.fetch("1:*", "(RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY[])")[1]]
    answers += [client.search(None, "TEXT", "victim")[1]]
    return repr(answers).encode()


def test_R253_it_is_not_root_and_has_two_capabilities(
    server: Server, new_user: Callable[[], User]
) -> None:
    user = new_user()
    user.deliver(messages.PLAIN)
    client = imap(server, user)
    client.select("INBOX")
    client.fetch("1", "(BODY[])")
    threads = [found for pid in server.processes() for found in status(pid)]
    assert len(threads) > 10
    for found in threads:
        real, effective, saved, _ = map(int, found["Uid"].split())
        assert real == effective == saved == SERVER.pw_uid
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            assert int(found[kind], 16) & ~(SETGID | SETUID) == 0, (kind, found[kind])
        for kind in ("CapInh", "CapAmb"):
            assert int(found[kind], 16) == 0
        assert found["NoNewPrivs"] == "1"
        assert found["Groups"] == ""
    client.logout()


def test_users_of_several_uids_are_served(server: Server, new_user: Callable[[], User]) -> None:
    for user in (new_user(), new_user()):
        user.deliver(messages.PLAIN)
        client = imap(server, user)
        client.create("Kept")
        client.append("Kept", "", "", as_sent(messages.DOTS))
        client.select("INBOX")
        assert bodies(client) == [as_sent(messages.PLAIN)]
        client.store("1", "+FLAGS", r"\Seen")
        client.logout()
        kept = user.files("Kept")
        assert [path.stat().st_uid for path in kept] == [user.uid]
        box = pop3(server, user)
        box.dele(1)
        box.quit()
        assert user.contents() == []


def test_R253_no_link_of_a_user_shows_another_users_mail(
    server: Server, new_user: Callable[[], User]
) -> None:
    victim, thief = new_user(), new_user()
    secret = victim.deliver(SECRET)
    (thief.maildir / "cur/1.soft:2,").symlink_to(secret)
    # The kernel forbids the thief to make this one (fs.protected_hardlinks), but not every kernel.
    (thief.maildir / "cur/2.hard:2,").hardlink_to(secret)
    (thief.maildir / ".Box").symlink_to(victim.maildir)
    folder = thief.maildir / ".Inner"
    folder.mkdir()
    thief.give(folder)
    (folder / "tmp").mkdir()
    (folder / "new").symlink_to(victim.maildir / "new")
    (folder / "cur").symlink_to(victim.maildir / "new")
    own = thief.deliver(messages.PLAIN)
    client = imap(server, thief)
    for mailbox in ("INBOX", "Box", "Inner"):
        assert b"victim's own" not in shown(client, mailbox), mailbox
    client.logout()
    assert own.exists() or thief.files()
    assert victim.contents() == [SECRET]
    assert secret.exists()


def test_R253_no_link_shows_what_is_roots_or_the_servers(
    server: Server, new_user: Callable[[], User]
) -> None:
    thief = new_user()
    for number, path in enumerate((server.folder / "passwd", server.folder / "key.pem")):
        (thief.maildir / f"cur/{number}.soft:2,").symlink_to(path)
        (thief.maildir / f"cur/{number}.hard:2,").hardlink_to(path)
    client = imap(server, thief)
    told = shown(client, "INBOX")
    assert b"PRIVATE KEY" not in told and b"{PLAIN}" not in told
    client.logout()


def test_R253_an_mbox_that_is_a_link_shows_nothing(
    server: Server, spooled_user: User, new_user: Callable[[], User]
) -> None:
    victim = new_user()
    spool = victim.home / "spool"
    spool.write_bytes(b"From a@example.org Thu Jan  1 00:00:00 1970\n" + SECRET + b"\n")
    victim.give(spool)
    spool.chmod(0o600)
    for link in (spooled_user.spool.symlink_to, spooled_user.spool.hardlink_to):
        spooled_user.spool.unlink(missing_ok=True)
        link(spool)
        client = imaplib.IMAP4("127.0.0.1", server.imap, timeout=30)
        try:
            client.login(spooled_user.name, spooled_user.password)
            assert b"victim's own" not in shown(client, "INBOX")
        except imaplib.IMAP4.error as error:
            assert "victim" not in str(error)
        client.shutdown()
    spooled_user.spool.unlink()
    assert SECRET in spool.read_bytes()


def test_one_uid_for_all_mail_needs_no_capability(
    base: Path, programs: Path, local_user: User
) -> None:
    user = local_user  # Twisted wants an entry in /etc/passwd
    user.deliver(messages.PLAIN)
    folder = base / "one-uid"
    serving = Server(
        folder,
        base / "home",
        [user],
        twistd=programs / "twistd",
        options=("--uid", str(user.uid), "--gid", str(user.uid)),
    )
    serving.configure()
    os.chown(folder, user.uid, user.uid)
    os.chown(folder / "passwd", user.uid, user.uid)
    try:
        serving.start()
        client = imap(serving, user)
        client.select("INBOX")
        assert bodies(client) == [as_sent(messages.PLAIN)]
        client.logout()
        for found in status(serving.pid):
            assert set(found["Uid"].split()) == {str(user.uid)}
            assert int(found["CapPrm"], 16) == 0
    finally:
        serving.stop()
