"""What reads octets that strangers wrote, each as a function that raises only on a finding.

`python -m tests.fuzz.guided NAME` has libFuzzer look for such octets (`make fuzz`: all of them);
`make test` plays the seeds, and what was found once, to each (test_targets).
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from maa.auth.errors import AuthUnavailable
from maa.auth.password_line import parsed
from maa.auth.saslauthd import REPLY_OCTETS_MAX, Saslauthd, read_reply
from maa.imap.frames import Framer
from maa.imap.grammar import Cursor
from maa.imap.responses import ProtocolError
from maa.imap.states import Line, LiteralChunk
from maa.imap.table import COMMANDS
from maa.message import addresses, dates, headers, message_ids, parameters, subject, words
from maa.message.octets import WireBytes, crlf
from maa.message.preview import preview
from maa.message.structure import DEPTH_MAX, PARTS_MAX, Part, pack, scan, unpack
from maa.message.text import header_text, search_text
from maa.store.foreign import Damaged, courier, dovecot, uw
from maa.store.mbox_split import NotMbox, digest, split
from maa.transport.deflate import PIECE_OCTETS, DamagedStream, Deflate
from maa.transport.rawlog import read_recording
from tests.fuzz.connections import name_tables, pop3, proxy_header
from tests.fuzz.logins import sasl, scram, tokens

_HEAD = re.compile(rb"[^ ]+ (?:([Uu][Ii][Dd]) )?([A-Za-z]+)")
_SASLAUTHD = Saslauthd("nowhere")


def imap_parser(data: bytes) -> None:
    """A command's line and literals: a value, or a ProtocolError."""
    framer = Framer(8192)
    framer.feed(data)
    line = framer.next()
    if not isinstance(line, Line) or line.fault is not None:
        return
    head = _HEAD.match(line.text)
    row = head and COMMANDS.get((b"UID " if head[1] else b"") + head[2].upper())
    if not head or not row:
        return
    pieces, at = [line.text], head.end()
    if line.literal is not None and row.streams:
        with suppress(ProtocolError):
            row.parse(b"t", Cursor(pieces, at, line.literal))
    while line.literal is not None and line.literal.octets < 4096:
        framer.expect_literal(line.literal.octets)
        literal = framer.next() if line.literal.octets else None
        pieces.append(literal.data if isinstance(literal, LiteralChunk) else b"")
        following = framer.next()
        if not isinstance(following, Line):
            return
        line = following
        pieces.append(line.text)
    for unicode in (False, True):
        with suppress(ProtocolError):
            row.parse(b"t", Cursor(pieces, at, unicode=unicode))


def mime(data: bytes) -> None:
    """The structure, the same for memory's fast way and the general one, and within bounds."""
    wire = WireBytes(crlf(data))
    root = scan(wire)
    assert pack(unpack(pack(root))) == pack(root)
    waiting: list[tuple[Part, int]] = [(root, 1)]
    seen = 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        assert depth <= DEPTH_MAX
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(wire.data)
        waiting.extend((inner, depth + 1) for inner in part.parts)
    assert seen <= 2 * PARTS_MAX
    preview(wire, root)
    for _ in search_text(wire, root):
        pass


def mbox(data: bytes) -> None:
    """Messages that cover the file, in order; or no mbox."""
    at = 0
    with suppress(NotMbox):
        for message in split(data, 0, len(data)):
            assert message.start == at
            assert at < message.body_start <= message.end <= message.stop <= len(data)
            assert len(digest(data, message, False)) == 32
            at = message.stop
        assert at == len(data)


def saslauthd(data: bytes) -> None:
    """Yes, no, or AuthUnavailable."""
    server, client = socket.socketpair()
    deadline = time.monotonic() + 5
    with server, client:
        server.sendall(data[: 2 * REPLY_OCTETS_MAX])
        server.shutdown(socket.SHUT_WR)
        with suppress(AuthUnavailable, OSError):
            _SASLAUTHD.decided(read_reply(client, lambda: deadline))


def header(data: bytes) -> None:
    """Everything that is read of a header, of its dates and its addresses."""
    headers.envelope(data)
    headers.envelope_fields(data)
    for field in headers.fields(data):
        headers.value(data, field)
    headers.selected(data, [b"SUBJECT"], negate=True)
    header_text(data)
    words.decoded(data)
    subject.base_subject(data)
    message_ids.message_ids(data)
    addresses.parse(data)
    addresses.first(data)
    dates.sent_date(data)
    dates.sent_time(data)
    parameters.content_type(data)
    parameters.disposition(data)
    parameters.languages(data)


def password_line(data: bytes) -> None:
    """An entry, or faults that say why there is none."""
    entry, faults = parsed(data.decode("utf-8", "surrogateescape"), 1)
    assert entry is not None or faults


def foreign(data: bytes) -> None:
    """What other servers left: values, or Damaged."""
    for read in (
        *(dovecot.uidlist, dovecot.keywords, dovecot.subscriptions, dovecot.last_uidvalidity),
        *(courier.uiddb, courier.sizelist, courier.file_uidl, courier.keyword_list),
        *(
            courier.message_keywords,
            courier.update_of,
            courier.subscribed,
            uw.noted,
            uw.mailboxlist,
        ),
    ):
        with suppress(Damaged):
            read(data)


def rawlog(data: bytes) -> None:
    """The records of a recording, which are no more than it has octets."""
    said = sum(len(record.said or b"") for record in read_recording(data))
    assert said <= len(data)


def deflate(data: bytes) -> None:
    """Pieces of bounded size, or DamagedStream."""
    stream = Deflate()
    with suppress(DamagedStream):
        assert len(stream.inflated(data)) <= PIECE_OCTETS
        while stream.more:
            assert len(stream.inflated(b"")) <= PIECE_OCTETS
            assert stream.held_octets <= len(data)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        *(imap_parser, mime, mbox, saslauthd, header, password_line, foreign, rawlog, deflate),
        *(sasl, scram, tokens, proxy_header, name_tables, pop3),
    )
}
