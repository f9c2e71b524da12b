"""From a TOML file to a `Config`, collecting every fault on the way.

A fault names file and key and says what is allowed, because it is read by somebody whose mail
server does not start.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from twisted.internet import endpoints

from maa.auth.mechanisms import MECHANISMS
from maa.auth.new_hashes import NEW_SCHEMES
from maa.limits import quota
from maa.networks import Networks
from maa.service.config import (
    AppPasswords,
    Auth,
    Config,
    Endpoint,
    Gssapi,
    KeyPair,
    Limits,
    Listen,
    Log,
    Mail,
    Names,
    Oauth,
    PasswordFile,
    Saslauthd,
    Tls,
)
from maa.store.places import Place, checked_template
from maa.user import usable_name

WORKERS_MAX: Final = 256
COUNT_MAX: Final = 1_000_000
PORT_MAX: Final = 65535
UID_MAX: Final = 0xFFFFFFFE
SILENT_SECONDS_MAX: Final = 120
KEEPALIVE_MINUTES_MAX: Final = 29
"""Clients renew IDLE after 29 minutes (RFC 2177 §3)."""
CLASSIC: Final = ("plain", "login", "cram-md5", "digest-md5", "apop")
"""What mail programs knew before SCRAM."""
_HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")
_ENDPOINTS: Final = (
    'a list of Twisted endpoint strings, such as ["tcp:143", "tcp6:143:interface=\\:\\:1"], or of '
    'tables such as {endpoint = "tcp:993", allow = ["192.168.1.0/24"]}'
)
_KEY_PAIRS: Final = 'a list of tables such as {certificate = "cert.pem", key = "key.pem"}'
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
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
    try:
        return kind(**found)
    except TypeError:  # something that has no default was faulty
        return None


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
    if tls.further and tls.certificate is None:
        faults.append(Fault("tls.further", "needs tls.certificate and tls.key, for all others"))
    if tls.client_revocations is not None and tls.client_authorities is None:
        faults.append(Fault("tls.client_revocations", "needs tls.client_authorities"))
    for name in ("imaps", "pop3s"):
        if getattr(listen, name) and tls.certificate is None:
            faults.append(Fault(f"listen.{name}", "needs tls.certificate and tls.key"))
    for name, endpoint in listen.named():
        if endpoint.client_certificates == "none":
            continue
        if name == "http":
            faults.append(Fault("listen.http", "is served without TLS: no client_certificates"))
        elif tls.certificate is None or tls.client_authorities is None:
            needed = "tls.certificate, tls.key and tls.client_authorities"
            faults.append(Fault(f"listen.{name}", f"client_certificates needs {needed}"))
    faults += _tokens_of_whom(config.auth.oauth)
    if not any(True for _ in listen.named()):
        faults.append(Fault("listen", 'nothing to listen on; for example imap = ["tcp:143"]'))
    return faults


def _tokens_of_whom(oauth: Oauth) -> Iterator[Fault]:
    """Whoever has a token of anybody's for anything would be let in."""
    if oauth.jwks and not oauth.issuer:
        yield Fault("auth.oauth.issuer", 'who must have issued a token; "*" for anybody')
    if (oauth.jwks or oauth.introspection) and not oauth.audience:
        yield Fault("auth.oauth.audience", 'for whom a token must be; "*" for anybody')


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


