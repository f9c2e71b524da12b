"""Which mailboxes an account has: the folders on disk, joined with the index's rows.

The mailboxes that exist are INBOX and the folders on disk, whoever made them. The index adds
what a folder cannot say: UIDVALIDITY and special use. A row whose folder is not there is kept:
when the folder comes back (a disk that was not mounted), so do its UIDs, and none is ever used
twice (R074, L-15). It is dropped when the name is created anew (R077).

What was read stays in memory and is trusted while the watcher has seen nothing happen in the
folders' directory.

Order of writes, so that kill -9 between any two of them loses nothing, and so that other
processes, which are told of directories only, find the index ready: a new mailbox's row before
its directory; a deleted one's directory before its row; a rename is written down first, and
whoever comes next finishes it.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final
from weakref import WeakMethod

from maa.store import names
from maa.store.directories import flush_directory
from maa.store.errors import (
    CannotChange,
    MailboxNotFound,
    NotSelectable,
    StoreError,
    Unavailable,
)
from maa.store.folders import Folder, Found, disk_errors, make_directories
from maa.store.hold import Hold
from maa.store.index import MailboxRow
from maa.store.ledger import Ledger
from maa.store.listing import Listed, listed
from maa.store.maildir import Maildir
from maa.store.maildirsize import Share, Weighed
from maa.store.maildrop import Maildrop
from maa.store.maildrops import folders_of, maildrop_of
from maa.store.names import INBOX, key
from maa.store.places import MBOX_FORMATS, MailPaths
from maa.store.watch import Watch

_RENAMING: Final = "renaming"

_log = logging.getLogger(__name__)


class Tree:
    """The mailboxes of one account. `listed_now` and `trusted` never block."""

    def __init__(
        self, paths: MailPaths, state: str, ledger: Ledger, changed: Callable[[], None]
    ) -> None:
        """`changed`, a method, is called on any thread when there may be other mailboxes."""
        # Weak, as the watcher is: who is told usually holds this object.
        self._changed = WeakMethod(changed)
        self.inbox = paths.inbox
        self.folders = folders_of(paths)
        self._paths = paths
        self._state = state
        self._ledger = ledger
        self._lock_path = os.path.join(state, "mailboxes.lock")
        self._changing = False
        self._watch: Watch | None = None
        self._stale = True
        self._found = Found({}, False)
        self._rows: dict[str, MailboxRow] = {}
        self.listed: tuple[Listed, ...] = ()
        """The mailboxes as LIST shows them, when they were read last."""

    # --- memory only

    @property
    def trusted(self) -> bool:
        """Whether nothing happened since the folders were read; drain the watcher before."""
        watch = self._watch
        watched = watch is not None and watch.live
        return watched and not self._stale and not self._found.unfinished

    def listed_now(self) -> tuple[Listed, ...] | None:
        """The mailboxes as LIST shows them, if nothing happened since they were read."""
        self._ledger.watcher.drain()
        return self.listed if self.trusted else None

    def _mark(self, name: str) -> None:
        # Maildir++ folders begin with a dot, and mbox files do not.
        if not name or name.startswith(".") != self.folders.hidden:
            self._stale = True
            changed = self._changed()
            if changed is not None:
                changed()

    # --- reading; the callers hold the ledger

    def look(self) -> bool:
        """Read the folders and rows again if anything may have changed; whether it was done."""
        watcher = self._ledger.watcher
        watcher.drain()
        if self.trusted:
            return False
        if self._watch is None or not self._watch.live:
            if self._watch is not None:
                watcher.remove(self._watch)
            # With "/.", for the whole Maildir may be a symlink, and symlinks are not watched.
            self._watch = watcher.add(self.folders.root + "/.", self._mark)
        # Before the scan: what happens during it makes it stale again.
        self._stale = False
        try:
            self._found = self.folders.scan()
            self._read_rows()
        except BaseException:
            self._stale = True
            raise
        return True

    def reread(self) -> None:
        """The index's rows are others than before, though no directory changed."""
        self._stale = True
        self.look()

    def _read_rows(self) -> None:
        self._rows = {key(row.name): row for row in self._ledger.index.mailboxes().values()}
        self.listed = listed([(INBOX, self.use(INBOX)), *self.uses()])

    def every(self) -> tuple[Folder, ...]:
        """Every mailbox but INBOX."""
        return tuple(self._found.folders.values())

    def known_row(self, name: str) -> MailboxRow | None:
        """What the index had of a mailbox when the rows were read last."""
        return self._rows.get(key(name))

    def find(self, name: str) -> Folder | None:
        """The folder of a name, in any of its forms, if there is one."""
        return self._found.folders.get(key(names.normalised(name)))

    def place(self, name: str) -> Folder:
        """The folder of a name but INBOX; MailboxNotFound, NotSelectable, InvalidName."""
        folder = self.find(name)
        if folder is not None:
            return folder
        if self.below(names.normalised(name)):
            raise NotSelectable(name)
        raise MailboxNotFound(names.checked(name))

    def below(self, name: str) -> list[Folder]:
        """The folders inferior to a name."""
        folders = self._found.folders.values()
        return [folder for folder in folders if names.is_below(folder.name, name)]

    def use(self, name: str) -> str | None:
        """The special use of an existing mailbox."""
        row = self._rows.get(key(name))
        return None if row is None else row.use

    def object_ids(self) -> dict[str, str]:
        """MAILBOXIDs by comparable name, of mailboxes that were used (RFC 8474 §4)."""
        return {name: row.object_id for name, row in self._rows.items()}

    def uses(self) -> list[tuple[str, str | None]]:
        """Every folder's name and special use."""
        return [(folder.name, self.use(folder.name)) for folder in self._found.folders.values()]

    def row(self, name: str) -> MailboxRow:
        """What the index has of an existing mailbox; a new row where it has nothing yet."""
        row = self._rows.get(key(name))
        if row is not None:
            return row
        with self.changing():
            # Another process may have made it since this one looked.
            self._read_rows()
            return self._rows.get(key(name)) or self._new_row(name, None)

    # --- changing

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Only this thread, of all processes, changes which mailboxes there are."""
        with self._ledger.held():
            if self._changing:
                yield
                return
            with Hold.wait(self._lock_path):
                self._changing = True
                try:
                    self._finish_rename()
                    self.look()
                    yield
                finally:
                    self._changing = False

    def create(self, name: str, use: str | None) -> MailboxRow:
        """Make a mailbox where there is none; CannotChange when something is in its place."""
        self.folders.check_free(name)
        self._forget(name)
        row = self._new_row(name, use)
        try:
            self.folders.make(name)
        except BaseException:
            self._ledger.index.drop_mailbox(row.id)
            raise
        finally:
            self._stale = True
        return row

    def set_use(self, name: str, use: str | None) -> None:
        """Give an existing mailbox a special use."""
        self._ledger.index.set_use(self.row(name).id, use)
        self._read_rows()

    def remove(self, folder: Folder) -> str:
        """Take a mailbox away; the path which `folders.discard` is to remove."""
        share = self._share(folder.path)
        weighed = _weighed(folder.path, share)
        trash = self.folders.trash(folder)
        share.note(removed=weighed)
        self._stale = True
        self._forget(folder.name)
        return trash

    def rename(self, moving: Sequence[Folder], targets: Sequence[str]) -> None:
        """Give folders the names of `targets`, none of which exists."""
        for target in targets:
            self.folders.check_free(target)
        for target in targets:
            self._forget(target)
        steps = [
            (folder.name, folder.path, target)
            for folder, target in zip(moving, targets, strict=True)
        ]
        self._ledger.index.set_setting(_RENAMING, json.dumps(steps))
        self._finish_rename()

    def _finish_rename(self) -> None:
        """Do what is left of the rename that is written down; harmless when done twice."""
        text = self._ledger.index.get_setting(_RENAMING)
        if not text:
            return
        steps = json.loads(text)
        self._read_rows()
        rows = [(self._rows.get(key(name)), target) for name, _, target in steps]
        for row, _ in rows:
            if row is not None:
                self._ledger.bulletin.post(row.id, None)
        self._ledger.index.rename_mailboxes(
            [(row.id, target) for row, target in rows if row is not None]
        )
        self._stale = True
        for name, path, target in steps:
            before, now = self._share(path), self._share(self.folders.path(target))
            # Only what becomes Trash, or was it, weighs another thing than before.
            weighed = _weighed(path, before) if before.counts != now.counts else []
            try:
                self.folders.rename(path, target)
                now.note_moved(before, weighed, weighed)
            except MailboxNotFound:
                continue  # the process that was killed did this one
            except CannotChange as error:
                # Another program was faster by a moment: no mail is lost, only UIDs are new.
                _log.error("mailbox %r stays where it is: %s", name, error)
        self._ledger.index.set_setting(_RENAMING, "")

    def maildrop(self, folder: Folder | None) -> Maildrop:
        """The files of a mailbox; None: of INBOX."""
        return maildrop_of(self._paths, self._state, folder.path if folder else None)

    def _share(self, path: str) -> Share:
        return Share(path, self._paths.folders)

    def make_inbox(self) -> None:
        """INBOX always exists (R093); but one that had mail and is gone is on another disk.

        A spool file is the MDA's to make.
        """
        if self._paths.inbox_format in MBOX_FORMATS:
            return
        # What is there and cannot be looked into is said to be that, and is not made anew.
        with disk_errors(self.inbox), suppress(FileNotFoundError):
            os.stat(os.path.join(self.inbox, "cur", "."))
            return
        row = self._ledger.index.mailboxes().get(INBOX)
        if row is not None and self._ledger.index.counters(row.id).uidnext > 1:
            _log.error(
                "the Maildir %s is gone: is its disk mounted? To begin with an empty one, make it",
                self.inbox,
            )
            raise Unavailable("the Maildir of INBOX is gone")
        with disk_errors(self.inbox):
            make_directories(self.inbox)
        Maildir.create(self.inbox)
        for path in (self.inbox, os.path.dirname(self.inbox)):
            flush_directory(os.fsencode(path))

    def make_root(self) -> None:
        """Make the directory of the folders; one that is there stays as it is."""
        with disk_errors(self.folders.root):
            make_directories(self.folders.root)

    def _new_row(self, name: str, use: str | None) -> MailboxRow:
        row = self._rows[key(name)] = self._ledger.index.create_mailbox(name, use)
        return row

    def _forget(self, name: str) -> None:
        row = self._rows.pop(key(name), None)
        if row is not None:
            self._ledger.bulletin.post(row.id, None)
            self._ledger.index.drop_mailbox(row.id)
            self._ledger.cache.forget(row.id, None)


def _weighed(path: str, share: Share) -> list[Weighed]:
    """What a Maildir's messages weigh for others; what is none, or cannot be read, nothing."""
    if not os.path.isdir(f"{path}/cur"):
        return []
    try:
        return Maildir(path, share).weighed()
    except StoreError:
        return []
