"""A message as a multi-line answer: dot-stuffed, ended, and with an end of its header.

What is sent differs from the message as stored in three ways:

* NUL becomes 0x80, for Outlook and others stop reading at NUL (Q-4); one octet stays one.
* A header without a blank line behind it gets one, for Outlook Express and Netscape wait for it
  (Q-5). Where the header's last line is complete, LIST counts these two octets.
* A last line without CRLF is completed before the final dot (R204). What completes an unfinished
  line belongs to the answer and not to the message, and is not counted (RFC 1939 §11).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from maa.conversation import SLOW, Step
from maa.message.octets import HEADER_OCTETS_MAX, Wire, WireBytes, dot_stuffed, without_nul
from maa.pop3.wire import END

BLANK_LINE_OCTETS: Final = 2


def lacks_blank_line(head: bytes) -> bool:
    """Whether there are header lines and no blank line behind them."""
    return bool(head) and b"\r\n\r\n" not in head and not head.startswith(b"\r\n")


def counted_octets(head: bytes) -> int:
    """What a message of this header, being all of it, is larger in POP3 than in IMAP (Q-5)."""
    whole = lacks_blank_line(head) and head.endswith(b"\r\n")
    return BLANK_LINE_OCTETS if whole else 0


def counted_octets_of(wire: Wire) -> int:
    """The same for a message; may block where it is large."""
    if isinstance(wire, WireBytes):
        return counted_octets(wire.data)
    if not 0 < wire.size <= HEADER_OCTETS_MAX:
        return 0
    last = b"\r\n"  # a blank line at the very beginning ends a header too
    for chunk in wire.chunks():
        joined = last + chunk
        if b"\r\n\r\n" in joined:
            return 0
        last = joined[-3:]
    return BLANK_LINE_OCTETS if last.endswith(b"\r\n") else 0


def message(wire: Wire) -> Iterator[Step]:
    """RETR's lines and the final dot; large messages say SLOW before each read."""
    if isinstance(wire, WireBytes):
        yield whole(wire.data)
        return
    stuffed = dot_stuffed(_with_blank_line(wire.chunks()))
    while True:
        yield SLOW
        piece = next(stuffed, None)
        if piece is None:
            return
        yield piece


def whole(data: bytes) -> bytes:
    """A message in memory as a multi-line answer."""
    if b"\0" in data:
        data = without_nul(data)
    if b"\r\n\r\n" not in data and lacks_blank_line(data):
        data += b"\r\n" if data.endswith(b"\r\n") else b"\r\n\r\n"
    if b"\r\n." in data:
        data = data.replace(b"\r\n.", b"\r\n..")
    if data.startswith(b"."):
        data = b"." + data
    return data + (END if data.endswith(b"\r\n") else b"\r\n" + END)


def top(wire: Wire, lines: int) -> Iterator[Step]:
    """TOP's answer: the header, its blank line, and so many lines of the body (RFC 1939 §7)."""
    if isinstance(wire, WireBytes):
        yield whole(b"".join(_top((wire.data,), lines)))
        return
    stuffed = dot_stuffed(_with_blank_line(_top(wire.chunks(), lines)))
    while True:
        yield SLOW
        piece = next(stuffed, None)
        if piece is None:
            return
        yield piece


def _top(chunks: Iterator[bytes] | tuple[bytes, ...], lines: int) -> Iterator[bytes]:
    """The octets up to the end of the last line wanted; lines may end across two chunks."""
    before = b"\r\n"  # an empty header is a blank line at once
    in_header, left = True, lines
    for chunk in chunks:
        at = 0
        if in_header:
            # Three octets of what came before are enough to see CRLF CRLF across the edge.
            joined = before[-3:] + chunk
            found = joined.find(b"\r\n\r\n")
            if found < 0:
                before = joined
                yield chunk
                continue
            in_header = False
            at = found + 4 - len(before[-3:])
        while left and (end := chunk.find(b"\n", at)) >= 0:
            at, left = end + 1, left - 1
        if not left:
            yield chunk[:at]
            return
        yield chunk


def _with_blank_line(chunks: Iterator[bytes]) -> Iterator[bytes]:
    last, missing = b"\r\n", True
    for chunk in chunks:
        joined = last + chunk
        missing = missing and b"\r\n\r\n" not in joined
        last = joined[-3:]
        yield chunk
    if missing:
        yield b"\r\n" if last.endswith(b"\r\n") else b"\r\n\r\n"
