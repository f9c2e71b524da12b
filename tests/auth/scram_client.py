"""The client's side of SCRAM, for tests; its pieces can be bent to be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field


@dataclass
class ScramClient:
    name: str
    password: str
    digest: str = "sha256"
    header: bytes = b"n,,"
    bound: bytes = b""
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    signature: bytes = b""

    @property
    def bare(self) -> bytes:
        return f"n={self.name},r={self.nonce}".encode()

    @property
    def first(self) -> bytes:
        return self.header + self.bare

    def final(self, challenge: bytes) -> bytes:
        fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
        assert fields[b"r"].startswith(self.nonce.encode())
        salt, rounds = base64.b64decode(fields[b"s"]), int(fields[b"i"])
        salted = hashlib.pbkdf2_hmac(self.digest, self.password.encode(), salt, rounds)
        key = hmac.digest(salted, b"Client Key", self.digest)
        bare = b"c=%b,r=%b" % (base64.b64encode(self.header + self.bound), fields[b"r"])
        exchanged = b",".join((self.bare, challenge, bare))
        stored = hashlib.new(self.digest, key).digest()
        signature = hmac.digest(stored, exchanged, self.digest)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        server = hmac.digest(salted, b"Server Key", self.digest)
        self.signature = b"v=" + base64.b64encode(hmac.digest(server, exchanged, self.digest))
        return bare + b",p=" + base64.b64encode(proof)
