"""How a password is compared with a stored one, scheme by scheme; `hashes` says which it is.

System hashes (`$y$`, `$6$`, `$5$`, `$1$`) go to libcrypt's `crypt_r`, which knows all that this
machine's passwd program writes and releases the GIL; bcrypt, argon2 and PBKDF2 go to libpass, and
so does every scheme that libpass alone reads; plain digests are `hashlib`'s.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import passlib.hash
import passlib.registry
from passlib.exc import PasswordValueError

from maa.auth import libcrypt, verifiers
from maa.auth.libcrypt import DES

Check = Callable[[str, bytes, str], bool]
"""Stored form without its scheme, password, and the user's name, which some schemes hash too."""


class UnknownHash(ValueError):
    """The stored password is in no scheme known here."""


def _all_octets(stored: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Scheme:
    """What is known of a scheme; the functions take a stored form without `{SCHEME}`."""

    check: Check
    ensure: Callable[[str], object]
    """Raises ValueError unless the stored form can be judged; cheap."""
    octets: Callable[[str], int | None] = _all_octets
    """How many octets of a password are told apart; None: all of them."""


Found = Callable[[str], Scheme]
"""Which it is, of the schemes that one name stands for: told by the stored form."""


def _plain(stored: str, password: bytes, name: str) -> bool:
    return hmac.compare_digest(stored.encode("utf-8", "surrogateescape"), password)


# --- what libpass reads -----------------------------------------------------

# Clear passwords, which are written {PLAIN}; hashes of nothing; and one that hashes a realm.
NOT_OF_LIBPASS: Final = frozenset(
    ("plaintext", "ldap_plaintext", "roundup_plaintext", "django_disabled", "unix_disabled",
     "htdigest"),
)  # fmt: skip


def of_libpass(name: str, prefix: str = "") -> Scheme:
    """A scheme by libpass's name; `prefix` is what our file's form leaves out."""
    handler: Any = passlib.registry.get_crypt_handler(name)
    wants_user = "user" in handler.context_kwds

    def check(stored: str, password: bytes, name: str) -> bool:
        more = {"user": name} if wants_user else {}
        try:
            return bool(handler.verify(password, prefix + stored, **more))
        except PasswordValueError:
            return False
        except ValueError:
            # The hash is damaged, or the scheme has no letters for this password. That is told by
            # another one, and not by the error's words, for they would show some of the password.
            return wrong(stored, **more)

    def wrong(stored: str, **more: str) -> bool:
        try:
            handler.verify("a", prefix + stored, **more)
        except ValueError:
            raise UnknownHash(f"not a hash of {name}") from None
        return False

    def ensure(stored: str) -> None:
        if not handler.identify(prefix + stored):
            raise UnknownHash(f"not a hash of {name}")
        read = getattr(handler, "from_string", None)
        if read is not None:
            read(prefix + stored)

    size: int | None = getattr(handler, "truncate_size", None)
    return Scheme(check, ensure, lambda stored: size)


def libpass_name(scheme: str) -> str | None:
    """libpass's name of a scheme that is written so: `{DJANGO-PBKDF2-SHA256}`."""
    name = scheme.lower().replace("-", "_")
    known = name in passlib.registry.list_crypt_handlers() and name not in NOT_OF_LIBPASS
    return name if known else None


_BCRYPT: Final = of_libpass("bcrypt")
_BSDI: Final = of_libpass("bsdi_crypt")
_ARGON2: Final = of_libpass("argon2")
_PBKDF2: Final = {
    "$pbkdf2$": of_libpass("pbkdf2_sha1"),
    "$pbkdf2-sha256$": of_libpass("pbkdf2_sha256"),
    "$pbkdf2-sha512$": of_libpass("pbkdf2_sha512"),
}
_LDAP_PBKDF2: Final = {
    "PBKDF2": of_libpass("ldap_pbkdf2_sha1", "{PBKDF2}"),
    "PBKDF2-SHA256": of_libpass("ldap_pbkdf2_sha256", "{PBKDF2-SHA256}"),
    "PBKDF2-SHA512": of_libpass("ldap_pbkdf2_sha512", "{PBKDF2-SHA512}"),
}


# --- PBKDF2 -----------------------------------------------------------------


def _pbkdf2(name: str) -> Found:
    """Dovecot's `$1$salt$rounds$hex` of SHA-1, or libpass's `$pbkdf2...$` forms, or LDAP's."""

    def found(stored: str) -> Scheme:
        for prefix, scheme in _PBKDF2.items():
            if stored.startswith(prefix):
                return scheme
        return _DOVECOT_PBKDF2 if stored.startswith("$1$") else _LDAP_PBKDF2[name]

    return found


def _dovecot_pbkdf2_parts(stored: str) -> tuple[bytes, int, str]:
    parts = stored.split("$")
    if len(parts) != 5 or parts[:2] != ["", "1"] or not parts[3].isascii():
        raise UnknownHash("not a PBKDF2 hash")
    if not parts[3].isdigit() or not 1 <= int(parts[3]) <= 10_000_000:
        raise UnknownHash("PBKDF2 rounds out of range")
    return parts[2].encode(), int(parts[3]), parts[4].lower()


def _dovecot_pbkdf2(stored: str, password: bytes, name: str) -> bool:
    salt, rounds, digest = _dovecot_pbkdf2_parts(stored)
    return hmac.compare_digest(
        hashlib.pbkdf2_hmac("sha1", password, salt, rounds).hex().encode(), digest.encode()
    )


_DOVECOT_PBKDF2: Final = Scheme(_dovecot_pbkdf2, _dovecot_pbkdf2_parts)


# --- plain digests ----------------------------------------------------------


def _digest(algorithm: str, *, salted: bool) -> Scheme:
    length = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def parts(stored: str) -> tuple[bytes, bytes]:
        octets = _unpacked(stored, length)
        if len(octets) < length or (len(octets) > length) != salted:
            raise UnknownHash(f"not a {algorithm} hash")
        return octets[:length], octets[length:]

    def check(stored: str, password: bytes, name: str) -> bool:
        digest, salt = parts(stored)
        made = hashlib.new(algorithm, password + salt, usedforsecurity=False).digest()
        return hmac.compare_digest(made, digest)

    return Scheme(check, parts)


def _unpacked(stored: str, length: int) -> bytes:
    """Hexadecimal or base64, told by form: a hexadecimal digest has exactly two per octet."""
    try:
        if len(stored) >= 2 * length and re.fullmatch(r"[0-9A-Fa-f]+", stored):
            return bytes.fromhex(stored)
        return base64.b64decode(stored + "=" * (-len(stored) % 4), validate=True)
    except (ValueError, binascii.Error) as error:
        raise UnknownHash(str(error)) from None


# --- crypt(3) ---------------------------------------------------------------

# Where libcrypt is missing or old: correct, but slow, and they hold the GIL.
_INSTEAD_OF_LIBCRYPT: Final = {
    "$6$": of_libpass("sha512_crypt"),
    "$5$": of_libpass("sha256_crypt"),
    "$1$": of_libpass("md5_crypt"),
    "$sha1": of_libpass("sha1_crypt"),
    "$md5": of_libpass("sun_md5_crypt"),
}


def _by_crypt_r(stored: str, password: bytes, name: str) -> bool:
    made = libcrypt.crypt_r(password, stored)
    return made is not None and hmac.compare_digest(made, stored)


_CRYPT_R: Final = Scheme(
    _by_crypt_r, libcrypt.kind, lambda stored: 8 if DES.fullmatch(stored) else None
)


def _crypt_of(stored: str) -> Scheme:
    if stored.startswith("$2"):
        # libpass's bcrypt releases the GIL too, and is there where libcrypt's is not.
        return _BCRYPT
    if stored.startswith("$argon2"):
        return _ARGON2
    if stored.startswith("_"):
        return _BSDI
    method = libcrypt.kind(stored)
    if libcrypt.knows(method):
        return _CRYPT_R
    if method not in _INSTEAD_OF_LIBCRYPT:
        raise UnknownHash("this machine's libcrypt does not know such hashes")
    return _INSTEAD_OF_LIBCRYPT[method]


# --- secrets of challenges --------------------------------------------------


def _scram(mechanism: str) -> Scheme:
    digest = verifiers.SCRAM_DIGESTS[mechanism]

    def check(stored: str, password: bytes, name: str) -> bool:
        known = verifiers.ScramVerifier.parse(stored, digest)
        made = known.of_password(password, digest, known.salt, known.iterations)
        return hmac.compare_digest(made.stored_key, known.stored_key)

    return Scheme(check, lambda stored: verifiers.ScramVerifier.parse(stored, digest))


def _cram_md5(stored: str, password: bytes, name: str) -> bool:
    made = verifiers.new_cram_md5(password)
    return hmac.compare_digest(made, stored.lower())


def _digest_md5(stored: str, password: bytes, name: str) -> bool:
    user, _, realm = name.partition("@")
    made = verifiers.a1_of(user, realm, password).hex()
    return hmac.compare_digest(made, stored.lower())


def _hexadecimal(digits: int) -> Callable[[str], object]:
    def ensure(stored: str) -> None:
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{digits}}}", stored):
            raise UnknownHash(f"not {digits} hexadecimal digits")

    return ensure


