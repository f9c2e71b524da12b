"""`maa compare`: how many messages would clients fetch again from the new server?"""

from __future__ import annotations

import argparse
import getpass
import os
import ssl
import stat
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maa.cli.remote import (
    TLS,
    Box,
    Message,
    RemoteError,
    Server,
    Shown,
    imap_shown,
    pop3_shown,
)

PASSWORD: Final = "MAA_PASSWORD"


class _Fault(Exception):
    """What is wrong, for whoever typed the command."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "compare",
        help="how many messages would clients fetch again, coming from another server?",
        description="Log in to the server before and to this one, look at all mailboxes without "
        "changing any, and count the messages that IMAP and POP3 clients would fetch again: 0 is "
        f"the goal. The password is asked for, unless --passwords or ${PASSWORD} gives it.",
    )
    parser.add_argument("--with", dest="old", required=True, metavar="HOST", help="the old server")
    parser.add_argument("--to", dest="new", default="localhost", metavar="HOST", help="the new one")
    for side, what in (("with", "the old server's"), ("to", "the new server's")):
        parser.add_argument(f"--{side}-imap", type=int, metavar="PORT", help=f"{what} IMAP port")
        parser.add_argument(f"--{side}-pop3", type=int, metavar="PORT", help=f"{what} POP3 port")
        parser.add_argument(f"--{side}-tls", choices=TLS, default=TLS[0], help=f"{what}: {TLS[0]}")
    parser.add_argument("--cafile", type=Path, help="certificates to trust, PEM")
    parser.add_argument("--no-verify", action="store_true", help="trust any certificate")
    parser.add_argument("--user", nargs="+", required=True, metavar="NAME", help="whose mail")
    parser.add_argument("--passwords", type=Path, metavar="FILE", help="user:password lines")
    parser.add_argument("--protocol", choices=("imap", "pop3", "both"), default="both")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare; 0 when nothing would be fetched again, 1 when something would, 2 on failure."""
    again = 0
    failed = False
    try:
        old, new = _servers(arguments)
        passwords = _passwords(arguments)
    except (_Fault, OSError, ssl.SSLError) as error:
        print(f"maa compare: {error}", file=sys.stderr)
        return 2
    for user in arguments.user:
        try:
            again += _compared(arguments.protocol, old, new, user, passwords[user])
        except RemoteError as error:
            print(f"maa compare: {user}: {error}", file=sys.stderr)
            failed = True
    print(f"{again} messages would be fetched again")
    return 2 if failed else 1 if again else 0


def _servers(arguments: argparse.Namespace) -> tuple[Server, Server]:
    context = ssl.create_default_context(cafile=arguments.cafile)
    if arguments.no_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    old = Server(
        arguments.old, arguments.with_imap, arguments.with_pop3, arguments.with_tls, context
    )
    new = Server(arguments.new, arguments.to_imap, arguments.to_pop3, arguments.to_tls, context)
    return old, new


def _passwords(arguments: argparse.Namespace) -> dict[str, str]:
    """By user; never from the command line, which everybody on the machine can read."""
    found: dict[str, str] = {}
    if arguments.passwords is not None:
        with arguments.passwords.open(encoding="utf-8") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise _Fault(f"others can read {arguments.passwords}: chmod 600")
            for line in file:
                name, colon, password = line.rstrip("\r\n").partition(":")
                if colon:
                    found[name] = password
        missing = [user for user in arguments.user if user not in found]
        if missing:
            raise _Fault(f"{arguments.passwords} has no line for {', '.join(missing)}")
        return found
    given = os.environ.get(PASSWORD)
    for user in arguments.user:
        found[user] = given if given is not None else getpass.getpass(f"Password of {user}: ")
    return found


