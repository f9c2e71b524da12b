"""What an administrator may want to know later: who came in, from where, and who deleted what.

An event is a word and facts, all of them names, numbers or short texts; never a password, nor
anything of a message. Whether events are kept, and where, is the service's affair: it has the
logger `maa.audit`. Where they are not kept they cost a comparison.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from maa.conversation import Peer
from maa.message.numbers import written

LOGIN: Final = "login"
REFUSED: Final = "refused"
CLIENT: Final = "client"
"""What a client says of itself (RFC 2971)."""
EXPUNGED: Final = "expunged"
MOVED: Final = "moved"
"""Messages that are in another mailbox now."""
DELETED: Final = "deleted"
"""A mailbox."""
EVENTS: Final = (LOGIN, REFUSED, CLIENT, EXPUNGED, MOVED, DELETED)
_LONGEST: Final = 1000

_log = logging.getLogger(__name__)
# Until somebody keeps them; nor are they for the ordinary log.
_log.setLevel(logging.CRITICAL)
_log.propagate = False


def note(event: str, peer: Peer, user: str, **facts: str | int | bool) -> None:
    """Keep an event of a connection; may wait for nothing."""
    if not _log.isEnabledFor(logging.INFO):
        return
    short = {key: _short(value) for key, value in facts.items()}
    table = {
        "event": event,
        "user": _short(user),
        "address": peer.address,
        "session": peer.session,
        **short,
    }
    _log.info("%s", event, extra={"audit": table})


def note_messages(
    event: str, peer: Peer, user: str, mailbox: str, uids: Sequence[int], **facts: str
) -> None:
    """Messages that are gone from a mailbox, by their UIDs; nothing, where there are none."""
    if uids and _log.isEnabledFor(logging.INFO):
        shown = written(sorted(uids)).decode("ascii")
        note(event, peer, user, mailbox=mailbox, messages=len(uids), uids=shown, **facts)


def _short(value: str | int | bool) -> str | int | bool:
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
