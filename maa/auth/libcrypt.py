"""The system's own password hashes, by libcrypt's crypt_r (crypt(3), crypt(5)).

It knows whatever this machine's passwd program writes, yescrypt (`$y$`) among it, which libpass
does not; and a call through ctypes releases the GIL, which libpass's own sha512_crypt holds for
tens of milliseconds.
"""

from __future__ import annotations

import ctypes
import re
import threading
from functools import cache
from typing import Final

DES: Final = re.compile(r"[./0-9A-Za-z]{13}")
"""Traditional crypt(3), which uses eight octets of a password."""
_DATA_OCTETS: Final = 1 << 18
"""More than `struct crypt_data` of libxcrypt (32 KiB) and of the old glibc (128 KiB)."""
_local = threading.local()


@cache
def _library() -> ctypes.CDLL | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.crypt_r.restype = ctypes.c_char_p
        library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
        return library
    return None


def crypt_r(password: bytes, setting: str) -> str | None:
    """libcrypt's answer; None when it has none. Releases the GIL."""
    library = _library()
    if library is None or b"\0" in password or not setting.isascii() or "\0" in setting:
        return None
    data = getattr(_local, "data", None)
    if data is None:
        data = _local.data = ctypes.create_string_buffer(_DATA_OCTETS)
    made: bytes | None = library.crypt_r(password, setting.encode(), data)
    # What the hash was computed from stays in the buffer otherwise.
    answer = None if made is None or made.startswith(b"*") else made.decode("ascii")
    ctypes.memset(data, 0, _DATA_OCTETS)
    return answer


# One setting of each kind, to ask whether libcrypt knows it, at the smallest cost.
_SAMPLES: Final = {
    "$1$": "$1$abcdefgh$",
    "$5$": "$5$rounds=1000$abcdefgh$",
    "$6$": "$6$rounds=1000$abcdefgh$",
    "$y$": "$y$j75$abcdefgh$",
    "$gy$": "$gy$j75$abcdefgh$",
    "$7$": "$7$4/..../....abcdefgh$",
    "$md5": "$md5,rounds=1$abcdefgh$",
    "$sha1": "$sha1$100$abcdefgh$",
    "": "ab",
}


def kind(hashed: str) -> str:
    """The beginning that names the method, `$6$`; empty for traditional crypt; ValueError."""
    match = re.match(r"\$(?:md5|sha1|[0-9a-z]+\$)", hashed)
    if match is None and not DES.fullmatch(hashed):
        raise ValueError("not a crypt hash")
    return match[0] if match else ""


@cache
def knows(method: str) -> bool:
    """Whether this machine's libcrypt computes hashes of this kind."""
    return method in _SAMPLES and crypt_r(b"x", _SAMPLES[method]) is not None
