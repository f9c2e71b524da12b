"""The MDAs that `maa locks` knows: where they are, and how each is made to deliver a message."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from maa.cli.sandbox import Sandbox, Unusable

SENDER: Final = "maa-locks@localhost"
_ELSEWHERE: Final = ("/usr/sbin", "/usr/libexec/sendmail", "/usr/lib/sm.bin", "/usr/libexec")
"""Where daemons and helpers are that no PATH has."""
_START_SECONDS: Final = 30.0


class Running(Protocol):
    """An MDA that is ready to deliver to a sandbox's recipient."""

    def deliver(self, message: bytes) -> subprocess.Popen[bytes]:
        """Begin to deliver; what is started ends when it has delivered or queued it."""

    def stop(self) -> None:
        """End what was started beside."""


@dataclass(frozen=True, slots=True)
class Mda:
    """One kind of MDA."""

    name: str
    program: str
    """Its file's name."""
    needs_root: bool
    """It cannot be run by the recipient."""
    start: Callable[[Sandbox, str], Running]
    """With the program's path; Unusable."""

    def found(self) -> str | None:
        """The program's path; None: it is not installed."""
        path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_ELSEWHERE))
        return shutil.which(self.program, path=path)


@dataclass(frozen=True, slots=True)
class Once:
    """An MDA that is started for each message."""

    sandbox: Sandbox
    words: Sequence[str | Path]
    group: int | None = None

    def deliver(self, message: bytes) -> subprocess.Popen[bytes]:
        """Run it."""
        return self.sandbox.start(self.words, message, self.group)

    def stop(self) -> None:
        """Nothing is left to end."""


def procmail(sandbox: Sandbox, program: str) -> Running:
    """By -d as an MTA does it; without root, told of the file."""
    if sandbox.private:
        return Once(sandbox, [program, "-f", SENDER, "-d", sandbox.recipient.name])
    box = sandbox.box
    words = [program, "-f", SENDER, f"DEFAULT={box}", f"ORGMAIL={box}", "/dev/null"]
    return Once(sandbox, words)


def maildrop(sandbox: Sandbox, program: str) -> Running:
    """By -d as an MTA does it; without root, told of the file."""
    if sandbox.private:
        return Once(sandbox, [program, "-f", SENDER, "-d", sandbox.recipient.name])
    rules = sandbox.folder / "mailfilter"
    rules.write_text(f'to "{sandbox.box}"\n')
    rules.chmod(0o600)
    return Once(sandbox, [program, "-f", SENDER, rules])


def mail_local(sandbox: Sandbox, program: str) -> Running:
    """With the spool directory's group, as sendmail runs it, for the dotlock is made with that."""
    words = [program, "-f", SENDER, sandbox.recipient.name]
    return Once(sandbox, words, group=sandbox.spool.stat().st_gid)


def exim(sandbox: Sandbox, program: str) -> Running:
    """With a configuration of ours in place of the site's: with another name it has no rights."""
    file = Path(_exim_setting(program, "configure_file"))
    spool = sandbox.folder / "exim"
    spool.mkdir()
    owner, group = (_exim_setting(program, name) for name in ("exim_user", "exim_group"))
    shutil.chown(spool, owner, group)
    ours = sandbox.folder / "exim.conf"
    ours.write_text(_EXIM.format(spool=spool, name=sandbox.recipient.name, box=sandbox.box_inside))
    inside = Sandbox(
        sandbox.folder, sandbox.recipient, sandbox.spool, sandbox.private, ((ours, file),)
    )
    return Once(inside, [program, "-odf", "-oi", "-f", SENDER, f"{sandbox.recipient.name}@here"])


def _exim_setting(program: str, name: str) -> str:
    """A setting as `NAME = VALUE` or the value alone; Unusable."""
    asked = subprocess.run([program, "-bP", name], capture_output=True, check=False, timeout=30)
    value = asked.stdout.decode("utf-8", "replace").rpartition(" = ")[2].strip()
    if asked.returncode != 0 or not value:
        raise Unusable(f"Exim does not say its {name}")
    return value


