"""`maa locks`: which locks do the MDAs of this machine take, and which should maa?

Each MDA delivers to a scratch mailbox (`maa.cli.sandbox`) and is watched doing so
(`maa.cli.lock_trials`); nothing is taken from manuals, since what they say depends on how the
program was built and configured.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import SubprocessError
from typing import Final

from maa.auth.password_edit import replace_file
from maa.cli.lock_trials import Habits, tried
from maa.cli.mdas import KNOWN, Mda
from maa.cli.passwd import CONFIG
from maa.cli.sandbox import Unusable
from maa.cli.toml_edit import CannotEdit, with_value
from maa.service.reading import ConfigError, load
from maa.store.locks import METHODS

_LEAST_DISTURBING: Final = (
    ("fcntl",),
    ("flock",),
    ("fcntl", "flock"),
    ("dotlock",),
    ("fcntl", "dotlock"),
    ("flock", "dotlock"),
    ("fcntl", "flock", "dotlock"),
)
"""The kernel's locks first: who waits for one goes on at once, and a kill leaves none behind."""
_NOTEWORTHY_SECONDS: Final = 1.5


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "locks",
        help="find out which locks the MDAs take on mbox files",
        description="Let each installed MDA deliver to a scratch mailbox, watch its locks, and "
        "say which ones maa needs. As root; as another user only procmail and maildrop are tried. "
        "Takes about half a minute.",
    )
    parser.add_argument("--config", type=Path, help=f"the configuration to compare with ({CONFIG})")
    parser.add_argument(
        "--write", action="store_true", help="write the matching [mail] locks to the configuration"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """0: the configuration's locks are right, or are now; 1: they are not, or nothing is known."""
    file: Path | None = arguments.config or (CONFIG if CONFIG.exists() or arguments.write else None)
    try:
        configured = None if file is None else load(file).mail.locks
    except ConfigError as error:
        print(f"maa locks: {error}", file=sys.stderr)
        return 1
    habits, failures = _all_tried()
    for line in table(habits, failures):
        print(line)
    if not habits:
        print("maa locks: no MDA could be tried", file=sys.stderr)
        return 1
    wanted = matching(habits.values())
    used = wanted if configured is None or arguments.write else configured
    warnings = conflicts(habits, used)
    for line in warnings:
        print(line)
    setting = written(wanted)
    print(f"\n[mail]\nlocks = {setting}")
    if file is not None and arguments.write and configured != wanted:
        try:
            _write(file, setting)
        except (CannotEdit, OSError, ConfigError) as error:
            print(f"maa locks: {file} is not changed: {error}", file=sys.stderr)
            return 1
        print(f"written to {file}; it counts from the next start on")
    elif configured is not None:
        same = set(configured) == set(wanted)
        print(f"{file} has {'these' if same else 'locks = ' + written(configured)}")
    return 1 if any(line.startswith("DANGER") for line in warnings) else 0


def _all_tried() -> tuple[dict[str, Habits], dict[str, str]]:
    """What was seen of each MDA, or why nothing was."""
    habits: dict[str, Habits] = {}
    failures: dict[str, str] = {}

    def one(number: int, mda: Mda) -> None:
        program = mda.found()
        if program is None:
            failures[mda.name] = "not installed"
        elif mda.needs_root and os.geteuid() != 0:
            failures[mda.name] = "not tried: only root can"
        else:
            try:
                habits[mda.name] = tried(mda, program, number)
            except (Unusable, OSError, SubprocessError) as error:
                failures[mda.name] = f"not tried: {error}"

    with ThreadPoolExecutor(len(KNOWN)) as threads:
        list(threads.map(one, itertools.count(), KNOWN))
    return {mda.name: habits[mda.name] for mda in KNOWN if mda.name in habits}, failures


def table(habits: Mapping[str, Habits], failures: Mapping[str, str]) -> list[str]:
    """A line for each MDA."""
    rows = [("program", "takes, in this order", "waits for ours", "keeps maa out by")]
    rows += [
        (
            name,
            _listed(seen.order),
            _listed(
                method + _pause(seen, method) for method in METHODS if method in seen.respected
            ),
            _listed(method for method in METHODS if method in seen.stops_us),
        )
        for name, seen in habits.items()
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return lines + [f"{name.ljust(widths[0])}  {why}" for name, why in failures.items()]


def _listed(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"


def _pause(seen: Habits, method: str) -> str:
    if method in seen.gave_up:
        return " (gives up)"
    seconds = seen.pauses.get(method, 0.0)
    return f" (sleeps {seconds:.0f} s)" if seconds > _NOTEWORTHY_SECONDS else ""


def matching(found: Iterable[Habits]) -> tuple[str, ...]:
    """The least disturbing locks of which every MDA has one, in the order most of them have."""
    mdas = [seen for seen in found if seen.sound]
    chosen = next(
        (some for some in _LEAST_DISTURBING if all(seen.sound & {*some} for seen in mdas)),
        _LEAST_DISTURBING[-1],
    )

    def first(one: str) -> tuple[float, int]:
        places = [seen.order.index(one) for seen in mdas if one in seen.order]
        return sum(places) / max(len(places), 1), METHODS.index(one)

    return tuple(sorted(chosen, key=first))


def conflicts(habits: Mapping[str, Habits], used: Sequence[str]) -> list[str]:
    """What is dangerous or slow between the MDAs and maa with these locks."""
    found = []
    for name, seen in habits.items():
        if not seen.sound & {*used}:
            found.append(
                f"DANGER: {name} and maa write at the same time: it takes {_listed(seen.order)}, "
                f"and maa {_listed(used)}"
            )
        for method in METHODS:
            if method in seen.taken - seen.respected:
                found.append(f"note: {name} takes {method}, but does not wait for ours")
            if method in seen.respected - seen.taken:
                found.append(f"note: {name} waits for {method}, but was not seen to take it")
        found += [
            f"slow: {name} sleeps {seen.pauses[method]:.0f} s when it finds maa's {method}"
            for method in used
            if seen.pauses.get(method, 0.0) > _NOTEWORTHY_SECONDS
        ]
    pairs = itertools.combinations(habits.items(), 2)
    found += [
        f"DANGER: {one} and {other} write at the same time: no lock is common"
        for (one, first), (other, second) in pairs
        if not first.sound & second.sound
    ]
    orders: dict[tuple[str, ...], list[str]] = {}
    for name, seen in habits.items():
        orders.setdefault(seen.order, []).append(name)
    if any(_opposed(*pair) for pair in itertools.combinations(orders, 2)):
        all_of_them = "; ".join(f"{_listed(names)}: {_listed(o)}" for o, names in orders.items())
        found.append(
            f"note: orders differ ({all_of_them}): these may hold each other up until one "
            "gives up; maa takes all of its locks or none"
        )
    return found


def _opposed(first: Sequence[str], second: Sequence[str]) -> bool:
    common = [one for one in first if one in second]
    return common != [one for one in second if one in first]


def written(locks: Sequence[str]) -> str:
    """As TOML has it."""
    return "[" + ", ".join(f'"{one}"' for one in locks) + "]"


def _write(file: Path, setting: str) -> None:
    """Change the one line; CannotEdit, OSError, ConfigError."""
    path = os.path.realpath(file)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with open(descriptor, encoding="utf-8", newline="", closefd=False) as stream:
            text = with_value(stream.read(), "mail", "locks", setting)
        replace_file(path, descriptor, text.encode("utf-8"))
    finally:
        os.close(descriptor)
    load(file)
