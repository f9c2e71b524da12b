"""Fifty users who log in at once, each hash a slow one."""

from __future__ import annotations

import threading
from collections.abc import Callable

from served import Client, Server, logged_in, password_lines

COUNT = 50
SCHEMES = {"Argon2id": "ARGON2ID", "bcrypt of cost 12": "BLF-CRYPT"}
"""As `maa passwd` makes them."""


def _names(what: str) -> list[str]:
    return [f"{SCHEMES[what].lower()}{number}" for number in range(COUNT)]


def lines() -> str:
    """Of the password file: fifty users in each scheme."""
    return "".join(password_lines(iter(_names(what)), scheme) for what, scheme in SCHEMES.items())


def logins(server: Server, what: str) -> Callable[[Client], bytes]:
    """From addresses of their own, so that none has to wait for its neighbours' share."""

    def log_in(_: Client) -> bytes:
        done: list[str] = []

        def one(number: int, user: str) -> None:
            logged_in(server, user, f"127.0.7.{1 + number}").close()
            done.append(user)

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(_names(what))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return b"OK" if len(done) == COUNT else b"%d of %d" % (len(done), COUNT)

    return log_in
