"""One message being read for FETCH: where its sections are, and what is derived from it.

Sections are ranges of the message as sent, found with the offsets of `maa.message.structure`,
so that `BODY[1.2]<0.2048>` is a seek (RFC 3501 §6.4.5). Only subsets of a header are octets of
their own. What takes time to derive is put into a form for the mailbox's cache; the names of
these forms carry a version, which changes when rendering does.
"""

from __future__ import annotations

from typing import Final

from maa.imap import render
from maa.imap.binary import Decoded
from maa.imap.fetch_items import Datum, Item, Section, Text
from maa.imap.responses import string
from maa.message import headers
from maa.message.octets import CHUNK, HEADER_OCTETS_MAX, SMALL, Wire
from maa.message.parts import Part, find, pack, unpack
from maa.message.preview import preview
from maa.message.related import thread_id
from maa.message.structure import scan

ENVELOPE: Final = "envelope/1"
STRUCTURE: Final = "structure/3"
"""The packed parts if there was need of them, an empty line, BODYSTRUCTURE (see `_forms`)."""
BODY: Final = "body/2"
THREAD: Final = "thread/1"
PREVIEW: Final = "preview/1"
_FIELDS: Final = "fields/1:"
_FIELDS_OCTETS_MAX: Final = 500
"""Sets of header fields with longer names are not remembered."""
VALUE_OCTETS_MAX: Final = 65536
"""Longer values are derived anew each time, so that a batch of them has bounded size."""

_GAP: Final = b"\n\n"
_DATA: Final = {
    Datum.ENVELOPE: ENVELOPE,
    Datum.BODYSTRUCTURE: STRUCTURE,
    Datum.BODY: BODY,
    Datum.REV2_BODYSTRUCTURE: STRUCTURE,
    Datum.REV2_BODY: BODY,
    Datum.THREADID: THREAD,
    Datum.PREVIEW: PREVIEW,
    Datum.LAZY_PREVIEW: PREVIEW,
}


def cache_name(item: Item) -> str | None:
    """Under which name values of this item are remembered; None: not at all."""
    if isinstance(item, Datum):
        return _DATA.get(item)
    if item.text is not Text.FIELDS or item.path:
        return None
    names = b" ".join(sorted(set(item.fields)))
    return _FIELDS + names.decode("latin-1") if len(names) <= _FIELDS_OCTETS_MAX else None


def from_cache(item: Item, value: bytes) -> bytes:
    """The answer to the item, from what is remembered under its `cache_name`."""
    if item is Datum.BODYSTRUCTURE or item is Datum.REV2_BODYSTRUCTURE:
        value = value[value.index(_GAP) + 2 :]
        return _form(value, rev2=item is Datum.REV2_BODYSTRUCTURE)
    if item is Datum.BODY or item is Datum.REV2_BODY:
        return _form(value, rev2=item is Datum.REV2_BODY)
    if isinstance(item, Section) and item.partial is not None:
        data = value[value.index(b"\n") + 1 :] if value[:1] == b"{" else b""
        return render.literal(clipped(data, item.partial))
    return value


def packed_parts(structure: bytes | None) -> bytes | None:
    """The packed parts, if they are in what is remembered as `STRUCTURE`."""
    return structure[: structure.index(_GAP)] or None if structure else None


def needs_head_only(item: Item) -> bool:
    """Whether the header is enough to answer it."""
    if isinstance(item, Datum):
        return item in (Datum.ENVELOPE, Datum.THREADID, Datum.LAZY_PREVIEW)
    return not item.path and item.text in (Text.HEADER, Text.FIELDS, Text.FIELDS_NOT)


def clipped(data: bytes, partial: tuple[int, int]) -> bytes:
    """The part of the octets that `<first.count>` names; beyond the end: nothing (R134)."""
    first, count = partial
    return data[first : first + count]


