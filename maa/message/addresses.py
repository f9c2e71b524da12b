"""Address lists of message headers as the tuples of ENVELOPE (RFC 5322 §3.4; R152-R155).

Most lists are plain: they are read by one regular expression per mailbox. What that does not
match (comments, routes, groups, quoted pairs, rubbish) goes to a small tolerant reader of
tokens, which takes any octets, never recurses and is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Address:
    """One address structure (RFC 3501 §7.4.2); octets raw but for comments and quoting (R154).

    A mailbox has `mailbox` and `host`, which may be empty but are never None. Of a group's
    start `host` alone is None among the two and `mailbox` is the group's name; of its end
    all four are None.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END: Final = Address(None, None, None, None)

_ATEXT = rb"[^\s()<>@,;:\\\".\[\]]"
_DOT_ATOM = rb"%b+(?:\.%b+)*" % (_ATEXT, _ATEXT)
_HOST = rb"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*"
_PLAIN: Final = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\\r\n]*+)"|((?:%(atext)b++[ \t]*+)*+))[ \t]*+<(%(dot)b)@(%(host)b)>'
    rb"|(%(dot)b)@(%(host)b))[ \t]*+(?:,|\Z)"
    % {b"atext": _ATEXT, b"dot": _DOT_ATOM, b"host": _HOST}
)
_TOKEN: Final = re.compile(
    rb'(?P<blank>\s++)|(?P<atom>[^\s()<>@,;:\\".\[\]]++)|"(?P<quoted>(?:[^"\\]++|\\.)*+)(?:"|\\?\Z)'
    rb"|(?P<literal>\[[^\]]*+\]?)|(?P<comment>\()|(?P<special>.)",
    re.DOTALL,
)
_BLANKS: Final = (b" ", b"\t", b"\r", b"\n")
_PARENTHESIS: Final = re.compile(rb"[()\\]")
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)


def parse(value: bytes) -> tuple[Address, ...]:
    """The addresses of an unfolded header value, groups as start, members, end (R152)."""
    found: list[Address] = []
    position, length = 0, len(value)
    while position < length:
        match = _PLAIN.match(value, position)
        if match is None:
            found.extend(_Reader(value, position).addresses())
            break
        quoted, phrase, mailbox, host, bare_mailbox, bare_host = match.groups()
        if bare_mailbox is not None:
            found.append(Address(None, None, bare_mailbox, bare_host))
        else:
            name = phrase
            if name is None:
                name = quoted.strip()
            elif b"  " in name or b"\t" in name:
                name = b" ".join(name.split())
            else:
                name = name.rstrip() or None
            found.append(Address(name, None, mailbox, host))
        position = match.end()
    return tuple(found)


def first(value: bytes) -> Address | None:
    """The first of `parse`, for which the others need not be read."""
    match = _PLAIN.match(value)
    if match is None:
        return next(_Reader(value, 0).addresses(), None)
    return parse(match.group())[0]


