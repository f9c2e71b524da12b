"""What SCRAM shows of a name that has no stored secret: always the same, and like the others'.

A challenge of SCRAM gives salt and iterations away before anything is proved. For a name that is
not known they are made of the name and of a secret of this installation, in one of the shapes
that stored secrets have; so nobody learns from a challenge who has one (R033).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import cache
from typing import Final

from maa.auth.verifiers import ITERATIONS, SALT_OCTETS, Shape

USUAL: Final = Shape(ITERATIONS, SALT_OCTETS, clear=False)
"""Where no secret is stored."""


class Decoys:
    """Salts and shapes by name; the same in all processes that have the same secret."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        """`secret` may block; it is asked once."""
        self._secret = cache(secret)

    def salt(self, name: str, octets: int = SALT_OCTETS) -> bytes:
        """So many octets. May block."""
        return self._digest("salt", name, octets)

    def shape(self, name: str, shapes: Collection[Shape]) -> Shape:
        """One of the shapes, and the same one while others come and go. May block."""
        return max(shapes, key=lambda shape: self._digest(repr(shape), name, 16), default=USUAL)

    def _digest(self, kind: str, name: str, octets: int) -> bytes:
        text = f"{kind}\0{name}".encode("utf-8", "surrogateescape")
        return hashlib.shake_256(self._secret() + text).digest(octets)
