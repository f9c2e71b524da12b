"""Transcripts: the protocols' specification by example, read from text and played to a server.

    # what the transcript shows (RFC section; rules)
    @messages one.eml two.eml       what is in the INBOX at first (default: one.eml two.eml)
    @greeting                       connections begin with the greeting, nobody is logged in
    @peer remote                    remote, loopback (default) or tls
    @set append_limit_octets 1000   a setting of the protocol
    @quota 10 messages              how much mail every user may have
    C1: a SELECT INBOX              a client's line; CRLF is added; `C:` is connection 1
    S1: * 2 EXISTS                  a server's line
    S1: a OK ...                    `...` stands for any text
    S1: ...                         alone it stands for any number of lines
    D:  one.eml                     the MDA delivers into the INBOX
    X:  2                           another program removes the second message of the INBOX
    TLS1:                           the connection begins TLS here
    S1: a OK [HIGHESTMODSEQ <m>]    a word that is remembered; later, also in what a client says,
                                    `<m>` stands for it
    S1: [closed]                    the server closes

Everything that one client says without anything happening elsewhere is a *part*; a player feeds
a part in whatever pieces it likes, and then expects the part's answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

HERE = Path(__file__).parent
MAIL = HERE / "mail"
CLOSED = b"[closed]"

Known = dict[str, bytes]

_WORD = re.compile(r"<([a-z]+[0-9]*)>")
_TOKEN = re.compile(r"(\.\.\.|<[a-z]+[0-9]*>)")
_LINE = re.compile(r"(C|S|D|X|TLS)([0-9]*):(?: (.*)|)")


@dataclass
class Part:
    """What one client says, or what happens beside it, and what is answered."""

    connection: int = 0
    said: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    delivered: str = ""
    removed: int = 0
    tls: bool = False

    def octets(self, known: Known) -> bytes:
        """What is said, with the words that are known by now."""
        lines = (_WORD.sub(lambda match: known[match[1]].decode(), line) for line in self.said)
        return b"".join(line.encode() + b"\r\n" for line in lines)


@dataclass
class Transcript:
    """A whole dialogue."""

    messages: list[str] = field(default_factory=lambda: ["one.eml", "two.eml"])
    greeting: bool = False
    peer: str = "loopback"
    settings: dict[str, str] = field(default_factory=dict)
    quota: str = "maildirsize"
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def parse(cls, text: str) -> Transcript:
        transcript = cls()
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith("@"):
                transcript._directive(*line[1:].split())
            elif line and not line.startswith("#"):
                match = _LINE.fullmatch(line)
                if match is None:
                    raise ValueError(f"line {number}: {line!r}")
                transcript._step(match.group(1), int(match.group(2) or 1), match.group(3) or "")
        return transcript

    def _directive(self, word: str, *rest: str) -> None:
        if word == "messages":
            self.messages = list(rest)
        elif word == "greeting":
            self.greeting = True
        elif word == "peer":
            (self.peer,) = rest
        elif word == "quota":
            self.quota = " ".join(rest)
        elif word == "set":
            self.settings[rest[0]] = rest[1]
        else:
            raise ValueError(f"unknown directive {word}")

    def _step(self, who: str, connection: int, text: str) -> None:
        last = self.parts[-1] if self.parts else None
        if who == "C":
            # What is to be said with a word from an answer waits for that answer.
            waits = last is not None and bool(last.expected) and _WORD.search(text) is not None
            if last is None or last.connection != connection or last.tls or waits:
                last = Part(connection)
                self.parts.append(last)
            last.said.append(text)
        elif who == "S":
            if last is None or last.connection != connection:
                last = Part(connection)
                self.parts.append(last)
            last.expected.append(text)
        elif who == "D":
            self.parts.append(Part(delivered=text.strip()))
        elif who == "X":
            self.parts.append(Part(removed=int(text)))
        else:
            self.parts.append(Part(connection, tls=True))


def transcripts(protocol: str) -> list[Path]:
    """Every transcript of `imap` or `pop3`, those of single clients' quirks among them."""
    folders = (HERE / protocol, HERE / "quirks" / protocol)
    found = [path for folder in folders for path in sorted(folder.glob("*.txt"))]
    if not found:
        raise FileNotFoundError(protocol)
    return found


class Client(Protocol):
    """A client's end of one connection."""

    def send(self, data: bytes) -> None:
        """Say something."""

    def line(self) -> bytes | None:
        """The next line from the server without its CRLF; CLOSED; None when there is no more."""

    def start_tls(self) -> None:
        """Begin TLS."""


class World(Protocol):
    """A server with its mailboxes."""

    def client(self, number: int) -> Client:
        """The connection of this number: the same at each call, made and logged in at the first."""

    def deliver(self, message: str) -> None:
        """The MDA puts a message of MAIL into the INBOX."""

    def remove(self, number: int) -> None:
        """Another program removes the message which is this one of the INBOX's, from 1."""


Cut = Callable[[bytes], Iterator[bytes]]


def whole(data: bytes) -> Iterator[bytes]:
    """All at once."""
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    """Each octet by itself."""
    for place in range(len(data)):
        yield data[place : place + 1]


def play(transcript: Transcript, world: World, cut: Cut = whole) -> None:
    """Let the dialogue happen; AssertionError where it goes another way than written."""
    begun: set[int] = set()
    known: Known = {}
    for part in transcript.parts:
        if part.delivered:
            world.deliver(part.delivered)
        elif part.removed:
            world.remove(part.removed)
        else:
            client = world.client(part.connection)
            begun.add(part.connection)
            if part.tls:
                client.start_tls()
            for piece in cut(part.octets(known)) if part.said else ():
                client.send(piece)
            check(client, part.expected, known)
    for number in sorted(begun):
        rest = world.client(number).line()
        assert rest in (None, CLOSED), f"connection {number}: not expected: {rest!r}"


def check(client: Client, expected: list[str], known: Known) -> None:
    """Read lines as long as they are expected ones; learn words from them."""
    seen: list[bytes] = []
    skipping = False
    for pattern in expected:
        if pattern == "...":
            skipping = True
            continue
        while True:
            line = client.line()
            assert line is not None, _report("missing", pattern, seen)
            seen.append(line)
            if matches(pattern, line, known):
                break
            assert line != CLOSED, _report("the end", pattern, seen)  # nothing will follow
            assert skipping, _report("another line", pattern, seen)
        skipping = False
    while skipping and client.line() is not None:
        pass


def matches(pattern: str, line: bytes, known: Known) -> bool:
    """Whether a line is what the pattern says; `...` is any text, `<word>` one to remember."""
    names: list[str] = []
    parts: list[bytes] = []
    for piece in _TOKEN.split(pattern):
        word = _WORD.fullmatch(piece)
        if piece == "...":
            parts.append(b".*")
        elif word is None:
            parts.append(re.escape(piece.encode()))
        elif word[1] in known:
            parts.append(re.escape(known[word[1]]))
        elif word[1] in names:
            parts.append(b"(?P=%b)" % word[1].encode())
        else:
            names.append(word[1])
            parts.append(b"(?P<%b>[0-9A-Za-z_-]+)" % word[1].encode())
    match = re.fullmatch(b"".join(parts), line, re.DOTALL)
    if match is None:
        return False
    known.update((name, match[name]) for name in names)
    return True


def _report(what: str, pattern: str, seen: list[bytes]) -> str:
    lines = "\n".join("    " + line.decode("utf-8", "replace") for line in seen)
    return f"{what}: expected {pattern!r}, received\n{lines}"
