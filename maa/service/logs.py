"""The lower layers' `logging` into Twisted's log, with nothing in it that could forge a line."""

from __future__ import annotations

import logging
from typing import Final

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

_LEVELS: Final = (
    (logging.CRITICAL, LogLevel.critical),
    (logging.ERROR, LogLevel.error),
    (logging.WARNING, LogLevel.warn),
    (logging.INFO, LogLevel.info),
)
# R228: what a client or a file name says may hold line ends or terminal controls.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def escaped(text: str) -> str:
    """The text as one printable line."""
    return text.translate(_CONTROLS).encode("utf-8", "backslashreplace").decode()


class ToTwisted(logging.Handler):
    """Hands each record to `twisted.logger` under the record's own name."""

    def __init__(self) -> None:
        super().__init__()
        self._loggers: dict[str, Logger] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`, from any thread."""
        logger = self._loggers.get(record.name)
        if logger is None:
            logger = self._loggers[record.name] = Logger(namespace=record.name)
        text = escaped(record.getMessage())
        level = next((ours for theirs, ours in _LEVELS if record.levelno >= theirs), LogLevel.debug)
        if record.exc_info and record.exc_info[1] is not None:
            kind, value, traceback = record.exc_info
            logger.failure(
                "{text}", failure=Failure(value, kind, traceback), level=level, text=text
            )
        else:
            logger.emit(level, "{text}", text=text)


def bridge(level: int = logging.INFO) -> ToTwisted:
    """Send what `maa` logs to Twisted's log; once a process."""
    root = logging.getLogger("maa")
    for old in root.handlers:
        if isinstance(old, ToTwisted):
            return old
    handler = ToTwisted()
    root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
    return handler
