"""A place where MDAs deliver for real, to a user and a spool directory nobody else has.

Root has a mount namespace for it (mount_namespaces(7)): there `/var/mail` is a scratch directory
with the owner, group and mode of the real one, the scratch user stands in `/etc/passwd`, and the
site's procmailrc and maildroprc are empty, so that no rule of theirs sends our messages
elsewhere. Without root, MDAs run as whoever runs us, and only those that can be told a file.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SPOOL: Final = Path("/var/mail")
"""Compiled into mail.local; the usual one of all the others."""
SILENCED: Final = (Path("/etc/procmailrc"), Path("/etc/maildroprc"))
_HIGHEST_UID: Final = 59999
_LOWEST_UID: Final = 59000


class Unusable(Exception):
    """Why something cannot be tried here, for whoever typed the command."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who gets the messages."""

    name: str
    uid: int
    gid: int
    home: Path


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where one recipient's MDAs run."""

    folder: Path
    """For configurations and queues; of root or of the recipient."""
    recipient: Recipient
    spool: Path
    """The directory which MDAs see as `/var/mail`."""
    private: bool
    """There is a mount namespace, and the MDAs are run by root."""
    mounts: tuple[tuple[Path, Path], ...] = ()
    """More files or directories of ours, and over which they lie."""

    @property
    def box(self) -> Path:
        """The recipient's mbox, as it is outside."""
        return self.spool / self.recipient.name

    @property
    def box_inside(self) -> Path:
        """The same, as MDAs see it."""
        return SPOOL / self.recipient.name if self.private else self.box

    def command(self, words: Sequence[str | Path], group: int | None = None) -> list[str]:
        """What to run in place of a command; `group`: with this group and no other."""
        inside = list(map(str, words))
        if not self.private:
            return inside
        if group is not None:
            inside = ["setpriv", "--regid", str(group), "--clear-groups", *inside]
        passwd = self.folder / "passwd"
        empty = self.folder / "empty"
        over = [(self.spool, SPOOL), (passwd, Path("/etc/passwd")), *self.mounts]
        over += [(empty, file) for file in SILENCED if file.exists()]
        script = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 71; shift 2; done; '
        pairs = [str(path) for pair in over for path in pair]
        script += 'shift; exec "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *pairs, "--", *inside]

    def start(
        self, words: Sequence[str | Path], data: bytes = b"", group: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Run a command with these octets as its input; its output is in `output`."""
        with tempfile.TemporaryFile(dir=self.folder) as given, self.output.open("ab") as said:
            given.write(data)
            given.seek(0)
            return subprocess.Popen(
                self.command(words, group),
                stdin=given,
                stdout=said,
                stderr=said,
                cwd=self.folder,
                env=self.environment(),
                start_new_session=True,
            )

    def environment(self) -> dict[str, str]:
        """The variables that an MDA finds; none of ours."""
        who = self.recipient.name
        path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
        return {"PATH": path, "HOME": str(self.recipient.home), "LOGNAME": who, "USER": who}

    @property
    def output(self) -> Path:
        """What the commands said."""
        return self.folder / "output"

    def last_words(self) -> str:
        """The last line of what the commands said."""
        lines = self.output.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"

    def prepare(self) -> None:
        """Write what the namespace needs; Unusable where there are none."""
        self.output.touch()
        if not self.private:
            return
        who = self.recipient
        passwd = Path("/etc/passwd").read_text()
        line = f"{who.name}:x:{who.uid}:{who.gid}::{who.home}:/bin/sh\n"
        (self.folder / "passwd").write_text(passwd.rstrip("\n") + "\n" + line)
        (self.folder / "empty").touch()
        for program in ("unshare", "mount", "setpriv"):
            if shutil.which(program) is None:
                raise Unusable(f"no {program}: install util-linux")
        if not SPOOL.is_dir():
            raise Unusable(f"there is no {SPOOL}")
        if self.start(["true"]).wait(30) != 0:
            raise Unusable(f"no mount namespaces here ({self.last_words()})")


@contextmanager
def scratch_sandbox(name: str, number: int) -> Iterator[Sandbox]:
    """A sandbox with a recipient of its own, removed at the end; Unusable."""
    private = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(prefix="maa-locks-"))
    try:
        folder.chmod(0o711)
        spool, home = folder / "spool", folder / "home"
        spool.mkdir()
        home.mkdir()
        if private:
            uid = free_uid(number)
            recipient = Recipient(f"maa-{name}"[:32], uid, uid, home)
            os.chown(home, uid, uid)
            make_alike(spool)
        else:
            own = pwd.getpwuid(os.geteuid())
            recipient = Recipient(own.pw_name, own.pw_uid, own.pw_gid, home)
        sandbox = Sandbox(folder, recipient, spool, private)
        sandbox.prepare()
        sandbox.box.touch(0o660)
        if private:
            os.chown(sandbox.box, recipient.uid, spool.stat().st_gid)
        yield sandbox
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def free_uid(number: int) -> int:
    """A uid that no account of this machine has."""
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    free = [uid for uid in range(_HIGHEST_UID, _LOWEST_UID, -1) if uid not in taken]
    if number >= len(free):
        raise Unusable("no uid is free")
    return free[number]


def make_alike(spool: Path) -> None:
    """Give a directory the owner, group and mode of the real spool directory."""
    try:
        real = SPOOL.stat()
    except FileNotFoundError:
        raise Unusable(f"there is no {SPOOL}") from None
    os.chown(spool, real.st_uid, real.st_gid)
    spool.chmod(stat.S_IMODE(real.st_mode))
