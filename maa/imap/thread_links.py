"""Steps 1 to 3 of THREAD=REFERENCES: who answers whom (RFC 5256 §3).

Messages are numbered from 0 by ascending sequence number; dummies, which stand for Message-IDs
that no message has, come behind them. Step 1 says to make links along each References field and
to break those of a message when its turn comes. Here a link to a message whose turn is still to
come is not made in the first place. So no link is ever broken, and whether one would close a loop
is told by sets that only grow: all of it takes linear time, whatever the references say. The
result is another one only where references contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from maa.imap.sort_keys import DIGEST_OCTETS, NO_ID

_DUMMIES_MAX: Final = 50_000
_DUMMIES_PER_MESSAGE: Final = 16
"""Of Message-IDs that no message has so many in all are taken in; more are passed over."""


@dataclass(slots=True)
class Forest:
    """Threads: nodes from `count` on are dummies, which are roots and have several children."""

    count: int
    roots: list[int]
    children: dict[int, list[int]]
    """Of nodes that have any."""


class Links:
    """Parents and children, built message by message in ascending order."""

    def __init__(self, ids: Sequence[bytes]) -> None:
        """Begin with the digests of the messages' own Message-IDs."""
        self._count = len(ids)
        self._nodes: dict[bytes, int] = {}
        for node, digest in enumerate(ids):
            if digest != NO_ID:
                self._nodes.setdefault(digest, node)  # the first message has it
        self._parents = [-1] * self._count
        self._tops = list(range(self._count))
        """A node further up in the tree, itself at the top."""
        self._nodes_max = (1 + _DUMMIES_PER_MESSAGE) * self._count + _DUMMIES_MAX

    def add(self, node: int, references: bytes) -> None:
        """Link a message with what its references, as remembered, name (step 1)."""
        parent = -1
        for start in range(0, len(references), DIGEST_OCTETS):
            other = self._node(references[start : start + DIGEST_OCTETS])
            if other < 0:
                continue
            # A message whose turn is still to come gets its parent then.
            if parent >= 0 and not node <= other < self._count:
                self._link(parent, other)
            parent = other
        if parent >= 0:
            self._link(parent, node)

    def _node(self, digest: bytes) -> int:
        node = self._nodes.get(digest)
        if node is None:
            node = len(self._parents)
            if node >= self._nodes_max:
                return -1
            self._nodes[digest] = node
            self._parents.append(-1)
            self._tops.append(node)
        return node

    def _link(self, parent: int, child: int) -> None:
        if self._parents[child] < 0 and self._top(parent) != child:
            self._parents[child] = parent
            self._tops[child] = parent

    def _top(self, node: int) -> int:
        tops = self._tops
        while (above := tops[node]) != node:
            tops[node] = node = tops[above]
        return node

    def forest(self) -> Forest:
        """The messages without dummies, but for those that hold siblings together (step 3)."""
        count = self._count
        children: dict[int, list[int]] = {}
        roots: list[int] = []
        shown = self._shown_parents()
        for node in range(count):
            parent = shown[node]
            if parent < 0:
                roots.append(node)
            elif parent in children:
                children[parent].append(node)
            else:
                children[parent] = [node]
        for dummy in [parent for parent in children if parent >= count]:
            if len(children[dummy]) > 1:
                roots.append(dummy)
            else:
                roots += children.pop(dummy)
        return Forest(count, roots, children)

    def _shown_parents(self) -> list[int]:
        """The nearest message above each, or else the dummy at the top; -1 at the top."""
        count, parents = self._count, self._parents
        shown = parents[:]
        for start in range(len(parents)):
            # Up to a node whose parent is shown as it is, then down again.
            path = []
            node = start
            while (above := shown[node]) >= count and shown[above] >= 0:
                path.append(node)
                node = above
            for node in reversed(path):
                shown[node] = shown[shown[node]]
        return shown
