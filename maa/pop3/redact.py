"""What a recording may show of POP3: no password, and no mail where that is wished."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from maa.conversation import Piece

_LINE_OCTETS_MAX: Final = 65536
_HARMLESS: Final = re.compile(rb"(?:CAPA|STLS|QUIT|NOOP|USER [^\r\n]*|AUTH ?)\r?\n", re.IGNORECASE)
_SECRET: Final = re.compile(rb"PASS\b|AUTH [A-Za-z0-9_-]+|APOP [^ \r\n]+", re.IGNORECASE)
# Status lines, and the lines of LIST and UIDL; a line of mail that looks so is shown.
_NO_MAIL: Final = re.compile(rb"(?:\+OK|-ERR|\+ |[0-9]{1,10} [!-~]{1,70}\r?\n|\.\r?\n)")


class Redactor:
    """One direction of a connection."""

    def __init__(self, *, bodies: bool, client: bool = False) -> None:
        """`bodies`: show the messages too; `client`: it is the client's."""
        self._bodies = bodies
        self._client = client
        self._held = b""

    def shown(self, data: bytes) -> Iterator[Piece]:
        """What a user says, or the server to anybody."""
        if self._client:
            # A client that has lost count says its password once more when it is logged in.
            for line in self._lines(data):
                secret = _SECRET.match(line)
                head = secret.group() if secret else line
                yield head, len(line) - len(head)
            return
        if self._bodies:
            yield data, 0
            return
        for line in self._lines(data):
            yield (line, 0) if _NO_MAIL.match(line) else (b"", len(line))

    def before_login(self, data: bytes) -> Iterator[Piece]:
        """What a client says while its password may be among it."""
        for line in self._lines(data):
            if _HARMLESS.fullmatch(line):
                yield line, 0
            else:
                secret = _SECRET.match(line)
                head = secret.group() if secret else b""
                yield head, len(line) - len(head)

    def _lines(self, data: bytes) -> Iterator[bytes]:
        data = self._held + data
        self._held = b""
        begin = 0
        while end := data.find(b"\n", begin) + 1:
            yield data[begin:end]
            begin = end
        if len(data) - begin > _LINE_OCTETS_MAX:
            yield data[begin:]
        else:
            self._held = data[begin:]


def redactors(*, bodies: bool) -> tuple[Redactor, Redactor]:
    """Of the client's direction, whose commands are never mail, and of the server's."""
    return Redactor(bodies=True, client=True), Redactor(bodies=bodies)
