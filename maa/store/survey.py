"""What a user's mailboxes hold, read from the mail alone.

Neither index nor locks are needed, so it works beside a running server, for users who never
logged in, and changes nothing. A message that is just being delivered may be missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from maa.limits import Limits, Usage
from maa.store import names
from maa.store.errors import MessageGone, StoreError
from maa.store.maildir import Maildir
from maa.store.maildirsize import Maildirsize
from maa.store.maildrops import folders_of
from maa.store.mbox_split import NotMbox, split
from maa.store.names import INBOX
from maa.store.places import MailPaths

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Counted:
    """One mailbox."""

    name: str
    """As clients see it."""
    path: str
    usage: Usage
    fault: str = ""
    """Why it could not be counted."""


def surveyed(paths: MailPaths) -> Iterator[Counted]:
    """Every mailbox of a user, INBOX first. Used with the user's identity; StoreError."""
    # One that is not there yet is made at the first delivery or login.
    if os.path.lexists(f"{paths.inbox}/cur" if paths.inbox_format == "maildir" else paths.inbox):
        yield _counted(INBOX, paths.inbox, paths.inbox_format)
    if not os.path.isdir(paths.folders):
        return
    dots = paths.folders_format == "maildir"
    for folder in sorted(folders_of(paths).scan().folders.values(), key=lambda folder: folder.name):
        name = folder.name if dots else names.swapped(folder.name)
        yield _counted(name, folder.path, paths.folders_format)


def limits_of(paths: MailPaths) -> Limits:
    """How much a user may have."""
    if paths.limits is not None:
        return paths.limits
    return Limits() if paths.counted is None else Maildirsize(paths.counted).limits()


def _counted(name: str, path: str, form: str) -> Counted:
    try:
        usage = _of_maildir(path) if form == "maildir" else _of_mbox(path)
    except MessageGone:
        return Counted(name, path, Usage(), "it is no Maildir")
    except StoreError as error:
        return Counted(name, path, Usage(), str(error))
    except (OSError, NotMbox) as error:
        return Counted(name, path, Usage(), getattr(error, "strerror", None) or str(error))
    return Counted(name, path, usage)


def _of_maildir(path: str) -> Usage:
    maildir = Maildir(path)
    octets = [found for found in maildir.octets(list(maildir.scan().places)) if found >= 0]
    return Usage(sum(octets), len(octets))


def _of_mbox(path: str) -> Usage:
    try:
        # Without O_NOATIME our looking at new mail would make it old for the shell (R235).
        descriptor = os.open(path, _FLAGS | os.O_NOATIME)
    except PermissionError:
        descriptor = os.open(path, _FLAGS)
    try:
        octets = os.fstat(descriptor).st_size
        found = split(descriptor, 0, octets)
        messages = sum(not (message.start == 0 and message.is_pseudo) for message in found)
        return Usage(octets, messages)
    finally:
        os.close(descriptor)
