"""What a mail server shows a client: mailboxes and messages by IMAP, names by POP3."""

from __future__ import annotations

import imaplib
import poplib
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from maa.store import names

SECONDS: Final = 60.0
TLS: Final = ("implicit", "starttls", "none")
PORTS: Final = {
    ("imap", True): 993,
    ("imap", False): 143,
    ("pop3", True): 995,
    ("pop3", False): 110,
}
_AT_ONCE: Final = 1000
_IDENTITY: Final = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE FROM SUBJECT)]"
# Header lines may be longer than those of the protocol itself.
poplib._MAXLINE = 1 << 20  # type: ignore[attr-defined]
_WANTED: Final = (b"message-id", b"date", b"from", b"subject")
_LISTED: Final = re.compile(rb'\(([^)]*)\) (?:"(.)"|NIL) (.*)', re.DOTALL)
_NAMESPACE: Final = re.compile(rb'\(\("([^"]*)" ')
_UID: Final = re.compile(rb"\bUID (\d+)")
_FLAGS: Final = re.compile(rb"\bFLAGS \(([^)]*)\)")


class RemoteError(Exception):
    """A server that cannot be asked, with the reason."""


class _CannotOpen(Exception):
    """A mailbox that is listed and cannot be selected, with the server's reason."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how connections to it are protected."""

    host: str
    imap: int | None
    """A port; None: the usual one."""
    pop3: int | None
    tls: str
    context: ssl.SSLContext

    def port(self, protocol: str) -> int:
        """Where it listens for a protocol."""
        chosen = self.imap if protocol == "imap" else self.pop3
        return chosen or PORTS[protocol, self.tls == "implicit"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message as far as it is compared."""

    identity: bytes
    """What its header says of who sent it, when and about what."""
    flags: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox."""

    uidvalidity: int
    messages: dict[int, Message]
    """By UID."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What IMAP clients of one user see; mailboxes by their elements, without a prefix."""

    boxes: dict[tuple[str, ...], Box]
    subscribed: frozenset[tuple[str, ...]] = field(default_factory=frozenset)
    prefix: str = ""
    refused: tuple[str, ...] = ()
    """Mailboxes that cannot be opened, and why."""


@contextmanager
def _translated(server: Server, protocol: str) -> Iterator[None]:
    where = f"{protocol} at {server.host}:{server.port(protocol)}"
    try:
        yield
    except (OSError, EOFError) as error:
        raise RemoteError(f"{where}: {error or 'the connection ended'}") from error
    except (imaplib.IMAP4.error, poplib.error_proto) as error:
        text = error.args[0] if error.args else error
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise RemoteError(f"{where}: {said}") from error


# --- IMAP


def imap_shown(server: Server, user: str, password: str) -> Shown:
    """Everything in a user's mailboxes, none of them changed; RemoteError."""
    with _translated(server, "imap"):
        client = _imap(server)
        try:
            client.login(user, password)
            prefix = _prefix(client)
            boxes, refused = {}, []
            for flags, elements, name in _listed(client.list(), prefix):
                if {b"\\noselect", b"\\nonexistent"} & set(flags.lower().split()):
                    continue
                try:
                    boxes[elements] = _box(client, name)
                except _CannotOpen as error:
                    refused.append(f"{'/'.join(elements)} cannot be opened: {error}")
            subscribed = frozenset(elements for _, elements, _ in _listed(client.lsub(), prefix))
        finally:
            with suppress(OSError, imaplib.IMAP4.error):
                client.logout()
    return Shown(boxes, subscribed, prefix.decode("ascii", "replace"), tuple(refused))


def _imap(server: Server) -> imaplib.IMAP4:
    port = server.port("imap")
    if server.tls == "implicit":
        return imaplib.IMAP4_SSL(server.host, port, ssl_context=server.context, timeout=SECONDS)
    client = imaplib.IMAP4(server.host, port, timeout=SECONDS)
    if server.tls == "starttls":
        client.starttls(server.context)
    return client


def _prefix(client: imaplib.IMAP4) -> bytes:
    """What stands in front of all of a user's mailboxes but INBOX, such as `INBOX.`."""
    if "NAMESPACE" not in client.capabilities:
        return b""
    _, answer = client.namespace()
    found = _NAMESPACE.match(answer[0] or b"") if answer else None
    return found[1] if found is not None else b""


def _listed(
    answer: tuple[str, list[Any]], prefix: bytes
) -> Iterator[tuple[bytes, tuple[str, ...], bytes]]:
    """Attributes, elements of the name, and the name as it is asked for."""
    for line in answer[1]:
        if line is None:
            continue
        text, literal = line if isinstance(line, tuple) else (line, None)
        match = _LISTED.fullmatch(text)
        if match is None:
            continue
        name = literal if literal is not None else match[3]
        if name[:1] == b'"' and literal is None:
            name = re.sub(rb"\\(.)", rb"\1", name[1:-1])
        shown = name.removeprefix(prefix) if name.upper() != b"INBOX" else b"INBOX"
        elements = names.decoded(shown.decode("utf-8", "replace"))
        separator = (match[2] or b"\0").decode("ascii", "replace")
        yield match[1], tuple(elements.split(separator)), name


def _box(client: imaplib.IMAP4, name: bytes) -> Box:
    quoted = '"' + re.sub(r'([\\"])', r"\\\1", name.decode("utf-8", "surrogateescape")) + '"'
    status, answer = client.select(quoted, readonly=True)
    if status != "OK" or not answer[0]:
        raise _CannotOpen((answer[0] or b"").decode("utf-8", "replace"))
    (validity,) = client.response("UIDVALIDITY")[1][-1:] or (b"0",)
    count = int(answer[0])
    messages: dict[int, Message] = {}
    for start in range(1, count + 1, _AT_ONCE):
        span = f"{start}:{min(start + _AT_ONCE - 1, count)}"
        status, rows = client.fetch(span, f"(UID FLAGS {_IDENTITY})")
        if status != "OK":
            raise RemoteError(f"{name.decode('utf-8', 'replace')}: FETCH: {rows!r}")
        messages |= _messages(rows)
    return Box(int(validity or 0), messages)


def _messages(rows: list[Any]) -> dict[int, Message]:
    found = {}
    for row, behind in zip(rows, [*rows[1:], b""], strict=True):
        if not isinstance(row, tuple):
            continue
        rest = behind if isinstance(behind, bytes) else b""
        text = row[0] + b" " + rest
        uid, flags = _UID.search(text), _FLAGS.search(text)
        if uid is not None:
            marks = frozenset(flags[1].lower().split()) if flags else frozenset()
            found[int(uid[1])] = Message(_identity(row[1]), marks - {b"\\recent"})
    return found


def _identity(header: bytes) -> bytes:
    """The fields that say which message it is, however servers order and fold them."""
    fields = []
    for line in re.sub(rb"\r?\n[ \t]+", b" ", header).splitlines():
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in _WANTED:
            fields.append(name.strip().lower() + b":" + b" ".join(value.split()))
    return b"\n".join(sorted(fields))


# --- POP3


def pop3_shown(server: Server, user: str, password: str) -> dict[bytes, Message]:
    """A user's messages by their names (RFC 1939 §7); RemoteError."""
    with _translated(server, "pop3"):
        client = _pop3(server)
        try:
            client.user(user)
            client.pass_(password)
            found = {}
            for line in client.uidl()[1]:
                number, _, name = line.partition(b" ")
                header = b"\n".join(client.top(int(number), 0)[1])
                found[name.strip()] = Message(_identity(header))
            return found
        finally:
            with suppress(OSError, EOFError, poplib.error_proto):
                client.quit()


def _pop3(server: Server) -> poplib.POP3:
    port = server.port("pop3")
    if server.tls == "implicit":
        return poplib.POP3_SSL(server.host, port, context=server.context, timeout=SECONDS)
    client = poplib.POP3(server.host, port, timeout=SECONDS)
    if server.tls == "starttls":
        client.stls(server.context)
    return client