_EXIM: Final = """primary_hostname = localhost
domainlist local_domains = here
spool_directory = {spool}
log_file_path = {spool}/%slog
keep_environment =
begin routers
here:
  driver = accept
  domains = +local_domains
  transport = box
begin transports
box:
  driver = appendfile
  file = {box}
  user = {name}
  group = mail
  mode = 0660
  mode_fail_narrower = false
"""


class Postfix:
    """An instance of its own, for local(8) runs below master(8) only; it listens nowhere."""

    def __init__(self, sandbox: Sandbox, program: str, settings: str = "") -> None:
        """Start it, with the site's way of locking; `settings`: more lines of main.cf."""
        self._sandbox = sandbox
        self._program = program
        self._folder = sandbox.folder / "postfix"
        self._sendmail = self._asked("sendmail_path")
        self._configure(settings)
        self._master = sandbox.start([program, "-c", self._folder, "start-fg"])
        pickup = self._folder / "queue/public/pickup"
        until = time.monotonic() + _START_SECONDS
        while not pickup.exists():
            if self._master.poll() is not None or time.monotonic() > until:
                self.stop()
                raise Unusable(f"Postfix does not start ({sandbox.last_words()})")
            time.sleep(0.05)

    def _configure(self, settings: str) -> None:
        self._folder.mkdir(mode=0o755)
        for name in ("queue", "data"):
            (self._folder / name).mkdir(mode=0o755)
        site = {name: self._asked(name) for name in _OF_THE_SITE}
        shutil.chown(self._folder / "data", site["mail_owner"])
        lines = [f"{name} = {value}" for name, value in site.items()]
        text = _MAIN.format(folder=self._folder) + "\n".join(lines) + "\n" + settings
        (self._folder / "main.cf").write_text(text)
        (self._folder / "master.cf").write_text(_MASTER)

    def _asked(self, name: str) -> str:
        done = subprocess.run(
            ["postconf", "-h", name],
            capture_output=True,
            check=False,
            timeout=30,
            env=self._sandbox.environment(),
        )
        if done.returncode != 0:
            raise Unusable(f"postconf {name}: {done.stderr.decode('utf-8', 'replace').strip()}")
        return done.stdout.decode("utf-8", "replace").strip()

    def deliver(self, message: bytes) -> subprocess.Popen[bytes]:
        """Put it into the queue; local(8) delivers it at once."""
        name = f"{self._sandbox.recipient.name}@localhost"
        words: list[str | Path] = [self._sendmail, "-C", self._folder, "-oi", "-f", SENDER, name]
        return self._sandbox.start(words, message)

    def stop(self) -> None:
        """End the instance, and whatever of it does not end by itself."""
        if self._master.poll() is None:
            self._sandbox.start([self._program, "-c", self._folder, "abort"]).wait(30)
        try:
            self._master.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._master.pid, signal.SIGKILL)
            self._master.wait(10)


_OF_THE_SITE: Final = (
    "compatibility_level",
    "command_directory",
    "daemon_directory",
    "mail_owner",
    "setgid_group",
    "mailbox_delivery_lock",
)
_MAIN: Final = """queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = loopback-only
inet_protocols = ipv4
myhostname = localhost.localdomain
mydestination = localhost
myorigin = localhost
alias_maps =
alias_database =
local_recipient_maps =
local_transport = local
mailbox_size_limit = 0
message_size_limit = 0
biff = no
mail_spool_directory = /var/mail
"""
_MASTER: Final = """pickup    unix       n - n 60  1 pickup
cleanup   unix       n - n -   0 cleanup
qmgr      unix       n - n 300 1 qmgr
rewrite   unix       - - n -   - trivial-rewrite
bounce    unix       - - n -   0 bounce
defer     unix       - - n -   0 bounce
trace     unix       - - n -   0 bounce
error     unix       - - n -   - error
retry     unix       - - n -   - error
local     unix       - n n -   - local
proxymap  unix       - - n -   - proxymap
postlog   unix-dgram n - n -   1 postlogd
"""

KNOWN: Final = (
    Mda("procmail", "procmail", False, procmail),
    Mda("maildrop", "maildrop", False, maildrop),
    Mda("mail.local", "mail.local", True, mail_local),
    Mda("Postfix local(8)", "postfix", True, Postfix),
    Mda("Exim", "exim4", True, exim),
)
