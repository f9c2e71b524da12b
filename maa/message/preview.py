"""A message in two hundred characters, as lists of messages show it (RFC 8970)."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

from maa.message.charsets import charset_decoder, guessed
from maa.message.decoding import UnknownEncoding, decoded
from maa.message.octets import Wire
from maa.message.parts import Part

CHARACTERS_MAX: Final = 200
_OCTETS_MAX: Final = 32768
"""Of a part so much is looked at, decoded: mails begin with pages of style sheets."""
_ENCODED_MAX: Final = 4 * _OCTETS_MAX
_TOKEN: Final = re.compile(r"<!--|<(/?[A-Za-z][A-Za-z0-9]*)[^>]*+>?|<[!?][^>]*+>?|<|[^<]++")
_UNSHOWN: Final = frozenset(("head", "script", "style", "template", "title"))
_PHRASES: Final = (
    "a abbr b bdi bdo cite code em font i kbd mark q s samp small span strong sub sup tt u var wbr"
)
_INLINE: Final = frozenset(_PHRASES.split())
"""Elements that do not end a word."""
_INVISIBLE: Final = ("Cc", "Cf", "Cs", "Co", "Cn")
_FILLING: Final = "\N{COMBINING GRAPHEME JOINER}\N{HANGUL FILLER}"


def preview(wire: Wire, root: Part) -> str:
    """The first text people would read, in one line; empty when there is none. May block."""
    for part in _readable(root):
        text = _text(wire, part)
        if text:
            return text
    return ""


def _readable(root: Part) -> Iterator[Part]:
    """Parts with text, in the order of the message; of alternatives plain text comes first."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        disposition = part.said.disposition
        if disposition is not None and disposition[0].lower() == b"attachment":
            continue
        if part.type == b"text" and part.subtype in (b"plain", b"html"):
            yield part
        parts = list(part.parts)
        if part.is_multipart and part.subtype == b"alternative":
            parts.sort(key=lambda one: (one.type, one.subtype) != (b"text", b"plain"))
        waiting.extend(reversed(parts))


def _text(wire: Wire, part: Part) -> str:
    stop = min(part.body_end, part.body_start + _ENCODED_MAX)
    try:
        octets = _first(decoded(part, wire.chunks(part.body_start, stop)))
    except UnknownEncoding:
        return ""
    text = (charset_decoder(part.charset) or guessed)(octets)
    if part.subtype == b"html":
        return _one_line(_of_html(text))
    return _one_line(_own_lines(text)) or _one_line((text,))


def _first(pieces: Iterable[bytes]) -> bytes:
    found = b""
    for piece in pieces:
        found += piece
        if len(found) >= _OCTETS_MAX:
            break
    return found[:_OCTETS_MAX]


def _own_lines(text: str) -> Iterator[str]:
    """What the sender wrote, but for the signature: no lines of others that are quoted."""
    for line in text.splitlines():
        if line.rstrip() == "--":
            return
        if not line.startswith(">"):
            yield line + "\n"


def _of_html(text: str) -> Iterator[str]:
    """What a browser would show, about; in one pass, whatever the page looks like."""
    at, hidden = 0, ""
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # it takes any character
        at = match.end()
        if match[0] == "<!--":
            end = text.find("-->", at)
            at = len(text) if end < 0 else end + 3
            continue
        name = (match[1] or "").lower()
        if hidden:
            hidden = "" if name == "/" + hidden else hidden
        elif name in _UNSHOWN:
            hidden = name
        elif not match[0].startswith("<") or match[0] == "<":
            yield html.unescape(match[0])
        elif name.removeprefix("/") not in _INLINE:
            yield " "


def _one_line(pieces: Iterable[str]) -> str:
    """The first characters, with one blank where there were many, and nothing unseen."""
    found = ""
    for piece in pieces:
        shown = "".join(character for character in piece if _is_seen(character))
        found = " ".join((found + shown).split()) + " " * shown[-1:].isspace()
        if len(found) > CHARACTERS_MAX:
            break
    return found[:CHARACTERS_MAX].strip()


def _is_seen(character: str) -> bool:
    if character.isascii():
        return character.isprintable() or character.isspace()
    return character not in _FILLING and unicodedata.category(character) not in _INVISIBLE
