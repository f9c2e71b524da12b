"""`maa rebuild`: a new index for a user whose index is damaged or lost."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maa.auth.errors import AuthError
from maa.cli.choosing import Chosen, add_choice, chosen
from maa.service.building import places_of
from maa.service.config import Config
from maa.service.reading import ConfigError
from maa.store.accounts import Accounts, make_state
from maa.store.errors import StoreError
from maa.store.rebuild import Rebuilt, rebuild
from maa.store.watch import Watcher


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "rebuild",
        help="make an index anew, and keep what can be kept",
        description="Make a user's index anew of what can be read of the present one and of "
        "backups, keeping UIDs, flags, keywords and subscriptions; the cache is emptied. The old "
        "index stays beside it. The server may run: it ends the user's sessions.",
    )
    add_choice(parser)
    parser.add_argument(
        "--from",
        dest="sources",
        action="append",
        default=[],
        type=Path,
        metavar="BACKUP",
        help="a backup, a damaged index that was set aside, or the directory of `maa backup`",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Rebuild; 0, or 1 with the reason on stderr."""
    try:
        config, users, failures = chosen(arguments)
    except (ConfigError, StoreError, AuthError, OSError) as error:
        print(f"maa rebuild: {error}", file=sys.stderr)
        return 1
    if len(users) > 1 and not all(path.is_dir() for path in arguments.sources):
        print("maa rebuild: one backup file is of one user", file=sys.stderr)
        return 1
    for one in users:
        try:
            _rebuild(config, one, arguments.sources)
        except (StoreError, OSError) as error:
            print(f"{one.user.name}: {error}", file=sys.stderr)
            failures += 1
    return 1 if failures else 0


def _rebuild(config: Config, one: Chosen, given: list[Path]) -> None:
    name = one.user.name
    sources = [path / f"{name}.db" if path.is_dir() else path for path in given]
    make_state(str(config.state), name, one.identity)
    done = rebuild(one.state, one.identity, sources, Path(one.paths.spare(name)))
    for remark in done.remarks:
        print(f"{name}: {remark}")
    if done.aside is not None:
        print(f"{name}: the old index is {done.aside}")
    _open(config, one, done)


def _open(config: Config, one: Chosen, done: Rebuilt) -> None:
    """Have the new index compared with the beacon and the mail, and say what came of it."""
    watcher = Watcher()
    accounts = Accounts(str(config.state), places_of(config), watcher, neighbours=True)
    try:
        account = accounts.open(one.user)
        index = account.ledger.index
        with account.ledger.held():
            before = {
                row.uidvalidity: {message[0] for message in index.messages(row.id)}
                for row in index.mailboxes().values()
            }
        kept = {box.uidvalidity for box in done.kept}
        for line in account.mailboxes():
            if not line.selectable:
                continue
            mailbox = account.open(line.name)
            validity, now = mailbox.uidvalidity, set(mailbox.snapshot.uids)
            known = before.get(validity, set())
            print(
                f"{one.user.name}: {line.name}: "
                f"UIDVALIDITY {validity} ({'kept' if validity in kept else 'new'}), "
                f"{len(now & known)} UIDs kept, {len(now - known)} new, "
                f"{len(known - now)} without a message"
            )
    finally:
        accounts.close()
        watcher.close()
