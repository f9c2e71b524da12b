"""The base subject: what is left when marks of replies and forwards are gone (RFC 5256 §2.1)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from maa.message.words import decoded

_BLANKS: Final = re.compile(r"[ \t\r\n]+")
# subj-blob = "[" *BLOBCHAR "]" *WSP
_BLOB: Final = re.compile(r"\[[^\[\]]*+\] ?")
# subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_REFWD: Final = re.compile(r"(?:re|fwd?) ?(?:\[[^\[\]]*+\] ?)?:", re.IGNORECASE | re.ASCII)
_TRAILER: Final = "(fwd)"
_FORWARDED: Final = "[fwd:"


class BaseSubject(NamedTuple):
    """A subject without its marks."""

    text: str
    answers: bool
    """It has marks of a reply or a forward (RFC 5256 §3, REFERENCES)."""


def base_subject(value: bytes) -> BaseSubject:
    """The base subject of the Subject field's unfolded value."""
    return of_text(decoded(value))


def of_text(subject: str) -> BaseSubject:
    """The base subject of a decoded one; the steps have the numbers of RFC 5256 §2.1.

    Only the ends of `text` move, and each step looks at each character once: time is linear.
    """
    text = _BLANKS.sub(" ", subject)  # 1
    low, high = 0, len(text)
    answers = False
    while True:
        high, forwarded = _without_trailers(text, low, high)  # 2
        low, replied = _without_leaders(text, low, high)  # 3, 4, 5
        answers = answers or forwarded or replied
        if not _is_forwarded_whole(text, low, high):
            return BaseSubject(text[low:high], answers)
        low, high, answers = low + len(_FORWARDED), high - 1, True  # 6


def _without_trailers(text: str, low: int, high: int) -> tuple[int, bool]:
    """The end without `subj-trailer`s, and whether one was "(fwd)"."""
    forwarded = False
    while high > low:
        if text[high - 1] == " ":
            high -= 1
        elif text[max(high - len(_TRAILER), low) : high].lower() == _TRAILER:
            high -= len(_TRAILER)
            forwarded = True
        else:
            break
    return high, forwarded


def _without_leaders(text: str, low: int, high: int) -> tuple[int, bool]:
    """The beginning without `subj-leader`s and blobs, and whether one was a `subj-refwd`."""
    replied = False
    while low < high:
        if text[low] == " ":
            low += 1
            continue
        last, end = low, low
        while (blob := _BLOB.match(text, end, high)) is not None:
            last, end = end, blob.end()
        refwd = _REFWD.match(text, end, high)
        if refwd is not None:
            low, replied = refwd.end(), True
            continue
        # Of blobs alone the last one is the subject.
        return (end if end < high else last), replied
    return low, replied


def _is_forwarded_whole(text: str, low: int, high: int) -> bool:
    """Whether it begins with `subj-fwd-hdr` and ends with `subj-fwd-trl`."""
    return (
        high - low > len(_FORWARDED)
        and text[high - 1] == "]"
        and text[low : low + len(_FORWARDED)].lower() == _FORWARDED
    )
