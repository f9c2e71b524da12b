"""Password hashes: which scheme a stored one is in, whether a password fits, and new ones.

A stored password is written `{SCHEME}hash` with Dovecot's scheme names, or as a bare hash that
its form tells. System hashes (`$y$`, `$6$`, `$5$`, `$1$`, `$2b$`) go to libcrypt's `crypt_r`,
which knows all that this machine's passwd program writes and releases the GIL; argon2, bcrypt
and PBKDF2 go to libpass; plain digests are `hashlib`'s.

No scheme cuts a password silently (R034): where the hash function itself does, a longer
password is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

import passlib.hash
from passlib.exc import PasswordValueError

from maa.auth import libcrypt
from maa.auth.libcrypt import DES

Check = Callable[[str, bytes], bool]

DEFAULT_SCHEME: Final = "ARGON2ID"
_SIGNIFICANT_OCTETS: Final = {"$2a$": 72, "$2b$": 72, "$2y$": 72, "$2x$": 72}
_DES_OCTETS: Final = 8


class UnknownHash(ValueError):
    """The stored password is in no scheme known here."""


class PasswordTooLong(ValueError):
    """The scheme would not use the whole password (R034)."""


def verified(stored: str, password: bytes) -> bool:
    """Whether the password fits; UnknownHash when the stored form is not understood."""
    check, hashed = _understood(stored)
    limit = significant_octets(stored)
    if limit is None or len(password) <= limit:
        return check(hashed, password)
    # The work is done all the same, for the time it takes must not tell.
    check(hashed, password[:limit])
    return False


def ensure_known(stored: str) -> None:
    """Raise UnknownHash unless `verified` can judge this stored password; cheap."""
    check, hashed = _understood(stored)
    try:
        if check in _DIGESTS.values():
            check(hashed, b"")
        elif check is _argon2:
            passlib.hash.argon2.from_string(hashed)
        elif check is _crypt and hashed.startswith("$2"):
            passlib.hash.bcrypt.from_string(hashed)
        elif check is _crypt:
            _crypt_method(hashed)
    except ValueError as error:
        raise UnknownHash(str(error)) from None


def significant_octets(stored: str) -> int | None:
    """How many octets of a password the stored hash tells apart; None: all of them."""
    hashed = stored[stored.find("}") + 1 :]
    if DES.fullmatch(hashed) and _scheme_of(stored)[0] in ("CRYPT", "DES-CRYPT"):
        return _DES_OCTETS
    return _SIGNIFICANT_OCTETS.get(hashed[:4])


def new_hash(password: bytes, scheme: str = DEFAULT_SCHEME) -> str:
    """A stored form for a new password, `{SCHEME}hash`; PasswordTooLong, UnknownHash."""
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


def _scheme_of(stored: str) -> tuple[str, str]:
    match = re.match(r"\{([A-Za-z0-9._-]+)\}", stored)
    if match is not None:
        return match[1].upper(), stored[match.end() :]
    if stored.startswith("$argon2"):
        return "ARGON2ID", stored
    if stored.startswith("$pbkdf2"):
        return "PBKDF2", stored
    if stored.startswith("$") or DES.fullmatch(stored):
        return "CRYPT", stored
    raise UnknownHash("no hash; a clear password is written {PLAIN}password")


def _understood(stored: str) -> tuple[Check, str]:
    scheme, hashed = _scheme_of(stored)
    base, _, encoding = scheme.partition(".")
    if encoding in ("HEX", "B64", "BASE64") and base in _DIGESTS:
        scheme = base
    check = _CHECKS.get(scheme)
    if check is None:
        raise UnknownHash(f"unknown scheme {{{scheme}}}")
    if not hashed:
        raise UnknownHash("the hash is empty")
    if scheme == "CRYPT" and hashed.startswith("$argon2"):
        check = _argon2
    return check, hashed


# --- the schemes ------------------------------------------------------------


def _plain(stored: str, password: bytes) -> bool:
    return hmac.compare_digest(stored.encode("utf-8", "surrogateescape"), password)


def _argon2(stored: str, password: bytes) -> bool:
    return _by_libpass(passlib.hash.argon2, stored, password)


def _pbkdf2(stored: str, password: bytes) -> bool:
    """Dovecot's `$1$salt$rounds$hex` of SHA-1, or libpass's `$pbkdf2...$` forms."""
    if stored.startswith("$pbkdf2-sha512$"):
        return _by_libpass(passlib.hash.pbkdf2_sha512, stored, password)
    if stored.startswith("$pbkdf2-sha256$"):
        return _by_libpass(passlib.hash.pbkdf2_sha256, stored, password)
    if stored.startswith("$pbkdf2$"):
        return _by_libpass(passlib.hash.pbkdf2_sha1, stored, password)
    parts = stored.split("$")
    if len(parts) != 5 or parts[:2] != ["", "1"] or not parts[3].isascii():
        raise UnknownHash("not a PBKDF2 hash")
    if not parts[3].isdigit() or not 1 <= int(parts[3]) <= 10_000_000:
        raise UnknownHash("PBKDF2 rounds out of range")
    made = hashlib.pbkdf2_hmac("sha1", password, parts[2].encode(), int(parts[3]))
    return hmac.compare_digest(made.hex(), parts[4].lower())


def _by_libpass(scheme: Any, stored: str, password: bytes) -> bool:
    try:
        return bool(scheme.verify(password, stored))
    except PasswordValueError:
        return False
    except ValueError as error:
        raise UnknownHash(str(error)) from None


def _digest(name: str, *, salted: bool) -> Check:
    length = hashlib.new(name, usedforsecurity=False).digest_size

    def check(stored: str, password: bytes) -> bool:
        octets = _unpacked(stored, length)
        if len(octets) < length or (len(octets) > length) != salted:
            raise UnknownHash(f"not a {name} hash")
        made = hashlib.new(name, password + octets[length:], usedforsecurity=False).digest()
        return hmac.compare_digest(made, octets[:length])

    return check


def _unpacked(stored: str, length: int) -> bytes:
    """Hexadecimal or base64, told by form: a hexadecimal digest has exactly two per octet."""
    try:
        if len(stored) >= 2 * length and re.fullmatch(r"[0-9A-Fa-f]+", stored):
            return bytes.fromhex(stored)
        return base64.b64decode(stored + "=" * (-len(stored) % 4), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UnknownHash(str(error)) from None


# Where libcrypt is missing or old: correct, but slow, and they hold the GIL.
_INSTEAD_OF_LIBCRYPT: Final = {
    "$6$": passlib.hash.sha512_crypt,
    "$5$": passlib.hash.sha256_crypt,
    "$1$": passlib.hash.md5_crypt,
}


def _crypt_method(hashed: str) -> str:
    method = libcrypt.kind(hashed)
    if not libcrypt.knows(method) and method not in _INSTEAD_OF_LIBCRYPT:
        raise UnknownHash("this machine's libcrypt does not know such hashes")
    return method


def _crypt(stored: str, password: bytes) -> bool:
    if stored.startswith("$2"):
        # libpass's bcrypt releases the GIL too, and is there where libcrypt's is not.
        return _by_libpass(passlib.hash.bcrypt, stored, password)
    method = _crypt_method(stored)
    if not libcrypt.knows(method):
        return _by_libpass(_INSTEAD_OF_LIBCRYPT[method], stored, password)
    made = libcrypt.crypt_r(password, stored)
    return made is not None and hmac.compare_digest(made, stored)


_DIGESTS: Final[dict[str, Check]] = {
    "SHA": _digest("sha1", salted=False),
    "SHA1": _digest("sha1", salted=False),
    "SHA256": _digest("sha256", salted=False),
    "SHA512": _digest("sha512", salted=False),
    "SSHA": _digest("sha1", salted=True),
    "SSHA256": _digest("sha256", salted=True),
    "SSHA512": _digest("sha512", salted=True),
    "SMD5": _digest("md5", salted=True),
    "LDAP-MD5": _digest("md5", salted=False),
    "PLAIN-MD5": _digest("md5", salted=False),
}
_CHECKS: Final[dict[str, Check]] = {
    **_DIGESTS,
    **dict.fromkeys(("PLAIN", "CLEAR", "CLEARTEXT"), _plain),
    **dict.fromkeys(
        ("CRYPT", "DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT",
         "YESCRYPT"), _crypt,
    ),
    **dict.fromkeys(("ARGON2", "ARGON2I", "ARGON2D", "ARGON2ID"), _argon2),
    "PBKDF2": _pbkdf2,
}  # fmt: skip


# --- new hashes -------------------------------------------------------------


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
    "PLAIN": _new_plain,
}
"""Schemes for new passwords; CRYPT makes yescrypt, as Debian's passwd does."""
NEW_SCHEMES: Final = tuple(_MAKERS)