class Content:
    """A message that is open, or its header alone; everything is found when first asked for."""

    def __init__(self, wire: Wire, packed: bytes | None = None) -> None:
        """`packed`: the parts, if they are known from an earlier pass."""
        self.wire = wire
        self._packed = packed
        self._header: bytes | None = None
        self._scanned: Part | None = None
        self._unpacked: Part | None = None

    @property
    def header(self) -> bytes:
        """The header with its blank line."""
        if self._header is None:
            octets = CHUNK
            while True:
                data = self.octets(0, octets)
                end = headers.header_end(data)
                if end < len(data) or len(data) >= min(self.wire.size, HEADER_OCTETS_MAX):
                    break
                octets *= 4
            self._header = data[:end]
        return self._header

    @property
    def scanned(self) -> Part:
        """The whole structure."""
        if self._scanned is None:
            self._scanned = scan(self.wire)
        return self._scanned

    @property
    def root(self) -> Part:
        """The structure, as far as sections need it."""
        if self._packed is None or self._scanned is not None:
            return self.scanned
        if self._unpacked is None:
            self._unpacked = unpack(self._packed)
        return self._unpacked

    @property
    def is_scanned(self) -> bool:
        """Whether this reading made the pass that finds the structure."""
        return self._scanned is not None

    def structure(self, with_parts: bool = True) -> bytes:
        """What is remembered as `STRUCTURE`."""
        parts = pack(self.scanned) if with_parts else b""
        return parts + _GAP + _forms(self.scanned, extended=True)

    def derived(self, item: Item) -> bytes:
        """What is remembered under the item's `cache_name`."""
        if item is Datum.ENVELOPE:
            return render.envelope_of(self.header)
        if item is Datum.BODYSTRUCTURE or item is Datum.REV2_BODYSTRUCTURE:
            # A pass over a small message is soon made again, and most have no section fetched.
            return self.structure(with_parts=self.wire.size > SMALL)
        if item is Datum.BODY or item is Datum.REV2_BODY:
            return _forms(self.scanned, extended=False)
        if item is Datum.THREADID:
            return b"(%b)" % thread_id(self.header)
        if item is Datum.PREVIEW:
            return string(preview(self.wire, self.scanned).encode("utf-8"))
        assert isinstance(item, Section)
        return render.literal(headers.selected(self.header, item.fields))

    def section(self, section: Section) -> bytes | range | None:
        """A section's octets, or their range in `wire`; None when there is no such part (R139)."""
        found = self._whole_section(section)
        if section.partial is None or found is None:
            return found
        if isinstance(found, bytes):
            return clipped(found, section.partial)
        first, count = section.partial
        start = min(found.start + first, found.stop)
        return range(start, min(start + count, found.stop))

    def decoded(self, section: Section) -> Decoded | None:
        """What BINARY means by a section; None when there is no such part. UnknownEncoding."""
        part = find(self.root, section.path) if section.path else None
        if section.path and part is None:
            return None
        return Decoded(self.wire, part, section.partial)

    def _whole_section(self, section: Section) -> bytes | range | None:
        if section.path:
            return self._part_section(section)
        match section.text:
            case Text.ALL:
                return range(self.wire.size)
            case Text.HEADER:
                return range(len(self.header))
            case Text.TEXT:
                return range(len(self.header), self.wire.size)
        return self._fields(self.header, section)

    def _part_section(self, section: Section) -> bytes | range | None:
        part = find(self.root, section.path)
        if part is None:
            return None
        if section.text is Text.ALL:
            return range(part.body_start, part.body_end)
        if section.text is Text.MIME:
            if self._is_sole(part, section.path):
                # Its header is the message's; of that, what MIME is concerned with (R138).
                return _mime_fields(self.octets(part.header_start, part.body_start))
            return range(part.header_start, part.body_start)
        if not part.is_message:
            return None
        message = part.parts[0]
        if section.text is Text.HEADER:
            return range(message.header_start, message.body_start)
        if section.text is Text.TEXT:
            return range(message.body_start, message.body_end)
        return self._fields(self.octets(message.header_start, message.body_start), section)

    def _is_sole(self, part: Part, path: tuple[int, ...]) -> bool:
        """Whether the part is the body of a message that is no multipart."""
        if len(path) == 1:
            return part is self.root
        holder = find(self.root, path[:-1])
        return holder is not None and holder.is_message and part is holder.parts[0]

    def _fields(self, header: bytes, section: Section) -> bytes:
        return headers.selected(header, section.fields, negate=section.text is Text.FIELDS_NOT)

    def octets(self, start: int, stop: int) -> bytes:
        """A range that is to be in memory, at most `HEADER_OCTETS_MAX`."""
        stop = min(stop, start + HEADER_OCTETS_MAX)
        if stop - start <= CHUNK:
            return self.wire.slice(start, stop)
        return b"".join(self.wire.chunks(start, stop))


def _forms(root: Part, extended: bool) -> bytes:
    """BODY or BODYSTRUCTURE; where IMAP4rev2 has another, the octets of the first, a line, both."""
    form = render.body_structure(root, extended)
    if not render.holds_global(root):
        return form
    return b"%d\n%b%b" % (len(form), form, render.body_structure(root, extended, rev2=True))


def _form(forms: bytes, rev2: bool) -> bytes:
    """One of `_forms`."""
    if forms[:1] == b"(":
        return forms
    octets, _, both = forms.partition(b"\n")
    return both[int(octets) :] if rev2 else both[: int(octets)]


def _mime_fields(header: bytes) -> bytes:
    names = {field.name for field in headers.fields(header)}
    wanted = [name for name in names if name.lower().startswith((b"content-", b"mime-version"))]
    return headers.selected(header, wanted)
