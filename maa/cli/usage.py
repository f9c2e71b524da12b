"""`maa usage`: how much mail there is, of whom, and what is left of the partition.

Exit status: 0, all is well; 1, all mailboxes together take more than half of a partition; 2, not
everything could be counted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maa.auth.credentials import Authenticator
from maa.auth.errors import AuthUnavailable
from maa.auth.password_file import PasswordFile
from maa.cli.passwd import CONFIG
from maa.limits import Limits, Usage
from maa.service.building import places_of, sources_of
from maa.service.config import Config
from maa.service.growth import DAY_SECONDS, History, Outlook, Sample, reached
from maa.service.partitions import Partition
from maa.service.reading import ConfigError, load
from maa.store.errors import StoreError
from maa.store.identity import Identity
from maa.store.survey import Counted, limits_of, surveyed
from maa.user import User, usable_name


class _NoSuchUser(Exception):
    """Neither a source nor the state has heard of somebody."""


@dataclass
class _Found:
    """What was counted so far."""

    by_partition: dict[str, tuple[Partition, Usage]] = field(default_factory=dict)
    total: Usage = field(default_factory=Usage)
    faults: int = 0
    inodes: set[tuple[int, int]] = field(default_factory=set)
    """Two users may have the same mail, which is on the disk once."""
    partitions: dict[int, Partition] = field(default_factory=dict)
    """By device."""

    def add(self, mailbox: Counted) -> None:
        found = os.stat(mailbox.path)
        if (found.st_dev, found.st_ino) in self.inodes:
            return
        self.inodes.add((found.st_dev, found.st_ino))
        self.total += mailbox.usage
        if found.st_dev not in self.partitions:
            self.partitions[found.st_dev] = Partition.of(mailbox.path)
        partition = self.partitions[found.st_dev]
        _, before = self.by_partition.get(partition.mounted, (partition, Usage()))
        self.by_partition[partition.mounted] = (partition, before + mailbox.usage)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser("usage", help="how much mail there is, and what is left")
    parser.add_argument(
        "--config", type=Path, default=CONFIG, help=f"the server's configuration ({CONFIG})"
    )
    who = parser.add_mutually_exclusive_group()
    who.add_argument(
        "--user", action="append", metavar="USER", help="only this user; may be given again"
    )
    who.add_argument("--all", action="store_true", help="every user, as without --user")
    parser.add_argument("--brief", action="store_true", help="leave the single mailboxes out")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Count and say; the exit status."""
    try:
        config = load(arguments.config)
        users = list(_users(config, arguments.user))
    except (ConfigError, AuthUnavailable, _NoSuchUser) as error:
        print(f"maa usage: {error}", file=sys.stderr)
        return 2
    found = _Found()
    for user in users:
        _say_user(user, config, found, brief=arguments.brief)
    everybody = arguments.user is None
    label = f"all {len(users)} users" if everybody else "together"
    print(f"{label:<40}{_amount(found.total)}")
    history = History(config.state)
    if everybody and not found.faults:
        _record(history, found)
    above = False
    for partition, mail in found.by_partition.values():
        print()
        above |= _say_partition(partition, mail.octets if everybody else None, history)
    if found.faults:
        print(f"maa usage: {found.faults} could not be counted, see above", file=sys.stderr)
        return 2
    return int(above)


def _users(config: Config, wanted: list[str] | None) -> Iterator[User]:
    """Those asked for, or all that a source or the state knows."""
    sources = sources_of(config)
    names = set(wanted or ())
    if wanted is None:
        for source in sources:
            if isinstance(source, PasswordFile):
                names.update(source.names())
        users = config.state / "users"
        if users.is_dir():  # those of saslauthd, who cannot be listed, once they were here
            names.update(name for name in os.listdir(users) if usable_name(name))
    finder = Authenticator(sources)
    for name in sorted(names):
        user = finder.find(name)
        if user is None and not (usable_name(name) and (config.state / "users" / name).is_dir()):
            raise _NoSuchUser(f"there is no user {name!r}")
        yield user or User(name)  # one who is no user any more may still have mail


