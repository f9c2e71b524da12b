"""`maa auth test USER`: log in as the server would, and show what was asked and answered."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

from maa.auth.credentials import PASSWORD_OCTETS_MAX
from maa.auth.errors import AuthError, AuthUnavailable
from maa.auth.restrictions import SERVICES, ensure_may
from maa.auth.saslauthd import Saslauthd
from maa.conversation import Peer
from maa.service.config import Config
from maa.service.reading import ConfigError, load
from maa.service.server import authenticator_of, sources_of
from maa.user import User, usable_name

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
    octets = password.encode("utf-8", "surrogateescape")
    peer = Peer(arguments.address, tls=True, loopback=False, session="maa auth test")
    status = 1
    for line in _tried(config, arguments.user, octets, SERVICES[arguments.service], peer):
        print(line)
        status = 0 if line.startswith("accepted") else 1
    return status


def _tried(config: Config, name: str, password: bytes, service: str, peer: Peer) -> Iterator[str]:
    """What is done for the login, line by line; the last says how it ends."""
    authenticator = authenticator_of(config)
    account = authenticator.account(name)
    yield f"login name {name!r} is the account {account!r}"
    if account is None or not usable_name(account):
        yield "refused: nobody's name"
        return
    unavailable = False
    for kind, source in zip(config.auth.sources, sources_of(config), strict=True):
        try:
            if isinstance(source, Saslauthd):
                user = yield from _asked(source, account, password, service)
            else:
                yield f"{kind}: asked for {account!r}"
                user = source.check(account, password, service)
            if user is not None:
                yield f"{kind}: yes: {_described(user)}"
                authenticator.ensure_served(user)
                ensure_may(user, peer, service, time.time())
        except AuthUnavailable as error:
            yield f"{kind}: unavailable: {error}"
            unavailable = True
            continue
        except AuthError as error:
            why = "wrong password" if str(error) == account else str(error)
            yield f"refused: {kind}: {type(error).__name__}: {why}"
            return
        if user is not None:
            yield f"accepted: {user.name}"
            return
        yield f"{kind}: not this user with this password"
    yield "refused: temporarily unavailable" if unavailable else "refused: no source accepts"


def _asked(
    source: Saslauthd, account: str, password: bytes, service: str
) -> Generator[str, None, User | None]:
    """The four strings as they are sent, the password as its length alone, and the reply."""
    question = source.question(account, password, service)
    if question is None:
        yield "saslauthd: not asked: what is sent must be short, and hold no NUL, CR or LF"
        return None
    login, secret, said_service, realm = question
    yield f"saslauthd: sent to {source.path}:"
    yield f"  login    {len(login):4} octets  {login!r}"
    yield f"  password {len(secret):4} octets  (not shown)"
    yield f"  service  {len(said_service):4} octets  {said_service!r}"
    yield f"  realm    {len(realm):4} octets  {realm!r}"
    reply = source.reply(question)
    yield f"  came back {len(reply):3} octets  {reply!r}"
    return source.user(account) if source.decided(reply) else None


def _described(user: User) -> str:
    shown = {"uid": user.uid, "gid": user.gid, "home": user.home, "inbox": user.inbox}
    known = " ".join(f"{key}={value}" for key, value in shown.items() if value is not None)
    return f"{user.name} {known}".rstrip()
