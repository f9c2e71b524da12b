"""SASL exchanges played to their end, with real sources and without a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maa.auth.admission import Admission
from maa.auth.credentials import Authenticator
from maa.auth.mechanisms import MECHANISMS
from maa.auth.password_file import PasswordFile
from maa.conversation import Peer
from maa.user import User

PEER = Peer("192.0.2.7", tls=True, loopback=False, session="test")


class Desk:
    """A password file, and one connection to log in on."""

    def __init__(self, folder: Path, passwords: str, peer: Peer = PEER, **choices: Any) -> None:
        path = folder / "passwd"
        path.write_text(passwords)
        path.chmod(0o600)
        self.authenticator = Authenticator([PasswordFile(str(path))], **choices)
        self.admission = Admission(self.authenticator, peer, "imap", "never")

    def played(self, name: bytes, *responses: bytes) -> tuple[list[bytes], User]:
        """The challenges, and who was let in; raises what the exchange raises."""
        exchange = MECHANISMS[name].begin(self.admission)
        challenges: list[bytes] = []
        waiting = list(responses)
        said = next(exchange)
        try:
            while True:
                if not isinstance(said, bytes):
                    said = exchange.send(b"")
                    continue
                challenges.append(said)
                assert waiting, f"asked for more: {challenges}"
                said = exchange.send(waiting.pop(0))
        except StopIteration as end:
            assert not waiting
            return challenges, end.value
