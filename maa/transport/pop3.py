"""POP3 over the pump."""

from __future__ import annotations

from collections.abc import Callable

from maa.auth.credentials import Authenticator
from maa.conversation import Peer
from maa.pop3.session import Session
from maa.pop3.states import Pop3Settings
from maa.store.accounts import Accounts
from maa.transport.factory import PumpFactory
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
) -> PumpFactory:
    """The factory of a POP3 listener; `tls` is for STLS."""

    def converse(peer: Peer, wake: Callable[[], None]) -> Session:
        return Session(accounts, authenticator, peer, wake, settings)

    return PumpFactory(
        "POP3", sessions, converse, refusal=REFUSAL, implicit_tls=implicit_tls, tls=tls
    )
