"""The configuration: typed, frozen, and read from TOML with every fault reported at once.

A setting is declared once, as a field of a dataclass with its default; `maa.service.reading`
says how each is checked. `config/maa.toml` shows all of them, and a test compares the two.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Listen:
    """`[listen]`: Twisted endpoint strings; none means off."""

    imap: tuple[str, ...] = ()
    imaps: tuple[str, ...] = ()
    pop3: tuple[str, ...] = ()
    pop3s: tuple[str, ...] = ()
    http: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tls:
    """`[tls]`."""

    certificate: Path | None = None
    key: Path | None = None
    plaintext_login: str = "loopback"


@dataclass(frozen=True, slots=True)
class PasswordFile:
    """`[auth] password-file.*`."""

    path: Path = Path("/etc/maa/passwd")


@dataclass(frozen=True, slots=True)
class Saslauthd:
    """`[auth] saslauthd.*`."""

    socket: Path = Path("/run/saslauthd/mux")
    realm: str = "none"


@dataclass(frozen=True, slots=True)
class Auth:
    """`[auth]`."""

    sources: tuple[str, ...] = ("password-file",)
    password_file: PasswordFile = field(default_factory=PasswordFile)
    saslauthd: Saslauthd = field(default_factory=Saslauthd)


@dataclass(frozen=True, slots=True)
class Mail:
    """`[mail]`: places, with {user} {local} {domain} {home} filled in for each user."""

    home: str = "/home/{user}"
    inbox: str = "maildir:{home}/Maildir"
    folders: str = "maildir:{home}/Maildir"
    locks: tuple[str, ...] = ("fcntl",)
    quota: str = "maildirsize"


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file."""

    hostname: str = field(default_factory=socket.gethostname)
    state: Path = Path("/var/lib/maa")
    workers: int = 0
    listen: Listen = field(default_factory=Listen)
    tls: Tls = field(default_factory=Tls)
    auth: Auth = field(default_factory=Auth)
    mail: Mail = field(default_factory=Mail)