class _Reader:
    """Reads what the plain form does not cover, one token after the other."""

    def __init__(self, value: bytes, position: int) -> None:
        self._value = value
        self._position = position
        self._words: list[bytes] = []  # phrase or local part, blanks between as b" "
        self._comment: bytes | None = None

    def addresses(self) -> Iterator[Address]:
        in_group = False
        while token := self._token():
            kind, text = token
            if kind != "special":
                self._words.append(text)
            elif text == b",":
                yield from self._without_host()
            elif text == b"<":
                yield self._angle()
            elif text == b"@":
                yield self._bare()
            elif text == b":" and not in_group:
                in_group = True
                yield Address(None, None, self._phrase() or b"", None)
                self._forget()
            elif text == b";":
                yield from self._without_host()
                if in_group:
                    in_group = False
                    yield GROUP_END
            else:
                self._words.append(text)
        yield from self._without_host()
        if in_group:
            yield GROUP_END

    def _token(self) -> tuple[str, bytes] | None:
        """The next token; comments are kept aside, runs of blanks are one."""
        value = self._value
        while match := _TOKEN.match(value, self._position):
            self._position = match.end()
            kind = match.lastgroup
            if kind == "comment":
                self._comment = self._comment_text()
                kind, text = "blank", b" "
            elif kind == "quoted":
                text = _QUOTED_PAIR.sub(rb"\1", match["quoted"])
                kind = "atom"
            elif kind == "blank":
                text = b" "
            else:
                text = match.group()
            if kind == "blank":
                if self._words and self._words[-1] != b" ":
                    self._words.append(b" ")
                continue
            return kind or "atom", text
        return None

    def _comment_text(self) -> bytes:
        """The text of the comment whose parenthesis was just passed, nested ones included."""
        start, depth = self._position, 1
        end = position = start
        while depth:
            match = _PARENTHESIS.search(self._value, position)
            if match is None:
                end = position = len(self._value)
                break
            position, end = match.end(), match.start()
            if match.group() == b"\\":
                position += 1
            else:
                depth += 1 if match.group() == b"(" else -1
        self._position = position
        return _QUOTED_PAIR.sub(rb"\1", self._value[start:end].strip())

    def _phrase(self) -> bytes | None:
        return b"".join(self._words).strip() if self._words else None

    def _forget(self) -> None:
        self._words.clear()
        self._comment = None

    def _without_host(self) -> Iterator[Address]:
        """What stood between commas without "@": a mailbox with an empty host, if anything."""
        local = self._phrase()
        if local:
            yield Address(self._comment, None, local, b"")
        self._forget()

    def _bare(self) -> Address:
        """`local@host`, the "@" just passed; a comment behind is the person's name.

        In front of "<" it was no address but the name, as if it had been quoted.
        """
        local = _joined(self._words)
        self._words.clear()
        host = self._host()
        if self._value.startswith(b"<", self._position):
            self._position += 1
            self._words.append(local + b"@" + host)
            return self._angle()
        self._skip_to_comma()
        address = Address(self._comment, None, local, host)
        self._forget()
        return address

    def _angle(self) -> Address:
        """`Name <@route:local@host>`, the "<" just passed."""
        name, comment = self._phrase(), self._comment
        self._forget()
        route: bytes | None = None
        local: bytes | None = None
        host = b""
        while token := self._token():
            kind, text = token
            if kind != "special":
                self._words.append(text)
            elif text == b">":
                break
            elif text == b"@" and local is None:
                if self._words:
                    local = _joined(self._words)
                    self._words.clear()
                    host = self._host()
                else:
                    route = self._route()
            elif text == b"," and local is not None:
                self._position -= 1  # ">" is missing: the next address begins
                break
            else:
                self._words.append(text)
        if local is None:
            local = _joined(self._words)
        self._forget()  # a comment in the angle brackets is nobody's name
        self._skip_to_comma()
        address = Address(name or comment or self._comment or name, route, local, host)
        self._forget()
        return address

    def _route(self) -> bytes:
        """The obsolete route behind its first "@", up to the colon (RFC 5322 §4.4)."""
        parts = [b"@"]
        while token := self._token():
            kind, text = token
            if kind == "special" and text in b":>":
                self._position -= text == b">"
                break
            parts.append(text)
        self._words.clear()
        return b"".join(parts)

    def _host(self) -> bytes:
        """A domain: atoms with dots between, or a literal; blanks only around the dots."""
        parts: list[bytes] = []
        while True:
            before = self._position
            token = self._token()
            if token is None:
                break
            kind, text = token
            wanted = not parts or parts[-1] == b"." or text == b"."
            if not wanted or (kind == "special" and text != b"."):
                self._position = before
                self._pass_blanks()
                break
            parts.append(text)
        self._words.clear()
        return b"".join(parts)

    def _pass_blanks(self) -> None:
        while self._value[self._position : self._position + 1] in _BLANKS:
            self._position += 1

    def _skip_to_comma(self) -> None:
        """Pass what follows an address: only a comment means something there."""
        while token := self._token():
            kind, text = token
            if kind == "special" and text in b",;":
                if text == b";":
                    self._position -= 1
                break
        self._words.clear()


def _joined(words: list[bytes]) -> bytes:
    """A local part: blanks around its dots do not count."""
    return b"".join(word for word in words if word != b" ")
