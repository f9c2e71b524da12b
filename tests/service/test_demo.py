"""The demo's folder."""

from __future__ import annotations

import stat
from pathlib import Path

from maa.auth.password_file import PasswordFile
from maa.service import demo
from maa.service.config import Listen
from maa.service.demo import CLASSIC_USER, USER, prepared
from maa.store.accounts import Accounts
from maa.store.places import MailPlaces
from maa.store.watch import Watcher


def test_everything_is_under_its_folder(tmp_path: Path) -> None:
    config, _ = prepared(tmp_path / "var")
    assert [one.name for one in tmp_path.iterdir()] == ["var"]
    assert config.state == tmp_path / "var/state"
    assert config.mail.home.startswith(f"{tmp_path}/var/")
    assert config.tls.certificate == tmp_path / "var/cert.pem"


def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    listen: Listen = prepared(tmp_path)[0].listen
    endpoints = [*listen.imap, *listen.imaps, *listen.pop3, *listen.pop3s, *listen.http]
    assert len(endpoints) == 5
    assert all(endpoint.endpoint.endswith(":interface=127.0.0.1") for endpoint in endpoints)


def test_the_password_it_prints_is_the_users(tmp_path: Path) -> None:
    config, text = prepared(tmp_path)
    password = (tmp_path / "password").read_text().strip()
    assert f"password {password}" in text
    passwords = PasswordFile(str(config.auth.password_file.path))
    user = passwords.check(USER, password.encode(), "imap")
    assert user is not None
    assert passwords.faults() == ()


def test_the_second_user_has_mbox_files(tmp_path: Path) -> None:
    config, text = prepared(tmp_path)
    password = (tmp_path / "password").read_text().strip()
    user = PasswordFile(str(config.auth.password_file.path)).check(
        CLASSIC_USER, password.encode(), "imap"
    )
    assert user is not None
    assert f"User {CLASSIC_USER}" in text
    places = MailPlaces.parse(config.mail.home, config.mail.inbox, config.mail.folders)
    accounts = Accounts(str(config.state), places, Watcher())
    inbox = accounts.open(user).open("INBOX")
    maildir = tmp_path / "mail" / USER / "Maildir"
    assert len(inbox.snapshot.uids) == len([*maildir.glob("new/*"), *maildir.glob("cur/*")])
    accounts.close()


def test_a_demo_of_an_older_version_gets_the_second_user(tmp_path: Path) -> None:
    prepared(tmp_path)
    passwd = tmp_path / "passwd"
    both = passwd.read_text()
    passwd.write_text(both.splitlines(keepends=True)[0])
    prepared(tmp_path)
    assert passwd.read_text() == both


def test_secrets_are_the_owners_alone(tmp_path: Path) -> None:
    prepared(tmp_path)
    for name in ("key.pem", "password", "passwd"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_a_dozen_messages_are_laid_out_some_read(tmp_path: Path) -> None:
    prepared(tmp_path)
    maildir = tmp_path / "mail" / USER / "Maildir"
    new, cur = list((maildir / "new").iterdir()), list((maildir / "cur").iterdir())
    assert len(new) + len(cur) >= 12
    assert new
    assert all(one.name.endswith(":2,S") for one in cur)
    assert cur


def test_the_second_start_uses_what_is_there(tmp_path: Path) -> None:
    first, text = prepared(tmp_path)
    message = next((tmp_path / "mail" / USER / "Maildir/new").iterdir())
    message.unlink()
    before = {one: one.stat().st_mtime_ns for one in tmp_path.rglob("*")}
    assert prepared(tmp_path) == (first, text)
    assert {one: one.stat().st_mtime_ns for one in tmp_path.rglob("*")} == before


def test_the_shipped_messages_are_those_of_the_tests() -> None:
    shipped = Path(demo.__file__).parent / "demo_mail"
    ours = Path(__file__).parents[1] / "mail"
    for message in shipped.iterdir():
        assert message.read_bytes() == (ours / message.name).read_bytes()
