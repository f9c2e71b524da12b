"""Where a user's mail is: `[mail]` templates such as `maildir:{home}/Maildir`, made paths.

No path is built from a name that was not checked, and none whose parts could meet another
user's (R253).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from maa.limits import MAILDIRSIZE, Limits, quota
from maa.store.errors import Unavailable
from maa.store.locks import Locks
from maa.user import User, usable_name

_log = logging.getLogger(__name__)

LOCKS: Final = ("fcntl",)
MBOX_FORMATS: Final = ("mbox", "mboxrd")
FORMATS: Final = ("maildir", *MBOX_FORMATS)
FIELDS: Final = ("user", "local", "domain", "home")
_FIELD = re.compile(r"\{([^{}]*)\}")
_DOMAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Place:
    """A template of the form `FORMAT:PATH`."""

    format: str
    """One of FORMATS; `mboxrd` is an mbox in which lines like `>From ` are quoted ones."""
    path: str
    """Absolute, or beginning with `~/` for `{home}/`; with FIELDS in braces."""

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that a configuration names; ValueError says what is wrong with it."""
        format, colon, path = text.partition(":")
        if format not in FORMATS or not colon:
            raise ValueError(f"{text!r} is no place: use maildir:PATH, mbox:PATH or mboxrd:PATH")
        return cls(format, checked_template(path))


def template_fault(text: str) -> str | None:
    """What is wrong with a place in a configuration; None: nothing."""
    try:
        Place.parse(text)
    except ValueError as error:
        return str(error)
    return None


def checked_template(path: str, home: bool = True) -> str:
    """A path template that can be filled; ValueError says what is wrong with it.

    `home`: whether `{home}` may stand in it.
    """
    allowed = FIELDS if home else FIELDS[:-1]
    if home and path.startswith("~/"):
        path = "{home}" + path[1:]
    for named in _FIELD.findall(path):
        if named not in allowed:
            choice = " ".join(f"{{{name}}}" for name in allowed)
            raise ValueError(f"{{{named}}} is unknown: use {choice}")
    if not path.startswith(("/", "{home}")):
        raise ValueError(f"{path!r} is not absolute: begin with / or {{home}}")
    if "\0" in path or ".." in path.split("/"):
        raise ValueError(f"{path!r} leads out of itself")
    return path


@dataclass(frozen=True, slots=True)
class MailPaths:
    """Where one user's mail is."""

    inbox: str
    """The Maildir or mbox file of the INBOX."""
    folders: str
    """The Maildir whose `.Name` directories are the other mailboxes, and may be INBOX's; or the
    directory whose files they are."""
    inbox_format: str = "maildir"
    folders_format: str = "maildir"
    locks: Locks = field(default_factory=Locks)
    """How mbox files are locked."""
    limits: Limits | None = None
    """How much may be there; None: what a `maildirsize` says, if there is one."""

    @property
    def counted(self) -> str | None:
        """The Maildir++ in which a `maildirsize` would be the user's; None where there is none."""
        if self.inbox_format == "maildir":
            return self.inbox
        return self.folders if self.folders_format == "maildir" else None

    def beacon(self, user: str) -> str:
        """The account's beacon, in the user's own mail; never in a spool directory.

        With the user's name, for two may have the same mail. In a Maildir names with a dot are
        those of folders; among mbox files they are those that are none.
        """
        return self._beside("beacon", user)

    def spare(self, user: str) -> str:
        """The copy of the account's index beside the beacon."""
        return self._beside("index", user)

    def _beside(self, what: str, user: str) -> str:
        dot = "." if self.folders_format in MBOX_FORMATS else ""
        return f"{self.folders}/{dot}maa-{what}.{user}"


@dataclass(frozen=True, slots=True)
class MailPlaces:
    """The `[mail]` templates."""

    home: str
    """Used for users without a home of their own."""
    inbox: Place
    folders: Place
    locks: Locks = field(default_factory=Locks)
    limits: Limits | None = None

    @classmethod
    def parse(
        cls,
        home: str,
        inbox: str,
        folders: str,
        locks: Sequence[str] = LOCKS,
        limits: str = MAILDIRSIZE,
    ) -> MailPlaces:
        """The templates of a configuration; ValueError says what is wrong with one."""
        return cls(
            checked_template(home, home=False),
            Place.parse(inbox),
            Place.parse(folders),
            Locks(tuple(locks)),
            quota(limits),
        )

    def of(self, user: User) -> MailPaths:
        """The user's paths; Unavailable, with the reason in the log, when there can be none."""
        try:
            return self._of(user)
        except ValueError as error:
            _log.error("no place for the mail of user %r: %s", user.name, error)
            raise Unavailable("no place for this user's mail") from None

    def _of(self, user: User) -> MailPaths:
        if not usable_name(user.name):
            raise ValueError("the name cannot be part of a path")
        inbox = Place.parse(user.inbox) if user.inbox else self.inbox
        folders = Place.parse(user.folders) if user.folders else self.folders
        home = user.home or _filled(self.home, user.name, "")
        if not home.startswith("/"):
            raise ValueError(f"the home directory {home!r} is not absolute")
        return MailPaths(
            _filled(inbox.path, user.name, home),
            _filled(folders.path, user.name, home),
            inbox.format,
            folders.format,
            self.locks,
            quota(user.quota) if user.quota else self.limits,
        )


def _filled(template: str, name: str, home: str) -> str:
    local, at, domain = name.rpartition("@")
    values = {"user": name, "local": local if at else name, "domain": domain, "home": home}
    # An empty or dotted domain would make one user's path part of another's.
    if "{domain}" in template and _DOMAIN.fullmatch(domain if at else "") is None:
        raise ValueError("the place needs a {domain}, and the name has none")
    path = _FIELD.sub(lambda match: values[match.group(1)], template).rstrip("/")
    if not path:
        raise ValueError("the place is the root directory")
    return path