def _count(value: Any, folder: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= COUNT_MAX:
        raise _Bad(f"a number from 1 to {COUNT_MAX}")
    return value


def _uid(value: Any, folder: Path) -> int:
    if type(value) is not int or not 1 <= value <= UID_MAX:
        raise _Bad("a uid, not root's")
    return value


def _silent(value: Any, folder: Path) -> int:
    if type(value) is not int or not 1 <= value <= SILENT_SECONDS_MAX:
        raise _Bad(f"seconds from 1 to {SILENT_SECONDS_MAX}")
    return value


def _user(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or _USER.fullmatch(value) is None or value == "root":
        raise _Bad("the name of a system's user, but not root")
    return value


def _endpoints(value: Any, folder: Path) -> tuple[Endpoint, ...]:
    if not isinstance(value, list):
        raise _Bad(_ENDPOINTS)
    tables = [{"endpoint": one} if isinstance(one, str) else one for one in value]
    return tuple(_tables(Endpoint, tables, folder, _ENDPOINTS))


def _endpoint(value: Any, folder: Path) -> str:
    if not isinstance(value, str):
        raise _Bad(_ENDPOINTS)
    try:
        # Nothing is opened before listen(), so no reactor is needed to find mistakes.
        endpoint = endpoints.serverFromString(None, value)
    except Exception as error:
        raise _Bad(f"{_ENDPOINTS} ({value!r}: {error})") from error
    if not 0 <= getattr(endpoint, "_port", 0) <= PORT_MAX:
        raise _Bad(f"{_ENDPOINTS} ({value!r}: ports go from 0 to {PORT_MAX})")
    return value


def _networks(value: Any, folder: Path) -> Networks:
    allowed = 'a list of networks and addresses, such as ["192.168.1.0/24", "2001:db8::1"]'
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _Bad(allowed)
    try:
        return Networks.parse(value)
    except ValueError as error:
        raise _Bad(f"{allowed} ({error})") from None


def _key_pairs(value: Any, folder: Path) -> tuple[KeyPair, ...]:
    if not isinstance(value, list):
        raise _Bad(_KEY_PAIRS)
    return tuple(_tables(KeyPair, value, folder, _KEY_PAIRS))


def _tables(kind: type[Any], tables: list[Any], folder: Path, allowed: str) -> Iterator[Any]:
    """Tables in a list, each with all settings that have no default."""
    needed = {part.name for part in fields(kind) if part.default is MISSING}
    for table in tables:
        if not isinstance(table, Mapping) or not needed <= set(table):
            raise _Bad(allowed)
        faults: list[Fault] = []
        made = _section(kind, table, "", folder, faults)
        if faults:
            raise _Bad("; ".join(f"{fault.key}: {fault.what}" for fault in faults))
        yield made


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


def _domain(value: Any, folder: Path) -> str:
    if value != "" and (not isinstance(value, str) or _HOSTNAME.fullmatch(value) is None):
        raise _Bad('a domain, such as "example.org", or "" for none')
    return str(value).lower()


def _mechanisms(value: Any, folder: Path) -> tuple[str, ...]:
    known = ["auto", "classic", *(name.decode().lower() for name in MECHANISMS), "apop"]
    names = [str(one).lower() for one in value] if isinstance(value, list) else []
    if not names or not all(name in known for name in names):
        raise _Bad(f'["auto"], which other names may follow, or a list of {", ".join(known[1:])}')
    sets = {"classic": CLASSIC}
    return tuple(dict.fromkeys(one for name in names for one in sets.get(name, (name,))))


def _word(value: Any, folder: Path) -> str:
    if not isinstance(value, str) or len(value) > 1024 or not value.isprintable():
        raise _Bad("a text of one line")
    return value


def _address(value: Any, folder: Path) -> str:
    """Of a web service: who listens on the way there could let anybody in."""
    if value != "" and not (isinstance(value, str) and _is_safe(value)):
        raise _Bad("an address that begins with https:// (on this machine http:// too)")
    return str(value)


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        here = parts.hostname in ("localhost", "127.0.0.1", "::1")
    except ValueError:
        return False
    plain = parts.scheme == "http" and here
    return (plain or parts.scheme == "https") and bool(parts.hostname) and "@" not in parts.netloc


def _keys(value: Any, folder: Path) -> str:
    if isinstance(value, str) and "://" in value:
        return _address(value, folder)
    return str(_path(value, folder))


def _users(value: Any, folder: Path) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(o, str) and usable_name(o) for o in value):
        raise _Bad("a list of users' names")
    return tuple(value)


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


def _keepalive(value: Any, folder: Path) -> int:
    if type(value) is not int or not 0 <= value <= KEEPALIVE_MINUTES_MAX:
        raise _Bad(f"minutes from 1 to {KEEPALIVE_MINUTES_MAX}, or 0 for never")
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
        "run_as": _user,
        "listen": Listen,
        "tls": Tls,
        "auth": Auth,
        "mail": Mail,
        "log": Log,
        "limits": Limits,
    },
    Listen: {part.name: _endpoints for part in fields(Listen)},
    Endpoint: {
        "endpoint": _endpoint,
        "allow": _networks,
        "proxies": _networks,
        "client_certificates": _one_of("none", "optional", "required"),
    },
    KeyPair: {"certificate": _path, "key": _path},
    Tls: {
        "certificate": _path,
        "key": _path,
        "further": _key_pairs,
        "client_authorities": _path,
        "client_revocations": _path,
        "plaintext_login": _one_of("never", "loopback", "always"),
    },
    Auth: {
        "sources": _some_of("password-file", "saslauthd"),
        "first_uid": _uid,
        "mechanisms": _mechanisms,
        "proxies": _users,
        "password-file": PasswordFile,
        "app-passwords": AppPasswords,
        "saslauthd": Saslauthd,
        "names": Names,
        "oauth": Oauth,
        "gssapi": Gssapi,
    },
    Gssapi: {"keytab": _path, "realm": _word},
    Oauth: {
        "claim": _word,
        "issuer": _word,
        "audience": _word,
        "scope": _word,
        "jwks": _keys,
        "introspection": _address,
        "client_id": _word,
        "secret_file": _path,
    },
    PasswordFile: {"path": _path, "rehash": _one_of("none", *NEW_SCHEMES)},
    AppPasswords: {"path": _path},
    Names: {
        "default_domain": _domain,
        "local_hosts": _path,
        "domain_table": _path,
        "virtual_users": _path,
    },
    Saslauthd: {
        "socket": _path,
        "realm": _realm,
        "vouched": _one_of("system", "anybody"),
        "silent_seconds": _silent,
    },
    Mail: {
        "home": _home,
        "inbox": _place,
        "folders": _place,
        "locks": _some_of("fcntl", "dotlock", "flock"),
        "quota": _quota,
    },
    Log: {"audit": _path},
    Limits: {
        "connections": _count,
        "connections_per_address": _count,
        "not_logged_in": _count,
        "not_logged_in_per_address": _count,
        "sessions_per_user": _count,
        "sessions_per_device": _count,
        "failed_logins_per_address": _count,
        "failed_logins_per_account": _count,
        "keepalive_minutes": _keepalive,
        "mobile_keepalive_minutes": _keepalive,
        "exempt": _networks,
    },
}
