"""saslauthd, asked through its Unix socket.

The request is four strings (login, password, service, realm), each behind its length in two
octets, high octet first; the reply is one such string that begins with OK or NO. saslauthd says
NO to an unknown user and to a wrong password alike. Whatever else happens (no socket, no answer
in time, a torn or strange reply) is `AuthUnavailable`, never a wrong password (R250, R251).

In time is not the same for a saslauthd that is busy and for one that hangs. PAM makes a wrong
password wait for seconds, and guesses that queue up make honest logins wait behind them; so an
answer may take its time while others are answered. When nobody has been for some seconds, it
hangs; then one login at a time finds out whether it still does, and the others are answered at
once.
"""

from __future__ import annotations

import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final

from maa.auth.errors import AuthUnavailable, BadCredentials
from maa.auth.source import Source, Stored
from maa.user import User

SYSTEM: Final = "system"
ANYBODY: Final = "anybody"
NAME_OCTETS_MAX: Final = 255
PASSWORD_OCTETS_MAX: Final = 1024
REPLY_OCTETS_MAX: Final = 1024
CONNECT_SECONDS: Final = 3.0
REPLY_SECONDS: Final = 30.0
SILENT_SECONDS: Final = 5.0
QUEUE_SECONDS: Final = 0.05
"""How often a full queue is looked at."""
REALM_NONE: Final = "none"
REALM_FROM_AT_SIGN: Final = "from-at-sign"


class Saslauthd(Source):
    """A credential source that asks saslauthd, one connection per question."""

    def __init__(
        self,
        path: str,
        realm: str = REALM_NONE,
        *,
        vouched: str = SYSTEM,
        silent_seconds: float = SILENT_SECONDS,
        connect_seconds: float = CONNECT_SECONDS,
        reply_seconds: float = REPLY_SECONDS,
    ) -> None:
        """`vouched`: whom others may vouch for, SYSTEM's users or ANYBODY.

        `silent_seconds`: how long saslauthd may answer nobody until it counts as hung.
        """
        self.path = path
        self._anybody = vouched == ANYBODY
        self._realm = realm
        self._silent_seconds = silent_seconds
        self._connect_seconds = min(connect_seconds, silent_seconds)
        self._reply_seconds = max(reply_seconds, silent_seconds)
        self._answered = 0.0
        self._probing = threading.Lock()
        self._hangs = False
        self._next_probe = 0.0

    def check(self, name: str, password: bytes, service: str) -> User | None:
        """The user when saslauthd says OK, None when it says NO."""
        question = self.question(name, password, service)
        if question is None or not self.decided(self.reply(question)):
            return None
        return self.user(name)

    def find(self, name: str) -> User | None:
        """The system's user of this name; saslauthd itself cannot be asked without a password."""
        with suppress(BadCredentials):
            user = _system_user(name)
            return user if user.uid is not None else None
        return None

    def pretend(self, name: str, password: bytes, service: str) -> None:
        """Ask, whatever the answer is: how long it takes nobody here knows."""
        question = self.question(name, password, service)
        if question is not None:
            with suppress(AuthUnavailable):
                self.reply(question)

    def stored(self, name: str) -> Stored | None:
        """The system's user of this name; or, by configuration, one as `check` would make it.

        saslauthd may have users whom the system does not know, and names none without a password.
        Who is asked for here was vouched for otherwise, as by a certificate or an app password.
        """
        with suppress(BadCredentials):
            user = _system_user(name)
            return Stored(user) if self._anybody or user.uid is not None else None
        return None

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
        begun = time.monotonic()
        self._ensure_hopeful(begun)

        def deadline() -> float:
            last_sign = max(begun, self._answered)
            return min(begun + self._reply_seconds, last_sign + self._silent_seconds)

        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                _connect(connection, self.path, begun + self._connect_seconds)
                connection.sendall(request)
                reply = read_reply(connection, deadline)
        except OSError as error:
            now = time.monotonic()
            if isinstance(error, TimeoutError) and now - self._answered >= self._silent_seconds:
                self._hangs, self._next_probe = True, now + self._silent_seconds
            reason = error.strerror or str(error) or type(error).__name__
            raise AuthUnavailable(f"saslauthd at {self.path}: {reason}") from None
        self._hangs = False
        self._answered = time.monotonic()
        return reply

    def _ensure_hopeful(self, now: float) -> None:
        """AuthUnavailable while it hangs and another login waits for it."""
        with self._probing:
            if self._hangs and now < self._next_probe:
                raise AuthUnavailable(f"saslauthd at {self.path}: did not answer a moment ago")
            self._next_probe = now + self._silent_seconds

    def decided(self, reply: bytes) -> bool:
        """Whether a reply says yes; AuthUnavailable when it says neither yes nor no."""
        verdict = reply[:3].rstrip(b" \0")
        if verdict not in (b"OK", b"NO"):
            raise AuthUnavailable(f"saslauthd at {self.path}: a reply that is neither OK nor NO")
        return verdict == b"OK"

    def user(self, name: str) -> User:
        """The user of a name that saslauthd accepted."""
        return _system_user(name)


def _connect(connection: socket.socket, path: str, deadline: float) -> None:
    """By the deadline; OSError. The kernel does not wait for a place in a full queue."""
    while True:
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            connection.connect(path)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError("its queue of connections is full") from None
            time.sleep(QUEUE_SECONDS)
        else:
            return


def read_reply(connection: socket.socket, deadline: Callable[[], float]) -> bytes:
    """One string behind its length, by a moment of the monotonic clock, which may move; OSError."""
    (length,) = struct.unpack(">H", _received(connection, 2, deadline))
    if not 2 <= length <= REPLY_OCTETS_MAX:
        raise ConnectionError(f"a reply of {length} octets")
    return _received(connection, length, deadline)


def _received(connection: socket.socket, octets: int, deadline: Callable[[], float]) -> bytes:
    """Exactly so many octets before the deadline, however slowly they drip."""
    data = b""
    while len(data) < octets:
        left = deadline() - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(left)
        try:
            more = connection.recv(octets - len(data))
        except TimeoutError:
            continue  # others may have been answered meanwhile
        if not more:
            raise ConnectionError("closed the connection without an answer")
        data += more
    return data


def _system_user(name: str) -> User:
    """Who the system says it is; BadCredentials for root, whoever this process is."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return User(name)
    if not found.pw_uid:
        raise BadCredentials("not a user whose mail is served")
    home = found.pw_dir if found.pw_dir.startswith("/") else None
    return User(name, uid=found.pw_uid, gid=found.pw_gid, home=home)
