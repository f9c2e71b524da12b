"""Copies of an index: of one moment, whole, and put in their place at once.

`maa backup` makes them where it is told. The server makes one beside the mail, the *spare*, from
time to time. An index that is lost or damaged begins with the spare, so that mailboxes keep
UIDVALIDITY, and the messages which the spare knows their UIDs (L-15); the beacon knows which
UIDs were given since (`maa.store.beacon`).
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from maa.store.directories import flush_directory
from maa.store.errors import LockTimeout, NewerIndex, StoreError
from maa.store.folders import disk_errors
from maa.store.identity import Identity
from maa.store.schema import checked_schema, name_anew
from maa.store.sqlite import Reader

SPARE_SECONDS: Final = 900.0
"""No spare is replaced sooner."""
_ABANDONED_SECONDS: Final = 600.0
"""After so long nobody is still writing to a copy."""

_log = logging.getLogger(__name__)


def copy_index(index: Path, target: Path, identity: Identity, owner: Identity) -> None:
    """Put a copy of an index, which others may be using, at `target`; NoSpace, Unavailable.

    The index is read with one identity, its user's, and the copy belongs to another. That is one
    read transaction, and needs no lock: every number in it was in the beacon before. LockTimeout
    when another process is just doing the same.
    """
    with identity:
        reader = Reader(index)
        reader.rows("SELECT count(*) FROM sqlite_master")  # its files are open from here on
    try:
        with owner:
            _copy(reader, target)
    finally:
        with identity:
            reader.close()


def _copy(reader: Reader, target: Path) -> None:
    beside = target.with_name(f"{target.name}.new")
    with disk_errors(str(target)):
        _make_beside(beside)
        try:
            reader.copy_to(beside)
            descriptor = os.open(beside, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.rename(beside, target)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(beside)
            raise
    flush_directory(os.fsencode(target.parent))


def _make_beside(path: Path) -> None:
    """An empty file that no other process is writing to, even if one that was killed left one."""
    with suppress(FileNotFoundError):
        if time.time() - os.lstat(path).st_mtime > _ABANDONED_SECONDS:
            os.unlink(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        raise LockTimeout(f"{path} is just being written") from None


def keep_spare(index: Path, spare: Path, identity: Identity) -> bool:
    """Make the spare anew when it is old and the index changed; whether it was done.

    What cannot be done is logged, and tried again next time.
    """
    try:
        with identity:
            made = _written((spare,))
            if time.time() - made < SPARE_SECONDS or _written((index, f"{index}-wal")) <= made:
                return False
        copy_index(index, spare, identity, identity)
    except LockTimeout:
        return False
    except StoreError as error:
        _log.warning("no copy of the index beside the mail: %s", error)
        return False
    return True


def _written(paths: Iterable[str | Path]) -> float:
    """When any of these files was written to last; 0: none is there, or none has anything."""
    times = [0.0]
    for path in paths:
        with suppress(OSError):
            found = os.lstat(path)
            times.append(found.st_mtime if found.st_size else 0.0)
    return max(times)


def bring_back(spare: Path, index: Path) -> bool:
    """Put a whole spare in the place of an index that is not there; whether it was done.

    As the user, under the account's lock. NewerIndex.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(spare, flags)
    except OSError:
        return False
    beside = index.with_name(f"index.db.{secrets.token_hex(4)}")
    try:
        with disk_errors(str(beside)):
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return False
                _write_copy(descriptor, beside)
            finally:
                os.close(descriptor)
        fault = index_fault(beside)
        if fault:
            _log.warning("the copy of the index %s cannot be used: %s", spare, fault)
            return False
        # Whatever its counters say, the beacon is not to believe that nothing came after it.
        name_anew(beside)
        for suffix in ("-wal", "-shm"):  # of the index that was there
            with suppress(FileNotFoundError):
                os.unlink(f"{index}{suffix}")
        os.rename(beside, index)
        flush_directory(os.fsencode(index.parent))
    finally:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.unlink(f"{beside}{suffix}")
    _log.warning("index %s was lost: its copy %s is in its place", index, spare)
    return True


def _write_copy(descriptor: int, path: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with (
        open(descriptor, "rb", closefd=False) as source,
        open(os.open(path, flags, 0o600), "wb") as copy,
    ):
        shutil.copyfileobj(source, copy)
        copy.flush()
        os.fsync(copy.fileno())


def index_fault(path: Path) -> str:
    """What is wrong with an index file; empty: nothing. NewerIndex."""
    try:
        reader = Reader(path)
    except StoreError as error:
        return str(error)
    try:
        checked_schema(reader)
        faults, whole = reader.readable("PRAGMA integrity_check(20)")
        said = [row[0] for row in faults if row[0] != "ok"]
        return "; ".join(said) or ("" if whole and faults else "it cannot be read")
    except NewerIndex:
        raise
    except StoreError as error:
        return str(error)
    finally:
        reader.close()
