"""mutt at a terminal that nobody looks at."""

from __future__ import annotations

import os
import pty
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from maa.cli.sandbox import Sandbox

SETTINGS = (
    "set quit=yes delete=yes move=no confirmappend=no confirmcreate=no wait_key=no beep=no",
    "set mbox_type=mbox sort=mailbox-order sleep_time=0 mark_old=no copy=no header_cache=''",
)
SECONDS = 60


class Mutt:
    """The recipient of a sandbox, with mutt, in the same mount namespace as the MDAs."""

    def __init__(self, sandbox: Sandbox, mailbox: str | Path) -> None:
        self.sandbox = sandbox
        self.mailbox = mailbox
        self.seen = b""
        folder = sandbox.recipient.home / "Mail"  # or mutt asks whether to make it
        folder.mkdir(exist_ok=True)
        os.chown(folder, sandbox.recipient.uid, sandbox.recipient.gid)

    def remove(self, subject: str) -> None:
        """Delete every message whose Subject has this, if mutt gets its locks, and leave."""
        self.run(self.mailbox, f"<delete-pattern>~s {subject}<enter><sync-mailbox><exit>")

    def save(self, message: bytes) -> bool:
        """Copy a message from another mbox into the mailbox; False: mutt says that it did not.

        It did not get its locks; or it looked, before it had them, whether this is a mailbox at
        all, while another program was rewriting the beginning of the file.
        """
        source = self.sandbox.recipient.home / "drafts"
        source.write_bytes(b"From mutt@example.org Thu Jan  1 10:00:00 2026\n" + message + b"\n")
        os.chown(source, self.sandbox.recipient.uid, self.sandbox.recipient.gid)
        well = self.run(source, f"<copy-message>{self.mailbox}<enter><exit>")
        return well and b"lock" not in self.seen and b"not a mailbox" not in self.seen

    def run(self, mailbox: str | Path, keys: str) -> bool:
        """Start mutt and press keys; False: something went wrong and it forgot the rest."""
        who = self.sandbox.recipient
        words: list[str | Path] = ["setpriv", "--reuid", str(who.uid), "--regid", str(who.gid)]
        words += ["--clear-groups", "mutt", "-n", "-F", "/dev/null", "-f", mailbox]
        for setting in SETTINGS:
            words += ["-e", setting]
        words += ["-e", f"push '{keys}'"]
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            self.sandbox.command(words),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=who.home,
            env={**self.sandbox.environment(), "TERM": "xterm", "LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )
        os.close(theirs)
        self.seen = b""
        reading = threading.Thread(target=self._read, args=(ours,))
        reading.start()
        until = time.monotonic() + SECONDS
        well = True
        try:
            while process.poll() is None and time.monotonic() < until:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                    break
                # It found locks for longer than it waits, opened the mailbox to read only, or
                # asks whether to remove them; and has forgotten the keys it was given.
                well = False
                os.write(ours, b"\x07x")
            assert process.poll() == 0, f"mutt does not end well:\n{self.seen[-2000:]!r}"
        finally:
            if process.poll() is None:
                process.kill()
            reading.join(5)
            os.close(ours)
        return well

    def _read(self, terminal: int) -> None:
        until = time.monotonic() + SECONDS + 5
        with suppress(OSError):  # EIO: mutt has left
            while (data := os.read(terminal, 4096)) and time.monotonic() < until:
                self.seen += data
