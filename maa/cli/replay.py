"""`maa replay FILE`: say again what a client said, to a copy of the mailboxes, and compare."""

from __future__ import annotations

import argparse
import difflib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from maa.auth.credentials import Authenticator
from maa.auth.source import Source
from maa.conversation import CLOSE, Conversation, Peer
from maa.imap.session import Session as ImapSession
from maa.imap.states import ImapSettings
from maa.pop3.session import Session as Pop3Session
from maa.pop3.states import Pop3Settings
from maa.service.building import authenticator_of, places_of
from maa.service.config import Config
from maa.service.reading import ConfigError, load
from maa.store.accounts import Accounts
from maa.store.errors import StoreError
from maa.store.watch import Watcher
from maa.transport.rawlog import Record, read_recording
from maa.user import User

CONFIG: Final = Path("/etc/maa/maa.toml")
SHOWN_LINES: Final = 20


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "replay",
        help="say a recorded connection again to a copy of the mailboxes",
        description="Nothing of the user is changed: the mailboxes are copied, by links where "
        "that can be, into a directory that is removed at the end.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording of `maa rawlog`")
    parser.add_argument("--user", required=True, metavar="NAME", help="whose mailboxes to copy")
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"({CONFIG})")
    parser.add_argument("--pop3", action="store_true", help="the recording is of POP3")
    parser.add_argument("--copy", type=Path, metavar="DIR", help="where the copy is made")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Replay it; 0 when every answer was the recorded one."""
    try:
        config = load(arguments.config)
        records = list(read_recording(arguments.file.read_bytes()))
        user = authenticator_of(config).find(arguments.user) or User(arguments.user)
        with tempfile.TemporaryDirectory(dir=arguments.copy, prefix="maa-replay-") as directory:
            accounts, copied = _copied(config, user, directory)
            try:
                session = _session(accounts, copied, arguments.pop3)
                return _compared(session, records)
            finally:
                accounts.close()
    except (ConfigError, StoreError) as error:
        print(error or type(error).__name__, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or arguments.file}: {error.strerror}", file=sys.stderr)
    return 2


@dataclass
class Exchange:
    """What the client said at once, and what was answered."""

    at: float
    said: bytes = b""
    answered: bytes = b""
    until: float = 0.0
    whole: bool = True
    """Nothing of the answer is hidden."""
    parts: list[int] = field(default_factory=list)


def exchanges(records: list[Record]) -> Iterator[Exchange]:
    """The recording cut where the client spoke again; what was hidden is filled with `x`."""
    present: Exchange | None = None
    answering = True
    for record in records:
        if record.who == "C":
            if present is None or answering:
                if present is not None:
                    yield present
                present = Exchange(record.at, until=record.at)
                answering = False
            present.said += b"x" * record.octets if record.said is None else record.said
        elif present is not None:
            answering = True
            present.until = record.at
            present.answered += record.said or b""
            present.whole = present.whole and record.who == "S" and record.said is not None
    if present is not None:
        yield present


def _compared(session: Client, records: list[Record]) -> int:
    different = 0
    for exchange in exchanges(records):
        begun = time.monotonic()
        answer = session.ask(exchange.said)
        seconds = time.monotonic() - begun
        same = answer == exchange.answered if exchange.whole else None
        verdict = {True: "same", False: "DIFFERENT", None: "hidden in part"}[same]
        first = exchange.said.split(b"\r\n", 1)[0][:100].decode("utf-8", "replace")
        print(
            f"{(exchange.until - exchange.at) * 1e3:9.1f} ms then {seconds * 1e3:9.1f} ms now"
            f"  {verdict:9}  {first!r}"
        )
        if same is False:
            different += 1
            _show(exchange.answered, answer)
    print(f"{different} answers differ")
    return 1 if different else 0


def _show(then: bytes, now: bytes) -> None:
    lines = difflib.unified_diff(_lines(then), _lines(now), "then", "now", lineterm="", n=1)
    for number, line in enumerate(lines):
        if number == SHOWN_LINES:
            print("    ...")
            break
        print(f"    {line[:200]}")


def _lines(data: bytes) -> list[str]:
    return [repr(line)[2:-1] for line in data.split(b"\r\n")]


class Client:
    """One session without a socket, its user logged in."""

    def __init__(self, make: Callable[[Peer, Callable[[], None]], Conversation]) -> None:
        self._woken = False
        self._closed = False
        peer = Peer("127.0.0.1", tls=True, loopback=True, session="replay")
        self._session = make(peer, self._wake)
        self._taken(self._session.begin())

    def _wake(self) -> None:
        self._woken = True

    def ask(self, data: bytes) -> bytes:
        """Everything that is answered."""
        if self._closed:
            return b""
        self._session.feed(data)
        answer = self._taken(self._session.steps())
        while self._woken and not self._closed:
            self._woken = False
            self._session.poke()
            answer += self._taken(self._session.steps())
        return answer

    def _taken(self, steps: Iterator[object]) -> bytes:
        pieces = []
        for step in steps:
            if isinstance(step, bytes):
                pieces.append(step)
            elif step is CLOSE:
                self._closed = True
        return b"".join(pieces)


class _Anybody(Source):
    """A source of credentials that lets the copied user in."""

    def __init__(self, user: User) -> None:
        self._user = user

    def check(self, name: str, password: bytes, service: str) -> User | None:
        return self._user

    def find(self, name: str) -> User | None:
        return self._user

    def pretend(self, name: str, password: bytes, service: str) -> None:
        return

    def stamp(self) -> int:
        return 0


def _session(accounts: Accounts, user: User, pop3: bool) -> Client:
    authenticator = Authenticator([_Anybody(user)])
    name = user.name.encode()
    if pop3:
        client = Client(
            lambda peer, wake: Pop3Session(accounts, authenticator, peer, wake, Pop3Settings())
        )
        client.ask(b"USER %b\r\nPASS x\r\n" % name)
    else:
        client = Client(
            lambda peer, wake: ImapSession(accounts, authenticator, peer, ImapSettings(), wake)
        )
        client.ask(b'login LOGIN "%b" x\r\n' % name)
    return client


def _copied(config: Config, user: User, directory: str) -> tuple[Accounts, User]:
    """The user's mail and index in a directory of their own, and accounts that know only these."""
    places = places_of(config)
    paths = places.of(user)
    inbox, folders = os.path.join(directory, "inbox"), os.path.join(directory, "folders")
    state = os.path.join(directory, "state")
    original = Accounts(str(config.state), places, Watcher(), neighbours=True)
    try:
        # Under the account's lock nobody is in the middle of a change.
        with original.open(user).ledger.held():
            _copy(paths.inbox, inbox)
            if paths.folders != paths.inbox:
                _copy(paths.folders, folders)
            users = os.path.join("users", user.name)
            _copy(os.path.join(config.state, users), os.path.join(state, users))
    finally:
        original.close()
    if paths.folders == paths.inbox:
        folders = inbox
    copied = replace(
        user,
        uid=None,
        gid=None,
        home=directory,
        inbox=f"{paths.inbox_format}:{inbox}",
        folders=f"{paths.folders_format}:{folders}",
    )
    return Accounts(state, places, Watcher()), copied


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True, copy_function=_copy_file)
    elif os.path.lexists(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy2(source, target)


def _copy_file(source: str, target: str) -> None:
    """A message of a Maildir is never written again and can be linked; the rest must not be."""
    if os.path.basename(os.path.dirname(source)) in ("cur", "new"):
        with suppress(OSError):
            os.link(source, target, follow_symlinks=False)
            return
    if os.path.isfile(source):  # neither a FIFO nor a socket
        shutil.copy2(source, target, follow_symlinks=False)
