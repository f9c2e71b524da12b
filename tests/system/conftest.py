"""The server, its users and the programs; a missing program is a failure, never a skip."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .server import UNPACKED, Server
from .users import CLIENT, User, give

PROGRAMS = (
    "alpine",
    "curl",
    "dovecot",
    "fetchmail",
    "getmail",
    "gsasl",
    "krb5kdc",
    "mail.local",
    "maildrop",
    "mbsync",
    "mutt",
    "neomutt",
    "node",
    "npm",
    "offlineimap",
    "postfix",
    "procmail",
    "saslauthd",
    "saslpasswd2",
    "strace",
    "thunderbird",
)
USERS = 300
SPOOLED_USERS = 60
SPOOLED = "inbox=mbox:{home}/spool folders=mbox:{home}/mail"
MDA_UID = 60990
FIRST_UID = 61000
"""No account of the machine has such ids; root may take them, nobody else needs them."""


def pytest_sessionstart(session: pytest.Session) -> None:
    # A server that does not answer fails the test, and does not hold it up for ever.
    socket.setdefaulttimeout(30)
    # The daemons of Debian live in sbin, which a user's PATH lacks.
    os.environ["PATH"] += f":/usr/sbin:/sbin:{UNPACKED}/sendmail-bin/usr/libexec/sendmail"
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise pytest.UsageError(f"missing: {' '.join(missing)}; run tests/system/install.sh")
    if os.getuid() != 0:
        raise pytest.UsageError("the system tests serve users of several uids: run them as root")


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A folder every uid can enter (pytest's own tmp_path is root's alone)."""
    folder = Path(tempfile.mkdtemp(prefix="maa-system-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def scratch(base: Path, user: User) -> Path:
    """A folder for the files of one test's client, which does not run as root."""
    folder = base / f"client-{user.name}"
    folder.mkdir(mode=0o700)
    give(folder)
    return folder


@pytest.fixture(scope="session")
def everyone(base: Path) -> list[User]:
    homes = base / "home"
    homes.mkdir(mode=0o711)
    names = [f"user{n:03}" for n in range(USERS)]
    return [
        *(User(name, homes / name, FIRST_UID + n) for n, name in enumerate(names)),
        User("local", homes / "local", CLIENT.pw_uid),
        *(
            User(f"spooled{n}", homes / f"spooled{n}", CLIENT.pw_uid, settings=SPOOLED)
            for n in range(SPOOLED_USERS)
        ),
        User("mdasmaildir", homes / "mdasmaildir", MDA_UID),
        User(
            "mdasmbox",
            homes / "mdasmbox",
            MDA_UID + 1,
            settings=f"inbox=mbox:{base}/spool/{{user}}",
        ),
    ]


@pytest.fixture(scope="session")
def _names(everyone: list[User]) -> Iterator[User]:
    return iter(everyone[:USERS])


@pytest.fixture
def local_user(everyone: list[User]) -> User:
    """A user with an entry in /etc/passwd, without which procmail crashes."""
    everyone[USERS].make_home()
    return everyone[USERS]


@pytest.fixture(scope="session")
def _spooled(everyone: list[User]) -> Iterator[User]:
    return iter(everyone[USERS + 1 : USERS + 1 + SPOOLED_USERS])


@pytest.fixture
def spooled_user(_spooled: Iterator[User]) -> User:
    """A local user whose INBOX is a spool file, and whose other mailboxes are mbox files."""
    user = next(_spooled)
    user.make_home()
    return user


@pytest.fixture
def new_user(_names: Iterator[User]) -> Callable[[], User]:
    """Gives users with an empty Maildir whom no other test has touched."""

    def make() -> User:
        user = next(_names)
        user.make_home()
        return user

    return make


@pytest.fixture
def user(new_user: Callable[[], User]) -> User:
    return new_user()


_numbers = itertools.count(1)


@contextmanager
def _served(base: Path, everyone: list[User], workers: int = 1) -> Iterator[Server]:
    folder = base / f"server{next(_numbers)}"
    server = Server(folder, base / "home", everyone, workers=workers)
    server.configure()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _shared_server(base: Path, everyone: list[User]) -> Iterator[Server]:
    with _served(base, everyone) as server:
        yield server


@pytest.fixture
def server(_shared_server: Server) -> Iterator[Server]:
    """The server most tests share; each test fails that makes it log a fault or die."""
    yield _shared_server
    assert _shared_server.process is None or _shared_server.process.poll() is None
    assert not _shared_server.faults()


@pytest.fixture(scope="module")
def two_workers(base: Path, everyone: list[User]) -> Iterator[Server]:
    """A server with two workers that a module's tests share."""
    with _served(base, everyone, workers=2) as server:
        yield server
        assert not server.faults()


@pytest.fixture
def own_server(
    request: pytest.FixtureRequest, base: Path, everyone: list[User]
) -> Iterator[Server]:
    """A server of this test alone, to be stopped, killed or measured.

    With as many workers as an indirect parameter says.
    """
    with _served(base, everyone, getattr(request, "param", 1)) as server:
        yield server
        assert not server.faults()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failure shows what the server logged last."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        servers = [v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Server)]
        report.sections += [("server log", s.tail()) for s in servers[:1] if s.log.exists()]
