"""The configuration file: what is understood, and how faults are told."""

from __future__ import annotations

import tomllib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from maa.networks import Networks
from maa.service.config import Config, Endpoint, KeyPair, Listen
from maa.service.reading import ConfigError, load, understood

ROOT = Path(__file__).parents[2]
MINIMAL = '[listen]\nimap = ["tcp:143"]\n'


def loaded(folder: Path, text: str) -> Config:
    file = folder / "maa.toml"
    file.write_text(text)
    return load(file)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, text)
    prefix = f"{folder}/maa.toml: "
    lines = str(caught.value).splitlines()
    assert all(line.startswith(prefix) for line in lines)
    return [line.removeprefix(prefix) for line in lines]


def test_what_is_not_said_has_its_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, MINIMAL) == Config(listen=Listen(imap=(Endpoint("tcp:143"),)))


def test_every_setting_can_be_said(tmp_path: Path) -> None:
    config = loaded(
        tmp_path,
        """
        hostname = "mail.example.org"
        state = "/srv/state"
        workers = 2
        run_as = "maa"
        [listen]
        imap = ["tcp:143", "tcp6:143:interface=\\\\:\\\\:1"]
        imaps = [{endpoint = "tcp:993", client_certificates = "optional", allow = ["10.0.0.0/8"]}]
        pop3 = ["unix:/run/pop3"]
        pop3s = ["tcp:995"]
        http = ["tcp:9110:interface=127.0.0.1"]
        [tls]
        certificate = "cert.pem"
        key = "/etc/key.pem"
        further = [{certificate = "other.pem", key = "other.key"}]
        client_authorities = "ca.pem"
        client_revocations = "crl.pem"
        plaintext_login = "never"
        [auth]
        sources = ["saslauthd", "password-file"]
        first_uid = 1000
        mechanisms = ["PLAIN", "scram-sha-256", "apop"]
        proxies = ["backup"]
        password-file.path = "passwd"
        password-file.rehash = "SCRAM-SHA-256"
        app-passwords.path = "apps"
        names.default_domain = "Example.org"
        names.local_hosts = "hosts"
        names.domain_table = "/etc/mail/domaintable"
        names.virtual_users = "virtual"
        oauth.claim = "upn"
        oauth.issuer = "https://login.example.org"
        oauth.audience = "mail"
        oauth.scope = "imap"
        oauth.jwks = "https://login.example.org/keys"
        oauth.introspection = "http://127.0.0.1:8080/introspect"
        oauth.client_id = "maa"
        oauth.secret_file = "secret"
        gssapi.keytab = "keytab"
        gssapi.realm = "EXAMPLE.ORG"
        saslauthd.socket = "/run/mux"
        saslauthd.realm = "example.org"
        saslauthd.vouched = "anybody"
        saslauthd.silent_seconds = 60
        [mail]
        home = "/srv/{domain}/{local}"
        inbox = "maildir:{home}/in"
        folders = "maildir:{home}/folders"
        locks = ["dotlock", "flock"]
        quota = "1.5 GiB, 100000 messages"
        [log]
        audit = "audit.log"
        [limits]
        connections = 1
        connections_per_address = 2
        not_logged_in = 3
        not_logged_in_per_address = 4
        sessions_per_user = 5
        sessions_per_device = 6
        failed_logins_per_address = 7
        failed_logins_per_account = 8
        keepalive_minutes = 9
        mobile_keepalive_minutes = 0
        exempt = ["10.0.0.1"]
        """,
    )
    assert config.listen.imap == (
        Endpoint("tcp:143"),
        Endpoint(r"tcp6:143:interface=\:\:1"),
    )
    assert config.listen.imaps == (
        Endpoint("tcp:993", allow=Networks.parse(["10.0.0.0/8"]), client_certificates="optional"),
    )
    assert config.tls.certificate == tmp_path / "cert.pem"
    assert config.tls.further == (KeyPair(tmp_path / "other.pem", tmp_path / "other.key"),)
    assert config.auth.password_file.path == tmp_path / "passwd"
    assert config.auth.sources == ("saslauthd", "password-file")
    assert config.mail.locks == ("dotlock", "flock")
    assert _differs_everywhere(config, Config())


