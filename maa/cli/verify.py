"""`maa verify`: is what maa knows of the mail so? Changes nothing."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from maa.auth.errors import AuthError
from maa.cli.choosing import Chosen, add_choice, chosen
from maa.imap.fetch_items import Datum
from maa.imap.sections import BODY, ENVELOPE, STRUCTURE, Content, from_cache
from maa.message.octets import Wire
from maa.service.reading import ConfigError
from maa.store.errors import StoreError
from maa.store.verify import verify

_DATA: Final = {ENVELOPE: Datum.ENVELOPE, STRUCTURE: Datum.BODYSTRUCTURE, BODY: Datum.BODY}


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "verify",
        help="compare indexes with the mail",
        description="Compare each user's index with the mail, the beacon and the cache, and say "
        "what is to be done. Changes nothing; the server may run. The exit status is 1 when there "
        "are faults, and 2 when a user could not be looked at.",
    )
    add_choice(parser)
    parser.add_argument(
        "--deep", action="store_true", help="derive cached ENVELOPEs and BODYSTRUCTUREs anew, too"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at each user; 0, 1 or 2."""
    try:
        _, users, unknown = chosen(arguments)
    except (ConfigError, StoreError, AuthError, OSError) as error:
        print(f"maa verify: {error}", file=sys.stderr)
        return 2
    status = 2 if unknown else 0
    for one in users:
        try:
            status = max(status, _look_at(one, arguments.deep))
        except (StoreError, OSError) as error:
            print(f"{one.user.name}: {error}", file=sys.stderr)
            status = 2
    return status


def _look_at(one: Chosen, deep: bool) -> int:
    name = one.user.name
    faults = notes = 0
    for found in verify(one.state, name, one.paths, one.identity, _same if deep else None):
        faults += found.fault
        notes += not found.fault
        where = f"{found.mailbox}: " if found.mailbox else ""
        kind = "fault" if found.fault else "note"
        print(f"{name}: {kind}: {where}{found.text}\n    to do: {found.advice}")
    print(f"{name}: {faults or 'no'} faults, {notes or 'no'} notes")
    return 1 if faults else 0


def _same(item: str, value: bytes, wire: Wire) -> bool:
    """Whether what is cached of a message is what it gives."""
    datum = _DATA.get(item)
    if datum is None:
        return True
    derived = Content(wire).derived(datum)
    return from_cache(datum, derived) == from_cache(datum, value)
