"""Which users a command is about: those that are named, or all that ever logged in."""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maa.service.building import authenticator_of, places_of
from maa.service.config import Config
from maa.service.reading import load
from maa.store.identity import Identity
from maa.store.places import MailPaths
from maa.user import User

CONFIG: Final = Path("/etc/maa/maa.toml")


@dataclass(frozen=True)
class Chosen:
    """One user, and where the account is."""

    user: User
    identity: Identity
    paths: MailPaths
    state: Path
    """The account's directory, which need not exist."""

    @property
    def index(self) -> Path:
        """The account's index, which need not exist."""
        return self.state / "index.db"


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Let the user of a command say which users it is about."""
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"the configuration ({CONFIG})")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--user", action="append", metavar="USER", help="a user; may be repeated")
    who.add_argument("--all", action="store_true", help="every user who ever logged in")


def chosen(arguments: argparse.Namespace) -> tuple[Config, list[Chosen], int]:
    """The configuration, the users, and how many of them nobody knows; ConfigError, StoreError."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    config = load(arguments.config)
    authenticator, places = authenticator_of(config), places_of(config)
    users = config.state / "users"
    names = arguments.user or sorted(path.name for path in users.glob("*") if path.is_dir())
    found, unknown = [], 0
    for name in names:
        user = authenticator.find(name)
        if user is None:
            print(f"{name}: nobody knows such a user", file=sys.stderr)
            unknown += 1
            continue
        state = users / user.name
        found.append(Chosen(user, Identity.of(user), places.of(user), state))
    return config, found, unknown
