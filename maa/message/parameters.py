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
ContentType = tuple[bytes, bytes, Parameters]

UNREADABLE: Final[ContentType] = (b"", b"", ())
"""The type of a part whose Content-Type has no type and subtype: not text, not looked into."""

PIECES_MAX: Final = 100
PARAMETERS_MAX: Final = 1000
"""Of one field no more parameters than this are read; no honest mail comes near."""
_CACHED_OCTETS: Final = 128

_TOKEN = rb'[^\x00-\x20()<>@,;:\\"/\[\]?=\x7f]'
_WELL_FORMED: Final = re.compile(
    rb"\s*+(%(t)b++)\s*+(?:/\s*+(%(t)b++)\s*+)?"
    rb'((?:;\s*+%(t)b++\s*+=\s*+(?:%(t)b++|"[^"\\]*+")\s*+)*);?\s*+\Z' % {b"t": _TOKEN}
)
_PARAMETER: Final = re.compile(
    rb';\s*+(%(t)b++)\s*+=\s*+(?:(%(t)b++)|"([^"\\]*+)")' % {b"t": _TOKEN}
)
_BLANKS: Final = re.compile(rb"\s*+")
_WORD: Final = re.compile(rb'[^\s()\\";/=,]++')
_LOOSE: Final = re.compile(rb'[^\s;"\\]++')
_QUOTED: Final = re.compile(rb'"((?:[^"\\]++|\\.)*+)"', re.DOTALL)
_PARENTHESIS: Final = re.compile(rb"[()\\]")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_PIECE: Final = re.compile(rb"([^*]+)\*(?:([0-9]{1,5})(\*?))?\Z")
_UNSAFE: Final = re.compile(rb"[\x00-\x1f%\x7f-\xff]")


def content_type(value: bytes) -> ContentType:
    """Type and subtype, in lower case, and parameters; `UNREADABLE` where it has no form (R148)."""
    if len(value) <= _CACHED_OCTETS and b"boundary" not in value:
        return _cached_type(value)
    return _content_type(value)


def _content_type(value: bytes) -> ContentType:
    match = _WELL_FORMED.match(value)
    if match is not None:
        kind, subtype, tail = match.groups()
        if subtype is not None:
            return kind.lower(), subtype.lower(), _plain(tail)
    reader = _Reader(value)
    kind = reader.word()
    if not kind or not reader.take(b"/"):
        return (kind.lower(), b"", ()) if reader.at_end() else UNREADABLE
    subtype = reader.word()
    return (kind.lower(), subtype.lower(), reader.parameters()) if subtype else UNREADABLE


_cached_type = lru_cache(maxsize=1024)(_content_type)


def disposition(value: bytes) -> tuple[bytes, Parameters] | None:
    """The disposition and its parameters (RFC 2183 §2); None when there is no word."""
    match = _WELL_FORMED.match(value)
    if match is not None and match[2] is None:
        return match[1].lower(), _plain(match[3])
    reader = _Reader(value)
    word = reader.word()
    return (word.lower(), reader.parameters()) if word else None


def languages(value: bytes) -> tuple[bytes, ...]:
    """The tags of Content-Language (RFC 3282 §2)."""
    reader = _Reader(value[:4096])
    tags = []
    while tag := reader.word():
        tags.append(tag)
        if not reader.take(b","):
            break
    return tuple(tags)


def token(value: bytes) -> bytes:
    """The word that is the whole value, as of Content-Transfer-Encoding; else nothing."""
    reader = _Reader(value[:4096])
    word = reader.word()
    return word if reader.at_end() else b""


def parameter(parameters: Parameters, name: bytes) -> bytes | None:
    """The value of a parameter by its lower-case name."""
    for key, text in parameters:
        if key == name:
            return text
    return None


def _plain(tail: bytes) -> Parameters:
    """The parameters of a value that `_WELL_FORMED` matched."""
    if not tail:
        return ()
    pairs = [
        (name.lower(), quoted or word)
        for name, word, quoted in _PARAMETER.findall(tail)[:PARAMETERS_MAX]
    ]
    return _joined(pairs) if b"*" in tail else tuple(pairs)


class _Reader:
    """Reads values that are not well-formed, from left to right; never raises or recurses."""

    def __init__(self, value: bytes) -> None:
        self._value = value
        self._position = 0

    def word(self) -> bytes:
        """The word here, or nothing; blanks and comments around it are passed."""
        return self._matched(_WORD)

    def take(self, special: bytes) -> bool:
        """Pass this octet if it stands here."""
        self._pass_blanks()
        found = self._value.startswith(special, self._position)
        self._position += found
        return found

    def at_end(self) -> bool:
        self._pass_blanks()
        return self._position >= len(self._value)

    def parameters(self) -> Parameters:
        """What stands behind semicolons and has an "="; the rest is passed over."""
        pairs: list[tuple[bytes, bytes]] = []
        while len(pairs) < PARAMETERS_MAX:
            semicolon = self._value.find(b";", self._position)
            if semicolon < 0:
                break
            self._position = semicolon + 1
            name = self.word()
            if name and self.take(b"="):
                text = self._parameter_value(name.lower())
                if text is not None:
                    pairs.append((name.lower(), text))
        return _joined(pairs)

    def _parameter_value(self, name: bytes) -> bytes | None:
        """A quoted string or a word; None for a quoted string without end.

        Many senders do not quote boundaries and encoded words, as RFC 2045 §5.1 wants it.
        """
        self._pass_blanks()
        if self._value.startswith(b'"', self._position):
            match = _QUOTED.match(self._value, self._position)
            if match is None:
                self._position = len(self._value)
                return None
            self._position = match.end()
            return _QUOTED_PAIR.sub(rb"\1", match[1])
        loose = name == b"boundary" or self._value.startswith(b"=?", self._position)
        return self._matched(_LOOSE if loose else _WORD)

    def _matched(self, pattern: re.Pattern[bytes]) -> bytes:
        self._pass_blanks()
        match = pattern.match(self._value, self._position)
        if match is None:
            return b""
        self._position = match.end()
        return match.group()

    def _pass_blanks(self) -> None:
        """Pass blanks and comments."""
        value = self._value
        depth = 0
        position = _BLANKS.match(value, self._position).end()  # type: ignore[union-attr]
        while value.startswith(b"(", position):
            position += 1
            depth = 1
            while depth:
                match = _PARENTHESIS.search(value, position)
                if match is None:
                    position, depth = len(value), 0
                    break
                position = match.end()
                if match.group() == b"\\":
                    position += 1
                else:
                    depth += 1 if match.group() == b"(" else -1
            position = _BLANKS.match(value, position).end()  # type: ignore[union-attr]
        self._position = min(position, len(value))


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
