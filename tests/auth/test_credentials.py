"""maa.auth.credentials: the order of sources, and what is remembered."""

from __future__ import annotations

import os
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from twisted.internet.task import Clock

from maa.auth import memory
from maa.auth.credentials import Authenticator
from maa.auth.errors import (
    AuthError,
    AuthUnavailable,
    BadCredentials,
    NotAuthorised,
    Throttled,
    Undecided,
)
from maa.auth.memory import MISSES_MAX
from maa.auth.password_file import PasswordFile
from maa.auth.penalties import Free, Penalties
from maa.auth.source import Source
from maa.user import User


@dataclass
class Table(Source):
    """A source that knows passwords by name, and counts how often it is asked."""

    passwords: dict[str, bytes] = field(default_factory=dict)
    unavailable: bool = False
    version: int = 0
    asked: list[str] = field(default_factory=list)
    pretended: int = 0

    def check(self, name: str, password: bytes, service: str) -> User | None:
        self.asked.append(name)
        if self.unavailable:
            raise AuthUnavailable("down")
        if name not in self.passwords:
            return None
        if self.passwords[name] != password:
            raise BadCredentials(name)
        return User(name)

    def find(self, name: str) -> User | None:
        return User(name) if name in self.passwords else None

    def pretend(self, name: str, password: bytes, service: str) -> None:
        self.pretended += 1

    def stamp(self) -> Hashable:
        return self.version


def raised(authenticator: Authenticator, name: str, password: str) -> type[AuthError]:
    with pytest.raises(AuthError) as caught:
        authenticator.check(name, password, "imap")
    assert caught.value.spent_seconds > 0
    return type(caught.value)


def test_the_next_source_is_asked_when_a_user_is_not_known() -> None:
    first, second = Table({"joe": b"a"}), Table({"ann": b"b"})
    authenticator = Authenticator([first, second])
    assert authenticator.check("ann", "b", "imap") == User("ann")
    assert first.asked == ["ann"]
    assert raised(authenticator, "bob", "x") is BadCredentials


def test_a_source_that_knows_the_user_decides() -> None:
    first, second = Table({"joe": b"a"}), Table({"joe": b"b"})
    assert raised(Authenticator([first, second]), "joe", "b") is BadCredentials
    assert second.asked == []


def test_R251_unavailable_is_never_a_wrong_password() -> None:
    down, up = Table(unavailable=True), Table({"joe": b"a"})
    for sources in ([down, up], [up, down]):
        authenticator = Authenticator(sources)
        assert authenticator.check("joe", "a", "imap") == User("joe")
        assert raised(authenticator, "ann", "x") is AuthUnavailable
    assert raised(Authenticator([down, up]), "joe", "wrong") is AuthUnavailable
    assert raised(Authenticator([down]), "joe", "a") is AuthUnavailable
    assert raised(Authenticator([]), "joe", "a") is BadCredentials


@pytest.mark.parametrize(
    ("name", "password"),
    [("../joe", "a"), ("", "a"), ("joe\0", "a"), ("joe", "a\0b"), ("joe", "x" * 1025)],
)
def test_R253_what_no_source_should_see_takes_the_usual_time(name: str, password: str) -> None:
    source = Table({"joe": b"a"})
    assert raised(Authenticator([source]), name, password) is BadCredentials
    assert source.asked == []
    assert source.pretended == 1


def test_R033_a_wrong_password_takes_the_sources_behind_as_long_as_a_name_nobody_has() -> None:
    first, second = Table({"joe": b"a"}), Table({"ann": b"b"})
    authenticator = Authenticator([first, second])
    assert raised(authenticator, "joe", "wrong") is BadCredentials
    assert (second.asked, second.pretended) == ([], 1)
    assert raised(authenticator, "nobody", "wrong") is BadCredentials
    assert raised(authenticator, "ann", "wrong") is BadCredentials
    assert (first.pretended, second.pretended) == (0, 1)
    assert second.asked == ["nobody", "ann"]


