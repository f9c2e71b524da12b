"""What the Content-* fields say: types, parameters, dispositions, languages (RFC 2045 §5, 2183).

Well-formed values are read by one expression; the rest by a tolerant reader of tokens. RFC 2231
pieces are joined into one `name*` (R147): `name*0*`, `name*1` ... become one parameter, as long
as none is missing and there are no more than `PIECES_MAX`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

Parameters = tuple[tuple[bytes, bytes], ...]

PIECES_MAX: Final = 100
PARAMETERS_MAX: Final = 1000
"""Of one field no more parameters than this are read; no honest mail comes near."""
_CACHED_OCTETS: Final = 128

_TOKEN = rb'[^\x00-\x20()<>@,;:\\"/\[\]?=\x7f]'
_WELL_FORMED: Final = re.compile(
    rb"\s*+(%(t)b++)\s*+(?:/\s*+(%(t)b++)\s*+)?"
    rb'((?:;\s*+%(t)b++\s*+=\s*+(?:%(t)b++|"[^"\\]*+")\s*+)*+);?\s*+\Z' % {b"t": _TOKEN}
)
_PARAMETER: Final = re.compile(
    rb';\s*+(%(t)b++)\s*+=\s*+(?:(%(t)b++)|"([^"\\]*+)")' % {b"t": _TOKEN}
)
_LEXEME: Final = re.compile(
    rb'(?P<blank>\s++)|(?P<word>[^\s()\\";/=,]++)|"(?P<quoted>(?:[^"\\]++|\\.)*+)(?:"|\\?\Z)'
    rb"|(?P<comment>\()|(?P<special>.)",
    re.DOTALL,
)
_PARENTHESIS: Final = re.compile(rb"[()\\]")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_PIECE: Final = re.compile(rb"([^*]+)\*(?:([0-9]{1,5})(\*?))?\Z")
_UNSAFE: Final = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")

Lexeme = tuple[str, bytes]


def content_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    """Type, subtype (both in lower case) and parameters; None when it names no type (R148)."""
    if len(value) <= _CACHED_OCTETS and b"boundary" not in value:
        return _cached_type(value)
    return _content_type(value)


def _content_type(value: bytes) -> tuple[bytes, bytes, Parameters] | None:
    match = _WELL_FORMED.match(value)
    if match is not None:
        kind, subtype, tail = match.groups()
        if subtype is None:
            return None
        return kind.lower(), subtype.lower(), _plain_parameters(tail)
    lexemes = _lexemes(value)
    head: list[bytes] = []
    while lexemes and lexemes[0] != ("special", b";"):
        head.append(lexemes.pop(0)[1])
        if len(head) > 3:
            break
    if len(head) < 3 or head[1] != b"/" or not head[0]:
        return None
    return head[0].lower(), head[2].lower(), _loose_parameters(lexemes)


_cached_type = lru_cache(maxsize=1024)(_content_type)


def disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """The disposition and its parameters (RFC 2183 §2); None when there is no word."""
    match = _WELL_FORMED.match(value)
    if match is not None and match[2] is None:
        return match[1].lower(), _plain_parameters(match[3])
    lexemes = _lexemes(value)
    if not lexemes or lexemes[0][0] == "special":
        return None
    return lexemes[0][1].lower(), _loose_parameters(lexemes[1:])


def languages(value: bytes) -> tuple[bytes, ...]:
    """The tags of Content-Language (RFC 3282 §2)."""
    return tuple(text for kind, text in _lexemes(value[:4096]) if kind == "word")


def token(value: bytes) -> bytes:
    """The first word, as of Content-Transfer-Encoding; comments do not count."""
    for kind, text in _lexemes(value[:4096]):
        if kind != "special":
            return text
    return b""


def parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """The value of a parameter by its lower-case name."""
    for key, text in parameters:
        if key == name:
            return text
    return None


def _plain_parameters(tail: bytes) -> Parameters:
    """The parameters of a value that `_WELL_FORMED` matched."""
    if not tail:
        return ()
    pairs = [
        (name.lower(), quoted or word)
        for name, word, quoted in _PARAMETER.findall(tail)[:PARAMETERS_MAX]
    ]
    return _joined(pairs) if b"*" in tail else tuple(pairs)


def _lexemes(value: bytes) -> list[Lexeme]:
    """Words, quoted strings and specials, without blanks and comments; never recurses."""
    found: list[Lexeme] = []
    position = 0
    limit = 8 * PARAMETERS_MAX
    while len(found) < limit and (match := _LEXEME.match(value, position)):
        position = match.end()
        kind = match.lastgroup
        if kind == "comment":
            position = _behind_comment(value, position)
        elif kind == "quoted":
            found.append(("quoted", _QUOTED_PAIR.sub(rb"\1", match["quoted"])))
        elif kind is not None and kind != "blank":
            found.append((kind, match.group()))
    return found


def _behind_comment(value: bytes, position: int) -> int:
    """Where the comment ends whose parenthesis is just before `position`."""
    depth = 1
    while depth:
        match = _PARENTHESIS.search(value, position)
        if match is None:
            return len(value)
        position = match.end()
        if match.group() == b"\\":
            position += 1
        else:
            depth += 1 if match.group() == b"(" else -1
    return position


def _loose_parameters(lexemes: list[Lexeme]) -> Parameters:
    """Parameters from whatever stands between semicolons; what has no "=" is passed over."""
    pairs: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(lexemes) and len(pairs) < PARAMETERS_MAX:
        if lexemes[at] != ("special", b";"):
            at += 1
            continue
        stop = at + 1
        while stop < len(lexemes) and lexemes[stop] != ("special", b";"):
            stop += 1
        name, equals = lexemes[at + 1 : at + 2], lexemes[at + 2 : at + 3]
        if name and name[0][0] == "word" and equals == [("special", b"=")]:
            pairs.append((name[0][1].lower(), _loose_value(lexemes[at + 3 : stop])))
        at = stop
    return _joined(pairs)


def _loose_value(lexemes: list[Lexeme]) -> bytes:
    """A quoted string, or everything that stands there without quotes."""
    if lexemes and lexemes[0][0] == "quoted":
        return lexemes[0][1]
    return b"".join(text for _, text in lexemes)


def _joined(pairs: list[tuple[bytes, bytes]]) -> Parameters:
    """RFC 2231 §3: the pieces of a parameter as one, in the place of the first piece."""
    plain: list[tuple[bytes, bytes]] = []
    pieces: dict[bytes, dict[int, tuple[bytes, bytes, bool]]] = {}
    broken: set[bytes] = set()
    for name, text in pairs:
        match = _PIECE.match(name)
        if match is None:
            plain.append((name, text))
            continue
        number = int(match[2] or 0)
        known = pieces.setdefault(match[1], {})
        if number in known or number >= PIECES_MAX:
            broken.add(match[1])
        known[number] = (name, text, match[2] is None or bool(match[3]))
    for base, known in pieces.items():
        ordered = [known[number] for number in sorted(known)]
        if base in broken or max(known) != len(known) - 1:
            plain.extend((name, text) for name, text, _ in ordered)
        else:
            plain.append(_one(base, [(text, extended) for _, text, extended in ordered]))
    return tuple(plain)


def _one(base: bytes, pieces: list[tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    """One parameter of all pieces; when one is percent-encoded, the others must be, too."""
    if not any(extended for _, extended in pieces):
        return base, b"".join(text for text, _ in pieces)
    start = b"" if pieces[0][1] else b"''"
    return base + b"*", start + b"".join(
        text if extended else _UNSAFE.sub(lambda m: b"%%%02X" % m.group()[0], text)
        for text, extended in pieces
    )
