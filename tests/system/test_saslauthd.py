"""saslauthd checks the logins, with its own users and a socket of its own."""

from __future__ import annotations

import grp
import imaplib
import os
import poplib
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from . import messages
from .clients import bodies, imap, pop3
from .debian_venv import made
from .messages import as_sent
from .server import ROOT, Server
from .users import User

MAA = ROOT / ".venv/bin/maa"
REALM = "maa-system-test"
"""Nobody else's realm in the one file, /etc/sasldb2, which saslauthd knows."""

SOURCE = """sources = ["saslauthd"]
saslauthd.socket = "{folder}/sasl/mux"
saslauthd.realm = "REALM"
""".replace("REALM", REALM)


class Saslauthd:
    def __init__(self, folder: Path, mechanism: str = "sasldb") -> None:
        self.folder = folder
        self.mechanism = mechanism
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            ["saslauthd", "-d", "-a", self.mechanism, "-m", self.folder, "-n", "2"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 10
        while not (self.folder / "mux").exists():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)

    def kill(self) -> None:
        """A crash: the socket's name stays behind and nobody listens."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None


@pytest.fixture
def people(everyone: list[User]) -> Iterator[list[User]]:
    """Three users whom only saslauthd knows; they live under the server's own uid."""
    chosen = [User(f"sasl{n}", everyone[0].home.parent / f"sasl{n}", os.getuid()) for n in range(3)]
    for person in chosen:
        person.make_home()
        _saslpasswd(person, "-c", password=person.password)
    yield chosen
    for person in chosen:
        _saslpasswd(person, "-d")


def _saslpasswd(person: User, action: str, password: str = "") -> None:
    subprocess.run(
        ["saslpasswd2", "-p", action, "-u", REALM, person.name],
        input=password.encode(),
        check=True,
        capture_output=True,
    )


@pytest.fixture
def served(base: Path, people: list[User]) -> Iterator[tuple[Server, Saslauthd]]:
    server = Server(base / "saslauthd-server", people[0].home.parent, [], SOURCE)
    server.configure()
    daemon = Saslauthd(server.folder / "sasl")
    daemon.start()
    server.start()
    try:
        yield server, daemon
        assert not server.faults()
    finally:
        server.stop()
        daemon.kill()


def test_saslauthd_checks_logins(served: tuple[Server, Saslauthd], people: list[User]) -> None:
    server, daemon = served
    known, late, later = people

    known.deliver(messages.PLAIN)
    client = imap(server, known)
    assert bodies(client) == [as_sent(messages.PLAIN)]
    client.logout()
    reader = pop3(server, known)
    assert reader.stat()[0] == 1
    reader.quit()

    assert "AUTHENTICATIONFAILED" in refused_imap(server, late, "wrong")
    assert "[AUTH]" in refused_pop3(server, late, "wrong")
    assert "AUTHENTICATIONFAILED" in refused_imap(server, late, "")

    # R251: who cannot be asked has not said that the password is wrong.
    daemon.kill()
    assert "[UNAVAILABLE]" in refused_imap(server, late, late.password)
    assert "[SYS/TEMP]" in refused_pop3(server, later, later.password)
    (daemon.folder / "mux").unlink()
    assert "[UNAVAILABLE]" in refused_imap(server, late, late.password)

    daemon.start()
    imap(server, late).logout()
    pop3(server, later).quit()


def refused_imap(server: Server, person: User, password: str) -> str:
    client = imaplib.IMAP4("127.0.0.1", server.imap, timeout=40)
    with pytest.raises(imaplib.IMAP4.error) as refusal:
        client.login(person.name, password)
    client.logout()
    return str(refusal.value)


def refused_pop3(server: Server, person: User, password: str) -> str:
    client = poplib.POP3("127.0.0.1", server.pop3, timeout=40)
    client.user(person.name)
    with pytest.raises(poplib.error_proto) as refusal:
        client.pass_(password)
    client.quit()
    return str(refusal.value)


# --- the system's own users, as sendmail's saslauthd checks them

SYSTEM = """sources = ["saslauthd"]
saslauthd.socket = "{folder}/sasl/mux"
names.default_domain = "example.org"
names.local_hosts = "{folder}/local-host-names"
names.virtual_users = "{folder}/virtusertable"
"""
SYSTEM_USER = "maa-sasl"


