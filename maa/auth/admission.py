"""Letting in one client: by a name and a password, or by a SASL mechanism.

Both protocols drive the same generators (`maa.auth.sasl.Dialogue`), which end with the `User` or
with an error: `DialogueError` when nothing was proved or disproved, AuthError otherwise. What a
refused client is told, and whether it may try again, the protocol says.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from maa.auth.cram_md5 import apop
from maa.auth.credentials import AUTOMATIC
from maa.auth.errors import AuthError, AuthUnavailable, BadCredentials, Outdated, Throttled, named
from maa.auth.mechanisms import MECHANISMS, Mechanism
from maa.auth.penalties import THROTTLED_SECONDS
from maa.auth.refusals import note_leak, note_refusal
from maa.auth.restrictions import ensure_may, is_near
from maa.auth.sasl import Dialogue, NotOffered, PrivacyRequired, dialogue
from maa.auth.source import Serves, Stored
from maa.conversation import SLOW, Delay, Peer, Request
from maa.user import User

if TYPE_CHECKING:
    from collections.abc import Generator

    from maa.auth.credentials import Authenticator

PASSWORD: Final = ""
"""No stored secret: the password itself, or somebody else's word."""
OFFERED_MAX: Final = 16
"""More lists than that come only of a password file that changes again and again."""
FAILURES_MAX: Final = 3
"""Wrong passwords before the connection is closed (R222)."""
FAILURE_SECONDS: Final = 1.0
"""The answer to the first failure takes so long, to the second twice, then four times that."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Where the client of one connection may come in."""

    authenticator: Authenticator
    peer: Peer
    service: str
    """The protocol, as saslauthd and PAM name it: `imap` or `pop`."""
    plaintext_login: str
    """Where passwords may cross an unencrypted connection: never, loopback or always."""
    hostname: str = "localhost"
    """This server's, for challenges."""
    tls_required: bool = False
    """Without TLS nobody comes in, though a mechanism reveals nothing (`client_certificates`)."""

    @property
    def private(self) -> bool:
        """Whether a password may cross this connection (R028)."""
        peer, choice = self.peer, self.plaintext_login
        return peer.tls or choice == "always" or (choice == "loopback" and peer.loopback)

    def mechanisms(self) -> tuple[bytes, ...]:
        """The SASL mechanisms offered on this connection as it is now (R214). Never blocks."""
        if self._barred:
            return ()
        authenticator, private = self.authenticator, self.private
        serves = authenticator.serves()
        # The same for every greeting; but EXTERNAL depends on the connection.
        key = (private, self.peer.tls, serves)
        found = authenticator.offered.get(key)
        if found is None:
            found = self._listed(private, serves)
            if b"EXTERNAL" not in authenticator.wanted:
                few = dict(list(authenticator.offered.items())[-OFFERED_MAX:])
                authenticator.offered = {**few, key: found}
        return found

    @property
    def _barred(self) -> bool:
        return self.tls_required and not self.peer.tls

    def _listed(self, private: bool, serves: Serves) -> tuple[bytes, ...]:
        return tuple(
            name
            for name, one in MECHANISMS.items()
            if (private or not one.reveals) and self._offers(name, one, serves)
        )

    def apop_offered(self) -> bool:
        """Whether the greeting announces APOP: wanted, and clear passwords are stored (R197)."""
        return not self._barred and "PLAIN" in self._served(
            b"APOP", True, self.authenticator.serves()
        )

    def _offers(self, name: bytes, mechanism: Mechanism, serves: Serves) -> bool:
        """Whether it is wanted and can be checked, however private the connection is."""
        served = self._served(name, mechanism.automatic, serves)
        return (mechanism.secret or PASSWORD) in served and mechanism.possible(self)

    def _served(self, name: bytes, automatic: bool, serves: Serves) -> frozenset[str]:
        """Which stored secrets a mechanism may count on; PASSWORD among them when it is wanted.

        Clients take what looks strongest, so what is offered of itself must work for every user;
        what the administrator asks for by name need work for one.
        """
        wanted = self.authenticator.wanted
        if name in wanted:
            return serves.some | {PASSWORD}
        return serves.all | {PASSWORD} if automatic and AUTOMATIC in wanted else frozenset()

    def by_password(self, name: str, password: str) -> Dialogue[User]:
        """LOGIN, or USER and PASS: in memory for a user known and warm."""
        if self._barred or not self.private:
            note_leak(self.peer, self.service, name)
            raise PrivacyRequired("passwords need TLS")
        try:
            return (yield from self.checked(name, password))
        except AuthError as error:
            note_refusal(self.peer, self.service, error)
            raise

    def by_mechanism(self, name: bytes, initial: bytes | None) -> Dialogue[User]:
        """AUTHENTICATE, or AUTH: `initial` is the initial response as sent, in base64 or `=`."""
        name = name.upper()
        mechanism = MECHANISMS.get(name)
        if mechanism is None or not self._offers(name, mechanism, self.authenticator.serves()):
            raise NotOffered("this mechanism is not offered")
        if name not in self.mechanisms():
            if mechanism.reveals and initial is not None:
                note_leak(self.peer, self.service, "")
            raise PrivacyRequired("this mechanism needs TLS")
        try:
            if not mechanism.password:
                self.authenticator.penalties.ensure_heard(self.peer.address)
            played = dialogue(mechanism.begin(self), initial)
            return (yield from (played if mechanism.password else self._no_guess(played)))
        except AuthError as error:
            note_refusal(self.peer, self.service, error)
            raise

    def by_apop(self, banner: bytes, name: bytes, digest: bytes) -> Dialogue[User]:
        """POP3's APOP; `banner` is the timestamp of the greeting."""
        if self._barred:
            raise PrivacyRequired("a login needs TLS")
        try:
            self.authenticator.penalties.ensure_heard(self.peer.address)
            return (yield from self._no_guess(apop(self, banner, name, digest)))
        except AuthError as error:
            note_refusal(self.peer, self.service, error)
            raise

    def _no_guess(self, played: Dialogue[User]) -> Dialogue[User]:
        """A wrong proof is a guess like a wrong password (R222); Throttled."""
        try:
            return (yield from played)
        except Outdated:
            raise  # it was genuine, and no guess
        except BadCredentials as error:
            yield SLOW
            penalties, address = self.authenticator.penalties, self.peer.address
            target = self.authenticator.target(error.name)
            error.wait_seconds = penalties.wait_seconds(address, target)
            penalties.failed(address, target, None)
            raise

    # For mechanisms

    def checked(
        self, name: str, password: str, authzid: str = ""
    ) -> Generator[Request, object, User]:
        """The user whose password this is, acting for `authzid`; AuthError."""
        asked = (name, password, self.service, self.peer.address)
        user = self._remembered(*asked)
        try:
            if user is None:
                yield SLOW
                # A program that opens several connections at once is checked for the first.
                user = self._remembered(*asked) or self.authenticator.check(*asked)
            return (yield from self.admitted(user, authzid))
        except AuthError as error:
            error.name = name
            raise

    def _remembered(self, name: str, password: str, service: str, address: str) -> User | None:
        user = self.authenticator.remembered(name, password, service, address)
        return user if user is not None and is_near(user, address) else None

    def stored(self, name: str) -> Stored | None:
        """What a proof of this name is checked with; Throttled, AuthUnavailable. May block."""
        self._ensure_heard(name)
        return self.authenticator.stored(name)

    def proved(self, name: str, authzid: str = "") -> Generator[Request, object, User]:
        """The user of a login name that was proved without its password; AuthError."""
        yield SLOW
        try:
            return (yield from self.known(self.vouched(name), authzid))
        except AuthError as error:
            error.name = name
            raise

    def vouched(self, name: str) -> User:
        """The user of a login name that was proved; AuthError. May block."""
        self._ensure_heard(name)  # for the right proof too
        return self.authenticator.vouched(name)

    def known(self, user: User, authzid: str = "") -> Generator[Request, object, User]:
        """As `admitted`, of a user whose proof took no password, and who is known here then."""
        found = yield from self.admitted(user, authzid)
        self.authenticator.penalties.succeeded(self.peer.address, user.name)
        return found

    def _ensure_heard(self, name: str) -> None:
        target = self.authenticator.target(name)
        try:
            self.authenticator.penalties.wait_seconds(self.peer.address, target)
        except Throttled as error:
            raise named(error, name) from None

    def admitted(self, user: User, authzid: str = "") -> Generator[Request, object, User]:
        """Whom a user who proved who it is may act as, here and now; AuthError."""
        ensure_may(user, self.peer, self.service, time.time())
        if authzid in ("", user.name):
            return user
        yield SLOW
        user = self.authenticator.acting(user, authzid)
        ensure_may(user, self.peer, self.service, time.time())
        return user


def delay(error: AuthError, failures: int) -> Iterator[Delay]:
    """The wait before a refused login is answered, `failures` before it on this connection.

    All failures take the same time, whatever was asked (R033). When no source could be asked it
    is not the client's fault, and a delay would only hold more connections open (R251).
    """
    if isinstance(error, Throttled):
        yield Delay(THROTTLED_SECONDS, refused=True)
    elif not isinstance(error, AuthUnavailable):
        seconds = max(0.0, FAILURE_SECONDS * 2.0**failures - error.spent_seconds)
        yield Delay(seconds + error.wait_seconds, refused=True)
