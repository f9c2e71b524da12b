"""IMAP over the pump."""

from __future__ import annotations

from collections.abc import Callable

from maa.auth.credentials import Authenticator
from maa.conversation import Conversation, Peer
from maa.imap.redact import redactors
from maa.imap.session import Session
from maa.imap.states import ImapSettings
from maa.store.accounts import Accounts
from maa.transport.factory import PumpFactory
from maa.transport.rawlog import Rawlogs
from maa.transport.recorded import Recorded
from maa.transport.sessions import Sessions

REFUSAL = b"* BYE [UNAVAILABLE] Too many connections, try again later\r\n"


def imap_factory(
    sessions: Sessions,
    accounts: Accounts,
    authenticator: Authenticator,
    settings: ImapSettings,
    *,
    implicit_tls: bool = False,
    tls: object | None = None,
    rawlogs: Rawlogs | None = None,
) -> PumpFactory:
    """The factory of an IMAP listener; `tls` is for STARTTLS."""

    def converse(peer: Peer, wake: Callable[[], None]) -> Conversation:
        session = Session(accounts, authenticator, peer, settings, wake)
        if rawlogs is not None and rawlogs.wanted:
            return Recorded(session, peer, rawlogs, redactors)
        return session

    return PumpFactory(
        "IMAP", sessions, converse, refusal=REFUSAL, implicit_tls=implicit_tls, tls=tls
    )
