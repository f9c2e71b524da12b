"""What single clients need: chosen for a session by its ID or by what it asks, never by guessing.

`quirks.toml` lists every known quirk with its reason and the test that proves what is done about
it. Most need no choosing, because what the odd client wants is right for all. The others say when
they are on (`When`), and may change what `Changes` has, and nothing else.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from fnmatch import translate
from importlib.resources import files
from typing import Any, Final

Identity = Mapping[str, str]
"""What ID said, with its names in small letters."""


@dataclass(frozen=True, slots=True)
class Changes:
    """All that may be different for one client."""

    hold_news: bool = False
    """Arrivals and expunges are told only by NOOP, CHECK, EXPUNGE and in IDLE (Q-1)."""
    mobile: bool = False
    """The client runs on a battery: IDLE is kept alive at the interval for phones (L-28)."""

    def __or__(self, other: Changes) -> Changes:
        """What either changes."""
        return Changes(self.hold_news or other.hold_news, self.mobile or other.mobile)


@dataclass(frozen=True, slots=True)
class When:
    """How a client is known; all that is given must be so."""

    name: str = ""
    """What ID calls the program: a pattern as a shell has it, in any case."""
    os: str = ""
    """What ID calls the system, likewise."""
    before: str = ""
    """A version that is newer than the one ID names; numbers with dots."""
    asks: str = ""
    """A header field that the client asks for in a FETCH."""

    def knows(self, identity: Identity, asked: frozenset[str]) -> bool:
        """Whether this is the client."""
        if self.asks:
            return self.asks.upper() in asked
        if not all(_like(identity, key, getattr(self, key)) for key in ("name", "os")):
            return False
        return not self.before or _older(identity.get("version", ""), self.before)

    def __str__(self) -> str:
        """For people."""
        if self.asks:
            return f"FETCH asks for the field {self.asks}"
        said = [f"{key} {value}" for key in ("name", "os") if (value := getattr(self, key))]
        if self.before:
            said.append(f"a version before {self.before}")
        return "ID says " + ", ".join(said)


@dataclass(frozen=True, slots=True)
class Quirk:
    """One entry of the list."""

    id: str
    client: str
    """Whose quirk it is."""
    quirk: str
    """What the client does, or cannot bear."""
    answer: str
    """What maa does about it."""
    proof: tuple[str, ...]
    """Tests below `tests/` that show it: a transcript, or FILE::NAME."""
    when: tuple[When, ...] = ()
    """Any of these chooses it; none means that it holds for every client."""
    changes: Changes = Changes()

    @property
    def always(self) -> bool:
        """Whether it holds for every client."""
        return not self.when


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is on in one session; once on it stays."""

    ids: tuple[str, ...] = ()
    changes: Changes = Changes()

    def __or__(self, other: Chosen) -> Chosen:
        """With more of them."""
        return Chosen(tuple(dict.fromkeys(self.ids + other.ids)), self.changes | other.changes)


NONE: Final = Chosen()


def understood(table: Mapping[str, Any]) -> tuple[Quirk, ...]:
    """The quirks of a TOML table; ValueError where it says what no quirk can."""
    return tuple(_quirk(name, entry) for name, entry in table.items())


def _quirk(name: str, entry: Mapping[str, Any]) -> Quirk:
    if re.fullmatch(r"[QL]-[1-9][0-9]*", name) is None:
        raise ValueError(f"{name}: a quirk is called Q-1 or L-1")
    texts = {key: entry.get(key, "") for key in ("client", "quirk", "answer")}
    proof = entry.get("proof")
    known = {*texts, "proof", "when", "changes"}
    if not all(isinstance(text, str) and text for text in texts.values()):
        raise ValueError(f"{name}: client, quirk and answer are texts")
    if not isinstance(proof, list) or not proof or not all(isinstance(one, str) for one in proof):
        raise ValueError(f"{name}: proof is a list of tests")
    if more := entry.keys() - known:
        raise ValueError(f"{name}: unknown: {', '.join(sorted(more))}")
    when = tuple(_value(When, str, name, one) for one in entry.get("when", []))
    changes = _value(Changes, bool, name, entry.get("changes", {}))
    if bool(when) != (changes != Changes()):
        raise ValueError(f"{name}: when and changes go together")
    return Quirk(name, **texts, proof=tuple(proof), when=when, changes=changes)


def _value(kind: type[Any], of: type[Any], name: str, given: Mapping[str, Any]) -> Any:
    """A `When` or `Changes`, each of whose fields has the same type."""
    allowed = {part.name.replace("_", "-"): part.name for part in fields(kind)}
    for key, value in given.items():
        if key not in allowed:
            raise ValueError(f"{name}: {key} is none of {', '.join(allowed)}")
        if type(value) is not of or not value:
            raise ValueError(f"{name}: {key} must be a {of.__name__}, and say something")
    if not given and kind is When:
        raise ValueError(f"{name}: when must say something")
    return kind(**{allowed[key]: value for key, value in given.items()})


def chosen(identity: Identity, asked: frozenset[str] = frozenset()) -> Chosen:
    """What is on for a client of this ID that asked for these header fields (in capitals)."""
    found = NONE
    for quirk in QUIRKS:
        if any(when.knows(identity, asked) for when in quirk.when):
            found |= Chosen((quirk.id,), quirk.changes)
    return found


def identity_of(said: Iterable[tuple[str, str | None]]) -> Identity:
    """ID's pairs; of a name that is said twice the last value counts."""
    return {name.lower(): value for name, value in said if value is not None}


def _like(identity: Identity, key: str, pattern: str) -> bool:
    if not pattern:
        return True
    return re.fullmatch(translate(pattern), identity.get(key, ""), re.IGNORECASE) is not None


_VERSION = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}")


def _older(version: str, than: str) -> bool:
    """Whether a version begins with lower numbers; one without numbers is not known to be."""
    found = _VERSION.match(version)
    if found is None:
        return False
    return _numbers(found.group()) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


# Read at once: a session must not wait for the disk when it hears an ID.
QUIRKS: Final = understood(
    tomllib.loads(files("maa").joinpath("quirks.toml").read_text(encoding="utf-8"))
)
TELLING_FIELDS: Final = frozenset(
    when.asks.upper().encode("ascii") for quirk in QUIRKS for when in quirk.when if when.asks
)
"""Header fields by which a client gives itself away."""
