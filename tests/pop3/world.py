"""A real POP3 session over real stores, without sockets: what the transcripts are played to."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from maa.auth.credentials import Authenticator
from maa.auth.password_file import PasswordFile
from maa.conversation import CLOSE, SLOW, START_TLS, Delay, Peer, Step
from maa.pop3.session import Session
from maa.pop3.states import Pop3Settings
from maa.store.accounts import Accounts
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from tests.store.mboxes import append, as_mbox, remove_from_mbox
from tests.transcripts.player import CLOSED, MAIL, Transcript

OWN_MAIL = Path(__file__).parent.parent / "transcripts" / "pop3" / "mail"
PEERS = {
    "loopback": Peer("127.0.0.1", tls=False, loopback=True, session="test"),
    "remote": Peer("192.0.2.1", tls=False, loopback=False, session="test"),
    "tls": Peer("192.0.2.1", tls=True, loopback=False, session="test"),
}
PASSWORDS = """\
joe:{PLAIN}secret
ann:{PLAIN} two  blanks
old:{PLAIN}x::::::nologin
bad:{NTLM}x
"""


class Client:
    """One session, its input and its output, driven as the transport drives it."""

    def __init__(self, world: World, peer: Peer, settings: Pop3Settings) -> None:
        self.delays: list[float] = []
        self.slow = 0
        self.closed = False
        self.handshake = False
        self.output = bytearray()
        self.session = Session(world.accounts, world.authenticator, peer, _nothing, settings)
        self.take(self.session.begin())

    def take(self, steps: Iterator[Step]) -> None:
        for step in steps:
            if isinstance(step, bytes):
                assert not self.closed, f"said after the end: {step!r}"
                self.output += step
            elif step is CLOSE:
                self.closed = True
            elif step is START_TLS:
                self.handshake = True
            elif isinstance(step, Delay):
                self.delays.append(step.seconds)
            else:
                assert step is SLOW
                self.slow += 1

    def send(self, data: bytes) -> None:
        self.session.feed(data)
        self.take(self.session.steps())

    def start_tls(self) -> None:
        """The handshake, which comes after what the client said too early."""
        assert self.handshake
        self.session.secured()

    def line(self) -> bytes | None:
        end = self.output.find(b"\r\n")
        if end < 0:
            assert not self.output, f"not a line: {bytes(self.output)!r}"
            return CLOSED if self.closed else None
        line = bytes(self.output[:end])
        del self.output[: end + 2]
        return line

    def ask(self, line: bytes) -> bytes:
        """Say a line; everything that was answered."""
        self.send(line + b"\r\n")
        data = bytes(self.output)
        self.output.clear()
        return data


def _nothing() -> None:
    """POP3 never asks to be woken."""


class World:
    """Accounts, a password file and mail in a directory."""

    def __init__(
        self,
        directory: Path,
        messages: list[str] | None = None,
        *,
        logged_in: bool = True,
        peer: Peer = PEERS["loopback"],
        settings: Pop3Settings | None = None,
        mbox: bool = False,
        mboxrd: bool = False,
    ) -> None:
        self.spool = directory / "home" / "joe" / "spool" if mbox else None
        self.inbox = directory / "home" / "joe" / "Maildir"
        for name in ("tmp", "new", "cur"):
            (self.inbox / name).mkdir(parents=True)
        passwords = directory / "passwd"
        passwords.write_text(PASSWORDS)
        passwords.chmod(0o600)
        self.authenticator = Authenticator([PasswordFile(str(passwords))])
        self.watcher = Watcher()
        mail = "maildir:{home}/Maildir"
        inbox = f"{'mboxrd' if mboxrd else 'mbox'}:{{home}}/spool" if mbox else mail
        places = MailPlaces.parse(f"{directory}/home/{{user}}", inbox, mail)
        self.accounts = Accounts(str(directory / "state"), places, self.watcher)
        self.peer = peer
        self.settings = settings or Pop3Settings(hostname="mail.example.org")
        self.logged_in = logged_in
        self.clients: dict[int, Client] = {}
        self.delivered = 0
        for message in messages or ():
            self.deliver(message)

    @classmethod
    def of(cls, transcript: Transcript, directory: Path, mbox: bool = False) -> World:
        settings = Pop3Settings(hostname="mail.example.org")
        for name, text in transcript.settings.items():
            kind = type(getattr(settings, name))
            settings = replace(settings, **{name: text == "true" if kind is bool else kind(text)})
        return cls(
            directory,
            transcript.messages,
            logged_in=not transcript.greeting,
            peer=PEERS[transcript.peer],
            settings=settings,
            mbox=mbox,
        )

    def client(self, number: int = 1) -> Client:
        if number not in self.clients:
            client = self.clients[number] = Client(self, self.peer, self.settings)
            if self.logged_in:
                client.output.clear()
                assert client.ask(b"USER joe") == b"+OK Send PASS\r\n"
                answer = client.ask(b"PASS secret")
                assert answer.startswith(b"+OK"), answer
        return self.clients[number]

    def deliver(self, message: str) -> None:
        own = OWN_MAIL / message
        self.add((own if own.exists() else MAIL / message).read_bytes())

    def add(self, data: bytes) -> Path:
        """The MDA delivers these octets."""
        self.delivered += 1
        if self.spool is not None:
            append(self.spool, as_mbox(data, self.delivered))
            return self.spool
        name = f"{1700000000 + self.delivered}.M{self.delivered}P1.host"
        temporary = self.inbox / "tmp" / name
        temporary.write_bytes(data)
        os.utime(temporary, (837_571_465, 837_571_465 + self.delivered))
        return temporary.rename(self.inbox / "new" / name)

    def files(self) -> list[Path]:
        """The messages on disk in the order of delivery."""
        found = [*self.inbox.glob("new/*"), *self.inbox.glob("cur/*")]
        return sorted(found, key=lambda path: int(path.name.split(".")[0]))

    def remove(self, number: int) -> None:
        if self.spool is not None:
            remove_from_mbox(self.spool, number)
            return
        self.files()[number - 1].unlink()

    def remove_all(self) -> None:
        """Another program removes the whole maildrop."""
        shutil.rmtree(self.inbox)

    def close(self) -> None:
        for client in self.clients.values():
            client.session.lost()
        self.accounts.close()
        self.watcher.close()
