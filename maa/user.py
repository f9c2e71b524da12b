"""Who is logged in: what a credential source says of a user, and what the store needs of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from maa.networks import NOWHERE, Networks

NAME_OCTETS_MAX = 255
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+=-]*(?:@[A-Za-z0-9._+=-]+)?")


@dataclass(frozen=True, slots=True)
class Restrictions:
    """When, from where and how a user may log in; what is empty restricts nothing."""

    networks: Networks = NOWHERE
    services: frozenset[str] = frozenset()
    """Of `imap` and `pop`."""
    expires: float | None = None
    """Seconds since the epoch from which on the account is closed."""


@dataclass(frozen=True, slots=True)
class User:
    """An account as its credential source describes it; `None` leaves a choice to `[mail]`."""

    name: str
    """The login name, already checked by `usable_name`; part of file names (R253)."""
    uid: int | None = None
    """File-system user id to take for all work on this user's mail; None: the process's own."""
    gid: int | None = None
    home: str | None = None
    """Home directory, an absolute path."""
    inbox: str | None = None
    """Place of the INBOX, such as `maildir:/home/joe/Maildir` or `mbox:/var/mail/joe`."""
    folders: str | None = None
    """Place of the other mailboxes, in the same form."""
    quota: str | None = None
    """How much mail the user may have, as `maa.limits.quota` reads it."""
    restrictions: Restrictions | None = None


def usable_name(name: str) -> bool:
    """Whether a login name may become part of a path: an allow-list, no `..`, no `/` (R253).

    It has one domain at most, and that is not empty.
    """
    return len(name) <= NAME_OCTETS_MAX and _NAME.fullmatch(name) is not None and ".." not in name
