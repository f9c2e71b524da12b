"""From a TOML file to a `Config`, collecting every fault on the way.

A fault names file and key and says what is allowed, because it is read by somebody whose mail
server does not start.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from twisted.internet import endpoints

from maa.limits import quota
from maa.service.config import Auth, Config, Listen, Mail, PasswordFile, Saslauthd, Tls
from maa.store.places import Place, checked_template

WORKERS_MAX: Final = 256
PORT_MAX: Final = 65535
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
_REALM = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


class ConfigError(Exception):
    """A configuration that cannot be used, with every reason in its text."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    key: str
    """As in `auth.saslauthd.realm`; empty for the file as a whole."""
    what: str
    """What is wrong and what is allowed."""


class _Bad(Exception):
    """The value is not one of those allowed; says which are."""


Check = Callable[[Any, Path], Any]
"""Takes the value and the folder that relative paths are relative to; raises `_Bad`."""


def load(file: Path) -> Config:
    """The configuration in the file; ConfigError with every fault."""
    try:
        with file.open("rb") as stream:
            table = tomllib.load(stream)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    config, faults = understood(table, file.absolute().parent)
    if faults:
        raise ConfigError("\n".join(f"{file}: {fault.key}: {fault.what}" for fault in faults))
    return config


def understood(table: Mapping[str, Any], folder: Path) -> tuple[Config, list[Fault]]:
    """The configuration that the table means, and all that is wrong with it."""
    faults: list[Fault] = []
    config: Config = _section(Config, table, "", folder, faults)
    if not faults:
        faults += _contradictions(config)
    return config, faults


def _section(
    kind: type[Any], table: Mapping[str, Any], prefix: str, folder: Path, faults: list[Fault]
) -> Any:
    checks = _CHECKS[kind]
    found: dict[str, Any] = {}
    for key, value in table.items():
        place = prefix + key
        if key not in checks:
            faults.append(Fault(place, f"unknown setting{_suggestion(key, checks)}"))
            continue
        check = checks[key]
        name = key.replace("-", "_")
        if isinstance(check, type):
            if isinstance(value, Mapping):
                found[name] = _section(check, value, place + ".", folder, faults)
            else:
                faults.append(Fault(place, "must be a table of settings"))
            continue
        try:
            found[name] = check(value, folder)
        except _Bad as bad:
            faults.append(Fault(place, f"{value!r} is not allowed: {bad}"))
    return kind(**found)


def _suggestion(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key.replace("_", "-"), known, n=1)
    close = close or difflib.get_close_matches(key, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; here may stand {', '.join(known)}"


def _contradictions(config: Config) -> list[Fault]:
    """What is wrong between settings that are right by themselves."""
    faults = []
    listen, tls = config.listen, config.tls
    if (tls.certificate is None) != (tls.key is None):
        missing = "key" if tls.key is None else "certificate"
        faults.append(Fault(f"tls.{missing}", "certificate and key are set together or not at all"))
    for name, places in (("imaps", listen.imaps), ("pop3s", listen.pop3s)):
        if places and tls.certificate is None:
            faults.append(Fault(f"listen.{name}", "needs tls.certificate and tls.key"))
    if not any(getattr(listen, part.name) for part in fields(Listen)):
        faults.append(Fault("listen", 'nothing to listen on; for example imap = ["tcp:143"]'))
    return faults


def _hostname(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or _HOSTNAME.fullmatch(value) is None:
        raise _Bad('a host name, such as "mail.example.org"')
    return value


def _path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _Bad("a path; a relative one begins at the configuration file's folder")
    return folder / value


def _workers(value: Any, folder: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= WORKERS_MAX:
        raise _Bad(f"a number from 0 (one process per core) to {WORKERS_MAX}")
    return value


def _endpoints(value: Any, folder: Path) -> tuple[str, ...]:
    allowed = (
        'a list of Twisted endpoint strings, such as ["tcp:143", "tcp6:143:interface=\\:\\:1"]'
    )
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _Bad(allowed)
    for one in value:
        try:
            # Nothing is opened before listen(), so no reactor is needed to find mistakes.
            endpoint = endpoints.serverFromString(None, one)
        except Exception as error:
            raise _Bad(f"{allowed} ({one!r}: {error})") from error
        if not 0 <= getattr(endpoint, "_port", 0) <= PORT_MAX:
            raise _Bad(f"{allowed} ({one!r}: ports go from 0 to {PORT_MAX})")
    return tuple(value)


def _one_of(*allowed: str) -> Check:
    def check(value: Any, folder: Path) -> str:
        if value not in allowed:
            raise _Bad("one of " + ", ".join(allowed))
        return str(value)

    return check


def _some_of(*allowed: str) -> Check:
    def check(value: Any, folder: Path) -> tuple[str, ...]:
        if (
            not isinstance(value, list)
            or not value
            or not all(one in allowed for one in value)
            or len(set(value)) < len(value)
        ):
            raise _Bad("a list of " + ", ".join(allowed) + ", in the wanted order, each once")
        return tuple(value)

    return check


def _realm(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or _REALM.fullmatch(value) is None:
        raise _Bad("none, from-at-sign, or a realm's name")
    return value


def _home(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise _Bad("an absolute path, in which {user}, {local} and {domain} may stand")
    try:
        return checked_template(value, home=False)
    except ValueError as error:
        raise _Bad(str(error)) from None


def _place(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise _Bad("a place, such as maildir:{home}/Maildir")
    try:
        Place.parse(value)
    except ValueError as error:
        raise _Bad(str(error)) from None
    return value


def _quota(value: Any, folder: Path) -> str:
    try:
        quota(value if isinstance(value, str) else "")
    except ValueError as error:
        raise _Bad(str(error)) from None
    return str(value)


_CHECKS: Final[dict[type[Any], dict[str, Check | type[Any]]]] = {
    Config: {
        "hostname": _hostname,
        "state": _path,
        "workers": _workers,
        "listen": Listen,
        "tls": Tls,
        "auth": Auth,
        "mail": Mail,
    },
    Listen: {part.name: _endpoints for part in fields(Listen)},
    Tls: {
        "certificate": _path,
        "key": _path,
        "plaintext_login": _one_of("never", "loopback", "always"),
    },
    Auth: {
        "sources": _some_of("password-file", "saslauthd"),
        "password-file": PasswordFile,
        "saslauthd": Saslauthd,
    },
    PasswordFile: {"path": _path},
    Saslauthd: {"socket": _path, "realm": _realm},
    Mail: {
        "home": _home,
        "inbox": _place,
        "folders": _place,
        "locks": _some_of("fcntl", "dotlock", "flock"),
        "quota": _quota,
    },
}
