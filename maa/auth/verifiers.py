"""What a stored password can prove besides the password itself: the secrets of challenges.

A clear password serves every challenge. `{SCRAM-SHA-1}` and `{SCRAM-SHA-256}` hold the keys of
RFC 5802 §3, with which a login is checked and none can be made; `{CRAM-MD5}` and `{DIGEST-MD5}`
hold what is as good as the password for that one mechanism. All are written as Dovecot does.
libpass's `$scram$` has the salted password of several digests.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import struct
from dataclasses import dataclass
from typing import Final

import passlib.hash
from passlib.utils import saslprep

from maa.auth.md5_state import State, hmac_states

SCRAM_DIGESTS: Final = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}
ITERATIONS: Final = 4096
"""Of a new SCRAM secret: RFC 7677 §4 asks for as many, and a phone computes them at each login."""
ITERATIONS_MAX: Final = 10_000_000
SALT_OCTETS: Final = 16
CLEAR: Final = ("PLAIN", "CLEAR", "CLEARTEXT")

_SCHEME: Final = re.compile(r"\{([A-Za-z0-9._-]+)\}")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,7}")


class NoVerifier(ValueError):
    """The stored form is damaged."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a challenge of SCRAM shows of a stored secret, and whether it costs its iterations."""

    iterations: int
    salt_octets: int
    clear: bool


@dataclass(frozen=True, slots=True)
class ScramVerifier:
    """What a SCRAM server keeps of a password (RFC 5802 §3)."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def text(self) -> str:
        """As Dovecot writes it behind the scheme."""
        parts = (self.salt, self.stored_key, self.server_key)
        encoded = (base64.b64encode(part).decode("ascii") for part in parts)
        return ",".join((str(self.iterations), *encoded))

    @classmethod
    def parse(cls, text: str, digest: str) -> ScramVerifier:
        """The verifier in the text; NoVerifier."""
        parts = text.split(",")
        if len(parts) != 4 or not _NUMBER.fullmatch(parts[0]):
            raise NoVerifier("not iterations, salt and two keys")
        try:
            salt, stored, server = (base64.b64decode(part, validate=True) for part in parts[1:])
        except (ValueError, binascii.Error) as error:
            raise NoVerifier(str(error)) from None
        octets = hashlib.new(digest).digest_size
        if not salt or len(stored) != octets or len(server) != octets:
            raise NoVerifier(f"not keys of {digest}")
        if int(parts[0]) > ITERATIONS_MAX:
            raise NoVerifier("too many iterations")
        return cls(int(parts[0]), salt, stored, server)

    @classmethod
    def of_salted(cls, salted: bytes, digest: str, salt: bytes, iterations: int) -> ScramVerifier:
        """From RFC 5802's SaltedPassword."""
        client_key = hmac.digest(salted, b"Client Key", digest)
        server_key = hmac.digest(salted, b"Server Key", digest)
        stored_key = hashlib.new(digest, client_key).digest()
        return cls(iterations, salt, stored_key, server_key)

    @classmethod
    def of_password(
        cls, password: bytes, digest: str, salt: bytes, iterations: int
    ) -> ScramVerifier:
        """The costly way; releases the GIL."""
        salted = hashlib.pbkdf2_hmac(digest, prepared(password), salt, iterations)
        return cls.of_salted(salted, digest, salt, iterations)


def new_scram(password: bytes, digest: str) -> str:
    """What to store of a new password."""
    salt = secrets.token_bytes(SALT_OCTETS)
    return ScramVerifier.of_password(password, digest, salt, ITERATIONS).text()


def prepared(password: bytes) -> bytes:
    """By SASLprep (RFC 4013), as clients of SCRAM do; as it is where that has no answer (R034)."""
    try:
        text: str = saslprep(password.decode("utf-8"))
        return text.encode("utf-8")
    except ValueError:
        return password


def clear(stored: str) -> bytes | None:
    """The password, where it is stored as it is."""
    scheme, text = _parts(stored)
    return text.encode("utf-8", "surrogateescape") if scheme in CLEAR else None


