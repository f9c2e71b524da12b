"""Every command there is: in which states it is legal, and who answers it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maa.pop3 import login, transaction
from maa.pop3.states import Authorization, Handler, Transaction

ANY: Final = (Authorization, Transaction)


@dataclass(frozen=True, slots=True)
class Row:
    """How a command is treated."""

    states: tuple[type, ...]
    handler: Handler
    arguments: tuple[int, int] = (0, 0)
    """The fewest and the most words behind the keyword."""
    verbatim: bool = False
    """The argument is the rest of the line with all its blanks (R201)."""


COMMANDS: Final[dict[bytes, Row]] = {
    b"USER": Row((Authorization,), login.user, (1, 1)),
    b"PASS": Row((Authorization,), login.password, verbatim=True),
    b"AUTH": Row((Authorization,), login.auth, (0, 2)),
    b"APOP": Row((Authorization,), login.apop, (2, 2)),
    b"STLS": Row((Authorization,), login.stls),
    b"CAPA": Row(ANY, transaction.capa),
    b"QUIT": Row(ANY, transaction.quit_),
    b"STAT": Row((Transaction,), transaction.stat),
    b"LIST": Row((Transaction,), transaction.list_, (0, 1)),
    b"UIDL": Row((Transaction,), transaction.uidl, (0, 1)),
    b"RETR": Row((Transaction,), transaction.retr, (1, 1)),
    b"TOP": Row((Transaction,), transaction.top, (2, 2)),
    b"DELE": Row((Transaction,), transaction.dele, (1, 1)),
    b"RSET": Row((Transaction,), transaction.rset),
    b"NOOP": Row((Transaction,), transaction.noop),
}