def _compared(protocol: str, old: Server, new: Server, user: str, password: str) -> int:
    """Say what differs for one user; how many messages would be fetched again."""
    again = 0
    if protocol != "pop3":
        before, after = (imap_shown(server, user, password) for server in (old, new))
        again += _say(user, imap_differences(before, after))
    if protocol != "imap":
        names, others = (pop3_shown(server, user, password) for server in (old, new))
        again += _say(user, [("POP3", pop3_difference(names, others))])
    return again


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different in a mailbox."""

    messages: int
    """On the new server."""
    again: int = 0
    """What a client which knows the old server's would fetch again."""
    arrived: int = 0
    """Of which the old server knows nothing."""
    missing: int = 0
    """Which the new server does not have."""
    flags: int = 0
    """With other flags or keywords."""
    notes: tuple[str, ...] = ()


def _say(user: str, found: Iterable[tuple[str, Difference]]) -> int:
    again = 0
    for name, difference in found:
        again += difference.again
        more = [
            f"{count} {what}"
            for count, what in (
                (difference.arrived, "new since"),
                (difference.missing, "missing"),
                (difference.flags, "with other flags"),
            )
            if count
        ]
        said = "; ".join([", ".join(more)] * bool(more) + list(difference.notes))
        print(
            f"{user}: {name}: {difference.again} of {difference.messages} messages again"
            + (f" ({said})" if said else "")
        )
    return again


def imap_differences(old: Shown, new: Shown) -> Iterator[tuple[str, Difference]]:
    """By mailbox, INBOX first; of mailboxes that the old server does not have, nothing is said."""
    for elements in sorted(old.boxes, key=lambda elements: (elements != ("INBOX",), elements)):
        box, other = old.boxes[elements], new.boxes.get(elements)
        notes = () if (elements in old.subscribed) <= (elements in new.subscribed) else (
            "not subscribed any more",)  # fmt: skip
        name = "/".join(elements)
        if other is None:
            yield name, Difference(0, missing=len(box.messages), notes=("not there",))
        else:
            yield name, imap_difference(box, other, notes)
    for where, shown in (("there", old), ("here", new)):
        for note in shown.refused:
            yield where, Difference(0, notes=(note,))
    if old.prefix != new.prefix:
        note = f"clients call folders {old.prefix}NAME there, and {new.prefix}NAME here"
        yield "names", Difference(0, notes=(note,))


def imap_difference(old: Box, new: Box, notes: tuple[str, ...] = ()) -> Difference:
    """UIDVALIDITY and UID make a message what it is to a client (RFC 3501 §2.3.1.1)."""
    count = len(new.messages)
    if old.uidvalidity != new.uidvalidity:
        note = f"UIDVALIDITY {old.uidvalidity} there, {new.uidvalidity} here"
        return Difference(count, again=count, notes=(*notes, note))
    both = old.messages.keys() & new.messages.keys()
    other = {uid for uid in both if old.messages[uid].identity != new.messages[uid].identity}
    flags = sum(old.messages[uid].flags != new.messages[uid].flags for uid in both - other)
    gone = [old.messages[uid] for uid in (old.messages.keys() - both) | other]
    come = [new.messages[uid] for uid in new.messages.keys() - both]
    again, arrived, missing = _moved(gone, come)
    if other:
        notes = (*notes, f"{len(other)} UIDs mean another message")
    return Difference(count, again + len(other), arrived, missing, flags, notes)


def pop3_difference(old: dict[bytes, Message], new: dict[bytes, Message]) -> Difference:
    """A message with an unknown name is fetched (RFC 1939 §7)."""
    both = old.keys() & new.keys()
    other = {name for name in both if old[name].identity != new[name].identity}
    gone = [old[name] for name in (old.keys() - both) | other]
    come = [new[name] for name in new.keys() - both]
    again, arrived, missing = _moved(gone, come)
    notes = (f"{len(other)} names mean another message",) if other else ()
    return Difference(len(new), again + len(other), arrived, missing, notes=notes)


def _moved(gone: Iterable[Message], come: Iterable[Message]) -> tuple[int, int, int]:
    """How many are both under another number, how many are only new, how many only old."""
    left = Counter(message.identity for message in gone)
    arriving = Counter(message.identity for message in come)
    again = (left & arriving).total()
    return again, arriving.total() - again, left.total() - again
