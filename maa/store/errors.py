"""What can be wrong with mailboxes, in neutral words; each protocol has one table for them."""

from __future__ import annotations

import errno
from typing import Final


class StoreError(Exception):
    """Something about a mailbox, a message or the disk that the client is to hear of."""


class MailboxNotFound(StoreError):
    """No mailbox has this name."""


class MailboxExists(StoreError):
    """A mailbox of this name is already there."""


class NotSelectable(StoreError):
    """The name is only a parent of mailboxes."""


class InvalidName(StoreError):
    """No mailbox can have this name (R096)."""


class HasChildren(StoreError):
    """The mailbox has others below it."""


class CannotChange(StoreError):
    """This mailbox may not be deleted, renamed or otherwise changed so."""


class UseRefused(CannotChange):
    """The special use cannot be given: unknown here, or another mailbox has it (RFC 6154 §3)."""


class MessageGone(StoreError):
    """The message was expunged, here or by another program."""


class MailboxGone(StoreError):
    """The mailbox was deleted or renamed under a session (R058)."""


class MaildropInUse(StoreError):
    """Another POP3 session holds the maildrop (RFC 1939 §4)."""


class TooManyKeywords(StoreError):
    """A message, or the account, would have more keywords than it may (R084)."""


class OverQuota(StoreError):
    """The user's quota leaves no room."""


class NoSpace(StoreError):
    """The disk is full, or the user's disk quota is used up."""


class LockTimeout(StoreError):
    """Another program holds a lock for too long."""


class Unavailable(StoreError):
    """The disk or the index failed; the operator can find the cause in the log."""


class NotPermitted(Unavailable):
    """The system does not let the user do this: the rights of a file, or a read-only disk."""


class Damaged(Unavailable):
    """What is on the disk is not what it should be, and is left alone."""


class NewerIndex(Unavailable):
    """The index was written by a newer maa, and is left alone."""


_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


def of_system(error: OSError, where: str) -> StoreError:
    """What an error of the system means for the mail at a place."""
    text = f"{where}: {error.strerror}"
    if error.errno in _FULL:
        return NoSpace(text)
    return NotPermitted(text) if error.errno in _FORBIDDEN else Unavailable(text)
