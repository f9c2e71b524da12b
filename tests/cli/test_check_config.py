"""`maa check-config`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from maa import __version__
from maa.cli import main
from maa.service.demo import new_certificate
from maa.service.exposed import exposed
from maa.service.reading import understood

GOOD = """
hostname = "mail.example.org"
run_as = "maa"
workers = 1
[listen]
imap = ["tcp:143"]
[auth]
password-file.path = "passwd"
"""


def test_a_good_file_has_no_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "passwd").touch(0o600)
    (tmp_path / "maa.toml").write_text(GOOD)
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/maa.toml: no faults\n"


def test_all_faults_are_said_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "maa.toml").write_text('workers = "many"\n' + GOOD.replace("hostname", "host", 1))
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 1
    assert capsys.readouterr().err.count("not TOML") == 1
    (tmp_path / "maa.toml").write_text(GOOD.replace("hostname", "host").replace("= 1", "= 999"))
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_what_is_allowed_but_surprising_is_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD + '[tls]\nplaintext_login = "always"\n'
    (tmp_path / "maa.toml").write_text(text)
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 0
    said = capsys.readouterr().out
    assert "auth.password-file.path: " in said
    assert "tls.plaintext_login: " in said


def test_secrets_that_anybody_can_reach_are_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = ("passwd", "apps", "secret", "keytab")
    text = GOOD + 'app-passwords.path = "apps"\noauth.secret_file = "secret"\n'
    config = understood(
        tomllib.loads(text + 'gssapi.keytab = "keytab"\nsources = ["password-file"]\n'), tmp_path
    )[0]
    for file, mode in zip(files, (0o604, 0o620, 0o602, 0o644), strict=True):
        (tmp_path / file).touch()
        (tmp_path / file).chmod(mode)
    found = exposed(config)
    assert [line.partition(":")[0] for line in found] == [
        "auth.password-file.path",
        "auth.app-passwords.path",
        "auth.oauth.secret_file",
        "auth.gssapi.keytab",
    ]
    assert ["chmod o-r" in line for line in found] == [True, False, False, True]
    (tmp_path / "maa.toml").write_text(text)
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 0
    assert capsys.readouterr().out.count("chmod") == 3
    for file in files:
        (tmp_path / file).chmod(0o640)
    assert exposed(config) == []


def test_a_realm_that_saslauthd_may_not_look_at_is_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = GOOD + 'sources = ["saslauthd"]\nsaslauthd.realm = "from-at-sign"\n'
    (tmp_path / "maa.toml").write_text(text)
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 0
    assert "-r" in capsys.readouterr().out


def test_certificate_and_key_are_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "passwd").touch(0o600)
    text = GOOD + '[tls]\ncertificate = "cert.pem"\nkey = "key.pem"\n'
    (tmp_path / "maa.toml").write_text(text)
    certificate, key, other = (tmp_path / f"{name}.pem" for name in ("cert", "key", "other"))
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 0
    assert capsys.readouterr().out.count("the server does not start without it") == 2
    new_certificate(certificate, key)
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/maa.toml: no faults\n"
    new_certificate(certificate, other)
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 1
    assert "mismatch" in capsys.readouterr().err
    certificate.write_text("nothing")
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 1
    assert "no start line" in capsys.readouterr().err


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"maa {__version__}\n"


def test_a_mechanism_whose_library_is_missing_is_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("jwt", "gssapi"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "maa.toml").write_text(
        GOOD
        + 'oauth.jwks = "jwks.json"\noauth.issuer = "*"\noauth.audience = "*"\n'
        + 'gssapi.keytab = "keytab"\n'
    )
    assert main(["check-config", str(tmp_path / "maa.toml")]) == 1
    said = capsys.readouterr().err
    assert "auth.oauth.jwks: needs PyJWT" in said and "auth.gssapi.keytab: needs gssapi" in said
