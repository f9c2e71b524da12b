"""New stored passwords: `{SCHEME}hash` in the schemes that are worth choosing."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import passlib.hash

from maa.auth import libcrypt, verifiers
from maa.auth.hashes import PasswordTooLong, UnknownHash, significant_octets

DEFAULT_SCHEME: Final = "ARGON2ID"


def new_hash(password: bytes, scheme: str = DEFAULT_SCHEME) -> str:
    """A stored form for a new password; PasswordTooLong, UnknownHash."""
    maker = _MAKERS.get(scheme.upper())
    if maker is None:
        raise UnknownHash(f"{scheme} is none of {', '.join(_MAKERS)}")
    if b"\0" in password:
        raise PasswordTooLong("a password holds no NUL")
    stored = f"{{{scheme.upper()}}}{maker(password)}"
    limit = significant_octets(stored)
    if limit is not None and len(password) > limit:
        raise PasswordTooLong(f"{scheme} uses {limit} octets at most")
    return stored


def _gensalt(prefix: str) -> str:
    alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return prefix + "".join(secrets.choice(alphabet) for _ in range(16)) + "$"


def _crypted(prefix: str) -> Callable[[bytes], str]:
    def made(password: bytes) -> str:
        answer = libcrypt.crypt_r(password, _gensalt(prefix))
        if answer is None:
            raise UnknownHash(f"this machine's libcrypt does not make {prefix} hashes")
        return answer

    return made


def _new_argon2(password: bytes) -> str:
    # 19 MiB and two passes: strong enough, and a burst of logins stays within small memory.
    maker = passlib.hash.argon2.using(type="ID", memory_cost=19456, time_cost=2, parallelism=1)
    return str(maker.hash(password))


def _new_bcrypt(password: bytes) -> str:
    return str(passlib.hash.bcrypt.using(rounds=12).hash(password[:72]))


def _new_pbkdf2(password: bytes) -> str:
    return str(passlib.hash.pbkdf2_sha256.hash(password))


def _new_plain(password: bytes) -> str:
    return password.decode("utf-8", "surrogateescape")


_MAKERS: Final[dict[str, Callable[[bytes], str]]] = {
    "ARGON2ID": _new_argon2,
    "SHA512-CRYPT": _crypted("$6$rounds=100000$"),
    "SHA256-CRYPT": _crypted("$5$rounds=100000$"),
    "BLF-CRYPT": _new_bcrypt,
    "PBKDF2": _new_pbkdf2,
    "CRYPT": _crypted("$y$j9T$"),
    "SCRAM-SHA-256": lambda password: verifiers.new_scram(password, "sha256"),
    "SCRAM-SHA-1": lambda password: verifiers.new_scram(password, "sha1"),
    "CRAM-MD5": verifiers.new_cram_md5,
    "PLAIN": _new_plain,
}
"""Schemes for new passwords; CRYPT makes yescrypt, as Debian's passwd does."""
NEW_SCHEMES: Final = tuple(_MAKERS)
