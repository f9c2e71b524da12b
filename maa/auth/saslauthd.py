"""saslauthd, asked through its Unix socket.

The request is four strings (login, password, service, realm), each behind its length in two
octets, high octet first; the reply is one such string that begins with OK or NO. saslauthd says
NO to an unknown user and to a wrong password alike. Whatever else happens (no socket, no answer
in time, a torn or strange reply) is `AuthUnavailable`, never a wrong password (R250, R251).
"""

from __future__ import annotations

import pwd
import socket
import struct
import time
from collections.abc import Hashable
from typing import Final

from maa.auth.errors import AuthUnavailable
from maa.auth.source import Source, Stored
from maa.user import User

NAME_OCTETS_MAX: Final = 255
PASSWORD_OCTETS_MAX: Final = 1024
REPLY_OCTETS_MAX: Final = 1024
REALM_NONE: Final = "none"
REALM_FROM_AT_SIGN: Final = "from-at-sign"


class Saslauthd(Source):
    """A credential source that asks saslauthd, one connection per question."""

    def __init__(
        self,
        path: str,
        realm: str = REALM_NONE,
        *,
        connect_seconds: float = 3.0,
        reply_seconds: float = 30.0,
    ) -> None:
        self.path = path
        self._realm = realm
        self._connect_seconds = connect_seconds
        self._reply_seconds = reply_seconds

    def check(self, name: str, password: bytes, service: str) -> User | None:
        """The user when saslauthd says OK, None when it says NO."""
        question = self.question(name, password, service)
        if question is None or not self.decided(self.reply(question)):
            return None
        return self.user(name)

    def find(self, name: str) -> User | None:
        """The system's user of this name; saslauthd itself cannot be asked without a password."""
        user = _system_user(name)
        return user if user.uid is not None else None

    def pretend(self, name: str, password: bytes) -> None:
        """Nothing to pretend: saslauthd is asked about every name, known or not."""

    def stored(self, name: str) -> Stored | None:
        """The system's user of this name, or one as `check` would make it: nobody can tell.

        saslauthd has users whom the system does not know, and names none without a password. Who
        is asked for here was vouched for by a certificate, a ticket, a token or an app password.
        """
        return Stored(_system_user(name))

    def stamp(self) -> Hashable:
        """saslauthd cannot tell that its users changed: the memory's minute is the bound."""
        return None

    def question(self, name: str, password: bytes, service: str) -> tuple[bytes, ...] | None:
        """Login, password, service and realm as they are sent; None for what must not be.

        A length field has 16 bits and the far side copies into small buffers, so what is over
        long, or would end a C string early, is refused here.
        """
        login, realm = name.encode("utf-8", "surrogateescape"), b""
        if self._realm == REALM_FROM_AT_SIGN:
            login, _, realm = login.rpartition(b"@") if b"@" in login else (login, b"", b"")
        elif self._realm != REALM_NONE:
            realm = self._realm.encode()
        strings = (login, password, service.encode(), realm)
        if not login or len(password) > PASSWORD_OCTETS_MAX:
            return None
        if any(len(text) > NAME_OCTETS_MAX for text in (login, realm)):
            return None
        if any(octet in text for text in strings for octet in b"\0\r\n"):
            return None
        return strings

    def reply(self, strings: tuple[bytes, ...]) -> bytes:
        """What saslauthd answers to a question; AuthUnavailable."""
        request = b"".join(struct.pack(">H", len(text)) + text for text in strings)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self._connect_seconds)
                connection.connect(self.path)
                deadline = time.monotonic() + self._reply_seconds
                connection.settimeout(self._reply_seconds)
                connection.sendall(request)
                return read_reply(connection, deadline)
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise AuthUnavailable(f"saslauthd at {self.path}: {reason}") from None

    def decided(self, reply: bytes) -> bool:
        """Whether a reply says yes; AuthUnavailable when it says neither yes nor no."""
        verdict = reply[:3].rstrip(b" \0")
        if verdict not in (b"OK", b"NO"):
            raise AuthUnavailable(f"saslauthd at {self.path}: a reply that is neither OK nor NO")
        return verdict == b"OK"

    def user(self, name: str) -> User:
        """The user of a name that saslauthd accepted."""
        return _system_user(name)


def read_reply(connection: socket.socket, deadline: float) -> bytes:
    """One string behind its length, by a moment of the monotonic clock; OSError."""
    (length,) = struct.unpack(">H", _received(connection, 2, deadline))
    if not 2 <= length <= REPLY_OCTETS_MAX:
        raise ConnectionError(f"a reply of {length} octets")
    return _received(connection, length, deadline)


def _received(connection: socket.socket, octets: int, deadline: float) -> bytes:
    """Exactly so many octets before the deadline, however slowly they drip."""
    data = b""
    while len(data) < octets:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(left)
        more = connection.recv(octets - len(data))
        if not more:
            raise ConnectionError("closed the connection without an answer")
        data += more
    return data


def _system_user(name: str) -> User:
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return User(name)
    home = found.pw_dir if found.pw_dir.startswith("/") else None
    return User(name, uid=found.pw_uid, gid=found.pw_gid, home=home)