# --- the table --------------------------------------------------------------

DIGESTS: Final[dict[str, Scheme]] = {
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


def _md5_of(stored: str) -> Scheme:
    """Dovecot's {MD5} is MD5-CRYPT, LDAP's is a digest."""
    return _crypt_of(stored) if stored.startswith("$") else DIGESTS["LDAP-MD5"]


def _always(scheme: Scheme) -> Found:
    return lambda stored: scheme


SCHEMES: Final[dict[str, Found]] = {
    **{name: _always(scheme) for name, scheme in DIGESTS.items()},
    **dict.fromkeys(verifiers.CLEAR, _always(Scheme(_plain, str))),
    **dict.fromkeys(
        ("CRYPT", "DES-CRYPT", "MD5-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT",
         "YESCRYPT"), _crypt_of,
    ),
    **dict.fromkeys(("ARGON2", "ARGON2I", "ARGON2D", "ARGON2ID"), _always(_ARGON2)),
    "MD5": _md5_of,
    **{name: _pbkdf2(name) for name in _LDAP_PBKDF2},
    "PKCS5S2": _always(of_libpass("atlassian_pbkdf2_sha1", "{PKCS5S2}")),
    "NTLM": _always(of_libpass("nthash")),
    "LANMAN": _always(of_libpass("lmhash")),
    "PLAIN-MD4": _always(of_libpass("hex_md4")),
    **{name: _always(_scram(name)) for name in verifiers.SCRAM_DIGESTS},
    **dict.fromkeys(("CRAM-MD5", "HMAC-MD5"), _always(Scheme(_cram_md5, _hexadecimal(64)))),
    "DIGEST-MD5": _always(Scheme(_digest_md5, _hexadecimal(32))),
}  # fmt: skip
"""By Dovecot's names, and LDAP's; libpass's own names are found by `libpass_name`."""

BY_FORM: Final = (
    "apr_md5_crypt", "phpass", "bcrypt_sha256", "scram", "scrypt", "cta_pbkdf2_sha1",
    "grub_pbkdf2_sha512", "bsd_nthash", "bsdi_crypt", "fshp",
    "django_argon2", "django_bcrypt", "django_bcrypt_sha256", "django_des_crypt",
    "django_pbkdf2_sha1", "django_pbkdf2_sha256", "django_salted_md5", "django_salted_sha1",
    "mssql2000", "mssql2005", "mysql41", "postgres_md5",
)  # fmt: skip
"""libpass's schemes whose hashes look like no other's: they need no `{SCHEME}`."""