def scram(stored: str, mechanism: str, salt: bytes) -> ScramVerifier | None:
    """The verifier for SCRAM-SHA-1 or -256; `salt` is for a clear password. NoVerifier."""
    digest = SCRAM_DIGESTS[mechanism]
    scheme, text = _parts(stored)
    if scheme == mechanism:
        return ScramVerifier.parse(text, digest)
    if text.startswith("$scram$"):
        return _of_libpass(text, mechanism.removeprefix("SCRAM-").lower(), digest)
    password = clear(stored)
    if password is None:
        return None
    return ScramVerifier.of_password(password, digest, salt, ITERATIONS)


def scram_shape(stored: str, mechanism: str) -> Shape | None:
    """What `scram` would make of it looks so; None: nothing, or it is damaged."""
    if clear(stored) is not None:
        return Shape(ITERATIONS, SALT_OCTETS, clear=True)
    try:
        found = scram(stored, mechanism, b"")
    except NoVerifier:
        return None
    if found is None:
        return None
    return Shape(found.iterations, len(found.salt), clear=False)


def cram_md5(stored: str) -> tuple[State, State] | None:
    """The two states of HMAC-MD5; NoVerifier."""
    scheme, text = _parts(stored)
    if scheme in ("CRAM-MD5", "HMAC-MD5"):
        if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
            raise NoVerifier("not 64 hexadecimal digits")
        words = struct.unpack("<8I", bytes.fromhex(text))
        return words[:4], words[4:]
    password = clear(stored)
    return None if password is None else hmac_states(password)


def new_cram_md5(password: bytes) -> str:
    """What to store of a new password."""
    outer, inner = hmac_states(password)
    return struct.pack("<8I", *outer, *inner).hex()


def digest_md5(stored: str, name: str, realm: str, asked: str) -> bytes | None:
    """MD5 of `user:realm:password` (RFC 2831 §2.1.2.1), of a user in the realm `asked` for.

    `{DIGEST-MD5}` was made for the name's own domain as realm, and is good for no other.
    """
    scheme, text = _parts(stored)
    if scheme == "DIGEST-MD5":
        if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
            raise NoVerifier("not 32 hexadecimal digits")
        return bytes.fromhex(text) if realm == asked else None
    password = clear(stored)
    if password is None:
        return None
    return a1_of(name, asked, password)


def a1_of(name: str, realm: str, password: bytes) -> bytes:
    """MD5 of `user:realm:password`."""
    head = f"{name}:{realm}:".encode("utf-8", "surrogateescape")
    return hashlib.md5(head + password, usedforsecurity=False).digest()


def serves(stored: str) -> frozenset[str]:
    """Which of the challenges this stored password can check: names as the schemes have them."""
    scheme, text = _parts(stored)
    if scheme in CLEAR:
        return frozenset((*SCRAM_DIGESTS, "CRAM-MD5", "DIGEST-MD5", "PLAIN"))
    if text.startswith("$scram$"):
        try:
            found = passlib.hash.scram.extract_digest_algs(text)
        except ValueError:  # damaged
            return frozenset()
        names = (f"SCRAM-{name.upper()}" for name in found)
        return frozenset(name for name in names if name in SCRAM_DIGESTS)
    if scheme == "HMAC-MD5":
        return frozenset(("CRAM-MD5",))
    return frozenset((scheme,)) & {*SCRAM_DIGESTS, "CRAM-MD5", "DIGEST-MD5"}


def _of_libpass(text: str, algorithm: str, digest: str) -> ScramVerifier | None:
    try:
        salt, rounds, salted = passlib.hash.scram.extract_digest_info(text, algorithm)
    except KeyError:
        return None
    except ValueError as error:
        raise NoVerifier(str(error)) from None
    return ScramVerifier.of_salted(salted, digest, salt, rounds)


def _parts(stored: str) -> tuple[str, str]:
    match = _SCHEME.match(stored)
    return (match[1].upper(), stored[match.end() :]) if match else ("", stored)
