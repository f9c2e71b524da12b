"""A process that is killed at one of its changes of files, for tests of what a crash leaves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

CALLS = (
    "write", "pwrite", "fsync", "fdatasync", "ftruncate", "replace", "rename", "unlink", "link",
    "posix_fallocate", "utime", "mkdir",
)  # fmt: skip
FLUSHES = ("fsync", "fdatasync")
WRITES = ("write", "pwrite")


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Whether a child doing the work was killed before its call of this number was whole.

    A write is done by half first: a kill may come in the middle of it.
    """
    child = os.fork()
    if not child:
        try:
            _count_down(number)
            work()
        except BaseException:  # noqa: BLE001  nothing may leave the child
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0 or os.WIFSIGNALED(status), "the work failed"
    return os.WIFSIGNALED(status)


def _count_down(number: int) -> None:
    left = number

    def counted(name: str) -> Callable[..., Any]:
        call = getattr(os, name)

        def wrapper(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                if name in WRITES:
                    descriptor, data, *rest = arguments
                    call(descriptor, bytes(data)[: len(data) // 2], *rest)
                os.kill(os.getpid(), signal.SIGKILL)
            if name in FLUSHES:
                return None  # a kill, unlike the loss of power, needs no disk
            return call(*arguments, **named)

        return wrapper

    for name in CALLS:
        setattr(os, name, counted(name))
