"""The question every login asks: do this name and this password belong together, and to whom?

`Authenticator.check` asks the sources in order. The first that knows the user decides; one that
does not know the user leaves it to the next; one that cannot be asked makes the answer
`AuthUnavailable` unless another accepts (R251). Before they are asked, the login name becomes an
account's (`names`), and an app password is looked for. What was accepted is remembered
(`memory`).
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final

from maa.auth.app_passwords import AppPasswords
from maa.auth.decoys import Decoys
from maa.auth.errors import (
    AuthError,
    AuthUnavailable,
    BadCredentials,
    Disabled,
    NotAuthorised,
    Undecided,
)
from maa.auth.kerberos import Kerberos
from maa.auth.memory import Memory, Stamps
from maa.auth.names import Names
from maa.auth.penalties import Penalties
from maa.auth.restrictions import is_near
from maa.auth.source import Serves, Source, Stored
from maa.auth.tokens import Tokens
from maa.auth.told import Told
from maa.auth.verifiers import SALT_OCTETS, Shape
from maa.networks import neighbourhood
from maa.user import User, usable_name

PASSWORD_OCTETS_MAX: Final = 1024
"""saslauthd's own bound; no hash of ours needs more."""
AUTOMATIC: Final = b"AUTO"
"""In place of the mechanisms that are offered of themselves."""

_log = logging.getLogger(__name__)


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
        first_uid: int = 0,
        remember_seconds: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`mechanisms`: those that may be offered; AUTOMATIC: what every user can use.

        `proxies`: who may act for any other user; `secret`: reads this installation's, for decoys;
        `first_uid`: users of the system below it, root and the daemons, are nobody's mail.
        """
        self._sources = tuple(sources)
        self.penalties = penalties or Penalties()
        """For mechanisms that prove users without a password, too."""
        self._names = names or Names()
        self._apps = app_passwords
        self._told = Told()
        self.offered: dict[tuple[bool, bool, Serves], tuple[bytes, ...]] = {}
        """What `Admission.mechanisms` found, by all that it depends on; replaced, never changed."""
        self.tokens = tokens
        self.kerberos = kerberos
        self.wanted = frozenset(mechanisms)
        self._proxies = frozenset(proxies)
        self._decoys = Decoys(secret or partial(secrets.token_bytes, 32))
        self._first_uid = first_uid
        self._memory = Memory(remember_seconds, clock)

    def load(self) -> None:
        """Have the sources read what they serve. May block."""
        for source in self._sources:
            source.load()
        if self._apps is not None:
            self._apps.load()

    def serves(self) -> Serves:
        """Which challenges the stored passwords of all sources answer. Never blocks."""
        devices = self._apps is not None and self._apps.anybody()
        if len(self._sources) == 1 and not devices:
            return self._sources[0].serves()
        each = [source.serves() for source in self._sources]
        if not each:
            return Serves()
        # An app password answers no challenge.
        for_all = (frozenset[str]() if devices else one.all for one in each)
        return Serves(
            frozenset.intersection(*for_all), frozenset.union(*(one.some for one in each))
        )

    def remembered(
        self, name: str, password: str, service: str = "imap", address: str = ""
    ) -> User | None:
        """The user whose very password was accepted from there a short time ago. Never blocks."""
        key = (name, service, neighbourhood(address))
        return self._memory.user(key, password, self._stamps)

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
            user = self._asked(name, account or "", octets, service, address)
        except AuthError as error:
            error.spent_seconds = time.monotonic() - begun
            if isinstance(error, BadCredentials | Undecided):
                self.penalties.failed(address, target, password)
                error.wait_seconds = wait_seconds
            raise
        self.penalties.succeeded(address, target)
        self._memory.put((name, service, neighbourhood(address)), password, user, stamps)
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
        return self._stored(self.account(name) or "")

    def _stored(self, account: str) -> Stored | None:
        if usable_name(account):
            for source in self._sources:
                found = source.stored(account)
                if found is not None:
                    return found
        return None

    def vouched(self, name: str) -> User:
        """The user whom somebody else proved: a certificate, a ticket, a token; AuthError."""
        return self._vouched(self.account(name) or "")

    def _vouched(self, account: str) -> User:
        found = self._stored(account)
        if found is None:
            raise BadCredentials("no such user")
        if found.disabled:
            raise Disabled("the account is disabled")
        self.ensure_served(found.user)
        return found.user

    def ensure_served(self, user: User) -> None:
        """BadCredentials for root and the daemons, unless this process is that user."""
        uid, gid = user.uid, user.gid
        low = uid is not None and uid < self._first_uid and uid != os.geteuid()
        if low or (self._first_uid and gid == 0 != os.getegid()):
            _log.warning("user %s is %s:%s: see auth.first_uid", user.name, uid, user.gid)
            raise BadCredentials("not a user whose mail is served")

    def salt(self, name: str, octets: int = SALT_OCTETS) -> bytes:
        """For SCRAM with a name that has no stored salt: always the same. May block."""
        return self._decoys.salt(self.target(name), octets)

    def scram_shape(self, name: str, mechanism: str) -> Shape:
        """For SCRAM with a name that has no stored secret: like those that have. May block."""
        each = (source.scram_shapes(mechanism) for source in self._sources)
        return self._decoys.shape(self.target(name), frozenset[Shape]().union(*each))

    def _ensure_let_in(self, user: User, address: str) -> None:
        """BadCredentials for whom the right password is as good as a wrong one."""
        self.ensure_served(user)
        if not is_near(user, address):
            raise BadCredentials("not from this network")

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

    def _asked(self, name: str, account: str, password: bytes, service: str, address: str) -> User:
        """The user of an account, empty if it is nobody's, as the name was typed; AuthError."""
        if not usable_name(account) or b"\0" in password or len(password) > PASSWORD_OCTETS_MAX:
            cut = password.replace(b"\0", b"")[:PASSWORD_OCTETS_MAX]
            self._pretend(self._sources, account or name, cut, service)
            raise BadCredentials("no usable name or password")
        waiting = list(self._sources)
        try:
            user = self._by_device(account, password, address)
            if user is None:
                user = self._by_password(account, password, service, waiting)
            self._ensure_let_in(user, address)
        except BadCredentials as error:
            # They would have been asked about a name that nobody knows.
            self._pretend(waiting, account, password, service)
            if self._apps is not None and (fault := self._apps.fault()):
                raise Undecided(fault) from error
            raise
        return user

    def _by_password(
        self, account: str, password: bytes, service: str, waiting: list[Source]
    ) -> User:
        """Whose password it is; `waiting` are the sources, of which those asked are taken out."""
        unavailable: AuthUnavailable | None = None
        while waiting:
            source = waiting.pop(0)
            try:
                user = source.check(account, password, service)
            except Undecided:
                raise
            except AuthUnavailable as error:
                if self._told.due(type(source)):
                    _log.warning("login of %s: %s", account, error)
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
        raise BadCredentials(account)

    @staticmethod
    def _pretend(sources: Iterable[Source], name: str, password: bytes, service: str) -> None:
        for source in sources:
            source.pretend(name, password, service)

    def _by_device(self, account: str, password: bytes, address: str) -> User | None:
        if self._apps is None:
            return None
        device = self._apps.device(account, password)
        if device is None:
            return None
        user = self._vouched(account)
        self._apps.note_use(account, device, address)
        _log.info("user %s logs in by the app password of %r", account, device)
        return user

    def _stamps(self) -> Stamps:
        own = () if self._apps is None else (self._apps.stamp(),)
        return (self._names.stamp(), *own, *(source.stamp() for source in self._sources))
