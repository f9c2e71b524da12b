"""`maa rawlog`: have a running server write down somebody's connections, to find a fault."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from maa.service.reading import ConfigError, load
from maa.transport.rawlog import DIRECTORY, Wish, read_wanted, write_wanted

CONFIG: Final = Path("/etc/maa/maa.toml")
MINUTES: Final = 60


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "rawlog",
        help="write down the connections of a user or an address",
        description="Without arguments it says what is written down at present. Passwords never "
        "are. Connections that stand already are not written down, unless others were wanted "
        "when they began.",
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"({CONFIG})")
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", metavar="NAME", help="from the login on")
    who.add_argument("--address", metavar="ADDRESS", help="from the greeting on")
    parser.add_argument("--off", action="store_true", help="no longer; of everybody, if not said")
    parser.add_argument(
        "--minutes", type=int, default=MINUTES, help=f"for how long ({MINUTES}); it ends by itself"
    )
    parser.add_argument(
        "--no-bodies", action="store_true", help="leave out literals and messages, which are mail"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Change what is wanted, and say what is."""
    try:
        config = load(arguments.config)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    directory = os.path.join(config.state, DIRECTORY)
    wanted = read_wanted(directory)
    users, addresses = dict(wanted.users), dict(wanted.addresses)
    wish = Wish(time.time() + 60 * arguments.minutes, not arguments.no_bodies)
    if arguments.off:
        for wishes, name in ((users, arguments.user), (addresses, arguments.address)):
            if name is not None:
                wishes.pop(name, None)
            elif arguments.user is None and arguments.address is None:
                wishes.clear()
    elif arguments.user is not None:
        users[arguments.user] = wish
    elif arguments.address is not None:
        addresses[arguments.address] = wish
    now = replace(wanted, users=users, addresses=addresses)
    if now != wanted:
        try:
            write_wanted(directory, now)
        except OSError as error:
            print(f"{directory}: {error.strerror}", file=sys.stderr)
            return 1
    _say("user", users)
    _say("address", addresses)
    if not now:
        print("nothing is written down")
    else:
        print(f"into {directory}")
    return 0


def _say(kind: str, wishes: Mapping[str, Wish]) -> None:
    for name, wish in sorted(wishes.items()):
        until = time.strftime("%H:%M:%S", time.localtime(wish.until))
        print(f"{kind} {name} until {until}{'' if wish.bodies else ', without mail'}")
