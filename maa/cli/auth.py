"""`maa auth test USER`: log in as the server would, and show what was asked and answered."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Final

from maa.auth.app_passwords import AppPasswords
from maa.auth.credentials import PASSWORD_OCTETS_MAX
from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials
from maa.auth.restrictions import SERVICES, ensure_may
from maa.auth.saslauthd import Saslauthd
from maa.auth.source import Source, Stored
from maa.conversation import Peer
from maa.service.building import authenticator_of, sources_of
from maa.service.config import Config
from maa.service.reading import ConfigError, load
from maa.user import User

CONFIG: Final = Path("/etc/maa/maa.toml")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser("auth", help="try a login, and show what each source was asked")
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    test = actions.add_parser(
        "test",
        help="try a login",
        description="Ask each source as the server would. Nothing is remembered or penalised.",
    )
    test.add_argument("user", metavar="USER", help="the login name")
    test.add_argument("--config", type=Path, default=CONFIG, help=f"the configuration ({CONFIG})")
    test.add_argument("--service", choices=sorted(SERVICES), default="imap", help="imap or pop3")
    test.add_argument("--from", dest="address", default="127.0.0.1", help="the client's address")
    test.add_argument("--stdin", action="store_true", help="take the password from stdin's line")
    test.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Show it; 0 when the user would be let in."""
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.stdin:
        password = sys.stdin.readline(4 * PASSWORD_OCTETS_MAX).rstrip("\r\n")
    else:
        password = getpass.getpass("Password: ")
    if config.run_as is not None and os.geteuid() == 0:
        print(f"asked as root; the server asks as {config.run_as}")
    peer = Peer(arguments.address, tls=True, loopback=False, session="maa auth test")
    try:
        user = _tried(config, arguments.user, password, SERVICES[arguments.service], peer)
    except AuthUnavailable as error:
        print(f"refused: temporarily unavailable: {error}")
    except BadCredentials as error:
        known = str(error).startswith("no")  # as not from this network
        print(f"refused: {error if known else 'wrong password, or no such user'}")
    except AuthError as error:
        print(f"refused: {type(error).__name__}: {error}")
    else:
        print(f"accepted: {user.name}")
        return 0
    return 1


def _tried(config: Config, name: str, password: str, service: str, peer: Peer) -> User:
    """Whom the server would let in; AuthError."""
    kinds = zip(config.auth.sources, sources_of(config, rehashing=False), strict=True)
    apps = _Devices(str(config.auth.app_passwords.path), "")
    authenticator = authenticator_of(
        config, sources=[_Shown(*each) for each in kinds], app_passwords=apps
    )
    print(f"login name {name!r} is the account {authenticator.account(name)!r}")
    user = authenticator.check(name, password, service, peer.address)
    ensure_may(user, peer, service, time.time())
    return user


class _Devices(AppPasswords):
    """Shows which device it is, and does not note that it was here."""

    def note_use(self, name: str, device: str, address: str) -> None:
        print(f"app-passwords: yes: the device {device!r} of {name}")


class _Shown(Source):
    """A source that shows what it is asked and what it says."""

    def __init__(self, kind: str, source: Source) -> None:
        self._kind = kind
        self._source = source

    def check(self, name: str, password: bytes, service: str) -> User | None:
        try:
            if isinstance(self._source, Saslauthd):
                user = _asked(self._source, name, password, service)
            else:
                print(f"{self._kind}: asked for {name!r}")
                user = self._source.check(name, password, service)
        except AuthUnavailable as error:
            print(f"{self._kind}: unavailable: {error}")
            raise
        except AuthError as error:
            print(f"{self._kind}: knows the user, and says {type(error).__name__}")
            raise
        if user is None:
            print(f"{self._kind}: not this user with this password")
        else:
            print(f"{self._kind}: yes: {_described(user)}")
        return user

    def find(self, name: str) -> User | None:
        return self._source.find(name)

    def stored(self, name: str) -> Stored | None:
        return self._source.stored(name)

    def pretend(self, name: str, password: bytes, service: str) -> None:
        print(f"{self._kind}: would be asked too, so that time tells nothing")

    def stamp(self) -> Hashable:
        return self._source.stamp()


def _asked(source: Saslauthd, account: str, password: bytes, service: str) -> User | None:
    """The four strings as they are sent, the password as its length alone, and the reply."""
    question = source.question(account, password, service)
    if question is None:
        print("saslauthd: not asked: what is sent must be short, and hold no NUL, CR or LF")
        return None
    login, secret, said_service, realm = question
    print(f"saslauthd: sent to {source.path}:")
    print(f"  login    {len(login):4} octets  {login!r}")
    print(f"  password {len(secret):4} octets  (not shown)")
    print(f"  service  {len(said_service):4} octets  {said_service!r}")
    print(f"  realm    {len(realm):4} octets  {realm!r}", flush=True)
    reply = source.reply(question)
    print(f"  came back {len(reply):3} octets  {reply!r}")
    return source.user(account) if source.decided(reply) else None


def _described(user: User) -> str:
    shown = {"uid": user.uid, "gid": user.gid, "home": user.home, "inbox": user.inbox}
    known = " ".join(f"{key}={value}" for key, value in shown.items() if value is not None)
    return f"{user.name} {known}".rstrip()
