"""`maa log`: read the audit log, who came in and who deleted what."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO

from maa.audit import CLIENT, EVENTS, LOGIN
from maa.service.logs import escaped
from maa.service.reading import ConfigError, load

CONFIG: Final = Path("/etc/maa/maa.toml")
_AGO: Final = re.compile(r"([0-9]{1,9})([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_FIRST: Final = ("event", "user", "address")
_HIDDEN: Final = ("log_",)

Event = dict[str, Any]


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "log",
        help="who logged in, and who deleted what",
        description="Reads the audit log ([log] audit in the configuration); with several "
        "conditions, what meets all of them.",
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"({CONFIG})")
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="older files, in order; - is the input"
    )
    parser.add_argument("--user", metavar="NAME")
    parser.add_argument("--address", metavar="ADDRESS")
    parser.add_argument("--session", metavar="SESSION", help="one connection, as the log calls it")
    parser.add_argument("--mailbox", metavar="NAME")
    parser.add_argument(
        "--event", action="append", choices=EVENTS, help="may be repeated; if not said: all"
    )
    parser.add_argument(
        "--since", metavar="WHEN", help="2h, 3d, or 2026-11-25, or 2026-11-25T18:00"
    )
    parser.add_argument("--until", metavar="WHEN")
    parser.add_argument("--json", action="store_true", help="as it stands in the file")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for; 1 when there is no such log."""
    try:
        wanted = _wanted(arguments)
        files = arguments.files or [_configured(arguments.config)]
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    clients: dict[str, str] = {}
    try:
        for file in files:
            if str(file) != "-":
                with open(file, encoding="utf-8") as stream:
                    clients |= _clients(stream)
        for file in files:
            with sys.stdin if str(file) == "-" else open(file, encoding="utf-8") as stream:
                _print(_events(stream, str(file)), wanted, clients, arguments.json)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _configured(config: Path) -> Path:
    found = load(config).log.audit
    if found is None:
        raise ValueError(f"{config}: no audit log is kept: set [log] audit")
    return found


def _clients(stream: TextIO) -> dict[str, str]:
    """What the clients of sessions say of themselves, which most say after their login."""
    found = {}
    for line in stream:
        if f'"event": "{CLIENT}"' in line:
            with suppress(ValueError):
                event = json.loads(line.lstrip("\x1e"))
                found[str(event.get("session"))] = str(event.get("client"))
    return found


def _events(stream: TextIO, name: str) -> Iterator[Event]:
    """The events of a file; a line that a crash cut off is told and passed over."""
    for number, line in enumerate(stream, 1):
        try:
            event = json.loads(line.lstrip("\x1e"))
        except ValueError:
            print(f"{name}: line {number} is damaged", file=sys.stderr)
            continue
        if isinstance(event, dict):
            yield event


def _print(
    events: Iterable[Event],
    wanted: Callable[[Event], bool],
    clients: dict[str, str],
    as_json: bool,
) -> None:
    for event in events:
        if event.get("event") == CLIENT:
            clients[str(event.get("session"))] = str(event.get("client"))
        elif event.get("event") == LOGIN and str(event.get("session")) in clients:
            event.setdefault("client", clients[str(event.get("session"))])
        if not wanted(event):
            continue
        print(json.dumps(event, ensure_ascii=False) if as_json else line(event))


def line(event: Event) -> str:
    """An event for people, one line whatever is in it."""
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(event.get("log_time", 0))))
    words = [at, str(event.get("event"))]
    if event.get("user"):
        words.append(str(event["user"]))
    if event.get("address"):
        words.append(f"from {event['address']}")
    words += [
        f"{key}={value}"
        for key, value in event.items()
        if key not in _FIRST and not key.startswith(_HIDDEN)
    ]
    return escaped(" ".join(words))


def _wanted(arguments: argparse.Namespace) -> Callable[[Event], bool]:
    names = ("user", "address", "session", "mailbox")
    same = {name: getattr(arguments, name) for name in names if getattr(arguments, name)}
    since = _moment(arguments.since) if arguments.since else 0.0
    until = _moment(arguments.until) if arguments.until else float("inf")
    kinds = arguments.event

    def wanted(event: Event) -> bool:
        return (
            all(event.get(name) == value for name, value in same.items())
            and (not kinds or event.get("event") in kinds)
            and since <= float(event.get("log_time", 0)) <= until
        )

    return wanted


def _moment(text: str) -> float:
    """Seconds since the epoch; ValueError."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return time.time() - int(ago[1]) * _SECONDS[ago[2]]
    for form in ("%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"):
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    raise ValueError(f"{text!r} is no moment: 2h, 3d, 2026-11-25 or 2026-11-25T18:00")
