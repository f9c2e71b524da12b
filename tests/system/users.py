"""One person with a home and a Maildir: what an MDA would do to it, and what lies in it."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "s3cret pass\\word"
CLIENT = pwd.getpwnam("nobody")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class User:
    name: str
    home: Path
    uid: int
    password: str = PASSWORD
    settings: str = ""
    """What the password file says of this user's mail."""

    @property
    def spool(self) -> Path:
        """INBOX, of a user whose settings say so."""
        return self.home / "spool"

    @property
    def maildir(self) -> Path:
        return self.home / "Maildir"

    def make_home(self) -> None:
        """A fresh home with an empty Maildir, all of it the user's."""
        shutil.rmtree(self.home, ignore_errors=True)
        for folder in (self.home, self.maildir, *(self.maildir / d for d in ("cur", "new", "tmp"))):
            folder.mkdir(mode=0o700)
            self.give(folder)

    def give(self, path: Path) -> None:
        os.chown(path, self.uid, self.uid)

    def deliver(self, message: bytes, folder: str = "new", suffix: str = "") -> Path:
        """Lay one message into the Maildir as an MDA does: `tmp/`, fsync, rename (maildir(5))."""
        name = f"{int(time.time())}.M{next(_numbers)}P{os.getpid()}.test"
        draft = self.maildir / "tmp" / name
        draft.write_bytes(message)
        self.give(draft)
        draft.chmod(0o600)
        final = self.maildir / folder / (name + suffix)
        draft.rename(final)
        return final

    def files(self, folder: str | None = None) -> list[Path]:
        """The message files of INBOX, or of a Maildir++ folder, in order of their names."""
        base = self.maildir if folder is None else self.maildir / f".{folder}"
        found = [p for d in ("new", "cur") for p in (base / d).iterdir()]
        return sorted(found, key=lambda path: path.name)

    def settled(self) -> list[Path]:
        """The same, when names have got their flags: that is done behind the reply."""
        found: list[Path] = []
        while (now := self.files()) != found or not now:
            found = now
            time.sleep(0.4)
        return found

    def contents(self, folder: str | None = None) -> list[bytes]:
        return [path.read_bytes() for path in self.files(folder)]


def run_client(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a mail client as a person of this machine who owns `folder`, its home.

    Some clients refuse to run as root, and some for an id without a passwd entry.
    """
    return run_as(CLIENT.pw_uid, CLIENT.pw_gid, command, folder)


def run_as(
    uid: int, gid: int, command: Sequence[str | Path], folder: Path, data: bytes | None = None
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=data,
        user=uid,
        group=gid,
        extra_groups=[],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        timeout=60,
    )


def give(path: Path) -> None:
    """Make a client's file its own."""
    os.chown(path, CLIENT.pw_uid, CLIENT.pw_gid)
