"""Every SASL mechanism by somebody else's client: gsasl, curl, mbsync, mutt, imaplib, poplib."""

from __future__ import annotations

import imaplib
import json
import poplib
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from . import messages
from .certificate import write
from .clients import bodies, trust
from .messages import as_sent
from .server import Server
from .terminal import Terminal
from .test_mbsync import Mbsync
from .users import User, run_client

MECHANISMS = (
    "scram-sha-256-plus", "scram-sha-256", "scram-sha-1-plus", "scram-sha-1", "plain", "login",
    "cram-md5", "digest-md5", "external", "oauthbearer", "xoauth2", "apop",
)  # fmt: skip
ISSUER = "https://login.example.org"
SOURCE = f"""sources = ["password-file"]
password-file.path = "{{folder}}/passwd"
mechanisms = {json.dumps(MECHANISMS)}
oauth.issuer = "{ISSUER}"
oauth.audience = "mail"
oauth.claim = "sub"
oauth.jwks = "{{folder}}/jwks.json"
"""
PASSWORD = "s3cret-Password"
"""Without what the clients' own files would have to escape."""
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def person(everyone: list[User]) -> User:
    last = everyone[0]
    person = User("sasl-user", last.home.parent / "sasl-user", last.uid + 5000, PASSWORD)
    person.make_home()
    person.deliver(messages.PLAIN)
    return person


@pytest.fixture(scope="module")
def server(base: Path, person: User) -> Iterator[Server]:
    server = Server(base / "mechanisms-server", person.home.parent, [person], SOURCE)
    server.configure()
    # The certificate is its own authority, and names this very user.
    write(server.folder / "client.pem", server.folder / "client-key.pem", person.name)
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
    public = json.loads(algorithm.to_jwk(KEY.public_key())) | {"kid": "one", "alg": "ES256"}
    (server.folder / "jwks.json").write_text(json.dumps({"keys": [public]}))
    file = server.folder / "maa.toml"
    text = re.sub(
        r'^(imaps?) = \["([^"]+)"\]',
        r'\1 = [{endpoint = "\2", client_certificates = "optional"}]',
        file.read_text(),
        flags=re.M,
    )
    authorities = f'[tls]\nclient_authorities = "{server.folder}/client.pem"'
    log = f'[log]\naudit = "{server.folder}/audit.log"\n'
    file.write_text(text.replace("[tls]", authorities) + log)
    server.start()
    try:
        yield server
        assert not server.faults()
    finally:
        server.stop()


class Logins:
    """By which mechanisms somebody came in since this was made."""

    def __init__(self, server: Server) -> None:
        self._file = server.folder / "audit.log"
        self._before = len(self._lines())

    def _lines(self) -> list[str]:
        return self._file.read_text().splitlines() if self._file.exists() else []

    def mechanisms(self) -> list[str]:
        events = (json.loads(line.lstrip("\x1e")) for line in self._lines()[self._before :])
        return [event["mechanism"] for event in events if "mechanism" in event]


def token(person: User) -> str:
    claims = {"iss": ISSUER, "aud": "mail", "sub": person.name, "exp": time.time() + 300}
    return jwt.encode(claims, KEY, algorithm="ES256", headers={"kid": "one"})


# --- gsasl


def gsasl(server: Server, mechanism: str, person: User, password: str, *more: str) -> str:
    """What gsasl and the server said; the last tagged answer says how it ended."""
    command = [
        "gsasl", "--verbose", "--imap", f"--connect=localhost:{server.imap}",
        f"--mechanism={mechanism}", f"--authentication-id={person.name}",
        f"--password={password}", "--authorization-id=", "--hostname=localhost",
        "--quality-of-protection=qop-auth", *more,
    ]  # fmt: skip
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def tls(server: Server) -> tuple[str, str]:
    return "--starttls", f"--x509-ca-file={server.certificate}"


@pytest.mark.parametrize(
    "mechanism",
    ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"],
)
def test_gsasl_in_the_clear(server: Server, person: User, mechanism: str) -> None:
    said = gsasl(server, mechanism, person, person.password, "--no-starttls")
    assert "Logged in" in said, said
    said = gsasl(server, mechanism, person, "wrong", "--no-starttls")
    assert "Logged in" not in said and "AUTHENTICATIONFAILED" in said, said


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"])
def test_gsasl_with_channel_binding(server: Server, person: User, mechanism: str) -> None:
    said = gsasl(server, mechanism, person, person.password, *tls(server))
    assert "Logged in" in said, said
    said = gsasl(server, mechanism, person, "wrong", *tls(server))
    assert "Logged in" not in said and "AUTHENTICATIONFAILED" in said, said


def test_gsasl_by_its_certificate(server: Server, person: User) -> None:
    folder = server.folder
    certificate = (
        f"--x509-cert-file={folder}/client.pem",
        f"--x509-key-file={folder}/client-key.pem",
    )
    said = gsasl(server, "EXTERNAL", person, "", *tls(server), *certificate)
    assert "Logged in" in said, said
    said = gsasl(server, "EXTERNAL", person, "", *tls(server))
    assert "Logged in" not in said and "CANNOT" in said, said


