"""`maa check-config FILE`: would the server start with this file?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from maa.auth import kerberos
from maa.auth.saslauthd import REALM_FROM_AT_SIGN
from maa.auth.tokens import needed_library
from maa.service import tls
from maa.service.building import issuer_of
from maa.service.config import Config
from maa.service.exposed import exposed
from maa.service.reading import ConfigError, load


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser("check-config", help="check a configuration file")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Say every fault; 0 when there is none."""
    try:
        config = load(arguments.file)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    for remark in remarks(config):
        print(f"{arguments.file}: note: {remark}")
    missing = missing_libraries(config)
    for fault in missing:
        print(f"{arguments.file}: {fault}", file=sys.stderr)
    if missing:
        return 1
    if all(file.exists() for file in _tls_files(config).values()):
        unusable = tls.fault(config.tls)
        if unusable is not None:
            print(f"{arguments.file}: tls: {unusable}", file=sys.stderr)
            return 1
    print(f"{arguments.file}: no faults")
    return 0


def missing_libraries(config: Config) -> list[str]:
    """What a configured mechanism needs and is not installed."""
    found = []
    if (library := needed_library(issuer_of(config.auth.oauth))) is not None:
        found.append(f"auth.oauth.jwks: needs {library}: pip install 'maa[oauth]'")
    if config.auth.gssapi.keytab is not None and kerberos.missing():
        found.append("auth.gssapi.keytab: needs gssapi: pip install 'maa[gssapi]'")
    return found


def _tls_files(config: Config) -> dict[str, Path]:
    """What TLS needs, by what names it."""
    files = {"tls.certificate": config.tls.certificate, "tls.key": config.tls.key}
    for number, pair in enumerate(config.tls.further, 1):
        files[f"tls.further {number}: certificate"] = pair.certificate
        files[f"tls.further {number}: key"] = pair.key
    files["tls.client_authorities"] = config.tls.client_authorities
    files["tls.client_revocations"] = config.tls.client_revocations
    return {key: file for key, file in files.items() if file is not None}


def remarks(config: Config) -> list[str]:
    """What is allowed, and perhaps not meant."""
    found = []
    found += [
        f"{key}: {file} is not there: the server does not start without it"
        for key, file in _tls_files(config).items()
        if not file.exists()
    ]
    files: dict[str, Path] = {}
    if "password-file" in config.auth.sources:
        files["auth.password-file.path"] = config.auth.password_file.path
    names = config.auth.names
    for key in ("local_hosts", "domain_table", "virtual_users"):
        if getattr(names, key) is not None:
            files[f"auth.names.{key}"] = getattr(names, key)
    if "saslauthd" in config.auth.sources:
        files["auth.saslauthd.socket"] = config.auth.saslauthd.socket
    found += [f"{key}: {file} is not there" for key, file in files.items() if not file.exists()]
    found += exposed(config)
    if "saslauthd" in config.auth.sources and config.auth.saslauthd.realm == REALM_FROM_AT_SIGN:
        found.append(
            "auth.saslauthd.realm: without its option -r saslauthd takes joe@one.example and "
            "joe@other.example for one user, unless it is started with -a sasldb"
        )
    audit = config.log.audit
    if audit is not None and not audit.parent.is_dir():
        found.append(
            f"log.audit: {audit.parent} is not there: the server does not start without it"
        )
    if config.run_as is None and any(endpoint.remote for _, endpoint in config.listen.named()):
        found.append("run_as: not set, so root cannot start it, but with twistd --uid")
    if config.tls.plaintext_login == "always":
        found.append("tls.plaintext_login: passwords may cross the network unencrypted")
    return found
