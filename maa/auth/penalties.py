"""Who guesses passwords has to wait: by address and by account, in all workers together (R222).

Theory of operation
-------------------
Each wrong password adds some seconds to a *debt*, which time pays off. So many failures are
free; beyond them the answer to the next one waits for what is left of the debt, and where that
would be long an attempt is refused before anything is checked. Debts are moments ("paid off by"),
in a table that the workers share (`maa.auth.shared_times`).

What keeps this from hitting the wrong people:

* A wrong pair of name and password is a guess only once a day, and then costs a second: a phone
  with an old password tries the same one again and again.
* Whoever has logged in from an address is known there. A user who is known has a debt of the own
  at that address, and waits neither for what strangers behind the same address guessed nor for
  those who guess at the account from elsewhere. When that debt is used up, what is guessed at
  this user from there is the address's like everything else.
* Guesses at an account delay the answer to a wrong password, but no attempt is refused for them:
  else anybody could lock a user out. Who guesses from many addresses is held by their debts, and
  where they are one site's (a /48 of IPv6) by the site's.
* Exempt networks (webmail, balancers) have no debt as addresses; accounts have theirs from there
  too.

Names that nobody has are treated as all others, so nothing is learned from a wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from maa.auth.errors import Throttled
from maa.auth.shared_times import SharedTimes
from maa.networks import NOWHERE, Networks, neighbourhood, site

FAILURE_SECONDS: Final = 6.0
"""What a wrong password adds to a debt."""
AGAIN_SECONDS: Final = 1.0
"""What the same one adds again."""
SITE_FACTOR: Final = 10
"""A site has so many times what is free to one of its addresses."""
LONGEST_WAIT_SECONDS: Final = 15.0
"""Who would have to wait longer is refused."""
THROTTLED_SECONDS: Final = 5.0
"""What a refusal takes, so that asking again and again costs nobody anything but its client."""
LONGEST_DEBT_SECONDS: Final = 300.0
"""Beyond what is free; so much later an address may try again, whatever it did."""
KNOWN_SECONDS: Final = 30 * 86400.0
"""A user who logged in from an address is known there for so long."""
STALE_SECONDS: Final = 86400.0
"""The same wrong pair is no new guess for so long."""


@dataclass(frozen=True, slots=True)
class Free:
    """How many failures in a row cost nothing."""

    per_address: int = 12
    per_account: int = 10
    exempt: Networks = NOWHERE


@dataclass(frozen=True, slots=True)
class _Debt:
    """One of those that an attempt adds to, if it fails."""

    key: tuple[str, ...]
    free: int
    """So many failures cost nothing."""
    refuses: bool = False
    """Attempts are refused for it, and not only answered late."""


class Ledgers:
    """What is remembered; made before the workers, and shared by them."""

    def __init__(self) -> None:
        self.debts = SharedTimes()
        self.known = SharedTimes()
        self.stale = SharedTimes()


class Penalties:
    """The rules, over what is remembered."""

    def __init__(
        self,
        ledgers: Ledgers | None = None,
        free: Free | None = None,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        """`seconds` must be the same clock in all workers."""
        self._ledgers = ledgers or Ledgers()
        self._free = free or Free()
        self._seconds = seconds

    def wait_seconds(self, address: str, name: str) -> float:
        """How long the answer waits if this attempt fails; Throttled: it is not to be made."""
        wait = 0.0
        for debt in self._debts(address, name):
            left = self._left(debt)
            if debt.refuses and left > LONGEST_WAIT_SECONDS:
                raise Throttled("too many failed logins")
            wait = max(wait, min(left, LONGEST_WAIT_SECONDS))
        return wait

    def ensure_heard(self, address: str) -> None:
        """Throttled when nobody at this address would be heard, whoever it were.

        For mechanisms that learn the name only after work that an attempt is not worth.
        """
        if self._ledgers.known.get(neighbourhood(address)) > self._seconds():
            return
        if any(self._left(debt) > LONGEST_WAIT_SECONDS for debt in self._places(address)):
            raise Throttled("too many failed logins from this address")

    def failed(self, address: str, name: str, password: str | None) -> None:
        """The password was wrong, or there is no such user; None: a proof, new each time."""
        now, cost = self._seconds(), FAILURE_SECONDS
        if password is not None:
            pair = (neighbourhood(address), name, password)
            if self._ledgers.stale.get(*pair) > now:
                cost = AGAIN_SECONDS
            else:
                self._ledgers.stale.put(now + STALE_SECONDS, *pair)
        for debt in self._debts(address, name):
            most = now + debt.free * FAILURE_SECONDS + LONGEST_DEBT_SECONDS
            paid = max(now, self._ledgers.debts.get(*debt.key)) + cost
            self._ledgers.debts.put(min(paid, most), *debt.key)

    def succeeded(self, address: str, name: str) -> None:
        """The user is known at this address from now on."""
        known, where = self._ledgers.known, neighbourhood(address)
        until = self._seconds() + KNOWN_SECONDS
        # Not at each login: an hour more or less is nothing.
        for key in ((where, name), (where,)):
            if known.get(*key) < until - 3600:
                known.put(until, *key)

    def _debts(self, address: str, name: str) -> list[_Debt]:
        """Which debts an attempt has."""
        where = neighbourhood(address)
        pair = _Debt(("pair", where, name), self._free.per_account)
        known = self._ledgers.known.get(where, name) > self._seconds()
        if known and self._left(pair) <= LONGEST_WAIT_SECONDS:
            return [pair]
        return [_Debt(("account", name), self._free.per_account), *self._places(address)]

    def _places(self, address: str) -> list[_Debt]:
        """The debts of an address, whoever is there."""
        free = self._free
        if not address or address in free.exempt:
            return []
        found = [_Debt(("address", neighbourhood(address)), free.per_address, refuses=True)]
        around = site(address)
        if around is not None:
            found.append(_Debt(("site", around), SITE_FACTOR * free.per_address, refuses=True))
        return found

    def _left(self, debt: _Debt) -> float:
        """How many seconds of it are beyond what is free; negative where none are."""
        paid_off = self._ledgers.debts.get(*debt.key)
        return paid_off - self._seconds() - debt.free * FAILURE_SECONDS
