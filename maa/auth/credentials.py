"""The question every login asks: do this name and this password belong together, and to whom?

`Authenticator.check` asks the sources in order. The first that knows the user decides; one that
does not know the user leaves it to the next; one that cannot be asked makes the answer
`AuthUnavailable` unless another accepts (R251). Before they are asked, the login name becomes an
account's (`names`), and an app password is looked for.

Theory of the cache: an accepted pair is remembered for a minute as a BLAKE2 digest, keyed with
octets that this process alone knows, so the table gives away no password and an attacker cannot
choose digests. `remembered` looks there without blocking. Before it trusts the table it compares
every source's `stamp`, which for a password file is one stat() (about a microsecond, of a file
on a local disk): the entry of a password that has just been changed is never used again, not
even for the rest of its minute. A saslauthd cannot say that it changed; there the minute is
the bound. Only successes are remembered, with the service they were for.
"""

from __future__ import annotations

import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from hashlib import blake2b
from typing import Final

from maa.auth.app_passwords import AppPasswords
from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials, Disabled, NotAuthorised
from maa.auth.kerberos import Kerberos
from maa.auth.names import Names
from maa.auth.penalties import Penalties
from maa.auth.restrictions import is_near
from maa.auth.source import Serves, Source, Stored
from maa.auth.tokens import Tokens
from maa.user import User, usable_name

PASSWORD_OCTETS_MAX: Final = 1024
"""saslauthd's own bound; no hash of ours needs more."""
AUTOMATIC: Final = b"AUTO"
"""In place of the mechanisms that are offered of themselves."""
REMEMBERED_MAX: Final = 10_000

_log = logging.getLogger(__name__)


Stamps = tuple[Hashable, ...]


@dataclass(frozen=True, slots=True)
class _Remembered:
    digest: bytes
    user: User
    until: float
    stamps: Stamps


