"""The threading algorithms (RFC 5256 §3; REFS: draft-ietf-morg-inthread)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from maa.imap.thread_links import Forest


@dataclass(slots=True)
class Subjects:
    """What threading by subject needs of messages numbered from 0."""

    texts: Sequence[bytes]
    """Base subjects as i;unicode-casemap has them."""
    answers: Sequence[bool]
    """Whether the subject is that of a reply or a forward."""


def ordered_subject(subjects: Subjects, dates: Sequence[int]) -> Forest:
    """ORDEREDSUBJECT: messages of one base subject, all below the first."""
    texts = subjects.texts
    ordered = sorted(range(len(texts)), key=lambda node: (texts[node], dates[node]))
    roots: list[int] = []
    children: dict[int, list[int]] = {}
    for _, group in groupby(ordered, texts.__getitem__):
        first, *others = group
        roots.append(first)
        if others:
            children[first] = others
    roots.sort(key=lambda node: (dates[node], node))
    return Forest(len(texts), roots, children)


def references(forest: Forest, subjects: Subjects, dates: Sequence[int]) -> Forest:
    """REFERENCES: threads of one subject become one, siblings stand by sent date (steps 4-6)."""
    _sort_siblings(forest, dates)
    forest.roots.sort(key=_by_date(forest, dates))
    _Merge(forest, subjects).run()
    _sort_siblings(forest, dates)
    forest.roots.sort(key=_by_date(forest, dates))
    return forest


def refs(forest: Forest, dates: Sequence[int], internal_dates: Sequence[int]) -> Forest:
    """REFS: no subjects; threads stand by the most recent INTERNALDATE among their messages."""
    _sort_siblings(forest, dates)
    newest = {root: _newest(forest, root, internal_dates) for root in forest.roots}
    forest.roots.sort(key=lambda root: (newest[root], _first(forest, root)))
    return forest


def _first(forest: Forest, node: int) -> int:
    """The message itself, or of a dummy the first child."""
    return node if node < forest.count else forest.children[node][0]


def _by_date(forest: Forest, dates: Sequence[int]) -> Callable[[int], tuple[int, int]]:
    def key(node: int) -> tuple[int, int]:
        first = _first(forest, node)
        return dates[first], first

    return key


def _sort_siblings(forest: Forest, dates: Sequence[int]) -> None:
    # No dummy is among them: those are roots.
    for siblings in forest.children.values():
        if len(siblings) > 1:
            siblings.sort(key=lambda node: (dates[node], node))


def _newest(forest: Forest, root: int, dates: Sequence[int]) -> int:
    newest = dates[_first(forest, root)]
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node < forest.count:
            newest = max(newest, dates[node])
        waiting.extend(forest.children.get(node, ()))
    return newest


class _Merge:
    """Step 5: threads whose first messages have the same base subject become one."""

    def __init__(self, forest: Forest, subjects: Subjects) -> None:
        self._forest = forest
        self._subjects = subjects
        self._table: dict[bytes, int] = {}
        """The root that stands for a subject."""
        self._next_dummy = max((forest.count - 1, *forest.children)) + 1
        self._merged: set[int] = set()
        """Roots that are none any more."""

    def run(self) -> None:
        """Change the forest in place."""
        roots = self._forest.roots
        named = [(root, text) for root in roots if (text := self._text(root))]
        for root, text in named:
            self._enter(root, text)
        for root, text in named:
            if self._table[text] != root:
                self._join(root, text)
        self._forest.roots = [root for root in self._forest.roots if root not in self._merged]

    def _text(self, root: int) -> bytes:
        return self._subjects.texts[_first(self._forest, root)]

    def _is_dummy(self, node: int) -> bool:
        return node >= self._forest.count

    def _answers(self, node: int) -> bool:
        return not self._is_dummy(node) and self._subjects.answers[node]

    def _enter(self, root: int, text: bytes) -> None:
        known = self._table.get(text)
        if known is None or (
            not self._is_dummy(known)
            and (self._is_dummy(root) or (self._answers(known) and not self._answers(root)))
        ):
            self._table[text] = root

    def _join(self, root: int, text: bytes) -> None:
        children, known = self._forest.children, self._table[text]
        self._merged.add(root)
        if self._is_dummy(root):
            children[known] += children.pop(root)
        elif self._is_dummy(known) or (self._answers(root) and not self._answers(known)):
            children.setdefault(known, []).append(root)
        else:
            dummy = self._next_dummy
            self._next_dummy += 1
            children[dummy] = [root, known]
            self._merged.add(known)
            self._forest.roots.append(dummy)
            self._table[text] = dummy
