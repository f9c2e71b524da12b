"""What of a user's mail is an mbox and what a Maildir: for all who open either."""

from __future__ import annotations

from maa.store.folders import Folders
from maa.store.maildir import Maildir
from maa.store.maildirsize import Share
from maa.store.maildrop import Maildrop
from maa.store.mbox import Mbox
from maa.store.mbox_folders import MboxFolders
from maa.store.places import MBOX_FORMATS, MailPaths


def folders_of(paths: MailPaths) -> Folders | MboxFolders:
    """The mailboxes other than INBOX; their directory need not exist."""
    if paths.folders_format in MBOX_FORMATS:
        return MboxFolders(paths.folders, paths.inbox)
    return Folders(paths.folders)


def maildrop_of(paths: MailPaths, state: str, path: str | None) -> Maildrop:
    """The files of a mailbox, by the path of its folder; None is INBOX.

    `state`: the account's directory, where an mbox keeps what is ours.
    """
    inbox = path is None
    path = paths.inbox if path is None else path
    form = paths.inbox_format if inbox else paths.folders_format
    if form in MBOX_FORMATS:
        return Mbox(path, state, paths.locks, required=not inbox, mboxrd=form == "mboxrd")
    return Maildir(path, Share(path, paths.inbox if inbox else paths.folders))