class Authenticator:
    """Credential sources in order, with a short memory of what they accepted."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        penalties: Penalties | None = None,
        names: Names | None = None,
        app_passwords: AppPasswords | None = None,
        tokens: Tokens | None = None,
        kerberos: Kerberos | None = None,
        mechanisms: Collection[bytes] = (AUTOMATIC,),
        proxies: Collection[str] = (),
        secret: Callable[[], bytes] | None = None,
        remember_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`mechanisms`: those that may be offered; AUTOMATIC: what every user can use.

        `proxies`: who may act for any other user; `secret`: reads this installation's, for decoys.
        """
        self._sources = tuple(sources)
        self.penalties = penalties or Penalties()
        """For mechanisms that prove users without a password, too."""
        self._names = names or Names()
        self._apps = app_passwords
        self.offered: dict[tuple[bool, bool, Serves], tuple[bytes, ...]] = {}
        """What `Admission.mechanisms` found, by all that it depends on; replaced, never changed."""
        self.tokens = tokens
        self.kerberos = kerberos
        self.wanted = frozenset(mechanisms)
        self._proxies = frozenset(proxies)
        self._secret = cache(secret or partial(secrets.token_bytes, 32))
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._memory: dict[tuple[str, str], _Remembered] = {}
        self._changing = threading.Lock()

    def load(self) -> None:
        """Have the sources read what they serve. May block."""
        for source in self._sources:
            source.load()

    def serves(self) -> Serves:
        """Which challenges the stored passwords of all sources answer. Never blocks."""
        if len(self._sources) == 1:
            return self._sources[0].serves()
        each = [source.serves() for source in self._sources]
        if not each:
            return Serves()
        all_of_them = frozenset.intersection(*(one.all for one in each))
        return Serves(all_of_them, frozenset.union(*(one.some for one in each)))

    def remembered(self, name: str, password: str, service: str = "imap") -> User | None:
        """The user whose very password was accepted a short time ago. Never blocks."""
        entry = self._memory.get((name, service))
        if entry is None:
            return None
        same = hmac.compare_digest(entry.digest, self._digest(name, password, service))
        if self._clock() >= entry.until or self._stamps() != entry.stamps:
            self._forget(name, service, entry)
            return None
        return entry.user if same else None

    def check(self, name: str, password: str, service: str = "imap", address: str = "") -> User:
        """Ask the sources in order; raises AuthError. May block for as long as they take.

        `address` is the client's, noted for app passwords; who guesses has to wait, or is not
        heard (Throttled).
        """
        account = self.account(name)
        target = account or name
        wait_seconds = self.penalties.wait_seconds(address, target)
        begun = time.monotonic()
        try:
            # Taken before the sources are asked: after a change meanwhile they match no more.
            stamps = self._stamps()
            octets = password.encode("utf-8", "surrogateescape")
            user = self._asked(account or "", octets, service, address)
            if not is_near(user, address):
                raise BadCredentials("not from this network")
        except AuthError as error:
            error.spent_seconds = time.monotonic() - begun
            if isinstance(error, BadCredentials):
                self.penalties.failed(address, target, password)
                error.wait_seconds = wait_seconds
            raise
        self.penalties.succeeded(address, target)
        self._remember(name, password, service, user, stamps)
        return user

    def account(self, name: str) -> str | None:
        """The account that a login name means; None: nobody's. May block."""
        return self._names.account(name)

    def target(self, name: str) -> str:
        """Whom guesses with this name are aimed at, however it is spelled. May block."""
        return self.account(name) or name

    def find(self, name: str) -> User | None:
        """The user as the first source that knows the name describes it. May block."""
        account = self.account(name)
        if account is not None and usable_name(account):
            for source in self._sources:
                user = source.find(account)
                if user is not None:
                    return user
        return None

    def stored(self, name: str) -> Stored | None:
        """What the first source that knows the login name has of it. AuthUnavailable; may block."""
        account = self.account(name)
        if account is None or not usable_name(account):
            return None
        for source in self._sources:
            found = source.stored(account)
            if found is not None:
                return found
        return None

    def vouched(self, name: str) -> User:
        """The user whom somebody else proved: a certificate, a ticket, a token; AuthError."""
        found = self.stored(name)
        if found is None:
            raise BadCredentials("no such user")
        if found.disabled:
            raise Disabled("the account is disabled")
        return found.user

    def salt(self, name: str) -> bytes:
        """For SCRAM with a name that has no stored salt: always the same, known or not.

        May block.
        """
        octets = (self.account(name) or name).encode("utf-8", "surrogateescape")
        return blake2b(octets, key=self._secret(), digest_size=16).digest()

    def acting(self, user: User, authzid: str) -> User:
        """The user as whom this one wants to act (RFC 4422 §3.4.1; R032). May block."""
        if authzid in ("", user.name) or self.account(authzid) == user.name:
            return user
        if user.name not in self._proxies:
            raise NotAuthorised("may not act for another user")
        try:
            return self.vouched(authzid)
        except BadCredentials as error:
            raise NotAuthorised(str(error)) from None

    def _asked(self, name: str, password: bytes, service: str, address: str) -> User:
        if not usable_name(name) or b"\0" in password or len(password) > PASSWORD_OCTETS_MAX:
            for source in self._sources:
                source.pretend(name, password.replace(b"\0", b"")[:PASSWORD_OCTETS_MAX])
            raise BadCredentials("no usable name or password")
        user = self._by_device(name, password, address)
        if user is not None:
            return user
        unavailable: AuthUnavailable | None = None
        for source in self._sources:
            try:
                user = source.check(name, password, service)
            except AuthUnavailable as error:
                _log.warning("login of %s: %s", name, error)
                unavailable = error
                continue
            except BadCredentials:
                if unavailable is not None:
                    raise unavailable from None
                raise
            if user is not None:
                return user
        if unavailable is not None:
            raise unavailable
        raise BadCredentials(name)

    def _by_device(self, name: str, password: bytes, address: str) -> User | None:
        if self._apps is None:
            return None
        device = self._apps.device(name, password)
        if device is None:
            return None
        user = self.vouched(name)
        self._apps.note_use(name, device, address)
        _log.info("user %s logs in by the app password of %r", name, device)
        return user

    def _remember(self, name: str, password: str, service: str, user: User, stamps: Stamps) -> None:
        entry = _Remembered(
            self._digest(name, password, service),
            user,
            self._clock() + self._remember_seconds,
            stamps,
        )
        with self._changing:
            self._memory.pop((name, service), None)
            while len(self._memory) >= REMEMBERED_MAX:
                del self._memory[next(iter(self._memory))]
            self._memory[name, service] = entry

    def _forget(self, name: str, service: str, entry: _Remembered) -> None:
        with self._changing:
            if self._memory.get((name, service)) is entry:
                del self._memory[name, service]

    def _stamps(self) -> Stamps:
        own = () if self._apps is None else (self._apps.stamp(),)
        return (self._names.stamp(), *own, *(source.stamp() for source in self._sources))

    def _digest(self, name: str, password: str, service: str) -> bytes:
        pair = f"{service}\0{name}\0{password}".encode("utf-8", "surrogateescape")
        return blake2b(pair, key=self._key, digest_size=32).digest()
