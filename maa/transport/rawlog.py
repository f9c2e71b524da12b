"""Raw logs: which connections are written down, and the files they are written to.

`wanted.json` in a directory of the state says whose connections an operator wants to see; `maa
rawlog` writes it and the server looks at it every second, so that nothing has to be restarted. A
recording is a file of its own. It is written by one thread of the process, so a slow disk delays
nobody: what it cannot take in time is left out, and the file says how much that was.

A record is a line `HH:MM:SS.micros WHO OCTETS`, WHO being C or S, then so many octets, then a line
end; `HH:MM:SS.micros WHO OCTETS hidden` has none. `maa replay` reads the same.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from maa.conversation import Peer, Piece

DIRECTORY: Final = "rawlog"
FILE_OCTETS_MAX: Final = 256 << 20
"""A recording ends at this size."""
WAITING_OCTETS_MAX: Final = 32 << 20
"""So much waits to be written, of all recordings; the rest is left out."""
_WANTED: Final = "wanted.json"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@+-]")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """An operator's wish to see somebody's connections."""

    until: float
    """Seconds since the epoch; a wish that is forgotten ends by itself."""
    bodies: bool
    """Mail is shown too, not only what is said of it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """All wishes: by user name, and by a client's address."""

    users: Mapping[str, Wish]
    addresses: Mapping[str, Wish]

    def __bool__(self) -> bool:
        return bool(self.users or self.addresses)


NOTHING: Final = Wanted({}, {})


def read_wanted(directory: str) -> Wanted:
    """The wishes written down, those that have ended left out; a damaged file is an error line."""
    path = os.path.join(directory, _WANTED)
    try:
        with open(path, "rb") as file:
            table = json.load(file)
        now = time.time()

        def wishes(kind: str) -> dict[str, Wish]:
            found = {
                str(name): Wish(float(wish["until"]), bool(wish["bodies"]))
                for name, wish in table[kind].items()
            }
            return {name: wish for name, wish in found.items() if wish.until > now}

        return Wanted(wishes("users"), wishes("addresses"))
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.error("%s: nothing is recorded: %s", path, error)
        return NOTHING


def write_wanted(directory: str, wanted: Wanted) -> None:
    """Write the wishes down, for every worker to find; OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    # Root may type the command for a server that runs as somebody else.
    owner = os.stat(os.path.dirname(directory))
    table = {
        "users": {name: asdict(wish) for name, wish in wanted.users.items()},
        "addresses": {name: asdict(wish) for name, wish in wanted.addresses.items()},
    }
    path = os.path.join(directory, _WANTED)
    beside = f"{path}.{os.getpid()}"
    with open(beside, "w", encoding="utf-8") as file:
        json.dump(table, file, indent=1)
    if os.geteuid() == 0:
        for one in (directory, beside):
            os.chown(one, owner.st_uid, owner.st_gid)
    os.replace(beside, path)


@dataclass(frozen=True, slots=True)
class Record:
    """One piece of what was said."""

    at: float
    """Seconds since midnight."""
    who: str
    """C or S; `-` where octets are missing."""
    octets: int
    said: bytes | None
    """None: hidden."""


_HEAD: Final = re.compile(
    rb"([0-9]{2}):([0-9]{2}):([0-9]{2}\.[0-9]{6}) ([CS-]) ([0-9]{1,10})( .*)?\n"
)


def read_recording(data: bytes) -> Iterator[Record]:
    """The records of a file, ended where it is damaged."""
    place = 0
    while (head := _HEAD.match(data, place)) is not None:
        hours, minutes, seconds, who, octets, rest = head.groups()
        at = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        place = head.end()
        said = None
        if rest is None:
            said = data[place : place + int(octets)]
            place += int(octets) + 1
        yield Record(at, who.decode(), int(octets), said)


class Rawlogs:
    """A process's recordings: what `maa.transport.recorded.Recorder` asks for."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._stamp: tuple[int, ...] = ()
        self._writer = _Writer()
        self.wanted = NOTHING

    def look(self) -> bool:
        """Whether `reload` has something to do: one stat, for the reactor's thread."""
        try:
            found = os.stat(os.path.join(self._directory, _WANTED))
            stamp: tuple[int, ...] = (found.st_mtime_ns, found.st_ino)
        except OSError:
            stamp = ()
        changed, self._stamp = stamp != self._stamp, stamp
        return changed

    def reload(self) -> None:
        """Read the wishes; may block."""
        self.wanted = read_wanted(self._directory)

    def by_address(self, peer: Peer) -> File | None:
        """A recording, where the client's address is wanted."""
        return self._begun(self.wanted.addresses.get(peer.address), peer.address, peer)

    def by_user(self, name: str, peer: Peer) -> File | None:
        """A recording, where the user is wanted."""
        return self._begun(self.wanted.users.get(name), name, peer)

    def close(self) -> None:
        """Write what waits; may block."""
        self._writer.close()

    def _begun(self, wish: Wish | None, of: str, peer: Peer) -> File | None:
        if wish is None or wish.until < time.time():
            return None
        when = time.strftime("%Y%m%dT%H%M%S")
        name = f"{_UNSAFE.sub('_', of)}-{when}-{os.getpid()}-{_UNSAFE.sub('_', peer.session)}.log"
        _log.info("session %s of %s is recorded in %s", peer.session, of, name)
        return File(os.path.join(self._directory, name), wish.bodies, self._writer)


