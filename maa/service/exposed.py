"""Files of secrets that others than their owner and group can reach."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from maa.auth.settled_file import reachable
from maa.service.config import Config


def exposed(config: Config, *, passwords: bool = True) -> list[str]:
    """What is wrong with the modes of the configured files, as settings and what to do.

    `passwords`: of the password file too, which says so itself whenever it is read.
    """
    found = []
    for key, file in _secrets(config, passwords):
        try:
            status = os.stat(file)
        except OSError:
            continue  # whoever reads it says so
        found += [f"{key}: {file}: {fault}" for fault in reachable(status)]
    return found


def _secrets(config: Config, passwords: bool) -> Iterator[tuple[str, Path]]:
    auth = config.auth
    yield from (("tls.key", pair.key) for pair in config.tls.pairs)
    if passwords and "password-file" in auth.sources:
        yield "auth.password-file.path", auth.password_file.path
    yield "auth.app-passwords.path", auth.app_passwords.path
    if auth.oauth.secret_file is not None:
        yield "auth.oauth.secret_file", auth.oauth.secret_file
    if auth.gssapi.keytab is not None:
        yield "auth.gssapi.keytab", auth.gssapi.keytab
