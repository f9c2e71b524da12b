"""The accounts of all users, opened when they are first needed and kept in memory."""

from __future__ import annotations

import logging
import os
import resource
import stat
import threading
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from maa.store.account import Account
from maa.store.dead_locks import drop_dead_locks
from maa.store.errors import NotPermitted, StoreError, Unavailable
from maa.store.folders import disk_errors, make_directories
from maa.store.identity import Identity
from maa.store.keeper import Keeper
from maa.store.ledger import Ledger
from maa.store.mailbox import Mailbox
from maa.store.places import MailPlaces
from maa.store.watch import Watcher
from maa.user import User

ACCOUNTS_KEPT: Final = 2000
# index.db and cache.db, each with its WAL and shared memory, the beacon and files to lock.
_DESCRIPTORS_EACH: Final = 11
_LOCKS: Final = 64
_DATABASES: Final = ("index.db", "cache.db")

_log = logging.getLogger(__name__)


class Accounts:
    """Every user's account."""

    def __init__(
        self,
        state: str,
        places: MailPlaces,
        watcher: Watcher,
        kept: int = ACCOUNTS_KEPT,
        *,
        neighbours: bool = False,
    ) -> None:
        """Keep indexes below the directory `state`; it is made when the first account is.

        `neighbours`: other processes do the same at the same time.
        """
        self._neighbours = neighbours
        self.watcher = watcher
        self._state = state
        self._places = places
        self._accounts: weakref.WeakValueDictionary[str, Account] = weakref.WeakValueDictionary()
        self._kept: Keeper[str, Account] = Keeper(kept)
        self._kept_most = kept
        # One thread opens an account while others wait for it, without a lock for each name.
        self._opening = [threading.Lock() for _ in range(_LOCKS)]
        self._retired: deque[Ledger] = deque()
        self._copying = threading.Lock()

    def opened(self, user: User) -> Account | None:
        """The account, if it is open already; memory only."""
        account = self._accounts.get(user.name)
        if account is None or account.user != user:
            return None
        self.watcher.drain()
        if account.doubted:
            return None
        self._kept.touch(user.name, account)
        return account

    def open(self, user: User) -> Account:
        """The account; what it needs is made when it is not there. Unavailable, NoSpace."""
        self._close_retired()
        with self._opening[hash(user.name) % _LOCKS]:
            account = self._accounts.get(user.name)
            if account is None or account.user != user or not account.intact():
                if account is not None and account.user == user:
                    account.retire()
                try:
                    account = self._open(user)
                except StoreError as error:
                    _log.error("user %s: the account cannot be opened: %s", user.name, error)
                    if isinstance(error, NotPermitted):
                        # Not the user's rights are wrong, but those of the files.
                        raise Unavailable(str(error)) from error
                    raise
                self._accounts[user.name] = account
            self._kept.touch(user.name, account)
            return account

    def listened(self) -> list[Mailbox]:
        """The mailboxes whose changes a session waits for; memory only."""
        accounts = [reference() for reference in self._accounts.valuerefs()]
        return [box for account in accounts if account is not None for box in account.listened()]

    def keep_spares(self) -> None:
        """From time to time: copy the indexes that changed beside the mail; may block."""
        if not self._copying.acquire(blocking=False):
            return  # a disk is slow: no other thread need wait for it
        try:
            for account in list(self._accounts.values()):
                account.keep_spare()
        finally:
            self._copying.release()

    def drop_dead_locks(self) -> None:
        """At the start: remove dotlocks that a killed process of ours left; may block."""
        drop_dead_locks(self._state)

    def close(self) -> None:
        """Give all files back; the accounts must not be used any more."""
        for account in list(self._accounts.values()):
            account.ledger.close()
        self._accounts.clear()
        self._close_retired()

    def _open(self, user: User) -> Account:
        paths = self._places.of(user)
        identity = Identity.of(user)
        directory = make_state(self._state, user.name, identity)
        ledger = Ledger.open(
            Path(directory),
            identity,
            self.watcher,
            neighbours=self._neighbours,
            beacon=paths.beacon(user.name),
            spare=paths.spare(user.name),
        )
        try:
            account = Account(user, paths, directory, ledger)
            account.prepare()
        except BaseException:
            ledger.close()
            raise
        # The limit may have been raised since the start; half is left to connections.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._kept.limit = max(1, min(self._kept_most, descriptors // 2 // _DESCRIPTORS_EACH))
        # Nobody has it any more: closing may block, so the next `open` does that.
        weakref.finalize(account, self._retired.append, ledger).atexit = False
        return account

    def _close_retired(self) -> None:
        # Until it is empty; another thread may empty it at the same time.
        with suppress(IndexError):
            while True:
                retired = self._retired.popleft()
                try:
                    retired.close()
                except StoreError as error:  # no matter of whoever opens an account now
                    _log.warning("an account could not be closed: %s", error)


def make_state(state: str, name: str, identity: Identity) -> str:
    """`STATE/users/NAME`, which belongs to the user and is closed to everybody else.

    The name was checked by `MailPlaces.of` (R253). Unavailable, NoSpace.
    """
    users = os.path.join(state, "users")
    path = os.path.join(users, name)
    with disk_errors(path):
        if not os.path.lexists(path):
            own = Identity.own()
            # Anybody may pass, on the way to what is theirs; only we may add.
            make_directories(os.path.dirname(state))
            _make_passage(state, 0o711)
            _make_passage(users, 0o711 if identity == own else 0o771)
            _make_private(path, identity, own)
        _check_state(path, identity)
        with identity:
            for database in _DATABASES:
                _make_file(os.path.join(path, database))
    return path


def _check_state(path: str, identity: Identity) -> None:
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != identity.uid:
        _log.error("%s is not a directory of uid %d: change its owner", path, identity.uid)
        raise Unavailable(f"{path} belongs to somebody else")
    if found.st_mode & 0o077:
        with identity:
            os.chmod(path, 0o700)


def _make_passage(path: str, mode: int) -> None:
    """Make a directory of this process; in one that is there, keep other rights as they are."""
    try:
        os.mkdir(path)
        os.chmod(path, mode)  # whatever the umask took
    except FileExistsError:
        present = stat.S_IMODE(os.stat(path).st_mode)
        if present & mode != mode:
            os.chmod(path, present | mode)


def _make_file(path: str) -> None:
    """Make an empty private file; one that is there is not even opened.

    Closing any descriptor of a database would drop the locks of all this process's others.
    """
    with suppress(FileExistsError):
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        os.close(os.open(path, flags, 0o600))


def _make_private(path: str, identity: Identity, own: Identity) -> None:
    """Make a directory that belongs to the user, in one that belongs to this process."""
    try:
        if identity == own:
            os.mkdir(path, 0o700)
            return
        # As the user, but with our group, which alone may write there: so neither the right
        # to change owners is needed, nor can a user put anything there.
        with Identity(identity.uid, own.gid, (identity.gid,)):
            os.mkdir(path, 0o700)
            os.chown(path, -1, identity.gid)
    except FileExistsError:
        return  # another process was faster
