"""Messages read out of an mbox, as clients are to see them.

Without a lock while nothing in the file has changed since its table was made, else under it; and
none is served unless it still is the message of its key (R078), which the file's times prove or
else its digest. What is handed out is a copy, so no slow reader is in a delivery's way. In a copy
metadata is left out (R236), a last line ends (R231), and in an mboxrd file nothing is quoted
(R230).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from maa.message.octets import CHUNK, SMALL
from maa.store.errors import MessageGone
from maa.store.mbox_file import MboxFile
from maa.store.mbox_lines import by_lines, pieces_of_lines, read_at, unquoted
from maa.store.mbox_split import Message, arrived, message_at
from maa.store.mbox_table import verified

T = TypeVar("T")


def open_copy(file: MboxFile, place: bytes) -> int:
    """A descriptor of a copy of the message; its time is the message's (R089). MessageGone."""
    with file.glimpsed() as descriptor:
        found = None if descriptor is None else _copy(file, descriptor, place)
        if found is not None and descriptor is not None and not file.unchanged(descriptor):
            os.close(found)
            found = None
    if found is None:
        with file.opened(write=False) as descriptor:
            found = _copy(file, descriptor, place)
            if found is None and file.table.position(place) is not None:
                # Changed by a program that left size or times, or what was looked at, as it was.
                file.table.reread(descriptor)
                found = _copy(file, descriptor, place)
    if found is None:
        raise MessageGone(f"{file.path}: message {place!r} is not there")
    return found


def read_many(
    file: MboxFile, places: Iterable[bytes], octets: int, dates: bool
) -> list[tuple[bytes, int]]:
    """Octets and date of the leading messages, with as few calls as there are megabytes.

    Only while the file is as the table has it.
    """
    with file.glimpsed() as descriptor:
        if descriptor is None:
            return []
        found = list(_many(file, descriptor, places, octets, dates))
        return found if file.unchanged(descriptor) else []


def read_notes(file: MboxFile, parse: Callable[[bytes], T]) -> list[tuple[bytes, T]]:
    """What `parse` makes of each header as it is in the file, in its order, with the place."""
    found = []
    with file.opened(write=False) as descriptor:
        for position, place in enumerate(file.table.places):
            start, stop = file.table.extent(position)
            found.append((place, parse(message_at(descriptor, start, stop).header)))
    return found


def _many(
    file: MboxFile, descriptor: int, places: Iterable[bytes], octets: int, dates: bool
) -> Iterator[tuple[bytes, int]]:
    table = file.table
    block, base = b"", 0
    for place in places:
        position = table.position(place)
        if position is None or octets <= 0:
            return
        start, stop = table.extent(position)
        if stop - start > SMALL:
            return
        if not base <= start <= stop <= base + len(block):
            block, base = read_at(descriptor, start, max(octets + CHUNK, stop - start)), start
        entry = block[start - base : stop - base]
        message = verified(entry, 0, len(entry), place, file.mboxrd, table.proven)
        if message is None:
            return
        octets -= len(entry)
        shown = message.visible_header + entry[message.body_start : message.end]
        if file.mboxrd:
            shown = unquoted(shown)
        ended = shown.endswith(b"\n") or not shown
        yield shown if ended else shown + b"\n", arrived(message) if dates else -1


def _copy(file: MboxFile, descriptor: int, place: bytes) -> int | None:
    """The copy; None: the message is not where the table has it."""
    position = file.table.position(place)
    if position is None:
        return None
    extent, proven = file.table.extent(position), file.table.proven
    message = verified(descriptor, *extent, place, file.mboxrd, proven)
    if message is None:
        return None
    # A large one goes to the disk, not to memory; nobody else ever sees it.
    if message.end - message.body_start > SMALL:
        file.make_folder()
        copy = os.open(file.folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    else:
        copy = os.memfd_create("maa-message", os.MFD_CLOEXEC)
    try:
        _fill(copy, descriptor, message, file.mboxrd)
        os.lseek(copy, 0, os.SEEK_SET)
        date = arrived(message)
        os.utime(copy, (date, date))
    except BaseException:
        os.close(copy)
        raise
    return copy


def _fill(copy: int, descriptor: int, message: Message, mboxrd: bool) -> None:
    pieces: Iterable[bytes]
    if message.end - message.body_start <= len(message.body):
        pieces = (message.visible_header + message.body[: message.end - message.body_start],)
    else:
        body = pieces_of_lines(descriptor, message.body_start, message.end)
        pieces = itertools.chain((message.visible_header,), body)
    last = b"\n"
    for piece in by_lines(pieces, unquoted) if mboxrd else pieces:
        _write(copy, piece)
        last = piece[-1:] or last
    if last != b"\n":
        _write(copy, b"\n")


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
