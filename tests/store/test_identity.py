"""The file-system identity of threads."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.store import identity as identity_module
from maa.store.errors import Unavailable
from maa.store.identity import Identity
from maa.user import User
from tests.store.account_cases import public_directory

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root may take the identities of other users"
)
JOE = Identity(12345, 12346)
ANN = Identity(12347, 12348)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A directory that every user can reach and write to."""
    with public_directory() as directory:
        directory.chmod(0o777)
        yield directory


def own_ids() -> tuple[int, int, list[int]]:
    status = Path(f"/proc/self/task/{threading.get_native_id()}/status").read_text().splitlines()
    fields = {line.split(":")[0]: line.split(":")[1].split() for line in status if ":" in line}
    return int(fields["Uid"][3]), int(fields["Gid"][3]), [int(gid) for gid in fields["Groups"]]


@needs_root
def test_files_belong_to_the_user(shared: Path) -> None:
    with JOE:
        (shared / "mail").touch()
    found = (shared / "mail").stat()
    assert (found.st_uid, found.st_gid) == (12345, 12346)


@needs_root
def test_another_users_folder_and_a_symlink_to_it_are_refused(shared: Path) -> None:
    with JOE:
        (shared / "joe").mkdir(0o700)
        (shared / "joe" / "secret").write_text("x")
    with ANN:
        (shared / "link").symlink_to(shared / "joe")
        with pytest.raises(PermissionError):
            (shared / "joe" / "secret").read_text()
        with pytest.raises(PermissionError):
            os.listdir(shared / "link")
    assert (shared / "joe" / "secret").read_text() == "x"


@needs_root
def test_the_identity_is_this_threads_alone_and_is_given_back() -> None:
    before = own_ids()
    others: list[tuple[int, int, list[int]]] = []

    def look() -> None:
        others.append(own_ids())

    started, finish = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        finish.wait(10)
        look()

    waiting = threading.Thread(target=wait)
    waiting.start()
    started.wait(10)
    with JOE:
        assert own_ids() == (12345, 12346, [])
        finish.set()
        waiting.join(10)
    assert others == [before]
    assert own_ids() == before


@needs_root
def test_an_identity_within_another_is_taken_and_given_back() -> None:
    before = own_ids()
    with JOE:
        with JOE:
            assert own_ids()[0] == 12345
        assert own_ids()[0] == 12345
        with ANN:
            assert own_ids() == (12347, 12348, [])
            with Identity.own():
                assert own_ids() == before
            assert own_ids()[0] == 12347
        assert own_ids() == (12345, 12346, [])
    assert own_ids() == before


@needs_root
def test_an_error_inside_gives_the_identity_back() -> None:
    before = own_ids()
    with pytest.raises(KeyError), JOE:
        raise KeyError
    assert own_ids() == before


@needs_root
def test_an_id_that_cannot_be_taken_is_refused() -> None:
    before = own_ids()
    # The system takes this id for "no change".
    with pytest.raises(Unavailable), Identity(0xFFFFFFFF, 12346):
        pytest.fail("went on as somebody else")
    with pytest.raises(Unavailable), Identity(12345, 0xFFFFFFFF):
        pytest.fail("went on as somebody else")
    assert own_ids() == before


WITHOUT_RIGHTS = """
import os, sys
os.setgroups([]); os.setgid(12348); os.setuid(12347)
from maa.store.errors import Unavailable
from maa.store.identity import Identity
with Identity(12347, 12348):
    pass
try:
    with Identity(12345, 12346):
        sys.exit("went on as itself")
except Unavailable:
    print("refused", flush=True)
with Identity.own():
    pass
"""


@needs_root
def test_a_process_without_the_rights_refuses_others_and_serves_itself() -> None:
    code = WITHOUT_RIGHTS.replace("from maa", f"sys.path.insert(0, {os.getcwd()!r})\nfrom maa", 1)
    # The modules are read before the rights are dropped, for the checkout may be private.
    code = "import maa.store.identity, maa.store.errors\n" + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "refused\n", done.stderr
    assert done.returncode == 0, done.stderr


WITH_GROUPS = """
import os
os.setgroups([12401, 12402])
from maa.store.identity import Identity
from tests.store.test_identity import own_ids
before = own_ids()
with Identity(12345, 12346):
    print(own_ids())
    with Identity(12345, 12346, (12403,)):
        print(own_ids())
print(own_ids() == before, before[2])
"""


@needs_root
def test_the_process_groups_are_not_the_users() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITH_GROUPS], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == [
        "(12345, 12346, [])",
        "(12345, 12346, [12403])",
        "True [12401, 12402]",
    ], done.stderr


@needs_root
def test_an_unknown_machine_never_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_module, "_SETGROUPS", None)
    before = own_ids()
    with pytest.raises(Unavailable), Identity(12345, 12346, (12346,)):
        pytest.fail("went on as somebody else")
    assert own_ids() == before


def test_a_user_without_ids_is_the_process() -> None:
    assert Identity.of(User("joe")) == Identity.own()
    assert Identity.of(User("joe", uid=os.geteuid())) == Identity.own()


@pytest.mark.parametrize(
    "user", [User("root", uid=0), User("joe", uid=0, gid=7), User("joe", uid=7, gid=0)]
)
def test_who_is_not_root_never_becomes_root(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(Unavailable):
        Identity.of(user)


def test_a_users_group_is_the_systems_when_none_is_given() -> None:
    assert Identity.of(User("joe", uid=os.geteuid())).gid == os.getegid()
    assert Identity.of(User("joe", uid=1)).gid == pwd.getpwuid(1).pw_gid
    assert Identity.of(User("joe", uid=12345, gid=7)) == Identity(12345, 7)
    with pytest.raises(Unavailable):
        Identity.of(User("joe", uid=3999999))


def test_the_own_identity_costs_no_right() -> None:
    before = own_ids()
    with Identity.own(), Identity.own():
        assert own_ids() == before
    assert own_ids() == before
