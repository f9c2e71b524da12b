"""procmail as the MDA of a user whose INBOX is a spool file."""

from __future__ import annotations

import os
from pathlib import Path

from .users import CLIENT, User, run_as

RECIPE = """SHELL=/bin/sh
HOME={home}
DEFAULT={spool}
ORGMAIL={spool}
LOGFILE={home}/procmail.log
{more}
"""


class Undelivered(Exception):
    """procmail gave the message back."""


class Procmail:
    def __init__(self, user: User, name: str = "procmailrc", more: str = "") -> None:
        self.user = user
        self.recipe = user.home / name
        self.recipe.write_text(RECIPE.format(home=user.home, spool=user.spool, more=more))
        self.recipe.chmod(0o600)
        user.give(self.recipe)

    def deliver(self, message: bytes) -> None:
        command: list[str | Path] = ["procmail", "-f", "ann@example.org", self.recipe]
        done = run_as(self.user.uid, CLIENT.pw_gid, command, self.user.home, message)
        if done.returncode:
            raise Undelivered(done.stderr)


def locks(user: User) -> list[str]:
    return [name for name in os.listdir(user.home) if "lock" in name]