class Uids(Table):
    """Users with a uid and a gid, by name."""

    uids: ClassVar = {"root": (0, 0), "daemon": (1, 1), "wheel": (1000, 0), "joe": (1000, 1000)}

    def find(self, name: str) -> User | None:
        return User(name, *self.uids[name]) if name in self.uids else None

    def check(self, name: str, password: bytes, service: str) -> User | None:
        found = super().check(name, password, service)
        return found and self.find(name)


@pytest.mark.parametrize("name", ["root", "daemon", "wheel"])
def test_root_and_daemons_are_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 900)
    monkeypatch.setattr(os, "getegid", lambda: 900)
    source = Uids(dict.fromkeys(Uids.uids, b"a"))
    authenticator = Authenticator([source], first_uid=500, proxies=["joe"])
    assert raised(authenticator, name, "a") is raised(authenticator, name, "b") is BadCredentials
    assert authenticator.remembered(name, "a") is None
    with pytest.raises(BadCredentials):
        authenticator.vouched(name)
    joe = authenticator.check("joe", "a")
    assert authenticator.vouched("joe") == joe == User("joe", 1000, 1000)
    with pytest.raises(NotAuthorised):
        authenticator.acting(joe, name)
    # A server that is that user serves it.
    monkeypatch.setattr(os, "geteuid", lambda: Uids.uids[name][0])
    monkeypatch.setattr(os, "getegid", lambda: Uids.uids[name][1])
    assert authenticator.check(name, "a") == User(name, *Uids.uids[name])


def test_an_accepted_password_is_remembered_for_its_time() -> None:
    source, clock = Table({"joe": b"a"}), Clock()
    authenticator = Authenticator([source], clock=clock.seconds)
    assert authenticator.remembered("joe", "a", "imap") is None
    authenticator.check("joe", "a", "imap")
    clock.advance(59)
    assert authenticator.remembered("joe", "a", "imap") == User("joe")
    assert authenticator.remembered("joe", "b", "imap") is None
    assert authenticator.remembered("ann", "a", "imap") is None
    clock.advance(1)
    assert authenticator.remembered("joe", "a", "imap") is None
    assert source.asked == ["joe"]


def test_R222_what_is_remembered_answers_no_guesses() -> None:
    authenticator = Authenticator([Table({"joe": b"a"})])
    authenticator.check("joe", "a", "imap", "192.0.2.1")
    assert authenticator.remembered("joe", "a", "imap", "192.0.2.2") is None
    assert authenticator.remembered("joe", "a", "imap", "192.0.2.1") == User("joe")
    for number in range(MISSES_MAX):
        assert authenticator.remembered("joe", f"guess {number}", "imap", "192.0.2.1") is None
    assert authenticator.remembered("joe", "a", "imap", "192.0.2.1") is None


def test_R251_who_is_known_and_cannot_be_judged_is_nobody_elses() -> None:
    class Damaged(Table):
        def check(self, name: str, password: bytes, service: str) -> User | None:
            raise Undecided("line 7")

    second = Table({"joe": b"a"})
    assert raised(Authenticator([Damaged(), second]), "joe", "a") is Undecided
    assert second.asked == []


def test_R033_the_right_password_of_whom_is_not_let_in_takes_as_long_as_a_wrong_one() -> None:
    first, second = Uids({"daemon": b"a"}), Table()
    authenticator = Authenticator([first, second], first_uid=500)
    raised(authenticator, "daemon", "wrong")
    raised(authenticator, "daemon", "a")
    assert second.pretended == 2


def test_a_wrong_guess_does_not_make_the_right_password_forgotten() -> None:
    authenticator = Authenticator([Table({"joe": b"a"})])
    authenticator.check("joe", "a", "imap")
    assert authenticator.remembered("joe", "b", "imap") is None
    assert authenticator.remembered("joe", "a", "imap") == User("joe")


def test_what_one_service_accepted_is_no_answer_for_another() -> None:
    authenticator = Authenticator([Table({"joe": b"a"})])
    authenticator.check("joe", "a", "imap")
    assert authenticator.remembered("joe", "a", "pop") is None


