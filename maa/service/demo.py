"""The demo: a whole server under one folder, for who has just installed it.

Everything is kept and used again: the certificate, the password, the index, and the mail with
whatever the visitor did to it.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import re
import secrets
import socket
import time
from importlib import resources
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from maa.auth.new_hashes import new_hash
from maa.service.config import AppPasswords, Auth, Config, Endpoint, Listen, Mail, PasswordFile, Tls

USER: Final = "demo"
CLASSIC_USER: Final = "classic"
_CLASSIC_MAIL: Final = "inbox=mbox:{home}/spool folders=mbox:{home}/mail"
PORTS: Final = {"imap": 1143, "imaps": 1993, "pop3": 1110, "pop3s": 1995, "http": 9110}
_DAYS: Final = 3650
_MESSAGES: Final = resources.files("maa.service") / "demo_mail"

_HELP: Final = """
maa serves a demo from {folder}; user {user}, password {password}
User {classic}, with the same password, has mbox files instead of a Maildir.

  curl -k --user {user}:{password} imaps://localhost:{imaps}/INBOX
  curl -k --user {user}:{password} 'imaps://localhost:{imaps}/INBOX;MAILINDEX=1'
  curl -k --user {user}:{password} pop3s://localhost:{pop3s}/
  openssl s_client -quiet -crlf -connect localhost:{imaps}    then:  a login {user} {password}
  openssl s_client -quiet -crlf -starttls imap -connect localhost:{imap}
  mutt -e 'set ssl_verify_host=no' -f imaps://{user}:{password}@localhost:{imaps}/INBOX
  fetchmail -p POP3 --port {pop3} -u {user} --keep --nosslcertck --mda cat localhost
  curl http://localhost:{http}/metrics

~/.mbsyncrc, to copy all into ~/demo-mail with `mkdir ~/demo-mail; mbsync -a`:
  IMAPStore maa
  Host localhost
  Port {imap}
  User {user}
  Pass {password}
  # TLSType with isync 1.5 and later
  SSLType None

  MaildirStore here
  Inbox ~/demo-mail/
  SubFolders Maildir++

  Channel demo
  Far :maa:
  Near :here:
  Patterns *
  Create Near
  SyncState *

Ports: IMAP {imap} (STARTTLS), {imaps} (TLS); POP3 {pop3} (STLS), {pop3s} (TLS); all on loopback.
The certificate is self-signed: {folder}/cert.pem. New mail: put a file into {folder}/mail/{user}/\
Maildir/new, or formail -f < FILE >> {folder}/mail/{classic}/spool
"""


def prepared(folder: Path) -> tuple[Config, str]:
    """Lay out what is missing under the folder; the configuration, and what to tell the visitor."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "cert.pem", folder / "key.pem"
    if not (certificate.exists() and key.exists()):
        new_certificate(certificate, key)
    password = _password(folder)
    maildir = folder / "mail" / USER / "Maildir"
    if not maildir.exists():
        _lay_out(maildir)
    spool = folder / "mail" / CLASSIC_USER / "spool"
    if not spool.exists():
        _lay_out_spool(spool)
    config = Config(
        hostname=socket.gethostname() or "localhost",
        state=folder / "state",
        workers=1,
        listen=Listen(
            **{name: (Endpoint(f"tcp:{port}:interface=127.0.0.1"),) for name, port in PORTS.items()}
        ),
        tls=Tls(certificate, key),
        auth=Auth(
            password_file=PasswordFile(folder / "passwd"),
            app_passwords=AppPasswords(folder / "app-passwords"),
        ),
        mail=Mail(home=f"{folder}/mail/{{user}}"),
    )
    return config, _HELP.format(
        folder=folder, user=USER, classic=CLASSIC_USER, password=password, **PORTS
    )


def _password(folder: Path) -> str:
    """The demo user's password, made at the first start and kept in `password`."""
    kept, passwd = folder / "password", folder / "passwd"
    if kept.exists() and passwd.exists():
        if f"{CLASSIC_USER}:" not in passwd.read_text("ascii"):  # of an older maa
            stored = passwd.read_text("ascii").split(":")[1]
            _write_private(passwd, passwd.read_bytes() + _classic_line(stored))
        return kept.read_text("ascii").strip()
    password = secrets.token_urlsafe(9).replace("-", "x").replace("_", "y")
    _write_private(kept, password.encode("ascii") + b"\n")
    stored = new_hash(password.encode("ascii"))
    first = f"{USER}:{stored}::::::\n".encode("ascii")
    _write_private(passwd, first + _classic_line(stored))
    return password


def _classic_line(stored: str) -> bytes:
    return f"{CLASSIC_USER}:{stored}::::::{_CLASSIC_MAIL}\n".encode("ascii")


def _lay_out(maildir: Path) -> None:
    """Deliver the shipped messages, some of them long ago and some read already."""
    building = maildir.with_name(f".{maildir.name}.new")
    for part in ("cur", "new", "tmp"):
        (building / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    now = time.time()
    messages = _shipped()
    for number, message in enumerate(messages):
        read = number < len(messages) // 3
        name = f"{int(now)}.M{number:06}P{os.getpid()}.demo"
        file = building / "cur" / f"{name}:2,S" if read else building / "new" / name
        file.write_bytes(message)
        age = (len(messages) - number) * 7 * 3600
        os.utime(file, (now - age, now - age))
    building.rename(maildir)


def _lay_out_spool(spool: Path) -> None:
    """The shipped messages as an MDA appends them to a spool file."""
    spool.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    messages = _shipped()
    entries = []
    for number, message in enumerate(messages):
        then = time.time() - (len(messages) - number) * 7 * 3600
        text = re.sub(rb"(?m)^From ", b">From ", message.replace(b"\r\n", b"\n"))
        line = f"From demo@localhost {time.asctime(time.localtime(then))}\n".encode("ascii")
        entries.append(line + text + (b"\n" if text.endswith(b"\n") else b"\n\n"))
    _write_private(spool, b"".join(entries))


def _shipped() -> list[bytes]:
    found = (one for one in _MESSAGES.iterdir() if one.name.endswith(".eml"))
    return [one.read_bytes() for one in sorted(found, key=lambda one: one.name)]


def new_certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate for localhost."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    _write_private(
        key,
        private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    certificate.write_bytes(signed.public_bytes(pem))


def _write_private(file: Path, data: bytes) -> None:
    """Write a file that only its owner may read."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
