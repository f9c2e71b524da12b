"""QUOTA: what a user may have, and has (RFC 9208). One root covers all mailboxes of the user."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Final

from maa.conversation import SLOW
from maa.imap.commands import GetQuota, GetQuotaRoot, SetQuota
from maa.imap.responses import Refused, astring, parenthesised
from maa.imap.responses import mailbox as rendered_name
from maa.imap.states import Answer, Authenticated, Done, Input, Said, Selected
from maa.limits import Limits, Usage
from maa.store.account import Account
from maa.store.quota import Reservation

ROOT: Final = b"User quota"
"""People see it; it is the name that Dovecot gives."""
_UNIT_OCTETS: Final = 1024

User = Authenticated | Selected


def getquota(state: User, command: GetQuota) -> Answer:
    """GETQUOTA (RFC 9208 §4.1.1)."""
    yield SLOW
    limits = state.account.quota.limits()
    if command.root != ROOT or limits.absent:
        raise Refused(b"NONEXISTENT", "there is no such quota root")
    yield _response(limits, state.account.quota.usage())
    return Done(state, b"GETQUOTA completed")


def getquotaroot(state: User, command: GetQuotaRoot) -> Answer:
    """GETQUOTAROOT: answered without a root, and for a mailbox to be made, too (§4.1.2; R195)."""
    yield SLOW
    limits = state.account.quota.limits()
    name = rendered_name(command.mailbox, state.enabled.unicode)
    if limits.absent:
        yield b"* QUOTAROOT %b\r\n" % name
    else:
        response = _response(limits, state.account.quota.usage())
        yield b"* QUOTAROOT %b %b\r\n%b" % (name, astring(ROOT), response)
    return Done(state, b"GETQUOTAROOT completed")


def setquota(state: User, command: SetQuota) -> Answer:
    """SETQUOTA: quotas are the administrator's, as no QUOTASET is announced (§4.1.3)."""
    yield from ()  # A handler is a generator, also one with nothing to say.
    return Done(state, b"Only the administrator sets quotas", b"NOPERM", b"NO")


def reserved(
    account: Account, octets: int, leaving: Callable[[], Usage] = Usage
) -> Generator[Said, Input | None, Reservation | None]:
    """Room for a message that is to be sent; None where nothing is limited. OverQuota (R123).

    `leaving` may block, and tells what goes when it comes.
    """
    if account.quota.unlimited:
        return None
    yield SLOW
    return account.quota.reserve(octets, leaving)


def _response(limits: Limits, usage: Usage) -> bytes:
    return b"* QUOTA %b %b\r\n" % (astring(ROOT), parenthesised(_resources(limits, usage)))


def _resources(limits: Limits, usage: Usage) -> Iterator[bytes]:
    """Those that are limited (§4.2.1); of STORAGE a begun unit is one (§5.1)."""
    if limits.octets is not None:
        yield b"STORAGE %d %d" % (_units(usage.octets), _units(limits.octets))
    if limits.messages is not None:
        yield b"MESSAGE %d %d" % (usage.messages, limits.messages)


def _units(octets: int) -> int:
    return -(-octets // _UNIT_OCTETS)
