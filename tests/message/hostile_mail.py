"""Mail made to hurt, as whole messages by what they are: for tests, and for bench/hostile.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MIXED: Final = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
TEXT: Final = b"\r\n\r\nbody\r\n"
DIRTY: Final = b'a "b" \\ \r c \x00 \xff\xc3\xa4 {5} (d) %* ]'
"""What would break an answer: quotes, backslashes, a bare CR, NUL, 8 bits, a literal's size."""


def _nested_multiparts() -> bytes:
    return b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n)
        for n in range(20_000)
    )


def _pieces(count: int, spelled: bytes) -> bytes:
    return b"".join(b";\r\n %b" % (spelled % number) for number in range(count))


def _dirty() -> bytes:
    fields = (
        *(b"From: " + DIRTY, b"To: " + DIRTY + b" <a@b>", b"Cc: g" + DIRTY + b": x@y;"),
        *(b"Subject: " + DIRTY, b"Message-ID: <" + DIRTY + b">", b"In-Reply-To: " + DIRTY),
        *(b"Date: " + DIRTY, b"Content-ID: " + DIRTY, b"Content-Description: " + DIRTY),
        b"Content-Type: " + DIRTY + b'/plain; name="' + DIRTY + b'"; x*0=' + DIRTY,
        *(b"Content-Disposition: " + DIRTY + b"; filename=" + DIRTY, b"Content-MD5: " + DIRTY),
        *(b"Content-Language: " + DIRTY, b"Content-Location: " + DIRTY),
        b"Content-Transfer-Encoding: " + DIRTY,
    )
    part = b"\r\n".join(fields) + b"\r\n\r\n" + DIRTY + b"\r\n"
    head = b"Content-Type: multipart/" + DIRTY + b"; boundary=x\r\n"
    inner = b"--x\r\nContent-Type: message/rfc822\r\n\r\n" + part
    return head + b"\r\n".join(fields[:9]) + b"\r\n\r\n--x\r\n" + part + inner + b"--x--\r\n"


_MADE: Final[dict[str, Callable[[], bytes]]] = {
    "20,000 MIME parts": lambda: (
        MIXED + b"--x\r\nContent-Type: text/plain\r\n\r\na\r\n" * 20_000 + b"--x--\r\n"
    ),
    "20,000 nested MIME parts": _nested_multiparts,
    "5,000 nested messages": lambda: (
        b"Content-Type: message/rfc822\r\n\r\n" * 5_000 + b"Subject: core" + TEXT
    ),
    "a header of 5 MB": lambda: b"Subject: " + b"x" * 5_000_000 + TEXT,
    "100,000 folds": lambda: b"Subject: a" + b"\r\n b" * 100_000 + TEXT,
    "100,000 fields": lambda: b"X-Field: y\r\n" * 100_000 + b"To: a@b" + TEXT,
    "50,000 To lines": lambda: b"".join(b"To: u%d@a.bc\r\n" % n for n in range(50_000)) + TEXT,
    "100,000 addresses": lambda: b"To: " + b"a@b, " * 100_000 + b"c@d" + TEXT,
    "broken groups": lambda: b"To: " + b"a:" * 50_000 + b";" * 50_000 + b":;,<@" * 20_000 + TEXT,
    "comments 50,000 deep": lambda: (
        b"From: " + b"(" * 50_000 + b")" * 50_000 + b" a@b\r\nContent-Type: " + b"(" * 50_000
        + b"text/html" + TEXT
    ),
    "50,000 pieces of a parameter": lambda: (
        b"Content-Type: text/plain" + _pieces(50_000, b"name*%d=x")
        + b"\r\nContent-Disposition: attachment" + _pieces(50_000, b"filename*%d*=%%41") + TEXT
    ),
    "50,000 encoded words": lambda: (
        b"Subject: " + b"=?utf-8?q?=41?= " * 25_000 + b"=?x-none?b?QQ==?= " * 25_000 + TEXT
    ),
    "character sets that are codecs": lambda: (
        b"Subject: =?zlib?b?eJxLBAAAYgBi?= =?unicode_escape?q?=5Cx41?= =?idna?q?xn--a?=\r\n"
        b"Content-Type: text/plain; charset=" + b"unicode_escape" * 5_000 + b"\r\n\r\n\\x41\r\n"
    ),
    "what breaks answers": _dirty,
    "10,000 boundaries": lambda: (
        MIXED + b"".join(b"--b%d\r\n" % n for n in range(10_000)) + b"--x--\r\n"
    ),
    "no header": lambda: b"\r\n" + b"no header\r\n" * 1000,
    "nothing but NULs": lambda: bytes(1_000_000),
    "a line of 8 MB": lambda: b"Subject: x\r\n\r\n" + b"x" * 8_000_000,
    "100,000 references": lambda: (
        b"Message-ID: <1@x>\r\nReferences: "
        + b" ".join(b"<%d@x>" % (n % 50_000) for n in range(100_000)) + TEXT
    ),
    "its own ancestor": lambda: b"Message-ID: <a@x>\r\nReferences: <b@x> <a@x> <b@x>" + TEXT,
    "its own child": lambda: b"Message-ID: <b@x>\r\nIn-Reply-To: <a@x>\r\nReferences: <a@x>" + TEXT,
    "a mailbox's own fields": lambda: (
        b"X-IMAPbase: 1 4000000000\r\nX-UID: 4000000000\r\nStatus: RO\r\nX-Status: D\r\n"
        b"X-Keywords: $Forged\r\n\r\n\r\nFrom joe Thu Jan  1 00:00:00 1970\r\n\r\nbody\r\n"
    ),
}  # fmt: skip
NAMES: Final = tuple(_MADE)


def message(name: str) -> bytes:
    """The message of this name, with CRLF."""
    return _MADE[name]()
