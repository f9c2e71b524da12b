"""The configuration: typed, frozen, and read from TOML with every fault reported at once.

A setting is declared once, as a field of a dataclass with its default; `maa.service.reading`
says how each is checked. `config/maa.toml` shows all of them, and a test compares the two.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from maa.networks import LOOPBACK, NOWHERE, Networks, loopback

_INTERFACE: Final = re.compile(r":interface=((?:[^:\\]|\\.)*)")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One entry of `[listen]`: where to listen, and for whom."""

    endpoint: str
    """As Twisted describes endpoints: `tcp:143`."""
    allow: Networks = NOWHERE
    """Who is served; none: everybody."""
    proxies: Networks = NOWHERE
    """Balancers that send the PROXY protocol."""
    client_certificates: str = "none"
    """Whether TLS asks the client for a certificate: none, optional or required."""

    @property
    def remote(self) -> bool:
        """Whether other machines may reach it, as far as the text tells."""
        if self.endpoint.startswith("unix:"):
            return False
        interface = _INTERFACE.search(self.endpoint)
        return interface is None or not loopback(interface[1].replace("\\:", ":"))


@dataclass(frozen=True, slots=True)
class Listen:
    """`[listen]`; no endpoints means off."""

    imap: tuple[Endpoint, ...] = ()
    imaps: tuple[Endpoint, ...] = ()
    pop3: tuple[Endpoint, ...] = ()
    pop3s: tuple[Endpoint, ...] = ()
    http: tuple[Endpoint, ...] = ()

    def named(self) -> Iterator[tuple[str, Endpoint]]:
        """All endpoints with the names of their lists."""
        for part in fields(self):
            for endpoint in getattr(self, part.name):
                yield part.name, endpoint


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate with its chain, and its key; PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Tls:
    """`[tls]`."""

    certificate: Path | None = None
    key: Path | None = None
    further: tuple[KeyPair, ...] = ()
    """More certificates, for clients that ask for the names in them (SNI)."""
    client_authorities: Path | None = None
    """Who signs the certificates of clients."""
    client_revocations: Path | None = None
    """Their lists of those that are no longer good (RFC 5280 §5)."""
    plaintext_login: str = "loopback"

    @property
    def pairs(self) -> tuple[KeyPair, ...]:
        """The certificate of whoever asks for none, then the further ones; none without TLS."""
        if self.certificate is None or self.key is None:
            return ()
        return KeyPair(self.certificate, self.key), *self.further


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """`[auth] password-file.*`."""

    path: Path = Path("/etc/maa/passwd")
    rehash: str = "none"


@dataclass(frozen=True, slots=True)
class AppPasswords:
    """`[auth] app-passwords.*`."""

    path: Path = Path("/etc/maa/app-passwords")


@dataclass(frozen=True, slots=True)
class Names:
    """`[auth] names.*`: sendmail's local-host-names, domaintable and virtusertable, as text."""

    default_domain: str = ""
    local_hosts: Path | None = None
    domain_table: Path | None = None
    virtual_users: Path | None = None


@dataclass(frozen=True, slots=True)
class Saslauthd:
    """`[auth] saslauthd.*`."""

    socket: Path = Path("/run/saslauthd/mux")
    realm: str = "none"
    vouched: str = "system"
    """Whom a certificate, a ticket or a token may name: the system's users, or anybody."""
    silent_seconds: int = 5


@dataclass(frozen=True, slots=True)
class Oauth:
    """`[auth] oauth.*`: who issues the tokens of OAUTHBEARER and XOAUTH2."""

    claim: str = "email"
    issuer: str = ""
    audience: str = ""
    scope: str = ""
    jwks: str = ""
    introspection: str = ""
    client_id: str = ""
    secret_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Gssapi:
    """`[auth] gssapi.*`: Kerberos."""

    keytab: Path | None = None
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Auth:
    """`[auth]`."""

    sources: tuple[str, ...] = ("password-file",)
    first_uid: int = 500
    """Users of the system below it are nobody's mail; nor is the group 0."""
    mechanisms: tuple[str, ...] = ("auto",)
    proxies: tuple[str, ...] = ()
    password_file: PasswordFile = field(default_factory=PasswordFile)
    app_passwords: AppPasswords = field(default_factory=AppPasswords)
    saslauthd: Saslauthd = field(default_factory=Saslauthd)
    names: Names = field(default_factory=Names)
    oauth: Oauth = field(default_factory=Oauth)
    gssapi: Gssapi = field(default_factory=Gssapi)


@dataclass(frozen=True, slots=True)
class Mail:
    """`[mail]`: places, with {user} {local} {domain} {home} filled in for each user."""

    home: str = "/home/{user}"
    inbox: str = "maildir:{home}/Maildir"
    folders: str = "maildir:{home}/Maildir"
    locks: tuple[str, ...] = ("fcntl",)
    quota: str = "maildirsize"


@dataclass(frozen=True, slots=True)
class Log:
    """`[log]`."""

    audit: Path | None = None
    """Who came in and who deleted what, as JSON lines; None: not kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`[limits]`: of the whole service, however many workers it has."""

    connections: int = 20_000
    connections_per_address: int = 5_000
    not_logged_in: int = 2_000
    not_logged_in_per_address: int = 500
    sessions_per_user: int = 200
    sessions_per_device: int = 50
    failed_logins_per_address: int = 12
    failed_logins_per_account: int = 10
    keepalive_minutes: int = 29
    mobile_keepalive_minutes: int = 14
    exempt: Networks = LOOPBACK


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file."""

    hostname: str = field(default_factory=socket.gethostname)
    state: Path = Path("/var/lib/maa")
    workers: int = 0
    run_as: str | None = None
    """Whom root becomes once the ports are bound, keeping CAP_SETUID and CAP_SETGID alone."""
    listen: Listen = field(default_factory=Listen)
    tls: Tls = field(default_factory=Tls)
    auth: Auth = field(default_factory=Auth)
    mail: Mail = field(default_factory=Mail)
    log: Log = field(default_factory=Log)
    limits: Limits = field(default_factory=Limits)
