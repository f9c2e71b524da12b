"""`maa quirks`: what single clients do, what the server does about it, and which client gets what.

Exit status: 0; 2 when the ID cannot be understood, or nothing is called so.
"""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import textwrap

from maa.quirks import QUIRKS, Identity, Quirk, identity_of

WIDTH = 82


class _Odd(Exception):
    """That is no ID."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser("quirks", help="what is done for single clients, and why")
    parser.add_argument("names", nargs="*", metavar="QUIRK", help="only these, such as Q-1")
    parser.add_argument(
        "--id",
        help="only those chosen for a client that says this ID, as it stands in the log: "
        '\'"name" "iPhone Mail" "os" "iOS"\'',
    )
    parser.add_argument(
        "--asks",
        action="append",
        default=[],
        metavar="FIELD",
        help="only those chosen for a client that asks for this header field; may be given again",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them; the exit status."""
    known = {quirk.id: quirk for quirk in QUIRKS}
    names = [name.upper() for name in arguments.names]
    if unknown := [name for name in names if name not in known]:
        print(f"maa quirks: there is no {', '.join(unknown)}", file=sys.stderr)
        return 2
    try:
        identity = _identity(arguments.id or "")
    except _Odd as odd:
        print(f"maa quirks: {odd}", file=sys.stderr)
        return 2
    asked = frozenset(field.upper() for field in arguments.asks)
    shown = [known[name] for name in names] or list(QUIRKS)
    if arguments.id is not None or asked:
        chosen = [(quirk, _reason(quirk, identity, asked)) for quirk in shown if not quirk.always]
        found = [(quirk, reason) for quirk, reason in chosen if reason]
        for quirk, reason in found:
            _say(quirk, f"because {reason}")
        if not found:
            print("none: this client gets what all get")
        return 0
    for quirk in shown:
        _say(quirk, "always" if quirk.always else "when " + ", or ".join(map(str, quirk.when)))
    return 0


def _reason(quirk: Quirk, identity: Identity, asked: frozenset[str]) -> str:
    return ", and ".join(str(when) for when in quirk.when if when.knows(identity, asked))


def _say(quirk: Quirk, on: str) -> None:
    print(f"{quirk.id}  {quirk.client}")
    for label, text in (
        ("quirk", quirk.quirk),
        ("answer", quirk.answer),
        ("on", on),
        ("proof", " ".join(f"tests/{test}" for test in quirk.proof)),
    ):
        lines = textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)
        for number, line in enumerate(lines):
            print(f"      {label if number == 0 else '':<8}{line}")
    print()


def _identity(text: str) -> Identity:
    """What the argument says: pairs of words, as on the wire and in the log."""
    if re.fullmatch(r"(?i)\s*(nil)?\s*", text):
        return {}
    inner = re.fullmatch(r"\s*\((.*)\)\s*", text, re.DOTALL)
    try:
        words = shlex.split(inner[1] if inner else text)
    except ValueError as error:
        raise _Odd(f"{text}: {error}") from None
    if len(words) % 2:
        raise _Odd(
            'an ID is pairs of words; a value with blanks in it stands in quotes: "iPhone Mail"'
        )
    return identity_of(
        (name, None if value == "NIL" else value)
        for name, value in zip(words[::2], words[1::2], strict=True)
    )
