"""The text of a message as SEARCH BODY and TEXT see it (R185).

Looked at are the decoded text/* parts and the headers of the messages inside; not preambles,
MIME headers, or what is encoded and is no text. Case and compatible forms are the caller's:
see `words.folded`.
"""

from __future__ import annotations

from binascii import a2b_qp
from collections.abc import Iterator
from typing import Final

from maa.message.charsets import CHARSETS, charset_decoder, guessed
from maa.message.headers import fields, value
from maa.message.octets import HEADER_OCTETS_MAX, Wire
from maa.message.parts import Part
from maa.message.words import base64_octets, decoded

__all__ = ["CHARSETS", "OVERLAP", "charset_decoder", "header_text", "part_text", "search_text"]

OVERLAP: Final = 1024
"""Characters that a further string of a long part repeats, so that none is cut in two."""
_PIECE: Final = 1 << 20


def search_text(wire: Wire, root: Part) -> Iterator[str]:
    """Each text part, and each inner message's header, in the order of the message; may block.

    A part is one string, or several of which each begins with the last `OVERLAP` characters
    of the one before.
    """
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.is_message:
            inner = part.parts[0]
            stop = min(inner.body_start, inner.header_start + HEADER_OCTETS_MAX)
            yield header_text(b"".join(wire.chunks(inner.header_start, stop)))
        if part.type == b"text":
            yield from part_text(wire, part)
        waiting.extend(reversed(part.parts))


def header_text(header: bytes) -> str:
    """A header for people: one line a field, encoded words decoded."""
    lines = []
    for field in fields(header):
        name, text = field.name.decode("ascii", "replace"), decoded(value(header, field))
        lines.append(f"{name}: {text}\n")
    return "".join(lines)


def part_text(wire: Wire, part: Part) -> Iterator[str]:
    """The decoded text of one part."""
    decode = charset_decoder(part.charset) or guessed
    tail = ""
    for octets in _transfer_decoded(wire, part):
        text = tail + decode(octets)
        tail = text[-OVERLAP:]
        yield text


def _transfer_decoded(wire: Wire, part: Part) -> Iterator[bytes]:
    """The body without its transfer encoding, cut only behind line ends where it is long."""
    carried = b""
    for raw, last in _pieces(wire, part):
        if part.encoding == b"BASE64":
            octets = base64_octets(raw)
        elif part.encoding == b"QUOTED-PRINTABLE":
            octets = a2b_qp(raw)
        else:
            octets = raw
        octets = carried + octets
        # No character of a stateful or multi-octet set reaches over a line end.
        cut = len(octets) if last else octets.rfind(b"\n") + 1 or len(octets)
        carried = octets[cut:]
        yield octets[:cut]


def _pieces(wire: Wire, part: Part) -> Iterator[tuple[bytes, bool]]:
    """The encoded body whole, or in pieces of about 1 MiB that end with a line; True: the last."""
    if part.octets <= _PIECE:
        yield b"".join(wire.chunks(part.body_start, part.body_end)), True
        return
    held: list[bytes] = []
    octets = 0
    for chunk in wire.chunks(part.body_start, part.body_end):
        held.append(chunk)
        octets += len(chunk)
        if octets < _PIECE:
            continue
        whole = b"".join(held)
        cut = whole.rfind(b"\n") + 1 or len(whole)
        yield whole[:cut], False
        held, octets = [whole[cut:]], len(whole) - cut
    yield b"".join(held), True