# --- curl


def curl(server: Server, scratch: Path, url: str, *options: str) -> subprocess.CompletedProcess:
    command = ["curl", "--silent", "--show-error", "--max-time", "30", *options, url]
    return run_client([*command, "--cacert", str(server.certificate)], scratch)


@pytest.mark.parametrize(
    "mechanism",
    ["PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5"],  # Debian builds it without SCRAM
)
@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_curl(server: Server, person: User, scratch: Path, mechanism: str, protocol: str) -> None:
    options = ("--login-options", f"AUTH={mechanism}", "--user")
    place = "INBOX;MAILINDEX=1" if protocol == "imap" else "1"
    url = f"{protocol}://localhost:{getattr(server, protocol)}/{place}"
    done = curl(server, scratch, url, *options, f"{person.name}:{person.password}")
    assert done.stdout == as_sent(messages.PLAIN), done.stderr
    done = curl(server, scratch, url, *options, f"{person.name}:wrong")
    assert done.returncode == 67, done.stderr  # CURLE_LOGIN_DENIED


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("protocol", ["imaps", "pop3s"])
def test_curl_with_a_token(
    server: Server, person: User, scratch: Path, mechanism: str, protocol: str
) -> None:
    place = "INBOX;MAILINDEX=1" if protocol == "imaps" else "1"
    url = f"{protocol}://localhost:{getattr(server, protocol)}/{place}"
    options = ("--login-options", f"AUTH={mechanism}", "--user", person.name, "--oauth2-bearer")
    done = curl(server, scratch, url, *options, token(person))
    assert done.stdout == as_sent(messages.PLAIN), done.stderr
    done = curl(server, scratch, url, *options, token(person)[:-4] + "AAAA")
    assert done.returncode == 67, done.stderr


def test_curl_apop(server: Server, person: User, scratch: Path) -> None:
    url = f"pop3://localhost:{server.pop3}/1"
    options = ("--login-options", "AUTH=+APOP", "--user", f"{person.name}:{person.password}")
    assert curl(server, scratch, url, *options).stdout == as_sent(messages.PLAIN)


# --- mbsync and mutt, whose mechanisms are Cyrus SASL's


@pytest.mark.parametrize(
    ("security", "mechanisms"),
    [("plain", "CRAM-MD5"), ("plain", "DIGEST-MD5"), ("plain", "SCRAM-SHA-1"),
     ("plain", "SCRAM-SHA-256"), ("tls", "SCRAM-SHA-256"), ("tls", "PLAIN")],
)  # fmt: skip
def test_mbsync(
    server: Server, person: User, new_user: Callable[[], User], base: Path, security: str,
    mechanisms: str,
) -> None:  # fmt: skip
    scratch = base / f"mbsync-{security}-{mechanisms}"
    scratch.mkdir()
    scratch.chmod(0o777)
    client = Mbsync(scratch, server, person, security)
    rc = client.rc.read_text().replace("AuthMechs LOGIN", "")
    client.rc.write_text(rc.replace("SSLType", f"AuthMechs {mechanisms}\nSSLType"))
    logins = Logins(server)
    client.run()
    assert logins.mechanisms() == [mechanisms]
    found = [file.read_bytes() for file in (scratch / "mail/INBOX").glob("*/*")]
    assert len(found) == 1


@pytest.mark.parametrize("mechanism", ["cram-md5", "scram-sha-256", "digest-md5", "plain"])
def test_mutt(server: Server, person: User, scratch: Path, mechanism: str) -> None:
    rc = scratch / "muttrc"
    rc.write_text(
        f'set imap_user="{person.name}"\nset imap_pass="{person.password}"\n'
        f'set imap_authenticators="{mechanism}"\nset ssl_starttls=no\nset ssl_force_tls=no\n'
        f'set folder="imap://localhost:{server.imap}/"\nset delete=no\nset quit=yes\n'
    )
    rc.chmod(0o644)
    place = f"imap://localhost:{server.imap}/INBOX"
    logins = Logins(server)
    with Terminal(["mutt", "-n", "-F", rc, "-f", place], scratch) as screen:
        screen.wait("plain words")
        screen.type("q")
    assert logins.mechanisms() == [mechanism.upper()]


# --- Python


def test_imaplib_cram_md5(server: Server, person: User) -> None:
    client = imaplib.IMAP4("127.0.0.1", server.imap, timeout=30)
    client.login_cram_md5(person.name, person.password)
    assert bodies(client) == [as_sent(messages.PLAIN)]
    client.logout()


def test_imaplib_over_tls_is_offered_all(server: Server) -> None:
    client = imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=trust(server.certificate))
    offered = {word.removeprefix("AUTH=") for word in client.capabilities if "AUTH=" in word}
    assert offered == {name.upper() for name in MECHANISMS} - {"APOP", "EXTERNAL"}
    client.logout()


def test_poplib_apop(server: Server, person: User) -> None:
    client = poplib.POP3("127.0.0.1", server.pop3, timeout=30)
    assert client.apop(person.name, person.password).startswith(b"+OK")
    assert client.stat()[0] == 1
    client.quit()
