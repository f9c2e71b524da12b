"""A real session over real stores, without sockets: what the transcripts are played to."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from maa.auth.credentials import Authenticator
from maa.auth.password_file import PasswordFile
from maa.conversation import CLOSE, START_TLS, Delay, Peer
from maa.imap.session import Session
from maa.imap.states import ImapSettings
from maa.store.accounts import Accounts
from maa.store.errors import MailboxGone
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from tests.store.mboxes import append, as_mbox, remove_from_mbox
from tests.transcripts.player import CLOSED, MAIL, Transcript

PEERS = {
    "loopback": Peer("127.0.0.1", tls=False, loopback=True, session="test"),
    "remote": Peer("192.0.2.1", tls=False, loopback=False, session="test"),
    "tls": Peer("192.0.2.1", tls=True, loopback=False, session="test"),
}


class SessionClient:
    """One session, its input and its output."""

    def __init__(self, world: SessionWorld, peer: Peer, settings: ImapSettings) -> None:
        self.world = world
        self.woken = False
        self.delays: list[float] = []
        self.slow = 0
        self.output = bytearray()
        self.closed = False
        self.session = Session(world.accounts, world.authenticator, peer, settings, self._wake)
        self._take(self.session.begin())

    def _wake(self) -> None:
        self.woken = True

    def _take(self, steps) -> None:
        for step in steps:
            if isinstance(step, bytes):
                assert not self.closed, f"said after the end: {step!r}"
                self.output += step
            elif step is CLOSE:
                self.closed = True
            elif step is START_TLS:
                self.session.secured()
            elif isinstance(step, Delay):
                self.delays.append(step.seconds)
            else:
                self.slow += 1

    def feed(self, data: bytes) -> None:
        """Octets from the client."""
        self.session.feed(data)
        self._take(self.session.steps())

    def send(self, data: bytes) -> None:
        self.feed(data)
        self.world.settle()

    def poke(self) -> None:
        """What the transport does after `wake`."""
        if self.woken:
            self.woken = False
            self.session.poke()
            self._take(self.session.steps())

    def start_tls(self) -> None:
        """TLS has begun already, when the session asked for it."""

    def line(self) -> bytes | None:
        end = self.output.find(b"\r\n")
        if end < 0:
            assert not self.output, f"not a line: {bytes(self.output)!r}"
            return CLOSED if self.closed else None
        line = bytes(self.output[:end])
        del self.output[: end + 2]
        return line

    def take(self) -> bytes:
        """Everything that was answered."""
        data = bytes(self.output)
        self.output.clear()
        return data

    def ask(self, line: bytes) -> bytes:
        """Say a line; what is answered."""
        self.send(line + b"\r\n")
        return self.take()


class SessionWorld:
    """Accounts, a password file and mail in a directory."""

    def __init__(
        self,
        directory: Path,
        *,
        messages: list[str] | None = None,
        logged_in: bool = True,
        peer: Peer = PEERS["loopback"],
        settings: ImapSettings | None = None,
        mbox: bool = False,
        quota: str = "maildirsize",
    ) -> None:
        """`mbox`: INBOX is a spool file; the other mailboxes are Maildirs."""
        self.directory = directory
        self.home = directory / "home" / "joe"
        self.home.mkdir(parents=True)
        self.inbox = self.home / "Maildir"
        self.spool = self.home / "spool" if mbox else None
        passwords = directory / "passwd"
        passwords.write_text("joe:{PLAIN}secret\nann:{PLAIN}other\nold:{PLAIN}x::::::nologin\n")
        passwords.chmod(0o600)
        self.authenticator = Authenticator([PasswordFile(str(passwords))])
        mail = "maildir:{home}/Maildir"
        self.watcher = Watcher()
        self.accounts = Accounts(
            str(directory / "state"),
            MailPlaces.parse(
                f"{directory}/home/{{user}}",
                "mbox:{home}/spool" if mbox else mail,
                mail,
                limits=quota,
            ),
            self.watcher,
        )
        self.peer = peer
        self.settings = settings or ImapSettings(hostname="mail.example.org")
        self.logged_in = logged_in
        self.clients: dict[int, SessionClient] = {}
        self.delivered = 0
        for name in ("tmp", "new", "cur"):
            (self.inbox / name).mkdir(parents=True, exist_ok=True)
        for message in messages or ():
            self.deliver(message)

    @classmethod
    def of(cls, transcript: Transcript, directory: Path, mbox: bool = False) -> SessionWorld:
        settings = ImapSettings(hostname="mail.example.org")
        for name, text in transcript.settings.items():
            kind = type(getattr(settings, name))
            value = text == "true" if kind is bool else kind(text)
            settings = replace(settings, **{name: value})
        return cls(
            directory,
            messages=transcript.messages,
            logged_in=not transcript.greeting,
            peer=PEERS[transcript.peer],
            settings=settings,
            mbox=mbox,
            quota=transcript.quota,
        )

    def client(self, number: int) -> SessionClient:
        if number not in self.clients:
            client = SessionClient(self, self.peer, self.settings)
            if self.logged_in:
                client.take()
                answer = client.ask(b"login LOGIN joe secret")
                assert answer.startswith(b"login OK"), answer
            self.clients[number] = client
        return self.clients[number]

    def deliver(self, message: str) -> None:
        self.delivered += 1
        if self.spool is not None:
            append(self.spool, as_mbox((MAIL / message).read_bytes(), 25 + self.delivered))
            self.settle()
            return
        name = f"{1700000000 + self.delivered}.M{self.delivered}P1.host"
        temporary = self.inbox / "tmp" / name
        temporary.write_bytes((MAIL / message).read_bytes())
        os.utime(temporary, (837_571_465 + self.delivered, 837_571_465 + self.delivered))
        temporary.rename(self.inbox / "new" / name)
        self.settle()

    def remove(self, number: int) -> None:
        if self.spool is not None:
            remove_from_mbox(self.spool, number)
            self.settle()
            return
        files = [*self.inbox.glob("new/*"), *self.inbox.glob("cur/*")]
        sorted(files, key=lambda path: path.name)[number - 1].unlink()
        self.settle()

    def settle(self) -> None:
        """Let sessions in IDLE see what happened, as the transport does by its pokes."""
        self.watcher.drain()
        for client in list(self.clients.values()):
            account = getattr(client.session.state, "account", None)
            for mailbox in () if account is None else account.listened():
                if not mailbox.gone and not mailbox.fresh():
                    with suppress(MailboxGone):
                        mailbox.sync()
        for client in list(self.clients.values()):
            client.poke()

    def close(self) -> None:
        for client in self.clients.values():
            client.session.lost()
        self.watcher.close()
