"""Messages which a careless server or client would change on the way."""

from __future__ import annotations

PLAIN = b"""Return-Path: <ann@example.org>
From: Ann Example <ann@example.org>
To: bob@example.net
Subject: plain words
Date: Mon, 2 Mar 2026 10:11:12 +0100
Message-ID: <plain@example.org>

The quick brown fox.
Second line.
"""

DOTS = b"""Return-Path: <ann@example.org>
From: ann@example.org
To: bob@example.net
Subject: dots
Date: Tue, 3 Mar 2026 10:11:12 +0100
Message-ID: <dots@example.org>

.
..
.leading dot
From here on nothing is special
>From neither is this
last.
"""

EIGHT_BIT = """Return-Path: <zoe@example.org>
From: =?utf-8?Q?Zo=C3=AB?= <zoe@example.org>
To: bob@example.net
Subject: =?utf-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?=
Date: Wed, 4 Mar 2026 10:11:12 +0100
Message-ID: <eight@example.org>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. 日本語
""".encode()

ATTACHMENT = (
    b"""Return-Path: <carol@example.org>
From: "Carol (of sales)" <carol@example.org>
To: bob@example.net
Subject: with an attachment
Date: Thu, 5 Mar 2026 10:11:12 +0100
Message-ID: <attachment@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="edge"

preamble
--edge
Content-Type: text/plain; charset=us-ascii

See attached.

--edge
Content-Type: application/octet-stream; name="data.bin"
Content-Disposition: attachment; filename="data.bin"
Content-Transfer-Encoding: base64

"""
    + b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4\n" * 3000
    + b"""--edge--
epilogue
"""
)

LONG_LINE = (
    b"""Return-Path: <dan@example.org>
From: dan@example.org
To: bob@example.net
Subject: one very long line
Date: Fri, 6 Mar 2026 10:11:12 +0100
Message-ID: <long@example.org>

"""
    + b"abcdefghi " * 9000
    + b"\n"
)

CRLF = PLAIN.replace(b"plain", b"crlf").replace(b"\n", b"\r\n")
"""A file whose lines end in CRLF, as some MDAs write them."""

NO_FINAL_NEWLINE = PLAIN.replace(b"plain", b"unended").rstrip(b"\n")

EMPTY_BODY = PLAIN.replace(b"plain", b"empty").split(b"\n\n")[0] + b"\n\n"

BARE_CR = PLAIN.replace(b"plain", b"bare").replace(b"quick ", b"quick\r")

ORDINARY = (PLAIN, DOTS, EIGHT_BIT, ATTACHMENT)
"""What every client brings home unchanged."""

ALL = (*ORDINARY, LONG_LINE, CRLF, NO_FINAL_NEWLINE, EMPTY_BODY, BARE_CR)


def as_sent(stored: bytes) -> bytes:
    """The octets a client must see: every line ends in CRLF, nothing else is changed."""
    return stored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def as_stored(sent: bytes) -> bytes:
    """What a client on this system writes to its own disk: lines end in LF."""
    return sent.replace(b"\r\n", b"\n")


def numbered(number: int) -> bytes:
    """A small message of its own."""
    return PLAIN.replace(b"plain", b"number %d" % number)
