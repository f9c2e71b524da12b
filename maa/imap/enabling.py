"""ENABLE (RFC 5161), and commands that enable CONDSTORE by being used (RFC 7162 §3.1)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Final, TypeVar

from maa.imap.commands import Enable
from maa.imap.states import Answer, Authenticated, Done, Enabled, Input, Said, Selected
from maa.imap.updates import highest_modseq

CONDSTORE: Final = Enabled(condstore=True)
ENABLING: Final[dict[bytes, Enabled]] = {
    b"CONDSTORE": CONDSTORE,
    b"QRESYNC": Enabled(condstore=True, qresync=True),  # R041
    b"UTF8=ACCEPT": Enabled(utf8=True),
    b"IMAP4REV2": Enabled(rev2=True),
}
"""By name what is on from then on; other names are ignored."""
_SPELLED: Final = {b"IMAP4REV2": b"IMAP4rev2"}

S = TypeVar("S", Authenticated, Selected, Authenticated | Selected)


def enable(state: Authenticated | Selected, command: Enable) -> Answer:
    """ENABLE: of the names, those that it newly enabled are listed (RFC 5161 §3.1; R040)."""
    before = now = state.enabled
    told = [b"ENABLED"]
    for name in dict.fromkeys(command.capabilities):
        more = ENABLING.get(name, Enabled())
        if before | more != before:
            told.append(_SPELLED.get(name, name))
            now |= more
    yield b"* %b\r\n" % b" ".join(told)
    state = yield from enabled(state, now)
    return Done(state, b"ENABLE completed")


def condstore(state: S) -> Generator[Said, Input | None, S]:
    """The command is one that enables CONDSTORE (R161)."""
    return (yield from enabled(state, CONDSTORE))


def enabled(state: S, more: Enabled) -> Generator[Said, Input | None, S]:
    """The state with more enabled; who has a mailbox selected is told where it stands (R162)."""
    now = state.enabled | more
    if now == state.enabled:
        return state
    if now.condstore and not state.enabled.condstore and isinstance(state, Selected):
        yield highest_modseq(state.view)
    if now.rev2 and not state.enabled.rev2 and isinstance(state, Selected):
        state = replace(state, view=state.view.without_recent())
    return replace(state, enabled=now)
