"""maa auth test: what each source was asked, and how it ended."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from maa.auth.app_passwords import AppPasswords
from maa.cli import main
from tests.auth.test_saslauthd import Server, says

WRONG = "refused: wrong password, or no such user"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "mux")
    yield server
    server.close()


@pytest.fixture
def tried(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "passwd").write_text(
        "joe:{PLAIN}secret\nold:{PLAIN}secret::::::nologin\n"
        "near:{PLAIN}secret::::::allow_nets=192.0.2.0/24\n"
    )

    def tried(
        *arguments: str,
        sources: str = '"password-file"',
        password: str = "secret",
        more: str = "",
    ):
        (tmp_path / "maa.toml").write_text(
            f'''listen.imap = ["tcp:143"]
            state = "{tmp_path}/state"
            [auth]
            sources = [{sources}]
            password-file.path = "passwd"
            app-passwords.path = "apps"
            saslauthd.socket = "mux"
            saslauthd.realm = "from-at-sign"
            names.default_domain = "example.org"
            names.local_hosts = "hosts"
            {more}'''
        )
        (tmp_path / "hosts").write_text("example.org\n")
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        command = ["auth", "test", "--stdin", "--config", str(tmp_path / "maa.toml"), *arguments]
        status = main(command)
        return status, capsys.readouterr().out

    return tried


def test_what_saslauthd_gets_and_says_is_shown(server: Server, tried) -> None:
    status, out = tried("--service", "pop3", "joe@sub.example", sources='"saslauthd"')
    assert status == 0
    assert server.asked == [(b"joe", b"secret", b"pop", b"sub.example")]
    for shown in ("3 octets  b'joe'", "3 octets  b'pop'", "11 octets  b'sub.example'", "b'OK'"):
        assert shown in out
    assert "secret" not in out
    assert out.splitlines()[-1].startswith("accepted: joe@sub.example")
    server.answer = says(b"NO authentication failed")
    status, out = tried("joe", sources='"saslauthd"')
    assert status == 1 and "b'NO authentication failed'" in out
    assert out.splitlines()[-1] == WRONG


def test_R251_unavailable_is_no_wrong_password(tried) -> None:
    status, out = tried("joe", sources='"saslauthd"')
    assert status == 1 and "saslauthd: unavailable: " in out
    assert out.splitlines()[-1].startswith("refused: temporarily unavailable: saslauthd at ")
    status, out = tried("joe", sources='"saslauthd", "password-file"')
    assert status == 0 and "saslauthd: unavailable: " in out


def test_the_password_file_is_asked_for_the_account(tried) -> None:
    status, out = tried("joe@example.org")
    assert status == 0 and "'joe@example.org' is the account 'joe'" in out
    for name, password, end in (
        ("joe", "wrong", WRONG),
        ("ann", "secret", WRONG),
        ("old", "secret", "refused: Disabled: "),
        ("near", "secret", "refused: not from this network"),
        ("..", "secret", "refused: no usable name or password"),
    ):
        status, out = tried(name, password=password)
        assert status == 1 and out.splitlines()[-1].startswith(end)
    assert tried("--from", "192.0.2.7", "near")[0] == 0


def test_a_question_that_cannot_be_sent_is_not(tried) -> None:
    status, out = tried("joe", sources='"saslauthd"', password="a\rb")
    assert status == 1 and "not asked" in out


def test_root_is_refused_whatever_saslauthd_says(server: Server, tried) -> None:
    status, out = tried("root", sources='"saslauthd"')
    assert status == 1 and "b'OK'" in out
    assert out.splitlines()[-1] == "refused: not a user whose mail is served"


def test_nothing_is_written(tmp_path: Path, tried) -> None:
    before = (tmp_path / "passwd").read_bytes()
    status, _ = tried("joe", more='password-file.rehash = "SHA512-CRYPT"')
    assert status == 0
    assert (tmp_path / "passwd").read_bytes() == before


def test_it_ends_as_the_servers_own_login_would(tmp_path: Path, tried) -> None:
    # The first that could not be asked may know the user; the second decides nothing against it.
    status, out = tried("joe", sources='"saslauthd", "password-file"', password="wrong")
    assert status == 1 and "password-file: knows the user, and says BadCredentials" in out
    assert out.splitlines()[-1].startswith("refused: temporarily unavailable: ")
    apps = AppPasswords(str(tmp_path / "apps"), str(tmp_path / "seen"))
    status, out = tried("joe", password=apps.add("joe", "phone"))
    assert status == 0 and "the device 'phone' of joe" in out
    assert apps.last_use("joe", "phone") is None
