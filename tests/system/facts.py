"""What a server promised its clients, over all its lives, and whether it kept it.

Clients write down what they are about to do, and again when it was acknowledged. What a kill
interrupts in between may have happened or not; a survey says which, and from then on it holds.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from . import messages
from .messages import as_sent

INBOX, OTHER = "INBOX", "Other"
BOXES = (INBOX, OTHER)
TRACKED = frozenset({"\\Flagged", "\\Answered", "$Label"})


def text(number: int) -> bytes:
    """The message of this number as a client sends it; some are long."""
    body = b"".join(b"line %d of message %d\n" % (n, number) for n in range(number * 37 % 300))
    return as_sent(messages.numbered(number) + body)


@dataclass
class Copies:
    """How many copies of a message each mailbox has, at least and at most."""

    least: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    somewhere: bool = False
    """There is one in any of them: it is, or was, being moved."""
    history: list[str] = field(default_factory=list)
    """For whoever has to find out what went wrong."""


@dataclass(frozen=True)
class Shown:
    """One message as a survey saw it."""

    uid: int
    number: int
    text: bytes
    flags: frozenset[str]


class Facts:
    """What is known of one user's mail. Each message has one client at a time."""

    def __init__(self) -> None:
        self.messages: dict[int, Copies] = {}
        self.meaning: dict[tuple[str, int, int], int] = {}
        """(mailbox, UIDVALIDITY, UID) to the one message which that ever meant."""
        self.uidvalidity: dict[str, int] = {}
        self.uidnext: Counter[str] = Counter()
        self.flags: dict[tuple[str, int], dict[str, bool]] = {}
        """Whether a (mailbox, UID) has a flag, where that is certain."""
        self.uidls: dict[int, bytes] = {}
        self.acknowledged = 0
        self._numbers = 0
        self._lock = threading.Lock()

    def new(self) -> int:
        """The number of a message that is about to be made."""
        with self._lock:
            self._numbers += 1
            self.messages[self._numbers] = Copies()
            return self._numbers

    # --- what clients do

    def adding(self, number: int, box: str) -> None:
        self.messages[number].history.append(f"adding {box}")
        self.messages[number].most[box] += 1

    def added(self, number: int, box: str, validity: int = 0, uid: int = 0) -> None:
        """Acknowledged, with the UID if that was told (RFC 4315)."""
        self.messages[number].history.append(f"added {box}")
        self.messages[number].least[box] += 1
        self.acknowledged += 1
        if uid:
            self._mean(box, validity, uid, number)

    def not_added(self, number: int, box: str) -> None:
        """Refused: nothing of it may be there."""
        self.messages[number].history.append(f"not_added {box}")
        self.messages[number].most[box] -= 1

    def copied_flags(self, source: tuple[str, int], target: tuple[str, int]) -> None:
        self.flags[target] = dict(self.flags.get(source, {}))

    def removing(self, number: int, box: str, moving: bool = False) -> None:
        self.messages[number].history.append(f"removing {box}")
        self.messages[number].least[box] -= 1
        self.messages[number].somewhere = moving

    def removed(self, number: int, box: str) -> None:
        self.messages[number].history.append(f"removed {box}")
        self.messages[number].most[box] -= 1
        self.acknowledged += 1

    def flagging(self, box: str, uid: int, flag: str) -> None:
        self.flags.setdefault((box, uid), {}).pop(flag, None)

    def flagged(self, box: str, uid: int, flag: str, on: bool) -> None:
        self.flags[box, uid][flag] = on
        self.acknowledged += 1

    # --- what a survey sees

    def saw(self, box: str, validity: int, uidnext: int, shown: list[Shown]) -> None:
        """Compare a mailbox with what is known of it."""
        assert self.uidvalidity.setdefault(box, validity) == validity, "another UIDVALIDITY"
        assert uidnext >= self.uidnext[box], "UIDNEXT fell"
        for one in shown:
            assert one.uid < uidnext
            known = (box, validity, one.uid) in self.meaning
            assert known or one.uid >= self.uidnext[box], f"UID {one.uid} is late"
            self._mean(box, validity, one.uid, one.number)
            assert one.text == text(one.number), f"message {one.number} is changed"
            expected = self.flags.get((box, one.uid), {})
            wrong = {f: on for f, on in expected.items() if (f in one.flags) != on}
            assert not wrong, f"{box} UID {one.uid}: {wrong} was acknowledged"
            self.flags[box, one.uid] = {flag: flag in one.flags for flag in TRACKED}
        self.uidnext[box] = uidnext

    def counted(self, shown: dict[str, list[Shown]]) -> None:
        """Compare all mailboxes with what must and may be in them, which is certain now."""
        found = {box: Counter(one.number for one in some) for box, some in shown.items()}
        for number in {number for counts in found.values() for number in counts}:
            assert number in self.messages
        for number, copies in self.messages.items():
            for box in BOXES:
                count = found[box][number]
                assert copies.least[box] <= count <= copies.most[box], (
                    f"message {number}: {count} in {box}, "
                    f"not {copies.least[box]} to {copies.most[box]}: {copies.history}"
                )
                copies.least[box] = copies.most[box] = count
            assert not copies.somewhere or sum(copies.least.values()), f"message {number} is lost"
            copies.somewhere = False

    def saw_uidls(self, uids: list[int], uidls: list[bytes]) -> None:
        """Compare INBOX by POP3 with INBOX by IMAP, and with what it was before."""
        assert len(uids) == len(uidls) == len(set(uidls)), (uids, uidls)
        for uid, uidl in zip(uids, uidls, strict=True):
            assert self.uidls.setdefault(uid, uidl) == uidl, f"the UIDL of UID {uid} changed"
        assert len(set(self.uidls.values())) == len(self.uidls), "a UIDL was used again"

    def _mean(self, box: str, validity: int, uid: int, number: int) -> None:
        known = self.meaning.setdefault((box, validity, uid), number)
        assert known == number, f"{box} UID {uid} was message {known} and is {number}"

    def forget_index(self) -> None:
        """The index was lost: flags, UIDVALIDITYs and UIDNEXTs begin anew, meanings do not."""
        self.flags.clear()
        self.uidvalidity.clear()
        self.uidnext.clear()
        self.uidls.clear()
