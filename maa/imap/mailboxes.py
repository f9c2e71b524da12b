"""The mailbox that a command names."""

from __future__ import annotations

from collections.abc import Generator

from maa.conversation import SLOW
from maa.imap.states import Input, Said
from maa.store.account import Account
from maa.store.mailbox import Mailbox


def opened(account: Account, name: str) -> Generator[Said, Input | None, Mailbox]:
    """The mailbox as it is on disk now; from memory where that is known to be fresh."""
    mailbox = account.opened(name)
    if mailbox is None:
        yield SLOW
        mailbox = account.open(name)
    return mailbox
