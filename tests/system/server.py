"""A real `twistd -n maa --config FILE` on free loopback ports, with a state of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from . import certificate
from .users import User

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = Path("/var/cache/maa-tests")
"""Where install.sh puts what cannot be installed beside the rest."""
TWISTD = ROOT / ".venv/bin/twistd"
START_SECONDS = 20
STOP_SECONDS = 40

CONFIGURATION = """
hostname = "localhost"
state = "{folder}/state"
workers = {workers}
{more}

[listen]
imap = ["tcp:{imap}:interface=127.0.0.1"]
imaps = ["tcp:{imaps}:interface=127.0.0.1"]
pop3 = ["tcp:{pop3}:interface=127.0.0.1"]
pop3s = ["tcp:{pop3s}:interface=127.0.0.1"]

[tls]
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
plaintext_login = "loopback"

[auth]
{auth}

[mail]
home = "{homes}/{{user}}"
locks = {locks}
inbox = "maildir:{{home}}/Maildir"
folders = "maildir:{{home}}/Maildir"
"""

PASSWORD_FILE = """sources = ["password-file"]
password-file.path = "{folder}/passwd"
"""


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now; all are held while they are chosen, so they differ."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@dataclass
class Server:
    """One server: its folder holds configuration, certificate, password file, state and log."""

    folder: Path
    homes: Path
    users: list[User]
    auth: str = PASSWORD_FILE
    workers: int = 1
    locks: str = '["fcntl"]'
    """Of mbox files, as the configuration has them."""
    more: str = ""
    """Further settings, at the top of the configuration."""
    twistd: Path = TWISTD
    options: tuple[str, ...] = ()
    """Twisted's own, for twistd."""
    imap: int = 0
    imaps: int = 0
    pop3: int = 0
    pop3s: int = 0
    process: subprocess.Popen[bytes] | None = None
    log_read: int = field(default=0)

    def configure(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.imap, self.imaps, self.pop3, self.pop3s = free_ports(4)
        certificate.write(self.certificate, self.folder / "key.pem")
        passwd = self.folder / "passwd"
        passwd.write_text("".join(self.password_line(user) for user in self.users))
        passwd.chmod(0o600)
        text = CONFIGURATION.format(
            folder=self.folder,
            homes=self.homes,
            workers=self.workers,
            more=self.more,
            locks=self.locks,
            auth=self.auth.format(folder=self.folder),
            imap=self.imap,
            imaps=self.imaps,
            pop3=self.pop3,
            pop3s=self.pop3s,
        )
        (self.folder / "maa.toml").write_text(text)

    @staticmethod
    def password_line(user: User) -> str:
        password = "{PLAIN}" + user.password
        return f"{user.name}:{password}:{user.uid}:{user.uid}::{user.home}::{user.settings}\n"

    @property
    def certificate(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [
                    self.twistd,
                    "-n",
                    "--pidfile=",
                    *self.options,
                    "maa",
                    "--config",
                    self.folder / "maa.toml",
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_listening()

    def wait_listening(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + START_SECONDS
        for port in (self.imap, self.imaps, self.pop3, self.pop3s):
            while True:
                if self.accepts(port):
                    break
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the server does not listen:\n{self.tail()}")
                time.sleep(0.02)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        os.kill(self.pid, signal.SIGTERM)

    def ended(self, seconds: float = STOP_SECONDS) -> bool:
        """Wait for the end; whether it was an orderly one.

        Twisted ends by the very signal it got, once everything is shut down.
        """
        assert self.process is not None
        status = self.process.wait(seconds)
        return status in (0, -signal.SIGTERM) and "Server Shut Down" in self.tail()

    def kill(self) -> None:
        """SIGKILL to the server and its workers: a crash."""
        assert self.process is not None
        os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)
        # The workers have the listening sockets too, and may end a little later.
        while any(map(self.accepts, (self.imap, self.imaps, self.pop3, self.pop3s))):
            time.sleep(0.005)

    @staticmethod
    def accepts(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.terminate()
            try:
                self.ended()
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def processes(self) -> list[int]:
        """The server and its descendants."""
        found = [self.pid]
        for pid in found:
            children = Path(f"/proc/{pid}/task/{pid}/children")
            found += [int(word) for word in children.read_text().split()]
        return found

    def worker_of(self, client: socket.socket) -> int:
        """Which process serves a connection: the one that has the other end's inode."""
        server, own = client.getpeername()[1], client.getsockname()[1]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, *rest = line.split()
            if int(local[-4:], 16) == server and int(remote[-4:], 16) == own:
                for pid in self.processes():
                    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                        with suppress(FileNotFoundError):
                            if os.readlink(descriptor) == f"socket:[{rest[6]}]":
                                return pid
        raise AssertionError("nobody serves it")

    def peak_octets(self) -> int:
        """The most resident memory since `forget_peak`, of all processes."""
        return sum(_status(pid, "VmHWM") for pid in self.processes()) * 1024

    def forget_peak(self) -> int:
        """Begin a new peak here; the resident memory now."""
        for pid in self.processes():
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return sum(_status(pid, "VmRSS") for pid in self.processes()) * 1024

    def tail(self, octets: int = 2000) -> str:
        return self.log.read_bytes()[-octets:].decode("utf-8", "replace")

    def faults(self) -> str:
        """What was logged since the last call that no healthy server logs."""
        new = self.log.read_bytes()[self.log_read :].decode("utf-8", "replace")
        self.log_read += len(new.encode())
        marks = ("Traceback", "SERVERBUG", "Unhandled", "never retrieved")
        return new if any(mark in new for mark in marks) else ""


def _status(pid: int, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise KeyError(key)
