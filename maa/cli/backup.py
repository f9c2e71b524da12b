"""`maa backup --to DIRECTORY`: a copy of each user's index, while the server runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maa.auth.errors import AuthError
from maa.cli.choosing import add_choice, chosen
from maa.service.reading import ConfigError
from maa.store.errors import StoreError
from maa.store.identity import Identity
from maa.store.spare import copy_index


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "backup",
        help="copy indexes, while the server runs",
        description="Copy each user's index to DIRECTORY/USER.db, in place of an older copy.",
    )
    add_choice(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="DIRECTORY")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy; 0, or 1 when a user's index could not be."""
    directory: Path = arguments.to
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _, users, failures = chosen(arguments)
    except (ConfigError, StoreError, AuthError, OSError) as error:
        print(f"maa backup: {error}", file=sys.stderr)
        return 1
    copied = 0
    for one in users:
        try:
            if not one.index.exists() or not one.index.stat().st_size:
                print(f"{one.user.name}: has no index yet")
                continue
            target = directory / f"{one.user.name}.db"
            copy_index(one.index, target, one.identity, Identity.own())
            copied += 1
        except (StoreError, OSError) as error:
            print(f"{one.user.name}: {error}", file=sys.stderr)
            failures += 1
    print(f"{copied} indexes are copied to {directory}")
    return 1 if failures else 0
