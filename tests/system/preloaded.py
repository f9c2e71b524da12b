"""Servers that start in a tenth of a second: forked off a process that has imported everything.

What is forked off has no reactor yet and runs twistd's own `main` with arguments of its own, so
it is the real server in all but how its modules came into memory. For tests that start hundreds.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from dataclasses import dataclass, field

from .server import ROOT, Server

_FORKER = """
import json, os, signal, sys
import maa.service.fleet, maa.service.server, maa.imap.table, twisted.scripts.twistd
import twisted.plugins.maa_plugin
assert "twisted.internet.reactor" not in sys.modules
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    arguments, folder, log = json.loads(line)
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(folder)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    for stream, number in ((null, 0), (out, 1), (out, 2)):
        os.dup2(stream, number)
    sys.argv = arguments
    twisted.scripts.twistd.run()
    os._exit(0)
"""


class Forked:
    """What `subprocess.Popen` is to a child, for a process that is none of ours."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._descriptor = -1

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("twistd", timeout or 0)
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _ended(self, seconds: float | None) -> int | None:
        if self._descriptor < 0:
            return 0
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return None
        os.close(self._descriptor)
        self._descriptor = -1
        return 0


class Preloaded:
    """The process that is forked."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [ROOT / ".venv/bin/python", "-c", _FORKER],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fork(self, arguments: list[str], folder: str, log: str) -> Forked:
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None and told is not None
        print(json.dumps([arguments, folder, log]), file=asked, flush=True)
        return Forked(int(told.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


@dataclass
class QuickServer(Server):
    """A server that is forked off and not executed anew."""

    preloaded: Preloaded = field(default_factory=Preloaded)

    def start(self) -> None:
        arguments = ["twistd", "-n", "--pidfile=", "maa", "--config", str(self.folder / "maa.toml")]
        self.process = self.preloaded.fork(arguments, str(self.folder), str(self.log))  # type: ignore[assignment]
        self.wait_listening()
