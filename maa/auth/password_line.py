"""One line of the password file, and what is wrong with it.

    user:{SCHEME}hash:uid:gid:gecos:home:shell:key=value key=value nologin

The keys are those of `KEYS`. A slip that could open what shall be closed spoils the line; one that
could only keep somebody from their mail is told and passed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from maa.auth import hashes, restrictions
from maa.limits import quota
from maa.user import Restrictions, User, usable_name

_RESTRICTIONS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "allow_nets": ("networks", restrictions.networks),
    "protocols": ("services", restrictions.services),
    "expires": ("expires", restrictions.expiry),
}
KEYS: Final = ("inbox", "folders", "mail", "home", "quota", *_RESTRICTIONS)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a line; line 0 is the file as a whole."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One user's line."""

    user: User
    stored: str
    """`{SCHEME}hash`, or a bare hash; empty when no password fits."""
    disabled: bool = False
    fault: Fault | None = None
    """The line cannot be used: nobody knows whether a password fits."""


def parsed(line: str, number: int) -> tuple[Entry | None, list[Fault]]:
    """One line: the entry, if its name can be read, and what is wrong with it."""
    fields = line.split(":", 7)
    name = fields[0]
    if not usable_name(name):
        return None, [Fault(number, "no usable user name before the first colon")]
    fields += [""] * (8 - len(fields))
    faults: list[Fault] = []
    user, disabled = User(name), False
    stored = fields[1]
    try:
        if stored.startswith("!") and len(stored.strip("!*")):
            stored, disabled = stored.lstrip("!"), True
        elif stored.strip("!*") == "" and stored:
            stored = ""
        else:
            _ensure_password(stored)
        if stored:
            hashes.ensure_known(stored)
        user = replace(user, uid=_number(fields[2]), gid=_number(fields[3]))
        user = replace(user, home=_home(fields[5]))
        for extra in fields[7].split():
            user, forbidden, wrong = _extra(user, extra)
            disabled = disabled or forbidden
            faults += [Fault(number, wrong)] if wrong else []
    except ValueError as error:
        fault = Fault(number, str(error))
        return Entry(user, stored, disabled, fault), [*faults, fault]
    return Entry(user, stored, disabled), faults


def _ensure_password(stored: str) -> None:
    if not stored:
        raise ValueError("no password; write ! for a user who may not log in")


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32 - 1:
        raise ValueError("the third or fourth field is no uid or gid")  # it may be of a password
    return int(text)


def _home(text: str) -> str | None:
    if text and not text.startswith("/"):
        raise ValueError("the home is no absolute path")
    return text or None


def _extra(user: User, extra: str) -> tuple[User, bool, str]:
    """One of the words behind the shell: the user with it, whether it forbids, what is wrong."""
    key, equals, value = extra.partition("=")
    written = key
    # Dovecot's passwd-file marks so what is not of the password.
    key = key.removeprefix("userdb_")
    if key == "mail" and value:
        return replace(user, inbox=value, folders=value), False, ""
    if key == "inbox" and value:
        return replace(user, inbox=value), False, ""
    if key == "folders" and value:
        return replace(user, folders=value), False, ""
    if key == "home" and value:
        return replace(user, home=_home(value)), False, ""
    if key == "quota" and value:
        try:
            quota(value)
        except ValueError as error:
            # A slip here is not to keep anybody from their mail: the quota of `[mail]` holds.
            return user, False, str(error)
        return replace(user, quota=value), False, ""
    if key == "nologin":
        return user, value.lower() not in ("n", "no"), ""
    if key in _RESTRICTIONS and value:
        name, read = _RESTRICTIONS[key]
        limits = replace(user.restrictions or Restrictions(), **{name: read(value)})
        return replace(user, restrictions=limits), False, ""
    if equals and value:
        return user, False, f"unknown key {written!r} is ignored; known: {' '.join(KEYS)} nologin"
    raise ValueError("a word behind the shell is not key=value")
