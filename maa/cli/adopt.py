"""`maa adopt`: keep the numbers, POP3 names, keywords and subscriptions of another server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from maa.auth.errors import AuthUnavailable
from maa.auth.password_file import PasswordFile
from maa.service.building import authenticator_of, places_of
from maa.service.config import Config
from maa.service.reading import ConfigError, load
from maa.store.accounts import Accounts
from maa.store.adopt.apply import Adoption, adopt
from maa.store.adopt.gather import SOURCES, Options
from maa.store.adopt.plan import Plan, Verdict
from maa.store.errors import MaildropInUse, StoreError
from maa.store.foreign.dovecot import UidlFormat
from maa.store.identity import Identity
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.user import User

CONFIG: Final = Path("/etc/maa/maa.toml")
_NO_STATE: Final = "-"
"""No user's directory has this name: what is only looked at leaves nothing behind."""


class _Fault(Exception):
    """What is wrong, for whoever typed the command."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "adopt",
        help="keep another server's UIDs, POP3 names, keywords and subscriptions",
        description="Report what the server before left beside the mail of some users, and what "
        "of it can be kept, so that no client fetches its mail again. Nothing is written without "
        "--apply. docs/migration.md leads through it.",
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"the configuration ({CONFIG})")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", nargs="+", metavar="NAME", default=[], help="these users")
    who.add_argument("--all", action="store_true", help="all users of the password file")
    parser.add_argument(
        "--from", dest="source", choices=SOURCES, default="auto", help="the server before (auto)"
    )
    parser.add_argument(
        "--uidl-format",
        type=_uidl_format,
        metavar="FORMAT",
        help="how it made POP3 names, as Dovecot's pop3_uidl_format: %%v %%u %%f %%g",
    )
    parser.add_argument("--apply", action="store_true", help="do it")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="also where maa gave out other numbers: clients that know those fetch again",
    )
    parser.set_defaults(run=run)


def _uidl_format(text: str) -> UidlFormat:
    try:
        return UidlFormat.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(arguments: argparse.Namespace) -> int:
    """Report, and adopt if asked to; 0, or 1 when something of it could not be done."""
    try:
        config = load(arguments.config)
        users = list(_users(config, arguments))
    except (_Fault, ConfigError, AuthUnavailable) as error:
        print(f"maa adopt: {error}", file=sys.stderr)
        return 1
    options = Options(arguments.source, arguments.uidl_format, arguments.replace)
    places = places_of(config)
    accounts = Accounts(str(config.state), places, Watcher(), neighbours=True)
    failed = 0
    with closing(accounts):
        for user in users:
            try:
                whole = _report(_User(user, config, places, options), accounts, arguments.apply)
            except MaildropInUse:
                print(f"maa adopt: {user.name}: a POP3 session is open: try again", file=sys.stderr)
                whole = False
            except StoreError as error:
                print(f"maa adopt: {user.name}: {error or type(error).__name__}", file=sys.stderr)
                whole = False
            failed += not whole
    if not arguments.apply:
        print("nothing was written: --apply does it")
    if failed:
        print(f"maa adopt: not done for {failed} of {len(users)} users", file=sys.stderr)
    return 1 if failed else 0


def _users(config: Config, arguments: argparse.Namespace) -> Iterator[User]:
    if arguments.all:
        if "password-file" not in config.auth.sources:
            raise _Fault("--all needs a password file: name the users by --user")
        yield from PasswordFile(str(config.auth.password_file.path)).users()
        return
    authenticator = authenticator_of(config)
    for name in arguments.user:
        found = authenticator.find(name)
        if found is None:
            raise _Fault(f"there is no user {name}")
        yield found


class _User:
    """One user: where the mail is, and what there is to adopt."""

    def __init__(self, user: User, config: Config, places: MailPlaces, options: Options) -> None:
        self.user = user
        self.identity = Identity.of(user)
        paths = places.of(user)
        home = user.home or os.path.dirname(paths.folders)
        self.state = os.path.join(str(config.state), "users", user.name)
        self.new = not os.path.exists(os.path.join(self.state, "index.db"))
        unused = os.path.join(str(config.state), "users", _NO_STATE)
        self.looking = Adoption(paths, home, options, unused)
        self.adopting = Adoption(paths, home, options, self.state)


def _report(user: _User, accounts: Accounts, apply: bool) -> bool:
    """Say what there is and what becomes of it; whether nothing was refused."""
    name = user.user.name
    account = None if user.new else accounts.open(user.user)
    with user.identity:
        plans = user.looking.plans(None if account is None else account.ledger.index)
        subscriptions = user.looking.subscriptions()
    for plan in plans:
        for line in _lines(plan):
            print(f"{name}: {line}")
    if subscriptions is not None:
        print(f"{name}: {len(subscriptions)} subscriptions")
    if all(plan.verdict is Verdict.NOTHING for plan in plans) and subscriptions is None:
        print(f"{name}: nothing of another server is there")
    if apply:
        account = account or accounts.open(user.user)
        plans = adopt(account, user.adopting, plans, new=user.new)
        print(f"{name}: {_count(plans, Verdict.TAKE)} mailboxes adopted")
    return not _count(plans, Verdict.REFUSED)


def _count(plans: Iterable[Plan], verdict: Verdict) -> int:
    return sum(plan.verdict is verdict for plan in plans)


def _lines(plan: Plan) -> Iterator[str]:
    """What people are told of a mailbox."""
    if plan.verdict is Verdict.NOTHING:
        yield from (f"{plan.name}: note: {note}" for note in plan.notes)
        return
    if plan.verdict is Verdict.REFUSED:
        yield f"{plan.name}: refused: {plan.reason}; --replace takes the old server's"
    yield (
        f"{plan.name}: {plan.verdict.value} ({plan.old.source}): UIDVALIDITY "
        f"{plan.old.uidvalidity or 'of maa'}, next UID {plan.uidnext}; of {plan.present} messages "
        f"{plan.kept} keep their UID, {plan.named} their POP3 name, {plan.keywords} have keywords"
    )
    yield from (f"{plan.name}: note: {note}" for note in plan.notes)
