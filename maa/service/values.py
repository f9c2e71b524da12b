"""What each setting may be: a value of TOML in, what the configuration has of it out.

Each check raises `Bad`, which says what is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet import endpoints as twisted_endpoints

from maa import limits
from maa.auth.mechanisms import MECHANISMS
from maa.networks import Networks
from maa.store.places import Place, checked_template
from maa.user import usable_name

WORKERS_MAX: Final = 256
COUNT_MAX: Final = 1_000_000
PORT_MAX: Final = 65535
UID_MAX: Final = 0xFFFFFFFE
SILENT_SECONDS_MAX: Final = 120
KEEPALIVE_MINUTES_MAX: Final = 29
"""Clients renew IDLE after 29 minutes (RFC 2177 §3)."""
CLASSIC: Final = ("plain", "login", "cram-md5", "digest-md5", "apop")
"""What mail programs knew before SCRAM."""
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_REALM = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
ENDPOINTS: Final = (
    'a list of Twisted endpoint strings, such as ["tcp:143", "tcp6:143:interface=\\:\\:1"], or of '
    'tables such as {endpoint = "tcp:993", allow = ["192.168.1.0/24"]}'
)


class Bad(Exception):
    """The value is not one of those allowed; says which are."""


Check = Callable[[Any, Path], Any]
"""Takes the value and the folder that relative paths are relative to; raises `Bad`."""


def hostname(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or _HOSTNAME.fullmatch(value) is None:
        raise Bad('a host name, such as "mail.example.org"')
    return value


def path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise Bad("a path; a relative one begins at the configuration file's folder")
    return folder / value


def workers(value: Any, folder: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= WORKERS_MAX:
        raise Bad(f"a number from 0 (one process per core) to {WORKERS_MAX}")
    return value


def count(value: Any, folder: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= COUNT_MAX:
        raise Bad(f"a number from 1 to {COUNT_MAX}")
    return value


def uid(value: Any, folder: Path) -> int:
    if type(value) is not int or not 1 <= value <= UID_MAX:
        raise Bad("a uid, not root's")
    return value


def silent(value: Any, folder: Path) -> int:
    if type(value) is not int or not 1 <= value <= SILENT_SECONDS_MAX:
        raise Bad(f"seconds from 1 to {SILENT_SECONDS_MAX}")
    return value


def user(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or _USER.fullmatch(value) is None or value == "root":
        raise Bad("the name of a system's user, but not root")
    return value


def endpoint(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise Bad(ENDPOINTS)
    try:
        # Nothing is opened before listen(), so no reactor is needed to find mistakes.
        found = twisted_endpoints.serverFromString(None, value)
    except Exception as error:
        raise Bad(f"{ENDPOINTS} ({value!r}: {error})") from error
    if not 0 <= getattr(found, "_port", 0) <= PORT_MAX:
        raise Bad(f"{ENDPOINTS} ({value!r}: ports go from 0 to {PORT_MAX})")
    return value


def networks(value: Any, folder: Path) -> Networks:
    allowed = 'a list of networks and addresses, such as ["192.168.1.0/24", "2001:db8::1"]'
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Bad(allowed)
    try:
        return Networks.parse(value)
    except ValueError as error:
        raise Bad(f"{allowed} ({error})") from None


def one_of(*allowed: str) -> Check:
    def check(value: Any, folder: Path) -> str:
        if value not in allowed:
            raise Bad("one of " + ", ".join(allowed))
        return str(value)

    return check


def some_of(*allowed: str) -> Check:
    def check(value: Any, folder: Path) -> tuple[str, ...]:
        if (
            not isinstance(value, list)
            or not value
            or not all(one in allowed for one in value)
            or len(set(value)) < len(value)
        ):
            raise Bad("a list of " + ", ".join(allowed) + ", in the wanted order, each once")
        return tuple(value)

    return check


def realm(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or _REALM.fullmatch(value) is None:
        raise Bad("none, from-at-sign, or a realm's name")
    return value


def domain(value: Any, folder: Path) -> str:
    if value != "" and (not isinstance(value, str) or _HOSTNAME.fullmatch(value) is None):
        raise Bad('a domain, such as "example.org", or "" for none')
    return str(value).lower()


def mechanisms(value: Any, folder: Path) -> tuple[str, ...]:
    known = ["auto", "classic", *(name.decode().lower() for name in MECHANISMS), "apop"]
    names = [str(one).lower() for one in value] if isinstance(value, list) else []
    if not names or not all(name in known for name in names):
        raise Bad(f'["auto"], which other names may follow, or a list of {", ".join(known[1:])}')
    sets = {"classic": CLASSIC}
    return tuple(dict.fromkeys(one for name in names for one in sets.get(name, (name,))))


def word(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or len(value) > 1024 or not value.isprintable():
        raise Bad("a text of one line")
    return value


def address(value: Any, folder: Path) -> str:
    """Of a web service: who listens on the way there could let anybody in."""
    if value != "" and not (isinstance(value, str) and _is_safe(value)):
        raise Bad("an address that begins with https:// (on this machine http:// too)")
    return str(value)


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False
    plain = parts.scheme == "http" and here
    return (plain or parts.scheme == "https") and bool(parts.hostname) and "@" not in parts.netloc


def keys(value: Any, folder: Path) -> str:
    if isinstance(value, str) and "://" in value:
        return address(value, folder)
    return str(path(value, folder))


def users(value: Any, folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(o, str) and usable_name(o) for o in value):
        raise Bad("a list of users' names")
    return tuple(value)


def home(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise Bad("an absolute path, in which {user}, {local} and {domain} may stand")
    try:
        return checked_template(value, home=False)
    except ValueError as error:
        raise Bad(str(error)) from None


def place(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise Bad("a place, such as maildir:{home}/Maildir")
    try:
        Place.parse(value)
    except ValueError as error:
        raise Bad(str(error)) from None
    return value


def keepalive(value: Any, folder: Path) -> int:
    if type(value) is not int or not 0 <= value <= KEEPALIVE_MINUTES_MAX:
        raise Bad(f"minutes from 1 to {KEEPALIVE_MINUTES_MAX}, or 0 for never")
    return value


def quota(value: Any, folder: Path) -> str:
    try:
        limits.quota(value if isinstance(value, str) else "")
    except ValueError as error:
        raise Bad(str(error)) from None
    return str(value)