def _differs_everywhere(one: Any, other: Any) -> bool:
    for part in fields(one):
        mine, default = getattr(one, part.name), getattr(other, part.name)
        if is_dataclass(mine) and not isinstance(mine, Networks):
            assert _differs_everywhere(mine, default)
        else:
            assert mine != default, f"the test says nothing new for {part.name}"
    return True


def test_all_faults_are_told_at_once_with_what_is_allowed(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        """
        hostname = "no blanks please"
        workers = -1
        run_as = "root"
        [listen]
        imap = "tcp:143"
        [tls]
        plaintext_login = "sometimes"
        [auth]
        sources = []
        [mail]
        inbox = "mh:{home}/Mail"
        quota = "a lot"
        [limits]
        connections = 0
        keepalive_minutes = 30
        """,
    )
    assert [line.partition(":")[0] for line in found] == [
        "hostname",
        "workers",
        "run_as",
        "listen.imap",
        "tls.plaintext_login",
        "auth.sources",
        "mail.inbox",
        "mail.quota",
        "limits.connections",
        "limits.keepalive_minutes",
    ]
    assert "'sometimes' is not allowed: one of never, loopback, always" in found[4]
    assert "from 0 (one process per core) to 256" in found[1]
    assert "maildir:PATH" in found[6]
    assert "'a lot' is no quota: use octets, messages or both" in found[7]


def test_an_unknown_setting_is_a_fault_with_a_suggestion(tmp_path: Path) -> None:
    text = f'hostnam = "x"\n{MINIMAL}[tls]\ncert = "x"\n[auth]\npassword_file.path = "x"'
    assert faults(tmp_path, text) == [
        "hostnam: unknown setting; did you mean hostname?",
        "tls.cert: unknown setting; here may stand certificate, key, further, "
        "client_authorities, client_revocations, plaintext_login",
        "auth.password_file: unknown setting; did you mean password-file?",
    ]


def test_a_table_where_a_value_belongs_is_a_fault(tmp_path: Path) -> None:
    assert faults(tmp_path, MINIMAL + "[hostname]\nx = 1\n") != []
    assert faults(tmp_path, "tls = 7\n" + MINIMAL) == ["tls: must be a table of settings"]


@pytest.mark.parametrize(
    "address",
    ["http://x.example/k", "http://localhost.evil.example/k", "http://127.0.0.1.evil.example/k",
     "http://localhost@evil.example/k", "https://", "https://a@b/k", "http://[::1/k", "ftp://localhost/"],
)  # fmt: skip
def test_an_issuer_on_the_way_to_whom_others_listen_is_a_fault(
    address: str, tmp_path: Path
) -> None:
    text = f'{MINIMAL}[auth]\noauth.introspection = "{address}"\n'
    assert any(line.startswith("auth.oauth.introspection: ") for line in faults(tmp_path, text))


@pytest.mark.parametrize(
    "endpoint", ["tcp", "tcp:notaport:x=1", "tcp:99999", "tcp6:-1", "nonsense:1", ""]
)
def test_a_bad_endpoint_is_a_fault(endpoint: str, tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f'[listen]\nimap = ["{endpoint}"]\n')
    assert found.startswith("listen.imap: ")


def test_tls_listeners_need_a_certificate(tmp_path: Path) -> None:
    assert faults(tmp_path, '[listen]\nimaps = ["tcp:993"]\n') == [
        "listen.imaps: needs tls.certificate and tls.key"
    ]


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('{client_certificates = "optional"}', "a list of Twisted endpoint strings"),
        ('{endpoint = "tcp:1", alow = []}', "alow: unknown setting"),
        ('{endpoint = "tcp:1", client_certificates = "yes"}', "one of none, optional, required"),
        ('{endpoint = "tcp:1", allow = ["10.0.0.1/8"]}', "has host bits set"),
        ('{endpoint = "tcp:1", proxies = "10.0.0.1"}', "a list of networks and addresses"),
        ('{endpoint = "tcp"}', "a list of Twisted endpoint strings"),
        ("7", "a list of Twisted endpoint strings"),
    ],
)
def test_a_bad_table_in_a_list_is_a_fault(entry: str, told: str, tmp_path: Path) -> None:
    (found,) = faults(tmp_path, f"[listen]\nimap = [{entry}]\n")
    assert found.startswith("listen.imap: ")
    assert told in found


