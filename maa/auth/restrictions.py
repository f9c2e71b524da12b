"""May this user log in now, from here, by this protocol? And how the password file says so."""

from __future__ import annotations

import datetime
import re
from typing import Final

from maa.auth.errors import BadCredentials, Disabled, Expired
from maa.conversation import Peer
from maa.networks import Networks
from maa.user import User

SERVICES: Final = {"imap": "imap", "pop3": "pop", "pop": "pop"}
"""Protocols by the names that administrators write, as what saslauthd and PAM are told."""
_THIS: Final = "127.0.0.1"
"""Where the client of a Unix socket is."""
_SECONDS: Final = re.compile(r"[0-9]{1,11}")


def ensure_may(user: User, peer: Peer, service: str, now: float) -> None:
    """Raise Expired, Disabled or BadCredentials for a user who proved who it is."""
    restrictions = user.restrictions
    if restrictions is None:
        return
    if not is_near(user, peer.address):
        raise BadCredentials("not from this network")
    if restrictions.services and service not in restrictions.services:
        raise Disabled("not by this protocol")
    if restrictions.expires is not None and now >= restrictions.expires:
        raise Expired("the account has expired")


def is_near(user: User, address: str) -> bool:
    """Whether the user may log in from this address.

    Elsewhere the right password must look like a wrong one in all: who stole it learns nothing.
    """
    allowed = user.restrictions.networks if user.restrictions is not None else None
    return not allowed or (address or _THIS) in allowed


def networks(text: str) -> Networks:
    """`192.168.1.0/24,::1` as networks; ValueError."""
    try:
        return Networks.parse(text.split(","))
    except ValueError as error:
        raise ValueError(f"allow_nets: {error}") from None


def services(text: str) -> frozenset[str]:
    """`imap,pop3` as services; ValueError."""
    try:
        return frozenset(SERVICES[word.lower()] for word in text.split(","))
    except KeyError as error:
        raise ValueError(f"protocols: {error.args[0]!r} is neither imap nor pop3") from None


def expiry(text: str) -> float:
    """The end of the day `2027-01-31` in UTC, or seconds since the epoch; ValueError."""
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expires: {text!r} is no date such as 2027-01-31") from None
    midnight = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
    return (midnight + datetime.timedelta(days=1)).timestamp()
