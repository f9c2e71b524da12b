"""curl over all four ports and both upgrades."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from . import messages
from .messages import as_sent
from .server import Server
from .users import User

SCHEMES = ["imap", "imap+tls", "imaps", "pop3", "pop3+tls", "pop3s"]
IMAP_SCHEMES = SCHEMES[:3]


def curl(server: Server, user: User, scheme: str, path: str, *options: str | Path) -> bytes:
    """Run curl; the octets it wrote."""
    protocol, _, upgrade = scheme.partition("+")
    port = getattr(server, protocol)
    run = subprocess.run(
        [
            "curl",
            "--silent",
            "--show-error",
            "--max-time",
            "30",
            "--cacert",
            server.certificate,
            *(["--ssl-reqd"] if upgrade else []),
            "--user",
            f"{user.name}:{user.password}",
            f"{protocol}://127.0.0.1:{port}/{path}",
            *options,
        ],
        capture_output=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("scheme", IMAP_SCHEMES)
def test_curl_fetches_octet_by_octet(server: Server, user: User, scheme: str) -> None:
    message = messages.ATTACHMENT
    user.deliver(message)
    assert curl(server, user, scheme, "INBOX;MAILINDEX=1") == as_sent(message)
    header = as_sent(message).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert curl(server, user, scheme, "INBOX;MAILINDEX=1;SECTION=HEADER") == header


@pytest.mark.parametrize("scheme", SCHEMES[3:])
def test_curl_retrieves_octet_by_octet(server: Server, user: User, scheme: str) -> None:
    for message in (messages.DOTS, messages.ATTACHMENT):
        path = user.deliver(message)
        assert curl(server, user, scheme, "1") == as_sent(message)
        path.unlink(missing_ok=True)
        for rest in user.files():
            rest.unlink()


@pytest.mark.parametrize("scheme", IMAP_SCHEMES)
def test_curl_round_of_append_flag_search_delete(
    server: Server, user: User, scheme: str, scratch: Path
) -> None:
    upload = scratch / "message.eml"
    upload.write_bytes(as_sent(messages.EIGHT_BIT))
    user.deliver(messages.PLAIN)
    curl(server, user, scheme, "INBOX", "--upload-file", upload)
    assert sorted(map(as_sent, user.contents())) == sorted(
        map(as_sent, [messages.PLAIN, messages.EIGHT_BIT])
    )
    found = curl(server, user, scheme, "INBOX?SUBJECT%20plain")
    (number,) = found.decode().removeprefix("* SEARCH").split()
    assert curl(server, user, scheme, f"INBOX;MAILINDEX={number}") == as_sent(messages.PLAIN)

    stored = curl(
        server, user, scheme, "INBOX", "-X", rf"STORE {number} +FLAGS (\Flagged \Deleted)"
    )
    assert rb"\Flagged" in stored
    listed = curl(server, user, scheme, "INBOX?FLAGGED%20SEEN")
    assert listed.split() == [b"*", b"SEARCH", number.encode()]
    assert (
        curl(server, user, scheme, "INBOX", "-X", "EXPUNGE")
        == b"* %b EXPUNGE\r\n" % number.encode()
    )
    assert list(map(as_sent, user.contents())) == [as_sent(messages.EIGHT_BIT)]


@pytest.mark.parametrize("scheme", IMAP_SCHEMES)
def test_curl_makes_lists_and_removes_folders(server: Server, user: User, scheme: str) -> None:
    curl(server, user, scheme, "", "-X", "CREATE Projects.maa")
    names = {
        line.rpartition(b" ")[2].strip(b'"\r')
        for line in curl(server, user, scheme, "").splitlines()
    }
    assert {b"INBOX", b"Projects.maa"} <= names
    assert (user.maildir / ".Projects.maa" / "cur").is_dir()
    curl(server, user, scheme, "", "-X", "DELETE Projects.maa")
    assert not (user.maildir / ".Projects.maa").exists()


@pytest.mark.parametrize("scheme", SCHEMES[3:])
def test_curl_lists_uidls_and_deletes(server: Server, user: User, scheme: str) -> None:
    first = user.deliver(messages.PLAIN)
    user.deliver(messages.DOTS)
    listed = curl(server, user, scheme, "").decode().split()
    sizes = {len(as_sent(messages.PLAIN)), len(as_sent(messages.DOTS))}
    assert {int(size) for size in listed[1::2]} == sizes
    before = curl(server, user, scheme, "", "-X", "UIDL").split()[1::2]
    number = 1 + [int(size) for size in listed[1::2]].index(len(as_sent(messages.PLAIN)))
    curl(server, user, scheme, str(number), "-X", "DELE", "--list-only")
    assert user.contents() == [messages.DOTS]
    assert not first.exists()
    after = curl(server, user, scheme, "", "-X", "UIDL").split()[1::2]
    assert after == [before[2 - number]]