class File:
    """One connection's recording."""

    def __init__(self, path: str, bodies: bool, writer: _Writer) -> None:
        self.path = path
        self.bodies = bodies
        self._writer = writer
        self._octets = self._dropped = 0

    def note(self, who: bytes, pieces: Iterable[Piece]) -> None:
        """Write down what was said; never blocks."""
        now = time.time()
        stamp = time.strftime("%H:%M:%S", time.localtime(now)).encode() + b".%06d" % (now % 1 * 1e6)
        records = []
        for shown, hidden in pieces:
            if shown:
                records.append(b"%b %b %d\n%b\n" % (stamp, who, len(shown), shown))
            if hidden:
                records.append(b"%b %b %d hidden\n" % (stamp, who, hidden))
        if not records:
            return
        if self._dropped and self._writer.room:
            records.insert(0, b"%b - %d octets are missing here\n" % (stamp, self._dropped))
            self._dropped = 0
        data = b"".join(records)
        if self._octets + len(data) > FILE_OCTETS_MAX or not self._writer.put(self.path, data):
            self._dropped += len(data)
        else:
            self._octets += len(data)

    def close(self) -> None:
        """The connection has ended."""
        self._writer.put(self.path, b"")


class _Writer:
    """The thread that writes, begun with the first recording."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._thread: threading.Thread | None = None
        self._counting = threading.Lock()

    @property
    def room(self) -> bool:
        """Whether more may be put."""
        return self._waiting < WAITING_OCTETS_MAX

    def put(self, path: str, data: bytes) -> bool:
        """Have it appended to a file; empty data closes that. False when too much waits."""
        with self._counting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="maa-rawlog", daemon=True)
                self._thread.start()
            if data and self._waiting + len(data) > WAITING_OCTETS_MAX:
                return False
            self._waiting += len(data)
        self._queue.put((path, data))
        return True

    def close(self) -> None:
        """Write what waits, and end."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        files: dict[str, int] = {}
        while (item := self._queue.get()) is not None:
            path, data = item
            try:
                if not data:
                    if path in files:
                        os.close(files.pop(path))
                    continue
                if path not in files:
                    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
                    files[path] = os.open(path, flags, 0o600)
                _write(files[path], data)
            except OSError as error:
                _log.error("%s: not recorded: %s", path, error)
            finally:
                with self._counting:
                    self._waiting -= len(data)
        for descriptor in files.values():
            os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
