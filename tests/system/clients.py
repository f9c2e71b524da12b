"""Small clients of our own, for what imaplib and poplib hide."""

from __future__ import annotations

import hashlib
import imaplib
import poplib
import re
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from .server import Server
from .users import User

LITERAL = re.compile(rb"\{(\d+)\}\r\n\Z")


def quoted(text: str) -> str:
    """An IMAP quoted string (RFC 3501 §4.3)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


def imap(server: Server, user: User) -> imaplib.IMAP4:
    """A logged-in imaplib client without TLS."""
    client = imaplib.IMAP4("127.0.0.1", server.imap, timeout=30)
    client.login(user.name, user.password)
    return client


def pop3(server: Server, user: User) -> poplib.POP3:
    """A logged-in poplib client without TLS."""
    client = poplib.POP3("127.0.0.1", server.pop3, timeout=30)
    client.user(user.name)
    client.pass_(user.password)
    return client


def fetch(client: imaplib.IMAP4, message: str, items: str) -> bytes:
    """The one literal which FETCH of one message answers with."""
    status, answer = client.fetch(message, items)
    assert status == "OK", answer
    literals = [part[1] for part in answer if isinstance(part, tuple)]
    assert len(literals) == 1, answer
    return bytes(literals[0])


def bodies(client: imaplib.IMAP4, mailbox: str = "INBOX") -> list[bytes]:
    """Every message of a mailbox, in its order."""
    status, count = client.select(mailbox, readonly=True)
    assert status == "OK", count
    return [fetch(client, str(n), "(BODY.PEEK[])") for n in range(1, int(count[0] or 0) + 1)]


class Wire:
    """A line-wise connection, for measured, slow or rude clients."""

    def __init__(self, port: int, receive_octets: int = 0) -> None:
        self.socket = socket.socket()
        if receive_octets:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_octets)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def more(self, octets: int = 1 << 16) -> bytes:
        data = self.socket.recv(octets)
        if not data:
            raise EOFError(self.buffer)
        return data

    def line(self) -> bytes:
        """The next line, without its CRLF; EOFError when the server has closed."""
        while b"\r\n" not in self.buffer:
            self.buffer += self.more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def exactly(self, octets: int) -> bytes:
        parts = [self.buffer]
        have = len(self.buffer)
        while have < octets:
            parts.append(self.more())
            have += len(parts[-1])
        data = b"".join(parts)
        self.buffer = data[octets:]
        return data[:octets]

    def until(self, tag: bytes) -> list[bytes]:
        """The lines up to and with the tagged one."""
        lines = [self.line()]
        while not lines[-1].startswith(tag + b" "):
            lines.append(self.line())
        return lines

    def command(self, text: bytes, tag: bytes = b"w") -> list[bytes]:
        """Send one IMAP command and expect OK."""
        self.send(tag + b" " + text + b"\r\n")
        lines = self.until(tag)
        assert lines[-1].startswith(tag + b" OK"), lines
        return lines

    def ended(self) -> bytes:
        """Everything up to the end of the connection."""
        while True:
            try:
                self.buffer += self.more()
            except EOFError:
                return self.buffer


def imap_wire(server: Server, user: User, receive_octets: int = 0) -> Wire:
    """A raw IMAP connection, logged in, INBOX selected."""
    wire = Wire(server.imap, receive_octets)
    wire.line()
    wire.command(f"LOGIN {user.name} {quoted(user.password)}".encode())
    wire.command(b"SELECT INBOX")
    return wire


def pop3_wire(server: Server, user: User) -> Wire:
    """A raw POP3 connection in TRANSACTION state."""
    wire = Wire(server.pop3)
    wire.line()
    for command in (f"USER {user.name}", f"PASS {user.password}"):
        wire.send(command.encode() + b"\r\n")
        assert wire.line().startswith(b"+OK")
    return wire


def literal_digests(wire: Wire, tag: bytes, pause_seconds: float, every: int) -> Iterator[str]:
    """SHA-256 of each literal up to the tagged OK, read slowly: a pause every so many octets."""
    since = 0
    while True:
        line = wire.line() + b"\r\n"
        if line.startswith(tag + b" "):
            assert line.startswith(tag + b" OK"), line
            return
        size = LITERAL.search(line)
        if size is None:
            continue
        left = int(size.group(1))
        digest = hashlib.sha256()
        while left:
            data = wire.buffer or wire.more(1 << 18)
            taken, wire.buffer = data[:left], data[left:]
            digest.update(taken)
            left -= len(taken)
            since += len(taken)
            if since >= every:
                since = 0
                time.sleep(pause_seconds)
        yield digest.hexdigest()
