"""Why nobody was logged in: neutral facts, translated by each protocol's own table."""

from __future__ import annotations

from typing import TypeVar


class AuthError(Exception):
    """Nobody was logged in."""

    spent_seconds: float = 0.0
    """How long the check took: a session that delays its answer to a failed login takes this
    off its delay, so that all failures take the same time whatever was asked (R033)."""
    wait_seconds: float = 0.0
    """How much longer the answer waits because of earlier failures (R222)."""
    name: str = ""
    """Who the client said it was, for the log."""


class BadCredentials(AuthError):
    """Unknown user or wrong password: which of them is nobody's business (R033, R201)."""


class Outdated(BadCredentials):
    """A proof that was good once: no guess."""


class AuthUnavailable(AuthError):
    """No source could decide: never to be taken for a wrong password (R251)."""


class Undecided(AuthUnavailable):
    """Known here, but not to be judged: no other source is asked, and it may have been a guess."""


class Throttled(AuthUnavailable):
    """Too many passwords were guessed: this one was not looked at."""


class Expired(AuthError):
    """The right password, but it may not be used any longer (RFC 5530 EXPIRED)."""


class Disabled(AuthError):
    """The right password of a user who may not log in (RFC 5530 CONTACTADMIN)."""


class NotAuthorised(AuthError):
    """Proved to be somebody who may not act for the user asked for (RFC 5530; R032)."""


E = TypeVar("E", bound=AuthError)


def named(error: E, name: str) -> E:
    """The error, with the name that the client gave."""
    error.name = name
    return error
