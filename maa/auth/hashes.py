"""Password hashes: which scheme a stored one is in, and whether a password fits.

A stored password is written `{SCHEME}hash` with Dovecot's or LDAP's names or libpass's own, or as
a bare hash that its form tells, as in an htpasswd file. `schemes` has what is done then.

No scheme cuts a password silently (R034): where the hash function itself does, a longer
password is refused.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import Any, Final

import passlib.registry

from maa.auth.libcrypt import DES
from maa.auth.schemes import (
    BY_FORM,
    DIGESTS,
    SCHEMES,
    Scheme,
    UnknownHash,
    libpass_name,
    of_libpass,
)
from maa.auth.turns import Turns

__all__ = ["PasswordTooLong", "UnknownHash", "ensure_known", "significant_octets", "verified"]

# Half of the machine is for who is logged in: whoever guesses passwords would else have all of it.
_AT_ONCE: Final = Turns(max(1, (os.cpu_count() or 2) // 2))
_SCHEME: Final = re.compile(r"\{([A-Za-z0-9._-]+)\}")
_libpass = cache(of_libpass)


class PasswordTooLong(ValueError):
    """The scheme would not use the whole password (R034)."""


def verified(stored: str, password: bytes, name: str = "") -> bool:
    """Whether it is the password of the user `name`; UnknownHash: the stored form is not known."""
    scheme, hashed = _understood(stored)
    limit = scheme.octets(hashed)
    try:
        with _AT_ONCE:
            if limit is None or len(password) <= limit:
                return scheme.check(hashed, password, name)
            # The work is done all the same, for the time it takes must not tell.
            scheme.check(hashed, password[:limit], name)
    except UnknownHash:
        raise
    except ValueError as error:
        raise UnknownHash(str(error)) from None
    return False


def ensure_known(stored: str) -> None:
    """Raise UnknownHash unless `verified` can judge this stored password; cheap."""
    scheme, hashed = _understood(stored)
    try:
        scheme.ensure(hashed)
    except ValueError as error:
        raise UnknownHash(str(error)) from None


def significant_octets(stored: str) -> int | None:
    """How many octets of a password the stored hash tells apart; None: all of them."""
    scheme, hashed = _understood(stored)
    return scheme.octets(hashed)


def scheme_name(stored: str) -> str:
    """The scheme's name as it is written, or would be; UnknownHash."""
    return _split(stored)[0]


def _understood(stored: str) -> tuple[Scheme, str]:
    name, hashed = _split(stored)
    if not hashed:
        raise UnknownHash("the hash is empty")
    base, _, encoding = name.partition(".")
    if encoding in ("HEX", "B64", "BASE64") and base in DIGESTS:
        name = base
    try:
        if name in SCHEMES:
            return SCHEMES[name](hashed), hashed
    except ValueError as error:
        raise UnknownHash(str(error)) from None
    found = libpass_name(name)
    if found is None:
        raise UnknownHash(f"unknown scheme {{{name}}}")
    return _libpass(found), hashed


def _split(stored: str) -> tuple[str, str]:
    """The scheme's name in capitals, and what stands behind it."""
    match = _SCHEME.match(stored)
    if match is not None:
        return match[1].upper(), stored[match.end() :]
    if stored.startswith("$pbkdf2"):
        return "PBKDF2", stored
    for name in BY_FORM:
        handler: Any = passlib.registry.get_crypt_handler(name)
        if handler.identify(stored):
            return name.upper().replace("_", "-"), stored
    if stored.startswith("$argon2"):
        return "ARGON2ID", stored
    if stored.startswith("$") or DES.fullmatch(stored):
        return "CRYPT", stored
    raise UnknownHash("no hash; a clear password is written {PLAIN}password")