def test_failures_are_not_remembered() -> None:
    source = Table({"joe": b"a"})
    authenticator = Authenticator([source])
    for _ in range(2):
        raised(authenticator, "joe", "wrong")
    assert source.asked == ["joe", "joe"]
    assert authenticator.remembered("joe", "wrong", "imap") is None


def test_a_changed_source_makes_everything_forgotten() -> None:
    first, second = Table(), Table({"joe": b"a"})
    authenticator = Authenticator([first, second])
    authenticator.check("joe", "a", "imap")
    first.version = 1
    assert authenticator.remembered("joe", "a", "imap") is None


def test_a_source_that_changes_during_the_check_is_not_trusted() -> None:
    class Changing(Table):
        def check(self, name: str, password: bytes, service: str) -> User | None:
            user = super().check(name, password, service)
            self.version += 1
            return user

    authenticator = Authenticator([Changing({"joe": b"a"})])
    authenticator.check("joe", "a", "imap")
    assert authenticator.remembered("joe", "a", "imap") is None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "REMEMBERED_MAX", 100)
    names = [f"u{number}" for number in range(110)]
    authenticator = Authenticator([Table(dict.fromkeys(names, b"a"))])
    for name in names:
        authenticator.check(name, "a", "imap")
    assert authenticator.remembered(names[0], "a", "imap") is None
    assert authenticator.remembered(names[-1], "a", "imap") == User(names[-1])
    assert len([name for name in names if authenticator.remembered(name, "a", "imap")]) == 100


def test_a_password_changed_in_the_file_is_forgotten_at_once(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("joe:{PLAIN}a\n")
    authenticator = Authenticator([PasswordFile(str(path))])
    authenticator.check("joe", "a", "imap")
    assert authenticator.remembered("joe", "a", "imap") == User("joe")
    path.write_text("joe:{PLAIN}b\n")
    assert authenticator.remembered("joe", "a", "imap") is None
    assert raised(authenticator, "joe", "a") is BadCredentials
    authenticator.check("joe", "b", "imap")
    path.unlink()
    assert authenticator.remembered("joe", "b", "imap") is None
    assert raised(authenticator, "joe", "b") is AuthUnavailable


def test_find_asks_every_source() -> None:
    authenticator = Authenticator([Table({"joe": b"a"}), Table({"ann": b"a"})])
    assert authenticator.find("ann") == User("ann")
    assert authenticator.find("bob") is None
    assert authenticator.find("../joe") is None


def test_R222_who_guesses_is_refused_and_whom_it_knows_is_not(tmp_path: Path) -> None:
    path = tmp_path / "passwd"
    path.write_text("joe:{PLAIN}secret\nann:{PLAIN}secret\n")
    path.chmod(0o600)
    penalties = Penalties(free=Free(per_address=3, per_account=2))
    source = PasswordFile(str(path))
    authenticator = Authenticator([source], penalties=penalties, remember_seconds=0)
    assert authenticator.check("joe", "secret", "imap", "192.0.2.1").name == "joe"
    waits = []
    for number in range(6):
        with pytest.raises(BadCredentials) as caught:
            authenticator.check("nobody", f"guess {number}", "imap", "192.0.2.1")
        waits.append(caught.value.wait_seconds)
    assert waits[:3] == [0, 0, 0]
    assert 0 < waits[3] < waits[4] < waits[5]
    with pytest.raises(Throttled):
        authenticator.check("ann", "secret", "imap", "192.0.2.1")
    assert authenticator.check("joe", "secret", "imap", "192.0.2.1").name == "joe"
    assert authenticator.check("ann", "secret", "imap", "192.0.2.2").name == "ann"


def test_R251_a_source_that_cannot_be_asked_is_nobodys_guess() -> None:
    penalties = Penalties(free=Free(per_address=1, per_account=1))
    authenticator = Authenticator([Table(unavailable=True)], penalties=penalties)
    for number in range(50):
        with pytest.raises(AuthUnavailable) as caught:
            authenticator.check("joe", f"right {number}", "imap", "192.0.2.1")
        assert not isinstance(caught.value, Throttled)
    assert penalties.wait_seconds("192.0.2.1", "joe") == 0
