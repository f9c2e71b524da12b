"""maa.auth.sasl: base64, initial responses and cancelling, for every mechanism alike."""

from __future__ import annotations

import base64
from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.auth.sasl import (
    CHALLENGES_MAX,
    HEAR,
    LINE_OCTETS_MAX,
    Cancelled,
    Exchange,
    Malformed,
    dialogue,
)
from maa.conversation import SLOW
from maa.user import User


def asking(challenges: list[bytes], heard: list[bytes]) -> Exchange:
    """Asks the challenges in turn, one slow thing before each but the first."""
    for number, challenge in enumerate(challenges):
        if number:
            yield SLOW
        heard.append((yield challenge))
    return User("joe")


def played(
    exchange: Exchange, initial: bytes | None, *lines: bytes
) -> tuple[list[object], User | None]:
    said: list[object] = []
    waiting = list(lines)
    talk: Generator[object, bytes | None, User] = dialogue(exchange, initial)
    answer = None
    try:
        while True:
            step = talk.send(answer)
            answer = None
            said.append(step)
            if step is HEAR:
                if not waiting:
                    return said, None
                answer = waiting.pop(0)
    except StopIteration as end:
        return said, end.value


def test_R029_a_challenge_is_a_plus_a_blank_and_base64() -> None:
    heard: list[bytes] = []
    said, user = played(asking([b"", b"who?"], heard), None, b"", b"am9l")
    assert said == [b"+ \r\n", HEAR, SLOW, b"+ d2hvPw==\r\n", HEAR]
    assert (heard, user) == ([b"", b"joe"], User("joe"))


@pytest.mark.parametrize(("initial", "response"), [(b"=", b""), (b"am9l", b"joe")])
def test_R030_an_initial_response_answers_the_first_challenge(
    initial: bytes, response: bytes
) -> None:
    heard: list[bytes] = []
    said, user = played(asking([b"", b"x"], heard), initial, b"eQ==")
    assert said == [SLOW, b"+ eA==\r\n", HEAR]
    assert (heard, user) == ([response, b"y"], User("joe"))


@pytest.mark.parametrize("line", [b"???", b"a", b"am9l am9l", b"=", b"\xff"])
def test_R029_what_is_no_base64_is_malformed(line: bytes) -> None:
    with pytest.raises(Malformed):
        played(asking([b""], []), None, line)


def test_R029_a_star_cancels_at_any_time() -> None:
    for lines in ([b"*"], [b"am9l", b"*"]):
        with pytest.raises(Cancelled):
            played(asking([b"", b""], []), None, *lines)


def test_R031_a_response_may_be_long_and_not_longer() -> None:
    heard: list[bytes] = []
    fits = base64.b64encode(b"t" * (LINE_OCTETS_MAX // 4 * 3))
    assert len(fits) == LINE_OCTETS_MAX > 12 * 1024
    assert played(asking([b""], heard), None, fits)[1] == User("joe")
    with pytest.raises(Malformed, match="too long"):
        played(asking([b""], heard), None, fits + b"dHR0")


def test_a_dialogue_without_an_end_is_ended() -> None:
    with pytest.raises(Malformed, match="no end"):
        played(asking([b"x"] * 100, []), None, *[b"eA=="] * 100)
    assert played(asking([b"x"] * CHALLENGES_MAX, []), None, *[b"eA=="] * 100)[1] == User("joe")


@given(st.lists(st.binary(max_size=60), max_size=6), st.none() | st.binary(max_size=60))
def test_any_lines_are_answered_or_malformed(lines: list[bytes], initial: bytes | None) -> None:
    try:
        said, user = played(asking([b"", b"x", b"y"], []), initial, *lines)
    except Malformed:
        return
    assert user is not None or said[-1] is HEAR
