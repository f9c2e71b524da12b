"""A secret of this installation, the same in all its processes and after every start.

With it the server answers about names it does not know as it does about those it knows: always
alike (R033).
"""

from __future__ import annotations

import logging
import os
import secrets
from typing import Final

SECRET_OCTETS: Final = 32
_log = logging.getLogger(__name__)


def secret(state: str) -> bytes:
    """Read from the state folder, or made there once. May block."""
    path = os.path.join(state, "auth-secret")
    try:
        return _read(path) or _made(path)
    except OSError as error:
        _log.warning("%s: %s: a secret of this process alone serves", path, error.strerror)
        return secrets.token_bytes(SECRET_OCTETS)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            found = file.read(SECRET_OCTETS)
    except FileNotFoundError:
        return None
    return found if len(found) == SECRET_OCTETS else None


def _made(path: str) -> bytes:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    draft = f"{path}.{secrets.token_hex(8)}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(SECRET_OCTETS))
        file.flush()
        os.fsync(file.fileno())
    try:
        if os.path.exists(path) and _read(path) is None:
            os.unlink(path)  # torn
        # Of several processes that make one, the first to link it wins.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
    return _read(path) or secrets.token_bytes(SECRET_OCTETS)
