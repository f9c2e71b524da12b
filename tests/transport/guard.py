"""Catches what may block on the thread that plays the reactor.

Two nets: audit events (open, rename, connect, ...), which C code and Python code raise alike, and
a profile function, which sees each call into C: system calls that raise no event, and SQLite.
What the reactor thread may do is listed in `_ALLOWED`, by who may do it.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Events of the file system, of sockets and of SQLite; compile and import have their own.
_EVENTS = (
    "open",
    "os.",
    "shutil.",
    "glob.",
    "fcntl.",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.gethostby",
    "sqlite3.",
    "subprocess.",
    "time.sleep",
)
_MODULES = {"posix", "_sqlite3", "sqlite3", "fcntl", "select", "_socket"}
_ALLOWED = {
    # One read of the inotify queue, which never waits.
    ("read", "drain"),
    # A stat of the password file says whether what is remembered still holds.
    ("stat", "stamp"),
    ("stat", "_stamp"),
    # QUIT without deletions lets the maildrop's lock go: the close of a local file, 1 µs.
    ("close", "release"),
    # POP3's lock on a local file that is open already: taken or refused at once.
    ("fstat", "ready"),
    ("fcntl", "take"),
    ("fcntl", "release"),
    # What another process changed: a look at the length of a local file that is open, and a read
    # of what was just appended to it.
    ("fstat", "_drain"),
    ("pread", "_drain"),
    # Its file is closed with the account, wherever the last one to need that comes from.
    ("close", "forget"),
}
# Pure computation, though it lives in posix.
_HARMLESS = {"fspath", "fsencode", "fsdecode", "getpid", "urandom", "getuid", "geteuid", "getegid"}

_guarded: dict[int, list[str]] = {}
_hooked = False


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    found = _guarded.get(threading.get_ident())
    if found is not None and event.startswith(_EVENTS):
        caller = sys._getframe(1)
        if caller.f_code.co_filename.startswith("<frozen importlib"):
            return
        if (event.rpartition(".")[2], caller.f_code.co_name) not in _ALLOWED:
            found.append(f"{event} {arguments!r:.100} in {_where(caller)}")


def _on_call(frame: FrameType, event: str, function: Any) -> None:
    if event != "c_call":
        return
    owner = getattr(function, "__self__", None)
    if frame.f_code.co_filename.startswith("<frozen importlib"):
        return  # a codec's first use, once a process
    module = getattr(function, "__module__", None) or type(owner).__module__
    name = getattr(function, "__name__", "")
    allowed = name in _HARMLESS or (name, frame.f_code.co_name) in _ALLOWED
    if module in _MODULES and not allowed:
        _guarded[threading.get_ident()].append(f"{module}.{name} in {_where(frame)}")


def _where(frame: FrameType | None) -> str:
    places = []
    while frame is not None and len(places) < 6:
        if "/maa/" in frame.f_code.co_filename:
            file = frame.f_code.co_filename.partition("/maa/")[2]
            places.append(f"{file}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(places) or "a test"


@contextmanager
def reactor_thread() -> Iterator[list[str]]:
    """Within, this thread is the reactor's; gives what happened that may block."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_on_event)
        _hooked = True
    found: list[str] = []
    before = sys.getprofile()
    _guarded[threading.get_ident()] = found
    sys.setprofile(_on_call)
    try:
        yield found
    finally:
        sys.setprofile(before)
        del _guarded[threading.get_ident()]
