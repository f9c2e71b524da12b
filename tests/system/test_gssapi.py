"""GSSAPI with a real KDC: MIT's, on a loopback port of its own."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import messages
from .messages import as_sent
from .server import Server, free_ports
from .users import User

REALM = "MAA.EXAMPLE"
SOURCE = f"""sources = ["password-file"]
password-file.path = "{{folder}}/passwd"
gssapi.keytab = "{{folder}}/keytab"
gssapi.realm = "{REALM}"
"""
KRB5 = """[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_canonicalize_hostname = false
rdns = false
udp_preference_limit = 1
[realms]
{realm} = {{
  kdc = 127.0.0.1:{port}
}}
"""
KDC = """[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/acl
}}
"""


@dataclass
class Kdc:
    """A realm of its own."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "KRB5_CONFIG": f"{self.folder}/krb5.conf",
            "KRB5_KDC_PROFILE": f"{self.folder}/kdc.conf",
            "KRB5CCNAME": f"FILE:{self.folder}/tickets",
        }

    def call(self, *command: str, said: str = "") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command, input=said.encode(), env=self.environment, capture_output=True, timeout=30
        )

    def admin(self, query: str) -> None:
        done = self.call("kadmin.local", "-r", REALM, "-q", query)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        self.folder.mkdir()
        (port,) = free_ports(1)
        words = {"realm": REALM, "port": port, "folder": self.folder}
        (self.folder / "krb5.conf").write_text(KRB5.format(**words))
        (self.folder / "kdc.conf").write_text(KDC.format(**words))
        done = self.call("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        assert done.returncode == 0, done.stderr
        self.process = subprocess.Popen(
            ["krb5kdc", "-n", "-r", REALM], env=self.environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 10
        while not Server.accepts(port):
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)


@pytest.fixture
def kdc(base: Path) -> Iterator[Kdc]:
    kdc = Kdc(base / "kdc")
    try:
        kdc.start()
        yield kdc
    finally:
        kdc.stop()


@pytest.fixture
def server(base: Path, kdc: Kdc, user: User) -> Iterator[Server]:
    server = Server(base / "gssapi-server", user.home.parent, [user], SOURCE)
    server.configure()
    # The last as where one keytab serves the whole machine.
    for service in ("imap", "pop", "host"):
        principal = f"{service}/localhost@{REALM}"
        kdc.admin(f"addprinc -randkey {principal}")
        kdc.admin(f"ktadd -k {server.folder}/keytab {principal}")
    server.start()
    try:
        yield server
        assert not server.faults()
    finally:
        server.stop()


def test_a_ticket_lets_its_user_in(kdc: Kdc, server: Server, user: User) -> None:
    user.deliver(messages.PLAIN)
    for name in (user.name, "stranger"):
        kdc.admin(f"addprinc -pw ticket {name}")
    curl = (
        "curl", "--silent", "--show-error", "--max-time", "30", "--login-options", "AUTH=GSSAPI",
    )  # fmt: skip
    places = (
        f"imap://localhost:{server.imap}/INBOX;MAILINDEX=1",
        f"pop3://localhost:{server.pop3}/1",
    )
    done = kdc.call(*curl, "--user", f"{user.name}@{REALM}:", places[0])
    assert done.returncode != 0 and not done.stdout  # there is no ticket yet

    assert kdc.call("kinit", user.name, said="ticket\n").returncode == 0
    for place in places:
        done = kdc.call(*curl, "--user", f"{user.name}@{REALM}:", place)
        assert done.stdout == as_sent(messages.PLAIN), done.stderr + server.tail().encode()
    command = (
        "gsasl", "--verbose", "--imap", f"--connect=localhost:{server.imap}", "--no-starttls",
        "--mechanism=GSSAPI", f"--authentication-id={user.name}", "--hostname=localhost",
        f"--authorization-id={user.name}", "--quality-of-protection=qop-auth",
    )  # fmt: skip
    said = kdc.call(*command, "--service=imap")
    assert b"Logged in" in said.stdout + said.stderr, said
    # Whoever has a ticket for another service of this machine has none for this one.
    for service in ("host", "pop"):
        said = kdc.call(*command, f"--service={service}")
        assert b"Logged in" not in said.stdout + said.stderr, said
        assert b"AUTHENTICATIONFAILED" in said.stdout + said.stderr, said

    assert kdc.call("kinit", "stranger", said="ticket\n").returncode == 0
    done = kdc.call(*curl, "--user", f"stranger@{REALM}:", places[0])
    assert done.returncode != 0 and not done.stdout