def _say_user(user: User, config: Config, found: _Found, *, brief: bool) -> None:
    usage = Usage()
    lines = []
    try:
        paths = places_of(config).of(user)
        with Identity.of(user):
            mailboxes = list(surveyed(paths))
            limits = limits_of(paths)
            for mailbox in mailboxes:
                found.add(mailbox)
    except (StoreError, OSError) as error:
        found.faults += 1
        print(f"{_shown(user.name)}: {_shown(str(error))}")
        return
    for mailbox in mailboxes:
        name = "  " + _shown(mailbox.name)
        if mailbox.fault:
            found.faults += 1
            lines.append(f"{name:<40}cannot be counted: {_shown(mailbox.fault)}")
        elif not brief:
            lines.append(f"{name:<40}{_amount(mailbox.usage)}")
        usage += mailbox.usage
    print(f"{_shown(user.name):<40}{_amount(usage)}{_of_quota(limits, usage)}")
    for line in lines:
        print(line)


def _of_quota(limits: Limits, usage: Usage) -> str:
    if limits.absent:
        return ""
    parts = []
    if limits.octets is not None:
        parts.append(octets(limits.octets))
    if limits.messages is not None:
        parts.append(f"{limits.messages:,} messages")
    over = ", OVER QUOTA" if limits.exceeded_by(usage) else ""
    return f"  {limits.percent_used(usage)} % of {' and '.join(parts)}{over}"


def _record(history: History, found: _Found) -> None:
    now = time.time()
    samples = [
        Sample(now, partition.mounted, mail.octets, partition.used, partition.size)
        for partition, mail in found.by_partition.values()
    ]
    try:
        history.add(samples)
    except OSError as error:
        print(f"maa usage: no history is kept: {error}", file=sys.stderr)


def _say_partition(partition: Partition, mail: int | None, history: History) -> bool:
    """Whether all mailboxes together take more than half of it. `mail` None: nobody counted."""
    samples = history.of(partition.mounted)
    print(
        f"{_shown(partition.mounted)}: {octets(partition.size)}, used {octets(partition.used)}"
        f" ({_percent(partition.used, partition.full_at)}), free {octets(partition.free)}"
    )
    if mail is None:
        if not samples:
            return False
        mail = samples[-1].mail
        print(f"  when everybody was counted last, on {_day(samples[-1].at)}:")
    above = mail > partition.half
    print(f"  mail: {octets(mail)}, {_percent(mail, partition.size)} of the partition")
    if above:
        print("  WARNING: mail should stay below half of the partition, and does not")
    else:
        print("  mail stays below half of the partition, as it should")
        _say_outlook("mail takes half of it", _mail(samples), partition.half)
    _say_outlook("it is full", _used(samples), partition.full_at)
    return above


def _mail(samples: Iterable[Sample]) -> list[tuple[float, int]]:
    return [(sample.at, sample.mail) for sample in samples]


def _used(samples: Iterable[Sample]) -> list[tuple[float, int]]:
    return [(sample.at, sample.used) for sample in samples]


def _say_outlook(what: str, points: list[tuple[float, int]], goal: int) -> None:
    now = time.time()
    when = reached(points, goal, now)
    if isinstance(when, Outlook):
        print(f"  when {what}: {when.value}")
    else:
        days = (when - now) / DAY_SECONDS
        print(f"  when {what}: about {_day(when)}, in {days:,.0f} days, at the present pace")


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(1, whole):.0f} %"


def _amount(usage: Usage) -> str:
    return f"{usage.messages:>10,} messages{octets(usage.octets):>14}"


def octets(number: int) -> str:
    """So many octets, for people."""
    amount = float(number)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1000 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def _shown(name: str) -> str:
    """A name that may be anybody's choice, without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in name)