def test_client_certificates_need_authorities(tmp_path: Path) -> None:
    text = '[listen]\nimap = [{endpoint = "tcp:1", client_certificates = "required"}]\n'
    (found,) = faults(tmp_path, text + '[tls]\ncertificate = "c"\nkey = "k"\n')
    assert found.endswith("needs tls.certificate, tls.key and tls.client_authorities")


def test_further_certificates_need_a_first(tmp_path: Path) -> None:
    text = MINIMAL + '[tls]\nfurther = [{certificate = "c", key = "k"}]\n'
    (found,) = faults(tmp_path, text)
    assert found.startswith("tls.further: needs ")
    (found,) = faults(tmp_path, MINIMAL + '[tls]\nfurther = [{certificate = "c"}]\n')
    assert "a list of tables such as" in found


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, MINIMAL + '[tls]\ncertificate = "cert.pem"\n')
    assert found.startswith("tls.key: ")


def test_a_server_that_would_listen_nowhere_is_a_fault(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, "")
    assert found.startswith("listen: ")


def test_formats_without_a_reader_are_refused_clearly(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, MINIMAL + '[mail]\ninbox = "mdbox:/var/mail/{user}"\n')
    assert "use maildir:PATH, mbox:PATH or mboxrd:PATH" in found


def test_the_classic_mechanisms_have_a_name(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL + '[auth]\nmechanisms = ["auto", "classic", "plain"]\n')
    assert config.auth.mechanisms == ("auto", "plain", "login", "cram-md5", "digest-md5", "apop")


def test_keys_of_tokens_need_an_issuer_and_an_audience(tmp_path: Path) -> None:
    keys = MINIMAL + '[auth]\noauth.jwks = "jwks.json"\n'
    assert [line.partition(":")[0] for line in faults(tmp_path, keys)] == [
        "auth.oauth.issuer",
        "auth.oauth.audience",
    ]
    loaded(tmp_path, keys + 'oauth.issuer = "https://login.example.org"\noauth.audience = "*"\n')
    asked = MINIMAL + '[auth]\noauth.introspection = "https://login.example.org/i"\n'
    assert [line.partition(":")[0] for line in faults(tmp_path, asked)] == ["auth.oauth.audience"]
    loaded(tmp_path, asked + 'oauth.audience = "mail"\n')


def test_a_file_that_is_not_toml_is_told_with_the_line(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, "hostname = \n")
    assert found.startswith("not TOML: ")
    assert "line 1" in found


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"maa\.toml: cannot be read: No such file"):
        load(tmp_path / "maa.toml")


def test_the_shipped_file_shows_every_setting_with_its_default() -> None:
    text = (ROOT / "config/maa.toml").read_text()
    config = load(ROOT / "config/maa.toml")
    assert replace(config, hostname="", listen=Listen()) == Config(hostname="")
    # The settings without a default are there as comments.
    table = tomllib.loads(
        text.replace("\n# hostname =", "\nhostname =")
        .replace("\n# certificate =", "\ncertificate =")
        .replace("\n# run_as =", "\nrun_as =")
        .replace("\n# audit =", "\naudit =")
        .replace("\n# key =", "\nkey =")
        .replace("\n# client_authorities =", "\nclient_authorities =")
        .replace("\n# client_revocations =", "\nclient_revocations =")
        .replace("\n# names.", "\nnames.")
        .replace("\n# oauth.", "\noauth.")
        .replace("\n# gssapi.", "\ngssapi.")
    )
    assert _keys(table) == _settings(Config())


def _keys(table: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in table.items():
        found |= _keys(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
    return found


def _settings(config: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for part in fields(config):
        value = getattr(config, part.name)
        section = is_dataclass(value) and not isinstance(value, Networks)
        name = part.name.replace("_", "-") if section else part.name
        found |= _settings(value, f"{prefix}{name}.") if section else {prefix + name}
    return found


@pytest.mark.parametrize(
    "file", sorted((ROOT / "config/examples").glob("*.toml")), ids=lambda f: f.stem
)
def test_the_shipped_examples_have_no_faults(file: Path) -> None:
    config, found = understood(tomllib.loads(file.read_text()), file.parent)
    assert found == []
    assert config.hostname == "mail.example.org"
