"""Every command as a value; `maa.imap.arguments` reads them."""

from __future__ import annotations

from dataclasses import dataclass

from maa.imap import search_keys
from maa.imap.fetch_items import Datum, Item
from maa.imap.modifiers import UNMODIFIED, FetchModifiers, SelectParameters
from maa.imap.search_keys import Key
from maa.imap.search_results import ReturnOptions
from maa.imap.states import Literal
from maa.message.flags import Flags
from maa.message.numbers import MessageSet
from maa.store.snapshot import StoreMode


@dataclass(frozen=True, slots=True)
class Command:
    """A command as the client tagged it."""

    tag: bytes

    @property
    def keeps_numbers(self) -> bool:
        """No message may get another number during it, though it is a UID command."""
        return False


@dataclass(frozen=True, slots=True)
class Plain(Command):
    """A command without arguments; its name chose the handler."""


@dataclass(frozen=True, slots=True)
class Login(Command):
    """LOGIN (RFC 3501 §6.2.3)."""

    name: bytes
    password: bytes


@dataclass(frozen=True, slots=True)
class Authenticate(Command):
    """AUTHENTICATE (RFC 3501 §6.2.2), with SASL-IR (RFC 4959)."""

    mechanism: bytes
    initial: bytes | None
    """Base64 as sent, `=` for an empty response; None: to be asked for."""


@dataclass(frozen=True, slots=True)
class Id(Command):
    """ID (RFC 2971)."""

    fields: tuple[tuple[bytes, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Enable(Command):
    """ENABLE (RFC 5161)."""

    capabilities: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Compress(Command):
    """COMPRESS (RFC 4978)."""

    mechanism: bytes


@dataclass(frozen=True, slots=True)
class OnMailbox(Command):
    """DELETE, SUBSCRIBE or UNSUBSCRIBE (RFC 3501 §6.3)."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot(Command):
    """GETQUOTAROOT (RFC 9208 §4.1.3)."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Create(Command):
    """CREATE (RFC 3501 §6.3.3), with special uses (RFC 6154 §3)."""

    mailbox: str
    uses: tuple[str, ...] = ()
    """Such as `\\Sent`, in the case of RFC 6154 where it knows them."""


@dataclass(frozen=True, slots=True)
class Select(Command):
    """SELECT or EXAMINE (RFC 3501 §6.3.1, §6.3.2; RFC 4466 §2.6)."""

    mailbox: str
    parameters: SelectParameters


@dataclass(frozen=True, slots=True)
class Rename(Command):
    """RENAME (RFC 3501 §6.3.5)."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Status(Command):
    """STATUS (RFC 3501 §6.3.10)."""

    mailbox: str
    items: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class GetQuota(Command):
    """GETQUOTA (RFC 9208 §4.1.1)."""

    root: bytes


@dataclass(frozen=True, slots=True)
class SetQuota(Command):
    """SETQUOTA (RFC 9208 §4.1.3)."""

    root: bytes
    limits: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """One message of APPEND (RFC 3501 §6.3.11); its octets follow in chunks."""

    flags: Flags
    internal_date: int | None
    """Seconds since the epoch."""
    literal: Literal
    wrapped: bool = False
    """`UTF8 (~{...})`: a parenthesis follows the octets (RFC 6855 §4)."""


@dataclass(frozen=True, slots=True)
class Append(Command):
    """APPEND; after the first message there may be more (RFC 3502)."""

    mailbox: str
    first: Upload


@dataclass(frozen=True, slots=True)
class Replace(Command):
    """REPLACE and UID REPLACE (RFC 8508)."""

    message: MessageSet
    """One number, or `*`."""
    by_uid: bool
    mailbox: str
    upload: Upload


@dataclass(frozen=True, slots=True)
class Expunge(Command):
    """EXPUNGE (RFC 3501 §6.4.3), or UID EXPUNGE with its set (RFC 4315 §2.1)."""

    uids: MessageSet | None


@dataclass(frozen=True, slots=True)
class Store(Command):
    """STORE and UID STORE (RFC 3501 §6.4.6)."""

    messages: MessageSet
    by_uid: bool
    mode: StoreMode
    silent: bool
    flags: Flags
    unchanged_since: int | None = None
    """Messages with a greater mod-sequence stay as they are (RFC 7162 §3.1.3)."""


@dataclass(frozen=True, slots=True)
class Copy(Command):
    """COPY, MOVE and their UID forms (RFC 3501 §6.4.7, RFC 6851)."""

    messages: MessageSet
    by_uid: bool
    mailbox: str


@dataclass(frozen=True, slots=True)
class Fetch(Command):
    """FETCH and UID FETCH (RFC 3501 §6.4.5)."""

    messages: MessageSet
    by_uid: bool
    items: tuple[Item, ...]
    modifiers: FetchModifiers = UNMODIFIED

    @property
    def asks_modseq(self) -> bool:
        """Whether mod-sequences will be told: the command enables CONDSTORE (R161)."""
        return self.modifiers.changed_since is not None or Datum.MODSEQ in self.items


@dataclass(frozen=True, slots=True)
class Search(Command):
    """SEARCH and UID SEARCH (RFC 3501 §6.4.4), perhaps extended (RFC 4731 §3.1)."""

    by_uid: bool
    options: ReturnOptions | None
    charset: bytes | None
    key: Key

    @property
    def keeps_numbers(self) -> bool:
        """Its conditions name sequence numbers."""
        return search_keys.names_numbers(self.key)
