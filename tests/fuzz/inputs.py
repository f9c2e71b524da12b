"""What a hostile client says: commands by the grammar, then bent.

Every input is made of a `random.Random`, so a seed is all that a failure needs to be told.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from maa.imap.table import COMMANDS as IMAP
from maa.pop3.table import COMMANDS as POP3

LITERALS = (0, 1, 5, 64, 4096, 4097, 65536, 65537, 2**31, 2**32 - 1, 2**32, 2**63, 10**30)
"""None between 70,000 octets, which `settled` sends, and what no command takes."""
_WORDS = (
    *(b"INBOX", b"inbox", b"Sent", b'""', b'"a b"', b'"a\\"b"', b'"', b"*", b"%", b"NIL", b"~"),
    *(b"1", b"1:*", b"*:1", b"1:2,2", b"0", b"4294967295", b"4294967296", b"9" * 30, b"-1", b"1_0"),
    *(b"ALL", b"FULL", b"FLAGS", b"UID", b"ENVELOPE", b"BODYSTRUCTURE", b"BODY[]", b"BODY.PEEK["),
    *(b"BODY[1.2.MIME]", b"BODY[HEADER.FIELDS (Subject)]<0.10>", b"BINARY[1]<1.2>", b"PREVIEW"),
    *(
        b"(\\Seen \\Deleted)",
        b"+FLAGS",
        b"-FLAGS.SILENT",
        b"$Junk",
        b"\\Recent",
        b"(UNCHANGEDSINCE 1)",
    ),
    *(
        b"OR",
        b"NOT",
        b"SUBJECT",
        b"BODY",
        b"HEADER",
        b"KEYWORD",
        b"SINCE",
        b"1-Jan-2024",
        b"OLDER 5",
    ),
    *(
        b"CHARSET",
        b"UTF-8",
        b"GB18030",
        b"zlib",
        b"US-ASCII",
        b"RETURN (MIN COUNT)",
        b"$",
        b"MODSEQ 1",
    ),
    *(b"(UNCHANGEDSINCE 1)", b"OLDER 5"),
    *(b"(SUBJECT ARRIVAL)", b"REFERENCES", b"ORDEREDSUBJECT", b"REVERSE", b"(MESSAGES UNSEEN)"),
    *(b"(QRESYNC (1 1))", b"(CONDSTORE)", b"CONDSTORE", b"IMAP4rev2", b"UTF8=ACCEPT", b"SET"),
    *(b"(SELECTED (MessageNew (UID) MessageExpunge))", b"(", b")", b"((((", b"))))", b"[", b"]"),
    *(b"PLAIN", b"AGpvZQBzZWNyZXQ=", b"=", b"*", b"joe", b"secret", b"&", b"&AOQ-", b"&2AE-"),
    *(b"../../etc", b"INBOX/a", b"INBOX.a", b"\xc3\xa4", b"\xff", b"\x00", b"DEFLATE", b"DONE"),
)
_FETCHES = (
    b"FETCH 1:* (FLAGS UID)", b"FETCH 1:* FULL", b"FETCH 1 BODY[]", b"UID FETCH 1:* BODY[1]<0.9>",
    b"SELECT INBOX", b"EXAMINE INBOX", b"SEARCH TEXT a", b"UID SEARCH RETURN (ALL) SEEN",
    b"SORT (SUBJECT) UTF-8 ALL", b"THREAD REFERENCES UTF-8 ALL", b"STORE 1 +FLAGS (\\Seen)",
    b"COPY 1 INBOX", b"CREATE x", b"DELETE x", b"RENAME x y", b'LIST "" *',
    b"STATUS INBOX (MESSAGES)", b"NOOP", b"CHECK", b"CLOSE", b"ENABLE CONDSTORE", b"CAPABILITY",
    b"NAMESPACE", b"GETQUOTAROOT INBOX",
)  # fmt: skip
_POP3 = (
    b"USER joe", b"PASS secret", b"STAT", b"LIST", b"LIST 1", b"UIDL", b"UIDL 2", b"RETR 1",
    b"TOP 1 0", b"TOP 2 9999999999", b"DELE 1", b"RSET", b"NOOP", b"CAPA", b"AUTH", b"AUTH PLAIN",
    b"APOP joe 0", b"AUTH PLAIN AGpvZQBzZWNyZXQ=", b"STLS", b"LANG", b"UTF8", b"RETR -1",
    b"LIST 1_0", b"TOP 1",
)  # fmt: skip
_POP3_NAMES = tuple(name for name in POP3 if name != b"QUIT")


def imap_commands(random: Random, count: int) -> list[bytes]:
    """So many commands, each with a tag of its own and CRLF at its end."""
    return [b"t%d " % number + _imap_command(random) + b"\r\n" for number in range(count)]


def _imap_command(random: Random) -> bytes:
    if random.random() < 0.4:
        return random.choice(_FETCHES)
    name = random.choice([name for name in IMAP if name != b"LOGOUT"])
    return b" ".join([name, *(_argument(random) for _ in range(random.randrange(5)))])


def _argument(random: Random) -> bytes:
    word = random.choice(_WORDS)
    chance = random.random()
    if chance < 0.08:
        mark = random.choice([b"", b"+", b"+"])
        return b"{%d%b}\r\n%b" % (len(word), mark, word)
    if chance < 0.12:
        return b"(" + word + b" " + random.choice(_WORDS) + b")"
    if chance < 0.14:
        return b"%b{%d%b}" % (
            random.choice([b"", b"~"]),
            random.choice(LITERALS),
            random.choice([b"", b"+"]),
        )
    return word


def pop3_commands(random: Random, count: int) -> list[bytes]:
    """So many command lines."""
    return [_pop3_command(random) + b"\r\n" for _ in range(count)]


def _pop3_command(random: Random) -> bytes:
    if random.random() < 0.6:
        return random.choice(_POP3)
    words = [random.choice(_WORDS) for _ in range(random.randrange(4))]
    return b" ".join([random.choice(_POP3_NAMES), *words])


def bent(random: Random, data: bytes) -> bytes:
    """The same with a few mistakes in it."""
    for _ in range(random.randrange(1, 5)):
        data = random.choice(_BENDS)(random, data)
    return data


def _cut(random: Random, data: bytes) -> tuple[bytes, bytes, bytes]:
    first, second = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:first], data[first : min(second, first + 40)], data[min(second, first + 40) :]


def _dropped(random: Random, data: bytes) -> bytes:
    before, _, behind = _cut(random, data)
    return before + behind


def _repeated(random: Random, data: bytes) -> bytes:
    before, piece, behind = _cut(random, data)
    return before + piece * random.choice([2, 3, 50]) + behind


def _inserted(random: Random, data: bytes) -> bytes:
    before, piece, behind = _cut(random, data)
    return (
        before
        + random.choice([*_WORDS, b"\r", b"\n", b"\r\n", b" ", b"\t", b"\\"])
        + piece
        + behind
    )


def _flipped(random: Random, data: bytes) -> bytes:
    before, piece, behind = _cut(random, data)
    return before + bytes(octet ^ 1 << random.randrange(8) for octet in piece[:3]) + behind


def _announced(random: Random, data: bytes) -> bytes:
    before, _, behind = _cut(random, data)
    return before + b"{%d%b}\r\n" % (random.choice(LITERALS), random.choice([b"", b"+"])) + behind


def _long(random: Random, data: bytes) -> bytes:
    before, piece, behind = _cut(random, data)
    return before + random.choice([b"a", b"(", b"1,", b'"', b"NOT "]) * 9000 + piece + behind


_BENDS: tuple[Callable[[Random, bytes], bytes], ...] = (
    *(_dropped, _repeated, _inserted, _inserted, _flipped, _flipped, _announced, _long),
)


def pieces(random: Random, data: bytes) -> list[list[bytes]]:
    """How the octets may arrive: whole, in two, in equal pieces; short ones at every cut."""
    at = random.randrange(len(data) + 1)
    step = random.randrange(1, 30)
    ways = [[data], [data[:at], data[at:]], [data[i : i + step] for i in range(0, len(data), step)]]
    if len(data) < 600:
        ways.append([data[i : i + 1] for i in range(len(data))])
    if len(data) < 80:
        ways.extend([data[:i], data[i:]] for i in range(1, len(data)))
    return ways