@pytest.fixture(scope="module")
def system_user(base: Path) -> Iterator[User]:
    """A user of this machine, with an entry in /etc/passwd and /etc/shadow."""
    home = base / "home" / SYSTEM_USER
    home.parent.mkdir(mode=0o711, exist_ok=True)
    subprocess.run(["userdel", SYSTEM_USER], check=False, capture_output=True)
    command = ["useradd", "--no-create-home", "--home-dir", home, "--uid", "59991", SYSTEM_USER]
    subprocess.run([*command, "--shell", "/bin/sh"], check=True, capture_output=True)
    person = User(SYSTEM_USER, home, 59991)
    subprocess.run(["chpasswd"], input=f"{person.name}:{person.password}".encode(), check=True)
    person.make_home()
    person.deliver(messages.PLAIN)
    yield person
    subprocess.run(["userdel", SYSTEM_USER], check=True, capture_output=True)


@pytest.mark.parametrize("mechanism", ["shadow", "pam"])
def test_saslauthd_checks_the_users_of_the_system(
    base: Path, system_user: User, mechanism: str
) -> None:
    server = Server(base / f"saslauthd-{mechanism}", system_user.home.parent, [], SYSTEM)
    server.configure()
    (server.folder / "local-host-names").write_text("example.org\n")
    (server.folder / "virtusertable").write_text(f"sales@example.org {SYSTEM_USER}\n")
    daemon = Saslauthd(server.folder / "sasl", mechanism)
    daemon.start()
    server.start()
    try:
        for name in (SYSTEM_USER, f"{SYSTEM_USER}@example.org", "sales@example.org", "sales"):
            known = replace(system_user, name=name)
            client = imap(server, known)
            assert bodies(client) == [as_sent(messages.PLAIN)]
            client.logout()
            reader = pop3(server, known)
            assert reader.stat()[0] == 1
            reader.quit()
        assert "AUTHENTICATIONFAILED" in refused_imap(server, system_user, "wrong")
        assert "[AUTH]" in refused_pop3(server, replace(system_user, name="nobody-here"), "wrong")
        said = subprocess.run(
            [MAA, "auth", "test", "--stdin", "--config", server.folder / "maa.toml", "sales"],
            input=system_user.password.encode(),
            capture_output=True,
        )
        shown = said.stdout.decode()
        assert said.returncode == 0, shown + said.stderr.decode()
        assert f"{len(SYSTEM_USER)} octets  b'{SYSTEM_USER}'" in shown and "b'OK'" in shown
        assert f"accepted: {SYSTEM_USER}" in shown and system_user.password not in shown
        daemon.kill()
        stranger = replace(system_user, name=f"{SYSTEM_USER}@EXAMPLE.ORG")
        assert "[UNAVAILABLE]" in refused_imap(server, stranger, system_user.password)
        assert not server.faults()
    finally:
        server.stop()
        daemon.kill()


SERVER_USER = "maa-server"


@pytest.fixture
def server_user() -> Iterator[str]:
    """As administrators are told to make it: its group lets it ask saslauthd."""
    subprocess.run(["userdel", SERVER_USER], check=False, capture_output=True)
    command = ["useradd", "--system", "--user-group", "--groups", "sasl", SERVER_USER]
    subprocess.run(command, check=True, capture_output=True)
    yield SERVER_USER
    subprocess.run(["userdel", SERVER_USER], check=True, capture_output=True)


@pytest.mark.parametrize("workers", [1, 2])
def test_R253_a_server_that_is_no_longer_root_asks_debians_saslauthd(
    base: Path, system_user: User, server_user: str, workers: int
) -> None:
    programs = base / "debian-python-of-saslauthd/bin"
    if not programs.exists():
        made(programs.parent)
    server = Server(
        base / f"saslauthd-run-as{workers}",
        system_user.home.parent,
        [],
        SYSTEM,
        workers=workers,
        more=f'run_as = "{server_user}"',
        twistd=programs / "twistd",
    )
    server.configure()
    (server.folder / "local-host-names").write_text("example.org\n")
    (server.folder / "virtusertable").write_text("")
    daemon = Saslauthd(server.folder / "sasl", "pam")
    daemon.folder.mkdir()
    # As /run/saslauthd is.
    os.chown(daemon.folder, 0, grp.getgrnam("sasl").gr_gid)
    daemon.folder.chmod(0o710)
    daemon.start()
    server.start()
    try:
        client = imap(server, system_user)
        assert bodies(client) == [as_sent(messages.PLAIN)]
        assert client.create(f"Kept{workers}")[0] == "OK"
        client.logout()
        assert (system_user.maildir / f".Kept{workers}").stat().st_uid == system_user.uid
        assert "AUTHENTICATIONFAILED" in refused_imap(server, system_user, "wrong")
        root = replace(system_user, name="root")
        assert "AUTHENTICATIONFAILED" in refused_imap(server, root, "wrong")
        assert not server.faults()
    finally:
        server.stop()
        daemon.kill()
