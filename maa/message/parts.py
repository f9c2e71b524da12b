"""The tree of parts that a message is: part numbers, and a compact form for the cache."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from maa.message.content import Said
from maa.message.headers import Envelope
from maa.message.parameters import Parameters, parameter


class Part(NamedTuple):
    """One body part, or the message itself."""

    header_start: int
    body_start: int
    body_end: int
    lines: int
    """Line ends in the body of a text part or a message (R146); 0 of others."""
    said: Said
    """All that its header says, and nothing of where it is."""
    parts: tuple[Part, ...]
    """Of a multipart at least one (R146); of a message exactly one, the message inside."""
    envelope: Envelope | None
    """Of the message inside, where this is a message/rfc822 or message/global."""

    @property
    def type(self) -> bytes:
        return self.said.type[0]

    @property
    def subtype(self) -> bytes:
        return self.said.type[1]

    @property
    def parameters(self) -> Parameters:
        return self.said.type[2]

    @property
    def encoding(self) -> bytes:
        return self.said.encoding

    @property
    def is_multipart(self) -> bool:
        return self.envelope is None and bool(self.parts)

    @property
    def is_message(self) -> bool:
        return self.envelope is not None

    @property
    def octets(self) -> int:
        """Octets of the body, encoded as it is (body-fld-octets)."""
        return self.body_end - self.body_start

    @property
    def charset(self) -> bytes:
        return parameter(self.parameters, b"charset") or b""


def find(root: Part, path: Sequence[int]) -> Part | None:
    """The part of that number; of the empty path the message itself (R137).

    A message that is no multipart has one part, 1, which is the message's body. The number
    of a message/rfc822 part stands for the part, a further number for a part of its message.
    """
    found, holder = root, root
    for depth, number in enumerate(path):
        if depth:
            if found is holder and not found.is_message:
                return None  # a sole part has no parts
            if found.is_message:
                holder = found.parts[0]
            elif found.is_multipart:
                holder = found
            else:
                return None
        if holder.is_multipart:
            if not 1 <= number <= len(holder.parts):
                return None
            found = holder.parts[number - 1]
        elif number == 1:
            found = holder
        else:
            return None
    return found


def pack(root: Part) -> bytes:
    """The tree as octets for the cache: one line a part, parents before their parts.

    Kept is what `find`, sections and the search of text need: offsets, lines, type, encoding
    and charset. Everything else of an unpacked part is empty; a message/rfc822 part has an
    envelope without content.
    """
    rows: list[bytes] = []
    waiting = [root]
    while waiting:
        part = waiting.pop()
        words = (part.type, part.subtype, part.encoding, part.charset)
        rows.append(
            b"%d %d %d %d %d %d %b"
            % (
                part.header_start,
                part.body_start,
                part.body_end,
                part.lines,
                part.is_message,
                len(part.parts),
                b" ".join(_UNPRINTABLE.sub(b"", word) or b"-" for word in words),
            )
        )
        waiting.extend(reversed(part.parts))
    return b"\n".join(rows)


def unpack(data: bytes) -> Part:
    """The tree that `pack` wrote; ValueError when it is no such thing."""
    complete: list[Part] = []
    for row in reversed(data.split(b"\n")):
        numbers, words = row.split(b" ")[:6], row.split(b" ")[6:]
        start, body, end, lines, is_message, count = map(int, numbers)
        type_, subtype, encoding, charset = words
        parts = tuple(complete[: -count - 1 : -1]) if count else ()
        if len(parts) != count:
            raise ValueError("parts are missing")
        del complete[len(complete) - count :]
        complete.append(
            Part(
                header_start=start,
                body_start=body,
                body_end=end,
                lines=lines,
                said=Said(
                    (type_, subtype, () if charset == b"-" else ((b"charset", charset),)),
                    encoding=b"" if encoding == b"-" else encoding,
                ),
                parts=parts,
                envelope=_NO_ENVELOPE if is_message else None,
            )
        )
    if len(complete) != 1:
        raise ValueError("not one tree")
    return complete[0]


_UNPRINTABLE = re.compile(rb"[^!-~]")
_NO_ENVELOPE = Envelope(None, None, (), (), (), (), (), (), None, None)
