"""The parts of the service, each made as a `Config` says; also for the administrator's tools."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from maa.auth.app_passwords import AppPasswords, seen_folder
from maa.auth.credentials import Authenticator
from maa.auth.installation import secret
from maa.auth.kerberos import Kerberos
from maa.auth.names import Names
from maa.auth.password_file import PasswordFile
from maa.auth.penalties import Free, Ledgers, Penalties
from maa.auth.saslauthd import Saslauthd
from maa.auth.source import Source
from maa.auth.tokens import Issuer, Tokens
from maa.service import privileges
from maa.service.audit_file import AuditFile
from maa.service.config import Config, Oauth
from maa.service.exposed import exposed
from maa.service.factories import PROTOCOLS
from maa.service.tls import Certificates
from maa.store.places import MailPlaces
from maa.transport.sessions import Limits

ANY: Final = "*"
"""In place of an issuer or an audience: whoever it is."""
_log = logging.getLogger(__name__)


def certificates_of(config: Config) -> Certificates | None:
    """The configured certificates, read now, with the contexts that the listeners need."""
    if not config.tls.pairs:
        return None
    certificates = Certificates(config.tls)
    for name, endpoint in config.listen.named():
        if name in PROTOCOLS:
            certificates.context(PROTOCOLS[name], endpoint.client_certificates)
    return certificates


def shed_privileges(config: Config, file: Path | None) -> None:
    """Give up what was needed to bind ports and read keys; before there are threads."""
    for fault in exposed(config, passwords=False):
        _log.warning("%s", fault)
    if os.geteuid() == 0:
        os.setgroups([])  # no user's mail is to be reached through them
    try:
        remote = any(endpoint.remote for _, endpoint in config.listen.named())
        privileges.shed(config.run_as, config.state, remote=remote)
    except privileges.CannotDrop as error:
        raise SystemExit(f"{file or 'maa'}: {error}") from None


def audit_of(config: Config, file: Path | None) -> AuditFile | None:
    """The audit log, begun, if one is configured."""
    if config.log.audit is None:
        return None
    audit = audit_file(config.log.audit, file)
    audit.start()
    return audit


def audit_file(path: Path, file: Path | None) -> AuditFile:
    """The audit log, open; SystemExit."""
    try:
        return AuditFile(path)
    except OSError as error:
        raise SystemExit(f"{file or 'maa'}: log.audit: {error}") from None


def ensure_serves(config: Config, file: Path | None) -> None:
    """SystemExit where a server would not start with what can change while one runs."""
    authenticator_of(config)
    if config.log.audit is not None:
        audit_file(config.log.audit, file).give_back()


def limits_of(config: Config) -> Limits:
    """How many connections there may be, as configured."""
    limits = config.limits
    return Limits(
        connections=limits.connections,
        per_address=limits.connections_per_address,
        per_user=limits.sessions_per_user,
        per_device=limits.sessions_per_device,
        exempt=limits.exempt,
        strangers=limits.not_logged_in,
        strangers_per_address=limits.not_logged_in_per_address,
    )


def places_of(config: Config) -> MailPlaces:
    """Where users' mail is, as configured."""
    mail = config.mail
    return MailPlaces.parse(mail.home, mail.inbox, mail.folders, mail.locks, mail.quota)


def authenticator_of(
    config: Config,
    ledgers: Ledgers | None = None,
    *,
    sources: Sequence[Source] | None = None,
    app_passwords: AppPasswords | None = None,
) -> Authenticator:
    """Who checks passwords and knows users, as configured, but for what is given.

    `ledgers` say who guessed.
    """
    auth, names, issuer = config.auth, config.auth.names, issuer_of(config.auth.oauth)
    gssapi, limits = config.auth.gssapi, config.limits
    try:
        tokens = Tokens(issuer) if issuer.jwks or issuer.introspection else None
        kerberos = Kerberos(str(gssapi.keytab), gssapi.realm) if gssapi.keytab else None
    except ImportError as error:
        raise SystemExit(f"{error.name} is missing: maa check-config says what needs it") from None
    free = Free(limits.failed_logins_per_address, limits.failed_logins_per_account, limits.exempt)
    return Authenticator(
        sources_of(config) if sources is None else sources,
        penalties=Penalties(ledgers, free),
        names=Names(
            names.default_domain,
            _text(names.local_hosts),
            _text(names.domain_table),
            _text(names.virtual_users),
        ),
        app_passwords=app_passwords or app_passwords_of(config),
        tokens=tokens,
        kerberos=kerberos,
        mechanisms=wanted_mechanisms(auth.mechanisms),
        proxies=auth.proxies,
        secret=partial(secret, str(config.state)),
        first_uid=auth.first_uid,
    )


def app_passwords_of(config: Config) -> AppPasswords:
    """The devices' passwords, as configured."""
    return AppPasswords(str(config.auth.app_passwords.path), seen_folder(str(config.state)))


def issuer_of(oauth: Oauth) -> Issuer:
    """Whose tokens are taken, as configured."""
    return Issuer(
        oauth.claim,
        "" if oauth.issuer == ANY else oauth.issuer,
        "" if oauth.audience == ANY else oauth.audience,
        oauth.scope,
        oauth.jwks,
        oauth.introspection,
        oauth.client_id,
        _text(oauth.secret_file) or "",
    )


def wanted_mechanisms(names: tuple[str, ...]) -> tuple[bytes, ...]:
    """As the authenticator takes them."""
    return tuple(name.upper().encode() for name in names)


def sources_of(config: Config, *, rehashing: bool = True) -> list[Source]:
    """What knows users, in the order in which it is asked; `rehashing`: as is configured."""
    auth = config.auth
    rehash = auth.password_file.rehash if rehashing else "none"
    made: dict[str, Callable[[], Source]] = {
        "password-file": lambda: PasswordFile(str(auth.password_file.path), rehash),
        "saslauthd": lambda: Saslauthd(
            str(auth.saslauthd.socket),
            auth.saslauthd.realm,
            vouched=auth.saslauthd.vouched,
            silent_seconds=auth.saslauthd.silent_seconds,
        ),
    }
    return [made[name]() for name in auth.sources]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
