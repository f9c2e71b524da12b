"""maa.auth.app_passwords: one for each device, beside any source."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from maa.auth.app_passwords import AppPasswords, NoSuchDevice, when
from maa.auth.credentials import Authenticator
from maa.auth.errors import AuthUnavailable, BadCredentials, Disabled, Throttled, Undecided
from maa.auth.password_file import PasswordFile
from maa.auth.saslauthd import Saslauthd
from maa.user import User


@pytest.fixture
def apps(tmp_path: Path) -> AppPasswords:
    return AppPasswords(str(tmp_path / "apps"), str(tmp_path / "seen"))


@pytest.fixture
def authenticator(tmp_path: Path, apps: AppPasswords) -> Authenticator:
    (tmp_path / "passwd").write_text("joe:{PLAIN}secret\nold:{PLAIN}x::::::nologin\nsafe:!\n")
    (tmp_path / "passwd").chmod(0o600)
    return Authenticator([PasswordFile(str(tmp_path / "passwd"))], app_passwords=apps)


def test_an_app_password_lets_its_user_in_and_nobody_else(
    apps: AppPasswords, authenticator: Authenticator
) -> None:
    phone = apps.add("joe", "phone")
    assert authenticator.check("joe", phone) == User("joe")
    assert authenticator.check("joe", phone.replace("-", "").upper()) == User("joe")
    assert authenticator.check("joe", "secret") == User("joe")
    for name, password in (("old", phone), ("safe", phone), ("ann", phone), ("joe", phone[:-1])):
        with pytest.raises(BadCredentials):
            authenticator.check(name, password)


def test_a_user_without_a_password_may_have_app_passwords_alone(
    apps: AppPasswords, authenticator: Authenticator
) -> None:
    assert authenticator.check("safe", apps.add("safe", "laptop")) == User("safe")


def test_users_whom_saslauthd_alone_knows_may_have_devices(
    tmp_path: Path, apps: AppPasswords
) -> None:
    phone = apps.add("virtual", "phone")
    strict = Authenticator([Saslauthd(str(tmp_path / "mux"))], app_passwords=apps)
    with pytest.raises(BadCredentials):
        strict.check("virtual", phone)
    saslauthd = Saslauthd(str(tmp_path / "mux"), vouched="anybody")
    assert Authenticator([saslauthd], app_passwords=apps).check("virtual", phone) == User("virtual")


def test_R251_devices_that_cannot_be_read_are_no_wrong_passwords(
    apps: AppPasswords, authenticator: Authenticator
) -> None:
    apps.add("joe", "phone")
    os.rename(apps.path, apps.path + ".away")
    os.mkdir(apps.path)
    waits = []
    for number in range(12):
        with pytest.raises(AuthUnavailable) as caught:
            authenticator.check("joe", f"guess {number}", "imap", "192.0.2.7")
        waits.append(type(caught.value))
    # It was a guess all the same, perhaps.
    assert waits[0] is Undecided and waits[-1] is Undecided
    for number in range(12, 20):
        with pytest.raises(AuthUnavailable):
            authenticator.check("joe", f"guess {number}", "imap", "192.0.2.7")
    with pytest.raises(Throttled):
        authenticator.check("joe", "guess", "imap", "192.0.2.7")
    assert authenticator.check("joe", "secret") == User("joe")


def test_a_file_that_fails_once_is_read_the_next_time(
    apps: AppPasswords, authenticator: Authenticator, caplog: pytest.LogCaptureFixture
) -> None:
    phone = apps.add("joe", "phone")

    def failing(path: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files", path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maa.auth.app_passwords.settled", failing)
        for _ in range(3):
            with pytest.raises(Undecided):
                authenticator.check("joe", phone)
    assert len([line for line in caplog.messages if "Too many open files" in line]) == 1
    assert authenticator.check("joe", phone) == User("joe")


def test_while_there_are_devices_no_challenge_is_offered_of_itself(
    tmp_path: Path, apps: AppPasswords, authenticator: Authenticator
) -> None:
    (tmp_path / "passwd").write_text("joe:{PLAIN}secret\n")
    authenticator.load()
    assert "SCRAM-SHA-256" in authenticator.serves().all
    apps.add("joe", "phone")
    authenticator.load()
    assert not authenticator.serves().all
    assert "SCRAM-SHA-256" in authenticator.serves().some
    apps.revoke("joe", "phone")
    authenticator.load()
    assert "SCRAM-SHA-256" in authenticator.serves().all


def test_a_disabled_user_does_not_come_in_by_a_device(
    apps: AppPasswords, authenticator: Authenticator
) -> None:
    with pytest.raises(Disabled):
        authenticator.check("old", apps.add("old", "phone"))


def test_a_revoked_password_is_not_even_remembered(
    apps: AppPasswords, authenticator: Authenticator
) -> None:
    phone, laptop = apps.add("joe", "phone"), apps.add("joe", "laptop")
    authenticator.check("joe", phone)
    assert authenticator.remembered("joe", phone) == User("joe")
    apps.revoke("joe", "phone")
    assert authenticator.remembered("joe", phone) is None
    with pytest.raises(BadCredentials):
        authenticator.check("joe", phone)
    assert authenticator.check("joe", laptop) == User("joe")
    with pytest.raises(NoSuchDevice):
        apps.revoke("joe", "phone")


def test_a_new_password_of_a_device_replaces_the_old_one(
    apps: AppPasswords, authenticator: Authenticator
) -> None:
    old, new = apps.add("joe", "phone"), apps.add("joe", "phone")
    assert [one.device for one in apps.listed("joe")] == ["phone"]
    assert authenticator.check("joe", new) == User("joe")
    with pytest.raises(BadCredentials):
        authenticator.check("joe", old)


def test_the_last_use_is_known(apps: AppPasswords, authenticator: Authenticator) -> None:
    phone = apps.add("joe", "phone")
    assert apps.last_use("joe", "phone") is None
    assert when(None) == "never used"
    authenticator.check("joe", phone, "imap", "192.0.2.7")
    use = apps.last_use("joe", "phone")
    assert use is not None
    assert abs(use.seconds - time.time()) < 5
    assert use.address == "192.0.2.7"
    assert "192.0.2.7" in when(use)
    apps.add("joe", "phone")
    assert apps.last_use("joe", "phone") is None


def test_the_file_holds_no_password_and_is_the_owners_alone(apps: AppPasswords) -> None:
    phone = apps.add("joe", "phone")
    text = Path(apps.path).read_text()
    assert phone.replace("-", "") not in text and text.startswith("joe:phone:{SSHA256}")
    assert os.stat(apps.path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("device", ["", "a:b", "a\nb", "x" * 65, "-x", "é"])
def test_what_is_no_name_of_a_device_is_refused(apps: AppPasswords, device: str) -> None:
    with pytest.raises(ValueError, match="device"):
        apps.add("joe", device)


def test_damaged_lines_are_passed_over(apps: AppPasswords, authenticator: Authenticator) -> None:
    phone = apps.add("joe", "phone")
    with open(apps.path, "a") as file:
        file.write("# comment\n\njoe\njoe:x:{NOTHING}y:\n../x:a:{SSHA256}AAAA:\n")
    assert authenticator.check("joe", phone) == User("joe")
