"""`maa verify`: an account's index against its mail, its beacon and its cache; nothing is changed.

Index and mail are compared under the account's lock, so that a server beside it is in the middle
of nothing; messages are read after that, when some may have gone.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maa.message.flags import Flags, interned
from maa.message.octets import Wire, open_wire
from maa.store import names
from maa.store.beacon import Beacon
from maa.store.cache import FORMAT
from maa.store.errors import MessageGone, StoreError
from maa.store.identity import Identity
from maa.store.index import Counters, MessageRow
from maa.store.maildir import Maildir
from maa.store.maildirsize import unsized
from maa.store.maildrop import Maildrop
from maa.store.maildrops import folders_of, maildrop_of
from maa.store.mbox import Mbox
from maa.store.places import MailPaths
from maa.store.reconcile import reconcile
from maa.store.shared import Shared
from maa.store.spare import index_fault
from maa.store.sqlite import Reader

Same = Callable[[str, bytes, Wire], bool]
"""Whether a value that the cache has under an item's name is what the message gives."""
_NONSENSE: Final = {
    "mailbox": "SELECT 1 FROM mailbox WHERE typeof(name) != 'text' OR typeof(uidvalidity)"
    " != 'integer' OR typeof(uidnext) != 'integer' OR typeof(highest_modseq) != 'integer' LIMIT 1",
    "flag_set": "SELECT 1 FROM flag_set WHERE typeof(flags) != 'text' LIMIT 1",
    "message": "SELECT 1 FROM message WHERE typeof(uid) != 'integer' OR typeof(place) != 'blob'"
    " OR typeof(flag_id) != 'integer' OR typeof(modseq) != 'integer' LIMIT 1",
}
"""By table: what finds a row whose values have no meaning."""
_REBUILD: Final = "maa rebuild"
_NEXT_USE: Final = "nothing: the server does it when the mailbox is next used"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be, or not yet."""

    mailbox: str
    """Empty: the account."""
    text: str
    advice: str
    fault: bool = True
    """False: the server takes care of it in its own time."""


@dataclass(frozen=True, slots=True)
class _Box:
    """A mailbox of the index and its files."""

    id: int
    name: str
    mark: int
    counters: Counters
    maildrop: Maildrop
    rows: Sequence[MessageRow]


def verify(
    state: Path, user: str, paths: MailPaths, identity: Identity, same: Same | None = None
) -> list[Finding]:
    """Everything that is found; StoreError when nothing can be.

    `same`: cached answers are derived anew and compared, too.
    """
    index = state / "index.db"
    with identity:
        if not index.exists() or not index.stat().st_size:
            advice = f"{_REBUILD} --from BACKUP, or nothing: the next login makes one"
            return [Finding("", "there is no index", advice, False)]
        fault = index_fault(index)
        if fault:
            return [Finding("", f"index.db is damaged: {fault}", _REBUILD)]
        with Shared(str(state / "shared"), neighbours=True):
            reader = Reader(index)
            try:
                nonsense = [table for table, query in _NONSENSE.items() if reader.rows(query)]
                if nonsense:
                    text = f"rows of index.db make no sense: {', '.join(nonsense)}"
                    return [Finding("", text, _REBUILD)]
                account = _Account(reader, state, user, paths)
                found = [*account.findings(), *_beacon(account, paths.beacon(user))]
            finally:
                reader.close()
        return [*found, *_cache(state, account, same)]


class _Account:
    """What the index says, and where the files are."""

    def __init__(self, reader: Reader, state: Path, user: str, paths: MailPaths) -> None:
        self._state = state
        self._paths = paths
        self.generation = dict(reader.rows("SELECT key, value FROM setting")).get("generation")
        self._sets: dict[int, Flags] = {
            number: interned(text.split())
            for number, text in reader.rows("SELECT id, flags FROM flag_set")
        }
        self._folders = folders_of(paths).scan().folders if os.path.isdir(paths.folders) else {}
        self.absent: list[str] = []
        self.boxes: list[_Box] = []
        columns = "id, name, coalesce(mark, uidvalidity), uidnext, highest_modseq, first_recent"
        for id_, name, validity, *counters in reader.rows(f"SELECT {columns} FROM mailbox"):
            folder = self._folders.get(names.key(name))
            if name != names.INBOX and folder is None:
                self.absent.append(name)
                continue
            query = "SELECT uid, place, flag_id, modseq FROM message WHERE mailbox = ? ORDER BY uid"
            rows = reader.rows(query, (id_,))
            drop = maildrop_of(paths, str(state), folder.path if folder else None)
            self.boxes.append(_Box(id_, name, validity, Counters(*counters), drop, rows))

    def findings(self) -> Iterator[Finding]:
        """What is wrong with mailboxes and messages."""
        for name in self.absent:
            text = "its directory or file is not there"
            yield Finding(name, text, "nothing: its UIDs wait for it; or DELETE it", False)
        known = {names.key(box.name) for box in self.boxes}
        for key, folder in self._folders.items():
            if key not in known:
                yield Finding(folder.name, "it is not in the index yet", _NEXT_USE, False)
        for name in sorted(os.listdir(self._state)):
            if name.startswith("index.db.damaged-") and not name.endswith(("-wal", "-shm")):
                text = f"a damaged index was set aside as {name}"
                yield Finding("", text, f"{_REBUILD} --from it, or remove it", False)
        for box in self.boxes:
            yield from self._numbers(box)
            yield from self._places(box)

    def _numbers(self, box: _Box) -> Iterator[Finding]:
        uids = [row[0] for row in box.rows]
        if uids and not 0 < uids[0] <= uids[-1] < box.counters.uidnext:
            text = f"UIDNEXT is {box.counters.uidnext}, and there are UIDs {uids[0]} to {uids[-1]}"
            yield Finding(box.name, text, _REBUILD)
        late = [uid for uid, _, _, modseq in box.rows if modseq > box.counters.highest_modseq]
        if late:
            text = f"mod-sequences of UIDs {_some(late)} are above HIGHESTMODSEQ"
            yield Finding(box.name, text, _REBUILD)
        unknown = [uid for uid, _, number, _ in box.rows if number not in self._sets]
        if unknown:
            yield Finding(box.name, f"flags of UIDs {_some(unknown)} are lost", _REBUILD)
        keys = Counter(box.maildrop.key(row[1]) for row in box.rows)
        twice = [row[0] for row in box.rows if keys[box.maildrop.key(row[1])] > 1]
        if twice:
            yield Finding(box.name, f"UIDs {_some(twice)} are one message", _REBUILD)

    def _places(self, box: _Box) -> Iterator[Finding]:
        drop = box.maildrop
        if isinstance(drop, Mbox) and drop.half_changed:
            text = "a change of the mbox was interrupted"
            yield Finding(box.name, text, _NEXT_USE, False)
            return
        try:
            scan = drop.scan()
        except StoreError as error:
            yield Finding(box.name, f"it cannot be read: {error}", "see the log, and its rights")
            return
        seen = reconcile(scan, [row[1] for row in box.rows], drop.key)
        waiting = [box.rows[at][0] for at in seen.missing if _is_waiting(drop, box.rows[at][1])]
        missing = [box.rows[at][0] for at in seen.missing if box.rows[at][0] not in waiting]
        if waiting:
            text = f"UIDs {_some(waiting)} still have to come to their places"
            yield Finding(box.name, text, _NEXT_USE, False)
        if missing:
            text = f"UIDs {_some(missing)} have no message: another program removed them"
            yield Finding(box.name, text, _NEXT_USE, False)
        if seen.arrivals:
            text = f"{len(seen.arrivals)} messages have no UID yet"
            yield Finding(box.name, text, _NEXT_USE, False)
        if seen.doubles:
            text = f"{len(seen.doubles)} files have the name of another message"
            yield Finding(box.name, text, _NEXT_USE, False)
        if seen.moved:
            text = f"{len(seen.moved)} messages were moved or flagged by another program"
            yield Finding(box.name, text, _NEXT_USE, False)
        untidy = [
            uid
            for uid, place, number, _ in box.rows
            if drop.wanted_place(place, self._sets.get(number, interned(()))) != place
        ]
        if untidy:
            text = f"the file names of UIDs {_some(untidy)} do not show their flags yet"
            yield Finding(box.name, text, "nothing: they follow; the index is right", False)


def _is_waiting(maildrop: Maildrop, place: bytes) -> bool:
    """Whether a message is whole in `tmp`, where a crash left it behind its row."""
    if not isinstance(maildrop, Maildir):
        return False
    return os.path.lexists(os.fsencode(maildrop.path) + b"/tmp/" + unsized(maildrop.key(place)))


def _beacon(account: _Account, path: str) -> Iterator[Finding]:
    beacon = Beacon(path)
    beacon.close()
    if not beacon.found:
        yield Finding("", f"there is no beacon {path}", "nothing: the next login writes it", False)
        return
    if beacon.damaged:
        yield Finding("", f"the beacon {path} is damaged", "nothing: the next login writes it")
    if beacon.generation not in ("", account.generation):
        yield Finding("", "the beacon knows another index", "nothing: the next login repairs it")
    for box in account.boxes:
        mark = beacon.marks.get(box.mark)
        if mark is not None and mark.ahead_of(box.counters):
            text = f"the index is older than the beacon: UIDNEXT {box.counters.uidnext}"
            yield Finding(
                box.name, f"{text}, not {mark.uidnext}", "nothing: the next login repairs it"
            )
        elif mark is None or mark.reaching(box.counters) != mark:
            text = "the beacon knows less than the index"
            yield Finding(box.name, text, "nothing: the next login repairs it", False)


# --- what is derived


def _cache(state: Path, account: _Account, same: Same | None) -> Iterator[Finding]:
    path = state / "cache.db"
    if not path.exists() or not path.stat().st_size:
        return
    reader = Reader(path)
    try:
        faults, whole = reader.readable("PRAGMA integrity_check(3)")
        if not whole or [row[0] for row in faults] != ["ok"]:
            yield Finding("", "cache.db is damaged", "stop the server and remove it")
            return
        if reader.readable("SELECT value FROM setting WHERE key = 'of'") != (
            [(f"{FORMAT} {account.generation}",)],
            True,
        ):
            yield Finding("", "cache.db is of another index", "nothing: it will be emptied", False)
            return
        for box in account.boxes:
            wrong = list(_wrong(reader, box, same))
            if wrong:
                text = f"cached answers of UIDs {_some(wrong)} are not what the messages give"
                yield Finding(box.name, text, "stop the server and remove cache.db")
    finally:
        reader.close()


def _wrong(reader: Reader, box: _Box, same: Same | None) -> Iterator[int]:
    """UIDs whose size, and with `same` whatever else, is not what was remembered."""
    facts: dict[int, int] = dict(
        reader.rows("SELECT uid, size FROM fact WHERE mailbox = ? AND size >= 0", (box.id,))
    )
    for uid, place, _, _ in box.rows:
        cached: list[Any] = []
        if same is not None:
            query = (
                "SELECT item.name, value FROM derived JOIN item ON item.id = item"
                " WHERE mailbox = ? AND uid = ?"
            )
            cached = reader.rows(query, (box.id, uid))
        if uid not in facts and not cached:
            continue
        try:
            wire = open_wire(box.maildrop.open(place))
        except (MessageGone, OSError):
            continue  # gone, or elsewhere, since the comparison
        except StoreError:
            yield uid
            continue
        try:
            if facts.get(uid, wire.size) != wire.size or not all(
                same is None or same(item, value, wire) for item, value in cached
            ):
                yield uid
        finally:
            wire.close()


def _some(uids: Sequence[int]) -> str:
    """UIDs for people: not more than a line of them."""
    shown = ",".join(map(str, uids[:10]))
    return shown if len(uids) <= 10 else f"{shown} and {len(uids) - 10} more"
