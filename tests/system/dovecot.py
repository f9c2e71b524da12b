"""Debian's Dovecot on free loopback ports, over the homes of the tests' users."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .server import Server, free_ports
from .users import User

CONFIGURATION = """
base_dir = {folder}/run
state_dir = {folder}/state
protocols = imap pop3
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
log_path = {folder}/log
first_valid_uid = 1
mail_location = {location}
{settings}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
namespace inbox {{
  inbox = yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
"""


@dataclass
class Dovecot:
    """One Dovecot; `location` is its mail_location."""

    folder: Path
    users: list[User]
    location: str = "maildir:~/Maildir"
    settings: str = ""
    imap: int = 0
    pop3: int = 0

    def start(self) -> None:
        self.folder.mkdir(mode=0o755)
        self.imap, self.pop3 = free_ports(2)
        (self.folder / "users").write_text(
            "".join(f"{u.name}:{u.password}:{u.uid}:{u.uid}::{u.home}::\n" for u in self.users)
        )
        file = self.folder / "dovecot.conf"
        file.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                location=self.location,
                settings=self.settings,
                imap=self.imap,
                pop3=self.pop3,
            )
        )
        subprocess.run(["dovecot", "-c", file], check=True, timeout=30)
        deadline = time.monotonic() + 20
        while not (Server.accepts(self.imap) and Server.accepts(self.pop3)):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if not (self.folder / "run/master.pid").exists():
            return
        pid = int((self.folder / "run/master.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 20
        while Path(f"/proc/{pid}").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
