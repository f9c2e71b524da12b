"""Change one value of a TOML file and leave everything else as it is, comments too."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

_HEADER: Final = re.compile(r"[ \t]*\[(?P<name>[^\[\]\n]+)\][ \t]*(?:#.*)?")


class CannotEdit(Exception):
    """The file has the setting in a way that is not understood here: to be edited by hand."""


def with_value(text: str, table: str, key: str, value: str) -> str:
    """The text with `key` in `table` set to `value`, which is written in TOML; CannotEdit."""
    start, stop, new = _place(text, table, key, value)
    changed = text[:start] + new + text[stop:]
    wanted: dict[str, Any] = tomllib.loads(text)
    inner = wanted.setdefault(table, {})
    inner[key] = tomllib.loads(f"x = {value}")["x"]
    try:
        if tomllib.loads(changed) == wanted:
            return changed
    except tomllib.TOMLDecodeError:
        pass
    raise CannotEdit(f"{table}.{key} stands there in a way that only you understand")


def _place(text: str, table: str, key: str, value: str) -> tuple[int, int, str]:
    """From where to where the text is to be replaced, and by what."""
    inside, after_header, at = "", None, 0
    for line in text.splitlines(keepends=True):
        header = _HEADER.fullmatch(line.rstrip("\r\n"))
        if header is not None:
            inside = header["name"].strip()
            if inside == table:
                after_header = at + len(line)
        name = {table: key, "": f"{table}.{key}"}.get(inside)
        setting = name and re.match(rf"[ \t]*{re.escape(name)}[ \t]*=[ \t]*", line)
        if setting:
            begin = at + setting.end()
            return begin, begin + _value_length(text[begin:]), value
        at += len(line)
    new = f"{key} = {value}\n"
    if after_header is not None:
        ended = text[:after_header].endswith("\n")
        return after_header, after_header, new if ended else "\n" + new
    ended = not text or text.endswith("\n")
    return len(text), len(text), ("" if ended else "\n") + f"\n[{table}]\n{new}"


def _value_length(rest: str) -> int:
    """How long the value is that the text begins with: the shortest that is whole."""
    line_end = rest.find("\n") % (len(rest) + 1)
    for close in re.finditer(r"""[\]"'\w]""", rest):
        try:
            found = tomllib.loads("x = " + rest[: close.end()])
        except tomllib.TOMLDecodeError:
            continue
        # A word may go on: `tru` is none, but `1` and `12` both are values.
        if isinstance(found["x"], list | str):
            return close.end()
        if close.end() >= line_end:
            break
    return line_end
