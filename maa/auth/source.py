"""What a credential source is: one place that knows users."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from maa.auth.verifiers import Shape
from maa.user import User


@dataclass(frozen=True, slots=True)
class Stored:
    """A user as a source knows it without a password."""

    user: User
    secret: str = field(repr=False, default="")
    """The stored password, `{SCHEME}hash`; empty where there is none to be had."""
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Serves:
    """Which challenges the stored passwords of a source answer, by the schemes' names."""

    all: frozenset[str] = frozenset()
    """Those of every user who has a password."""
    some: frozenset[str] = frozenset()
    """Those of one user at least."""

    @classmethod
    def of(cls, each: Iterable[frozenset[str]]) -> Serves:
        """From what the stored password of each user serves."""
        kinds = set(each)
        if not kinds:
            return cls()
        return cls(frozenset.intersection(*kinds), frozenset.union(*kinds))


class Source(Protocol):
    """One place that knows users."""

    def check(self, name: str, password: bytes, service: str) -> User | None:
        """The user; None when not known here; raises AuthError. May block."""

    def find(self, name: str) -> User | None:
        """The user without a password, for the administrator's tools. May block."""

    def stored(self, name: str) -> Stored | None:
        """What is known of the user without a password; None: not known. May block."""
        user = self.find(name)
        return None if user is None else Stored(user)

    def pretend(self, name: str, password: bytes, service: str) -> None:
        """Spend the time that `check` of a name takes that is not known (R033). May block."""

    def serves(self) -> Serves:
        """Which challenges can be checked: none, unless a source says more. Never blocks."""
        return Serves()

    def scram_shapes(self, mechanism: str) -> frozenset[Shape]:
        """Those of the secrets stored here: none, unless a source says more. May block."""
        return frozenset()

    def load(self) -> None:
        """Read what there is to read, for `serves`; nothing, by default. May block."""
        return

    def stamp(self) -> Hashable:
        """Changes when the source does. Never blocks."""
