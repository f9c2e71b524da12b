"""`maa passwd USER`: add, change, check and delete users of the password file."""

from __future__ import annotations

import argparse
import getpass
import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from maa.auth import restrictions
from maa.auth.app_passwords import NoSuchDevice, when
from maa.auth.errors import AuthUnavailable, BadCredentials, Disabled
from maa.auth.hashes import PasswordTooLong, UnknownHash
from maa.auth.new_hashes import DEFAULT_SCHEME, NEW_SCHEMES, new_hash
from maa.auth.password_edit import Fields, NoSuchUser, delete, set_password
from maa.auth.password_file import PasswordFile
from maa.auth.password_line import parsed
from maa.limits import quota
from maa.service.building import app_passwords_of, authenticator_of
from maa.service.config import Auth, Config
from maa.service.config import PasswordFile as PasswordFileSettings
from maa.service.reading import ConfigError, load
from maa.user import usable_name

CONFIG: Final = Path("/etc/maa/maa.toml")
PASSWORD_OCTETS_MAX: Final = 1024


class _Fault(Exception):
    """What is wrong, for whoever typed the command."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to `maa`."""
    parser = commands.add_parser(
        "passwd",
        help="add, change, check and delete users of the password file",
        description="Set a user's password, adding the user if need be; it is asked for twice.",
    )
    parser.add_argument("user", metavar="USER")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--file", type=Path, help="the password file")
    where.add_argument(
        "--config", type=Path, help=f"the configuration that names the password file ({CONFIG})"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only say whether a password fits")
    what.add_argument("--delete", action="store_true", help="delete the user")
    what.add_argument(
        "--keep", action="store_true", help="keep the password, change only what is given below"
    )
    what.add_argument(
        "--app",
        metavar="NAME",
        help="make a password for one device, and show it once; with --revoke, take it back",
    )
    what.add_argument("--apps", action="store_true", help="list the devices and their last use")
    parser.add_argument("--revoke", action="store_true", help="with --app: revoke the password")
    parser.add_argument("--stdin", action="store_true", help="take the password from stdin's line")
    parser.add_argument(
        "--scheme",
        type=str.upper,
        choices=NEW_SCHEMES,
        default=DEFAULT_SCHEME,
        help=f"how to store it ({DEFAULT_SCHEME}); CRYPT is yescrypt",
    )
    parser.add_argument("--uid", type=int, help="file-system uid for the user's mail")
    parser.add_argument("--gid", type=int, help="file-system gid")
    parser.add_argument("--home", help="home directory")
    parser.add_argument("--inbox", metavar="PLACE", help="as [mail] inbox, for this user")
    parser.add_argument("--folders", metavar="PLACE", help="as [mail] folders, for this user")
    parser.add_argument(
        "--quota", metavar="QUOTA", help="as [mail] quota, for this user, such as 1GiB,100000C"
    )
    parser.add_argument("--allow-nets", metavar="NETS", help="only from 192.168.1.0/24,::1")
    parser.add_argument("--protocols", metavar="NAMES", help="only by imap, pop3 or imap,pop3")
    parser.add_argument("--expires", metavar="DATE", help="not after this day, 2027-01-31 (UTC)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; 0, or 1 with the reason on stderr."""
    try:
        if arguments.app is not None or arguments.apps or arguments.revoke:
            print(_of_devices(arguments))
        else:
            print(_done(arguments, _config(arguments)))
    except (_Fault, ConfigError, AuthUnavailable, PasswordTooLong, UnknownHash) as error:
        reason = str(error)
    except BadCredentials:
        reason = "the password does not fit"
    except Disabled:
        reason = f"the password fits, but {arguments.user} may not log in"
    except NoSuchDevice:
        reason = f"{arguments.user} has no password for {arguments.app}"
    except NoSuchUser:
        reason = f"there is no user {arguments.user}"
    except OSError as error:
        reason = f"{error.filename or 'the password file'}: {error.strerror}"
    else:
        return 0
    print(f"maa passwd: {reason}", file=sys.stderr)
    return 1


def _of_devices(arguments: argparse.Namespace) -> str:
    """App passwords: add, revoke or list."""
    name: str = arguments.user
    if not usable_name(name):
        raise _Fault(f"{name!r} is no usable name")
    if arguments.app is None and not arguments.apps:
        raise _Fault("--revoke says which: --app NAME --revoke USER")
    config = load(arguments.config or CONFIG)
    authenticator = authenticator_of(config)
    typed, name = name, authenticator.account(name) or ""
    if not usable_name(name):
        raise _Fault(f"{typed} is nobody's name")
    apps = app_passwords_of(config)
    if arguments.apps:
        lines = [
            f"{one.device}: made {one.created}, {when(apps.last_use(name, one.device))}"
            for one in apps.listed(name)
        ]
        return "\n".join(lines) or f"{name} has no app passwords"
    if arguments.revoke:
        apps.revoke(name, arguments.app)
        return f"{name}: the password for {arguments.app} is revoked"
    if authenticator.stored(name) is None:
        raise NoSuchUser(name)
    try:
        password = apps.add(name, arguments.app)
    except ValueError as error:
        raise _Fault(str(error)) from None
    _let_read(apps.path, config)
    return f"{name}: the password for {arguments.app}, shown only now:\n{password}"


def _revoke_all(config: Config, name: str) -> int:
    """Take all app passwords of a user; how many there were."""
    apps = app_passwords_of(config)
    listed = apps.listed(name)
    for one in listed:
        apps.revoke(name, one.device)
    return len(listed)


def _config(arguments: argparse.Namespace) -> Config:
    """With nothing but the password file, where there is no more."""
    if arguments.file is None and (arguments.config is not None or CONFIG.exists()):
        return load(arguments.config or CONFIG)
    path = arguments.file or PasswordFileSettings().path
    return Config(auth=Auth(password_file=PasswordFileSettings(Path(path))))


def _let_read(path: str, config: Config) -> None:
    """Give a file that root has just made to the group of the user as whom the server reads it."""
    status = os.stat(path)
    if config.run_as is None or status.st_uid or status.st_gid or status.st_mode & 0o077:
        return
    try:
        os.chown(path, -1, pwd.getpwnam(config.run_as).pw_gid)
        os.chmod(path, 0o640)
    except KeyError:
        raise _Fault(f"run_as: there is no user {config.run_as}") from None


def _done(arguments: argparse.Namespace, config: Config) -> str:
    name, path = str(arguments.user), str(config.auth.password_file.path)
    if not usable_name(name):
        raise _Fault(f"{name!r} is no usable name: letters, digits and . _ + - = @, no ..")
    if arguments.delete:
        delete(path, name)
        devices = _revoke_all(config, name) if arguments.file is None else 0
        return f"{name} is deleted from {path}" + (f", with {devices} devices" if devices else "")
    if arguments.check:
        password = _encoded(_password(arguments, twice=False))
        if PasswordFile(path).check(name, password, "check") is None:
            raise NoSuchUser(name)
        return f"{name}: the password fits"
    fields = Fields(
        arguments.uid,
        arguments.gid,
        arguments.home,
        arguments.inbox,
        arguments.folders,
        # Words behind the shell hold no blanks.
        None if arguments.quota is None else "".join(arguments.quota.split()),
        arguments.allow_nets,
        arguments.protocols,
        arguments.expires,
    )
    stored = None
    if not arguments.keep:
        stored = new_hash(_encoded(_password(arguments, twice=True)), arguments.scheme)
    _ensure_sound(name, stored, fields)
    new = set_password(path, name, stored, fields)
    _let_read(path, config)
    return f"{name} is {'added to' if new else 'changed in'} {path}"


def _ensure_sound(name: str, stored: str | None, fields: Fields) -> None:
    """Refuse what would make a line that cannot be read again."""
    words = [word for word in (fields.home, fields.inbox, fields.folders, stored) if word]
    if any(octet in word for word in words for octet in "\r\n\0") or ":" in (fields.home or ""):
        raise _Fault("a field cannot hold a line end, and a home no colon")
    if stored is not None and ":" in stored:
        raise _Fault("a password stored as it is cannot hold a colon")
    if any(word.split() != [word] for word in (fields.inbox, fields.folders) if word):
        raise _Fault("a place cannot hold blanks")
    readers: tuple[tuple[str | None, Callable[[str], object]], ...] = (
        (fields.quota, quota),
        (fields.allow_nets, restrictions.networks),
        (fields.protocols, restrictions.services),
        (fields.expires, restrictions.expiry),
    )
    for value, read in readers:
        if value:
            try:
                read(value)
            except ValueError as error:
                raise _Fault(str(error)) from None
    numbers = ("" if number is None else str(number) for number in (fields.uid, fields.gid))
    line = ":".join((name, stored or "!", *numbers, "", fields.home or "", ""))
    for fault in parsed(line, 1)[1]:
        raise _Fault(fault.text)


def _password(arguments: argparse.Namespace, *, twice: bool) -> str:
    if arguments.stdin:
        line = sys.stdin.readline(4 * PASSWORD_OCTETS_MAX)
        if not line:
            raise _Fault("no password on stdin")
        return line.rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if twice and getpass.getpass("Again: ") != password:
        raise _Fault("the two passwords are not the same; nothing is changed")
    return password


def _encoded(password: str) -> bytes:
    octets = password.encode("utf-8", "surrogateescape")
    if not octets:
        raise _Fault("the password is empty")
    if len(octets) > PASSWORD_OCTETS_MAX:
        raise _Fault(f"the password is longer than {PASSWORD_OCTETS_MAX} octets")
    return octets
