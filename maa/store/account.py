"""One user's mailboxes, as the protocols use them: list, open, create, delete, rename, subscribe.

Which mailboxes there are is `maa.store.tree`'s to know. Opened ones stay in memory, one
`Mailbox` for all sessions of this process.
"""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from maa.store import names, roles
from maa.store.census import Census
from maa.store.errors import (
    CannotChange,
    HasChildren,
    MailboxExists,
    MailboxGone,
    NoSpace,
    NotSelectable,
    Unavailable,
    UseRefused,
)
from maa.store.folders import Folder
from maa.store.hold import Hold
from maa.store.index import MailboxRow
from maa.store.keeper import Keeper
from maa.store.latch import Latch
from maa.store.ledger import Ledger
from maa.store.leftovers import remove_leftovers
from maa.store.listing import Listed
from maa.store.mailbox import Mailbox
from maa.store.maildir import Maildir
from maa.store.maildrop import Maildrop
from maa.store.mbox import Mbox
from maa.store.names import INBOX, key
from maa.store.places import MBOX_FORMATS, MailPaths
from maa.store.quota import Quota
from maa.store.spare import SPARE_SECONDS, keep_spare
from maa.store.tree import Tree
from maa.user import User

__all__ = ["Account", "Listed"]

MAILBOXES_KEPT: Final = 256
"""Opened mailboxes of an account that stay in memory though no session has them selected."""
SUBSCRIPTIONS: Final = 0
"""In the bulletin, the mailbox that stands for the account's subscriptions."""
_ROLES_DONE: Final = "roles"
_LOOK_SECONDS: Final = 60.0
"""So often at most it is looked whether the index changed since it was copied."""

_log = logging.getLogger(__name__)


