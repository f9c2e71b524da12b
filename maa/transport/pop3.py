"""POP3 over the pump."""

from __future__ import annotations

from collections.abc import Callable

from maa.auth.credentials import Authenticator
from maa.conversation import Conversation, Peer
from maa.pop3.redact import redactors
from maa.pop3.session import Session
from maa.pop3.states import Pop3Settings
from maa.store.accounts import Accounts
from maa.transport.factory import PumpFactory
from maa.transport.rawlog import Rawlogs
from maa.transport.recorded import Recorded
from maa.transport.sessions import Sessions

REFUSAL = b"-ERR [SYS/TEMP] Too many connections, try again later\r\n"


def pop3_factory(
    sessions: Sessions,
    accounts: Accounts,
    authenticator: Authenticator,
    settings: Pop3Settings,
    *,
    implicit_tls: bool = False,
    tls: object | None = None,
    rawlogs: Rawlogs | None = None,
) -> PumpFactory:
    """The factory of a POP3 listener; `tls` is for STLS."""

    def converse(peer: Peer, wake: Callable[[], None]) -> Conversation:
        session = Session(accounts, authenticator, peer, wake, settings)
        if rawlogs is not None and rawlogs.wanted:
            return Recorded(session, peer, rawlogs, redactors)
        return session

    return PumpFactory(
        "POP3", sessions, converse, refusal=REFUSAL, implicit_tls=implicit_tls, tls=tls
    )
