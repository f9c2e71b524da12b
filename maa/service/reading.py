"""From a TOML file to a `Config`, collecting every fault on the way.

A fault names file and key and says what is allowed, because it is read by somebody whose mail
server does not start.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Final

from maa.auth.new_hashes import NEW_SCHEMES
from maa.service import values
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
from maa.service.values import ENDPOINTS, Bad, Check

_KEY_PAIRS: Final = 'a list of tables such as {certificate = "cert.pem", key = "key.pem"}'


class ConfigError(Exception):
    """A configuration that cannot be used, with every reason in its text."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    key: str
    """As in `auth.saslauthd.realm`; empty for the file as a whole."""
    what: str
    """What is wrong and what is allowed."""


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
        except Bad as bad:
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


def _endpoints(value: Any, folder: Path) -> tuple[Endpoint, ...]:
    if not isinstance(value, list):
        raise Bad(ENDPOINTS)
    tables = [{"endpoint": one} if isinstance(one, str) else one for one in value]
    return tuple(_tables(Endpoint, tables, folder, ENDPOINTS))


def _key_pairs(value: Any, folder: Path) -> tuple[KeyPair, ...]:
    if not isinstance(value, list):
        raise Bad(_KEY_PAIRS)
    return tuple(_tables(KeyPair, value, folder, _KEY_PAIRS))


def _tables(kind: type[Any], tables: list[Any], folder: Path, allowed: str) -> Iterator[Any]:
    """Tables in a list, each with all settings that have no default."""
    needed = {part.name for part in fields(kind) if part.default is MISSING}
    for table in tables:
        if not isinstance(table, Mapping) or not needed <= set(table):
            raise Bad(allowed)
        faults: list[Fault] = []
        made = _section(kind, table, "", folder, faults)
        if faults:
            raise Bad("; ".join(f"{fault.key}: {fault.what}" for fault in faults))
        yield made


_CHECKS: Final[dict[type[Any], dict[str, Check | type[Any]]]] = {
    Config: {
        "hostname": values.hostname,
        "state": values.path,
        "workers": values.workers,
        "run_as": values.user,
        "listen": Listen,
        "tls": Tls,
        "auth": Auth,
        "mail": Mail,
        "log": Log,
        "limits": Limits,
    },
    Listen: {part.name: _endpoints for part in fields(Listen)},
    Endpoint: {
        "endpoint": values.endpoint,
        "allow": values.networks,
        "proxies": values.networks,
        "client_certificates": values.one_of("none", "optional", "required"),
    },
    KeyPair: {"certificate": values.path, "key": values.path},
    Tls: {
        "certificate": values.path,
        "key": values.path,
        "further": _key_pairs,
        "client_authorities": values.path,
        "client_revocations": values.path,
        "plaintext_login": values.one_of("never", "loopback", "always"),
    },
    Auth: {
        "sources": values.some_of("password-file", "saslauthd"),
        "first_uid": values.uid,
        "mechanisms": values.mechanisms,
        "proxies": values.users,
        "password-file": PasswordFile,
        "app-passwords": AppPasswords,
        "saslauthd": Saslauthd,
        "names": Names,
        "oauth": Oauth,
        "gssapi": Gssapi,
    },
    Gssapi: {"keytab": values.path, "realm": values.word},
    Oauth: {
        "claim": values.word,
        "issuer": values.word,
        "audience": values.word,
        "scope": values.word,
        "jwks": values.keys,
        "introspection": values.address,
        "client_id": values.word,
        "secret_file": values.path,
    },
    PasswordFile: {"path": values.path, "rehash": values.one_of("none", *NEW_SCHEMES)},
    AppPasswords: {"path": values.path},
    Names: {
        "default_domain": values.domain,
        "local_hosts": values.path,
        "domain_table": values.path,
        "virtual_users": values.path,
    },
    Saslauthd: {
        "socket": values.path,
        "realm": values.realm,
        "vouched": values.one_of("system", "anybody"),
        "silent_seconds": values.silent,
    },
    Mail: {
        "home": values.home,
        "inbox": values.place,
        "folders": values.place,
        "locks": values.some_of("fcntl", "dotlock", "flock"),
        "quota": values.quota,
    },
    Log: {"audit": values.path},
    Limits: {
        "connections": values.count,
        "connections_per_address": values.count,
        "not_logged_in": values.count,
        "not_logged_in_per_address": values.count,
        "sessions_per_user": values.count,
        "sessions_per_device": values.count,
        "failed_logins_per_address": values.count,
        "failed_logins_per_account": values.count,
        "keepalive_minutes": values.keepalive,
        "mobile_keepalive_minutes": values.keepalive,
        "exempt": values.networks,
    },
}