class Account:
    """A user's mailboxes, shared by all sessions of this process."""

    def __init__(self, user: User, paths: MailPaths, state: str, ledger: Ledger) -> None:
        """An account whose `state` directory exists; `prepare` it before its first use."""
        self.user = user
        self.ledger = ledger
        self._state = state
        self._slash = paths.folders_format in MBOX_FORMATS
        self._spare = Path(paths.spare(user.name))
        self._spare_due = 0.0
        self._latch = Latch(os.path.join(state, "pop3.lock"))
        self._tree = Tree(paths, state, ledger, self._changed)
        self._mailboxes: weakref.WeakValueDictionary[str, Mailbox] = weakref.WeakValueDictionary()
        self._inodes: dict[str, int] = {}
        self._kept: Keeper[str, Mailbox] = Keeper(MAILBOXES_KEPT)
        self.quota = Quota(
            paths.limits,
            paths.counted,
            Census(weakref.proxy(self)),
            ledger.identity,
            ledger.watcher,
        )
        """How much may be in all mailboxes together."""
        self._index_inode = 0
        self._watched = False
        self._listeners: frozenset[Callable[[], None]] = frozenset()
        self.doubted = True
        """The index may have been removed or replaced since it was opened: see `intact`."""

    def prepare(self) -> None:
        """Make what must exist, remove what a killed process left; may block."""
        with self.ledger.held():
            self._watched = self.ledger.watcher.add(self._state, self._state_changed) is not None
            self._index_inode = self._inode_of_index()
            self.doubted = not self._watched
            self._tree.make_inbox()
            self._tree.make_root()
            self._tree.folders.sweep()
            with self._tree.changing():
                if self.ledger.index.get_setting(_ROLES_DONE) is None:
                    self._give_roles()

    def intact(self) -> bool:
        """Whether the index on disk is still the one that is open; may block.

        An index that was removed (a restored backup, an operator's `rm`) must not be written to
        any longer: nobody would ever read that again.
        """
        self.doubted = not self._watched
        return self._inode_of_index() == self._index_inode

    def keep_spare(self) -> None:
        """Copy the index beside the mail, if it changed and the last copy is old; may block."""
        if time.monotonic() < self._spare_due:
            return
        done = keep_spare(Path(self._state, "index.db"), self._spare, self.ledger.identity)
        self._spare_due = time.monotonic() + (SPARE_SECONDS if done else _LOOK_SECONDS)

    def retire(self) -> None:
        """End every session's use of this account's mailboxes."""
        _log.warning("user %s: the index was removed or replaced: opened anew", self.user.name)
        for where, mailbox in list(self._mailboxes.items()):
            self._retire(where, mailbox)

    def _state_changed(self, name: str) -> None:
        if name in ("", "index.db"):
            self.doubted = True

    def _inode_of_index(self) -> int:
        try:
            with self.ledger.identity:
                return os.lstat(os.path.join(self._state, "index.db")).st_ino
        except FileNotFoundError:
            return 0

    # --- names: where mailboxes are files in directories, clients see slashes

    @property
    def separator(self) -> str:
        """What stands between the elements of a name (RFC 3501 §5.1.1)."""
        return "/" if self._slash else names.SEPARATOR

    def _inner(self, name: str) -> str:
        """The name as the rest of the store has it, and back."""
        return names.swapped(name) if self._slash else name

    # --- memory only

    def opened(self, name: str) -> Mailbox | None:
        """The mailbox, if it is open and nothing happened to it meanwhile."""
        name = self._inner(name)
        mailbox = self._mailboxes.get(name)
        if mailbox is None:
            mailbox = self._mailboxes.get(key(names.normalised(name)))
        # `fresh` drains the watcher, so what it saw of the folders is asked for after it.
        if mailbox is None or mailbox.gone or not mailbox.fresh() or not self._tree.trusted:
            return None
        self._kept.touch(key(mailbox.name), mailbox)
        return mailbox

    def listened(self) -> list[Mailbox]:
        """The mailboxes whose changes a session waits for; memory only, from any thread."""
        found = [reference() for reference in self._mailboxes.valuerefs()]
        return [mailbox for mailbox in found if mailbox is not None and mailbox.listened]

    # --- who waits for other mailboxes or subscriptions

    def listen(self, callback: Callable[[], None]) -> None:
        """Call back, on any thread, when there may be others; may block."""
        with self.ledger.held():
            self._listeners |= {callback}
            self.ledger.bulletin.follow(SUBSCRIPTIONS, self._changed)
            self._look()

    def unlisten(self, callback: Callable[[], None]) -> None:
        """Call back no more."""
        self._listeners -= {callback}

    def _changed(self) -> None:
        for callback in self._listeners:
            callback()

    # --- the mailboxes there are

    def mailboxes(self) -> tuple[Listed, ...]:
        """Every mailbox and every parent that is none itself; INBOX first."""
        known = self._tree.listed_now()
        if known is None:
            with self.ledger.held():
                self._look()
                known = self._tree.listed
        if self._slash:
            return tuple(replace(line, name=self._inner(line.name)) for line in known)
        return known

    def object_ids(self) -> dict[str, str]:
        """MAILBOXIDs by comparable name, of mailboxes that were used (RFC 8474 §4)."""
        with self.ledger.held():
            self._look()
            return {key(self._inner(name)): id_ for name, id_ in self._tree.object_ids().items()}

    def open(self, name: str) -> Mailbox:
        """The mailbox, up to date; MailboxNotFound, NotSelectable, InvalidName."""
        return self._open(self._inner(name))

    def _open(self, name: str) -> Mailbox:
        with self.ledger.held():
            self._look()
            inbox = names.normalised(name) == INBOX
            return self._at(None if inbox else self._tree.place(name), keep=True)

    def _at(self, folder: Folder | None, *, keep: bool) -> Mailbox:
        where = _where(folder)
        mailbox = self._mailboxes.get(where)
        if mailbox is not None and not mailbox.gone and not mailbox.fresh():
            try:
                mailbox.sync()
            except MailboxGone:
                if not mailbox.gone:  # its directory is away
                    raise
        if mailbox is None or mailbox.gone:
            mailbox = self._new(folder)
            self._mailboxes[where] = mailbox
        if keep:
            self._kept.touch(where, mailbox)
        return mailbox

    def _new(self, folder: Folder | None) -> Mailbox:
        if folder is None:
            self._tree.make_inbox()
        name = INBOX if folder is None else folder.name
        try:
            mailbox = self._read(name, folder)
        except MailboxGone:  # another process put another one in its place
            self._tree.reread()
            mailbox = self._read(name, folder)
        if isinstance(mailbox.maildrop, Maildir):
            remove_leftovers(mailbox.maildrop.path)
        if folder is not None:
            self._inodes[key(name)] = folder.inode
        return mailbox

    def _read(self, name: str, folder: Folder | None) -> Mailbox:
        mailbox = Mailbox(self._tree.row(name), self._tree.maildrop(folder), self.ledger)
        mailbox.sync()
        return mailbox

    def replaced(self, name: str) -> None:
        """The index has another mailbox of this name now: sessions of the old one end (R058)."""
        self._tree.reread()
        self._retire(key(name), self._mailboxes.get(key(name)))

    def _look(self) -> None:
        """Keep up with the folders; opened mailboxes whose directory is another one are gone."""
        if not self._tree.look():
            return
        for where, mailbox in list(self._mailboxes.items()):
            folder = self._tree.find(where)
            if where != INBOX and (folder is None or folder.inode != self._inodes.get(where)):
                self._retire(where, mailbox)

    def _retire(self, where: str, mailbox: Mailbox | None) -> None:
        self._mailboxes.pop(where, None)
        self._inodes.pop(where, None)
        self._kept.drop(where)
        if mailbox is not None:
            mailbox.retire()

    # --- for maa.store.census

    def everything(self) -> Sequence[Folder | None]:
        """Every mailbox; None is INBOX."""
        if self._tree.listed_now() is None:
            with self.ledger.held():
                self._look()
        return (None, *self._tree.every())

    def opened_folder(self, folder: Folder | None) -> Mailbox | None:
        """The mailbox, if it is open and fresh; memory only."""
        mailbox = self._mailboxes.get(_where(folder))
        return mailbox if mailbox is not None and mailbox.fresh() else None

    def open_folder(self, folder: Folder | None, *, keep: bool) -> Mailbox:
        """The mailbox, up to date; `keep`: it is likely to be asked for again soon."""
        with self.ledger.held():
            self._look()
            return self._at(folder and self._tree.place(folder.name), keep=keep)

    def maildrop(self, folder: Folder | None) -> Maildrop:
        """The files of a mailbox."""
        return self._tree.maildrop(folder)

    def remembered(self, folder: Folder | None, item: str) -> bytes:
        """What the cache has of a mailbox as a whole."""
        row = self._tree.known_row(_where(folder))
        return b"" if row is None else self.ledger.cache.get(row.id, item, (0,)).get(0, b"")

    # --- changing which there are

    def create(self, name: str, use: str | None = None) -> MailboxRow:
        """CREATE (RFC 3501 §6.3.3); MailboxExists, InvalidName, CannotChange, UseRefused."""
        return self._create(self._inner(name), use)

    def _create(self, name: str, use: str | None = None) -> MailboxRow:
        name = names.checked(name)
        with self._tree.changing():
            if name == INBOX or self._tree.find(name) is not None:
                raise MailboxExists(name)
            taken = {taken for _, taken in self._tree.uses()}
            if use is None:
                suggested = roles.use_of_name(name)
                use = None if suggested in taken else suggested
            elif use not in roles.USES or use in taken:
                raise UseRefused(f"the special use {use} cannot be given")
            return self._tree.create(name, use)

    def delete(self, name: str) -> None:
        """DELETE: the mailboxes below it and its subscription stay (R099, R100)."""
        name = self._inner(name)
        if names.normalised(name) == INBOX:
            raise CannotChange("INBOX cannot be deleted")
        with self._tree.changing():
            try:
                folder = self._tree.place(name)
            except NotSelectable:
                raise HasChildren(name) from None
            trash = self._tree.remove(folder)
            self._retire(key(folder.name), self._mailboxes.get(key(folder.name)))
        # Many files take long to remove, and nobody has to wait for that.
        with self.ledger.identity:
            self._tree.folders.discard(trash)

    def rename(self, old: str, new: str) -> None:
        """RENAME with all below it, and their subscriptions (R101, R102, Q-16)."""
        old, new = self._inner(old), names.checked(self._inner(new))
        if names.normalised(old) == INBOX:
            self._create(new)
            inbox = self._open(INBOX)
            inbox.move(list(inbox.snapshot.uids), self._open(new))
            return
        with self._tree.changing():
            moving = self._subtree(old)
            if names.is_below(new, names.normalised(old)):
                raise CannotChange("a mailbox cannot be moved below itself")
            targets = [names.checked(names.moved(folder.name, old, new)) for folder in moving]
            # The new name itself too, where only what is below the old one moves (R101).
            for target in (new, *targets):
                if target == INBOX or self._tree.find(target) is not None:
                    raise MailboxExists(target)
            for folder in moving:
                self._finish(folder)
            for folder in moving:
                self._retire(key(folder.name), self._mailboxes.get(key(folder.name)))
            self._tree.rename(moving, targets)
            self._move_subscriptions(old, new)

    def _finish(self, folder: Folder) -> None:
        """What a crash left half done is known under the name that the mailbox has now."""
        maildrop = self._tree.maildrop(folder)
        if isinstance(maildrop, Mbox) and maildrop.unfinished:
            with self.ledger.held():
                self._at(folder, keep=False).sync(whole=True)

    def _subtree(self, name: str) -> list[Folder]:
        """A mailbox, or what is only a parent, with all below it."""
        below = self._tree.below(names.normalised(name))
        try:
            return [self._tree.place(name), *below]
        except NotSelectable:
            return below

    # --- subscriptions

    def subscriptions(self) -> frozenset[str]:
        """The subscribed names, whether or not such mailboxes exist (R107)."""
        with self.ledger.held():
            self.ledger.bulletin.taken(SUBSCRIPTIONS)  # the next change is news again
            return frozenset(map(self._inner, self.ledger.index.subscriptions()))

    def subscribe(self, name: str) -> None:
        """SUBSCRIBE any name that a mailbox could have (R112, Q-17)."""
        name = names.checked(self._inner(name))
        with self._subscribing():
            self.ledger.index.subscribe(name)

    def unsubscribe(self, name: str) -> None:
        """UNSUBSCRIBE; a name that is not subscribed is no error (R112)."""
        wanted = key(names.normalised(self._inner(name)))
        with self._subscribing():
            for subscribed in self.ledger.index.subscriptions():
                if key(subscribed) == wanted:
                    self.ledger.index.unsubscribe(subscribed)

    @contextmanager
    def _subscribing(self) -> Iterator[None]:
        with self.ledger.held():
            self.ledger.bulletin.post(SUBSCRIPTIONS, None)
            yield
        self._changed()

    def _move_subscriptions(self, old: str, new: str) -> None:
        old = names.normalised(old)
        with self._subscribing():
            for name in self.ledger.index.subscriptions():
                if key(name) == key(old) or names.is_below(name, old):
                    self.ledger.index.unsubscribe(name)
                    self.ledger.index.subscribe(names.moved(name, old, new))

    # --- the rest

    @property
    def hold_ready(self) -> bool:
        """Whether `hold_maildrop` would not block; memory only."""
        return self._latch.ready

    def hold_maildrop(self) -> Hold:
        """POP3's exclusive lock on the maildrop (R199); MaildropInUse."""
        if not self._latch.ready:
            with self.ledger.identity:
                self._latch.open()
        return self._latch.take()

    def _give_roles(self) -> None:
        """At the first login, one mailbox for each special use, and subscriptions (L-1, L-2)."""
        uses = self._tree.uses()
        given = {use for _, use in uses if use is not None}
        # Most clients show subscribed mailboxes only: what another server had is not to vanish.
        for name in (INBOX, *(name for name, _ in uses)):
            self.ledger.index.subscribe(name)
        found = roles.found([name for name, use in uses if use is None], given)
        try:
            for use in roles.USES:
                if use in found:
                    self._tree.set_use(found[use], use)
                elif use not in given:
                    self._tree.create(roles.NAMES[use], use)
                    self.ledger.index.subscribe(roles.NAMES[use])
        except (CannotChange, NoSpace, Unavailable) as error:
            _log.warning("user %s has not all special mailboxes: %s", self.user.name, error)
            return
        self.ledger.index.set_setting(_ROLES_DONE, "given")


def _where(folder: Folder | None) -> str:
    return INBOX if folder is None else key(folder.name)
