"""Login names: which account a name means, by one rule for every source.

    joe                 joe@DEFAULT-DOMAIN, where there is a default domain
    joe@old.example     joe@new.example, by the table of domains (sendmail's domaintable)
    sales@example.org   joe, by the map of addresses (sendmail's virtusertable)
    joe@host.example    joe, where host.example is a name of this host (local-host-names)

The rule: add the default domain to a name that has none; then, as long as the map changes anything,
replace the domain by what it stands for and the address by what the map says; at last drop a
domain that is this host's own. What has no domain then is an account's name.

The files have sendmail's text forms: `#` begins a comment, key and value stand apart by blanks. In
the map `@example.org` is everybody else of a domain, `%1` in a value is what stands before the
`@`, and `error:...` is nobody. They are read again when they change; while one cannot be read, all
stays as it was, and if it never could be, nobody can log in.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from maa.auth.errors import AuthUnavailable
from maa.auth.settled_file import settled, stamp

REPLACED_MAX: Final = 10
"""As often; maps that lead in a circle end there."""
ADDRESS_LENGTH_MAX: Final = 1024
"""A longer one is nobody's: a map with `%1` twice in a value would double it time and again."""
T = TypeVar("T")
File = tuple[str, bytes]
"""Its path, for what is said of it, and what is in it."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tables:
    """What the files say, in small letters but for the accounts."""

    local: frozenset[str] = frozenset()
    domains: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, local: File, domains: File, addresses: File) -> Tables:
        """From what the files say; a line that says nothing is passed over."""
        return cls(
            frozenset(_entries(local, _word)),
            {old.lower(): new.lower() for old, new in _entries(domains, _pair)},
            {address.lower(): target for address, target in _entries(addresses, _pair)},
        )

    def account(self, name: str, default_domain: str) -> str | None:
        """The account's name; None: the map says that it is nobody's."""
        address = f"{name}@{default_domain}" if default_domain and "@" not in name else name
        for _ in range(REPLACED_MAX):
            local, at, domain = address.rpartition("@")
            if not at:
                return address
            if len(address) > ADDRESS_LENGTH_MAX:
                return None
            domain = domain.lower()
            address = f"{local}@{self.domains.get(domain, domain)}"
            found = self._mapped(address)
            if found is None:
                return None
            if found == address:
                break
            address = found
        local, _, domain = address.rpartition("@")
        return local if local and domain in self.local else address

    def _mapped(self, address: str) -> str | None:
        local, _, domain = address.rpartition("@")
        for key in (address.lower(), f"@{domain}"):
            target = self.addresses.get(key)
            if target is not None:
                return None if target.startswith("error:") else target.replace("%1", local)
        return address


class Names:
    """The configured tables, kept as the files are; safe to use from several threads."""

    def __init__(
        self,
        default_domain: str = "",
        local_hosts: str | None = None,
        domain_table: str | None = None,
        virtual_users: str | None = None,
    ) -> None:
        """The last three are paths of files."""
        self._default_domain = default_domain.lower()
        self._files = (local_hosts, domain_table, virtual_users)
        self._paths = tuple(path for path in self._files if path is not None)
        self._loading = threading.Lock()
        self._tables = Tables()
        self._stamp: Hashable = () if not self._paths else None
        self._fault = ""

    def account(self, name: str) -> str | None:
        """The account's name; None: nobody's. AuthUnavailable; may block."""
        if not self._paths and not self._default_domain:
            return name
        if self.stamp() != self._stamp:
            with self._loading:
                self._load()
        return self._tables.account(name, self._default_domain)

    def stamp(self) -> Hashable:
        """Changes when one of the files does. Never blocks."""
        return tuple(stamp(path) for path in self._paths)

    def _load(self) -> None:
        before = self.stamp()
        if before == self._stamp:
            return
        try:
            self._tables = Tables.parse(*map(_read, self._files))
        except OSError as error:
            # Without a table a name may be somebody else's.
            if self._stamp is None:
                raise AuthUnavailable(f"{error.filename}: {error.strerror}") from None
            fault = f"{error.filename}: {error.strerror}: names mean what they meant before"
            if fault != self._fault:
                _log.error("%s", fault)
            self._fault = fault  # and it is tried again for the next name
            return
        self._stamp, self._fault = before, ""


def _read(path: str | None) -> File:
    return ("", b"") if path is None else (path, settled(path)[0])


def _entries(file: File, line: Callable[[list[str]], T | None]) -> list[T]:
    path, data = file
    found = []
    for number, text in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        words = text.partition("#")[0].split(None, 1)
        if not words:
            continue
        value = line([word.strip() for word in words])
        if value is None:
            _log.warning("%s line %d is passed over: %r", path, number, text[:100])
        else:
            found.append(value)
    return found


def _word(words: list[str]) -> str | None:
    return words[0].lower() if len(words) == 1 else None


def _pair(words: list[str]) -> tuple[str, str] | None:
    return (words[0], words[1]) if len(words) == 2 else None
