"""The audit log: a file of JSON lines as `twisted.logger` writes them, which `maa log` reads.

A line is appended by one thread of each process, in one write, so lines of several workers do not
mix, and no session waits for the disk. A file that was renamed or removed is begun anew.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from pathlib import Path
from typing import Any, Final

from twisted.logger import LogLevel, eventAsJSON

from maa.audit import CLIENT, REFUSED

WAITING_MAX: Final = 100_000
"""Events that wait for a slow disk; more are left out, and their number is noted."""
_FREE: Final = frozenset((CLIENT, REFUSED))
"""What may be had for nothing, in any number, leaves half of that to the rest."""
_NAMESPACE: Final = "maa.audit"
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC

_log = logging.getLogger(__name__)


class AuditFile(logging.Handler):
    """Takes what `maa.audit` notes; from any thread."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be written."""
        super().__init__()
        self._path = path
        self._file = os.open(path, _FLAGS, 0o600)
        self._queue: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._left_out = 0
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="maa-audit", daemon=True)

    def start(self) -> None:
        """Keep events from now on."""
        self._thread.start()
        logger = logging.getLogger(_NAMESPACE)
        logger.addHandler(self)
        logger.setLevel(logging.INFO)

    def stop(self) -> None:
        """Write what waits, and keep no more."""
        logger = logging.getLogger(_NAMESPACE)
        logger.removeHandler(self)
        logger.setLevel(logging.CRITICAL)
        self._queue.put(None)
        self._thread.join()
        self.give_back()

    def give_back(self) -> None:
        """Close the file."""
        os.close(self._file)

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        facts = record.__dict__["audit"]
        if self._queue.qsize() >= (WAITING_MAX // 2 if facts["event"] in _FREE else WAITING_MAX):
            self._left_out += 1
            return
        self._queue.put(_event(record.created, facts))

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            left_out, self._left_out = self._left_out, 0
            if left_out:
                self._write(_event(time.time(), {"event": "left-out", "events": left_out}))
            self._write(event)

    def _write(self, event: dict[str, Any]) -> None:
        line = (eventAsJSON(event) + "\n").encode("utf-8")
        try:
            self._reopen()
            os.write(self._file, line)
        except OSError as error:
            if not self._complained:
                _log.error("%s: the audit log is not written: %s", self._path, error)
            self._complained = True
        else:
            self._complained = False

    def _reopen(self) -> None:
        try:
            found = os.stat(self._path)
            if os.path.samestat(found, os.fstat(self._file)):
                return
        except FileNotFoundError:
            pass  # renamed: the new one is made now
        new = os.open(self._path, _FLAGS, 0o600)
        old, self._file = self._file, new
        os.close(old)


def _event(seconds: float, facts: dict[str, Any]) -> dict[str, Any]:
    """As twisted.logger has events; the facts are its fields."""
    return {
        "log_time": seconds,
        "log_namespace": _NAMESPACE,
        "log_level": LogLevel.info,
        "log_format": " ".join(f"{{{key}}}" for key in facts),
        **facts,
    }
