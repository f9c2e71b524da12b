"""THREAD and UID THREAD (RFC 5256 §3)."""

from __future__ import annotations

from array import array
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import Final

from maa.conversation import SLOW, Step
from maa.imap.commands import Search
from maa.imap.grammar import Cursor
from maa.imap.inprogress import told
from maa.imap.matching import matching
from maa.imap.responses import ProtocolError
from maa.imap.search import bad_charset, numbered
from maa.imap.search_keys import known_charset, parse_program
from maa.imap.sort_columns import SortKey, each, facts
from maa.imap.sort_keys import NO_ID, REFERENCES, SORT_KEYS, sort_keys
from maa.imap.states import Answer, Done, Selected
from maa.imap.thread_algorithms import Subjects, ordered_subject, references, refs
from maa.imap.thread_links import Forest, Links
from maa.store.snapshot import UNKNOWN

_WORDS_AT_ONCE: Final = 20_000
_OPEN: Final = -1
_CLOSE: Final = -2


class Algorithm(Enum):
    """How messages are put into threads."""

    ORDEREDSUBJECT = b"ORDEREDSUBJECT"
    REFERENCES = b"REFERENCES"
    REFS = b"REFS"


@dataclass(frozen=True, slots=True)
class Thread(Search):
    """THREAD and UID THREAD: a SEARCH whose results are in threads."""

    algorithm: Algorithm


def parse(tag: bytes, cursor: Cursor, by_uid: bool = False) -> Thread:
    """SP thread-alg SP charset 1*(SP search-key)."""
    cursor.space()
    try:
        algorithm = Algorithm(cursor.atom().upper())
    except ValueError:
        raise ProtocolError("an unknown threading algorithm") from None
    cursor.space()
    charset, key = parse_program(cursor)
    cursor.end()
    return Thread(tag, by_uid, None, charset, key, algorithm)


def parse_by_uid(tag: bytes, cursor: Cursor) -> Thread:
    """As THREAD, by UID."""
    return parse(tag, cursor, by_uid=True)


def thread(state: Selected, command: Thread) -> Answer:
    """The messages that match, in threads (R191)."""
    if not known_charset(command.charset):
        return bad_charset(state)
    found = yield from told(command.tag, matching(state, command.key))
    view, memo = state.view, state.mailbox.memo
    # Clients ask the same again whenever they show another part of a list.
    digest = blake2b(array("I", found), digest_size=16).hexdigest()
    name = f"{command.algorithm.name} {command.by_uid} {digest}"
    known = memo.get(view.uids, name)
    if not isinstance(known, bytes):
        forest, complete = yield from told(command.tag, _forest(state, command.algorithm, found))
        pieces: list[bytes] = []
        for piece in threads(forest, numbered(state, found, command.by_uid)):
            if pieces:
                yield SLOW
            pieces.append(piece)
        known = b"".join(pieces)
        if complete:
            memo.keep(view.uids, name, known)
    yield b"* THREAD%b\r\n" % known
    return Done(state, b"THREAD completed")


def _forest(
    state: Selected, algorithm: Algorithm, found: Sequence[int]
) -> Generator[Step, None, tuple[Forest, bool]]:
    """The threads of messages numbered by their place in `found`; whether all could be read."""
    node_at = {position: node for node, position in enumerate(found)}
    ids, texts, answers = [NO_ID] * len(found), [b""] * len(found), [False] * len(found)
    sent: dict[int, int] = {}
    unread = set(found)

    def take(position: int, value: bytes) -> None:
        node, keys = node_at[position], sort_keys(value)
        ids[node], texts[node], answers[node] = keys.message_id, keys.subject, bool(keys.answers)
        if keys.date:
            sent[position] = int(keys.date)
        unread.discard(position)

    yield from each(state, SORT_KEYS, found, take)
    arrived = yield from facts(
        state,
        SortKey.ARRIVAL,
        found if algorithm is Algorithm.REFS else [p for p in found if p not in sent],
    )
    arrivals = [arrived.get(position, UNKNOWN) for position in found]
    dates = [sent.get(p, arrival) for p, arrival in zip(found, arrivals, strict=True)]
    subjects = Subjects(texts, answers)
    if algorithm is Algorithm.ORDEREDSUBJECT:
        return ordered_subject(subjects, dates), not unread
    links = Links(ids)
    yield from each(state, REFERENCES, found, lambda at, value: links.add(node_at[at], value))
    forest = links.forest()
    if algorithm is Algorithm.REFERENCES:
        return references(forest, subjects, dates), not unread
    return refs(forest, dates, arrivals), not unread


def threads(forest: Forest, numbers: Sequence[int]) -> Iterator[bytes]:
    """` (1 2 (3)(4))(5)`, in pieces; never recurses, for threads may be as deep as they like."""
    words = [b" "] if forest.roots else []
    for root in forest.roots:
        waiting = [_CLOSE, root, _OPEN]
        while waiting:
            node = waiting.pop()
            if node == _OPEN:
                words.append(b"(")
                continue
            if node == _CLOSE:
                words.append(b")")
                continue
            children = forest.children.get(node, ())
            if node < forest.count:
                words.append(b"%d " % numbers[node] if children else b"%d" % numbers[node])
            if len(children) == 1:
                waiting.append(children[0])
            else:
                for child in reversed(children):
                    waiting += (_CLOSE, child, _OPEN)
            if len(words) > _WORDS_AT_ONCE:
                yield b"".join(words)
                words.clear()
    yield b"".join(words)
