"""The `maa` command, for whoever runs the server; the server itself is `twistd maa`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from maa import __version__
from maa.cli import (
    adopt,
    auth,
    backup,
    check_config,
    compare,
    locks,
    log,
    passwd,
    quirks,
    rawlog,
    rebuild,
    replay,
    usage,
    verify,
)

COMMANDS = (
    adopt,
    auth,
    backup,
    check_config,
    compare,
    locks,
    log,
    passwd,
    quirks,
    rawlog,
    rebuild,
    replay,
    usage,
    verify,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(prog="maa", description=__doc__)
    parser.add_argument("--version", action="version", version=f"maa {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    found = parser.parse_args(arguments)
    status: int = found.run(found)
    return status
