"""What a recording may show of IMAP: no password, and no mail where that is wished.

A `Redactor` follows one direction of one connection, whatever the packet edges, and cuts it into
pieces to show and pieces of which only the number of octets is said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from maa.conversation import Piece

_LITERAL: Final = re.compile(rb"\{([0-9]{1,19})\+?\}\r?\n\Z")
_LINE_OCTETS_MAX: Final = 65536
# A command before login that is shown whole, and one whose arguments are secrets.
_HARMLESS: Final = re.compile(
    rb"[^ \r\n{]{1,100} (?:CAPABILITY|NOOP|LOGOUT|STARTTLS|ID [^\r\n]*)\r?\n", re.IGNORECASE
)
_SECRET: Final = re.compile(rb"([^ \r\n{]{1,100} (?:LOGIN|AUTHENTICATE [A-Za-z0-9_-]+))\b", re.I)


class Lines:
    """A stream cut into lines and the literals between them."""

    def __init__(self) -> None:
        self._held = b""
        self._literal_left = 0

    def cut(self, data: bytes) -> Iterator[tuple[bytes, bool]]:
        """Each whole line, or a part of a literal (True); the rest is held back."""
        data = self._held + data
        self._held = b""
        while data:
            if self._literal_left:
                part, data = data[: self._literal_left], data[self._literal_left :]
                self._literal_left -= len(part)
                yield part, True
                continue
            end = data.find(b"\n") + 1
            if not end and len(data) < _LINE_OCTETS_MAX:
                self._held = data
                return
            line, data = data[: end or len(data)], data[end or len(data) :]
            match = _LITERAL.search(line)
            if match is not None:
                self._literal_left = int(match.group(1))
            yield line, False


class Redactor:
    """One direction of a connection."""

    def __init__(self, *, bodies: bool, client: bool = False) -> None:
        """`bodies`: show what literals hold, which may be mail; `client`: it is the client's."""
        self._bodies = bodies
        self._client = client
        self._lines = Lines()
        self._inside = False
        """The last line with secrets announced a literal: what follows is part of it."""

    def shown(self, data: bytes) -> Iterator[Piece]:
        """What a user says, or the server to anybody."""
        for piece, literal in self._lines.cut(data):
            # A client that has lost count says its password once more when it is logged in.
            secret = _SECRET.match(piece) if self._client and not literal else None
            continued, goes_on = self._inside, literal or _LITERAL.search(piece) is not None
            self._inside = goes_on and (continued or secret is not None)
            if continued:
                yield b"", len(piece)
            elif secret is not None:
                yield secret.group(1), len(piece) - secret.end(1)
            else:
                yield (b"", len(piece)) if literal and not self._bodies else (piece, 0)

    def before_login(self, data: bytes) -> Iterator[Piece]:
        """What a client says while its password may be among it."""
        for piece, literal in self._lines.cut(data):
            continued, self._inside = self._inside, literal or _LITERAL.search(piece) is not None
            if literal or continued:
                yield b"", len(piece)
            elif _HARMLESS.fullmatch(piece):
                yield piece, 0
            else:
                secret = _SECRET.match(piece)
                head = secret.group(1) if secret else b""
                yield head, len(piece) - len(head)


def redactors(*, bodies: bool) -> tuple[Redactor, Redactor]:
    """Of the client's direction, and of the server's."""
    return Redactor(bodies=bodies, client=True), Redactor(bodies=bodies)
