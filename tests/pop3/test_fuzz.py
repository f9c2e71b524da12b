"""Whatever a client says: answers in POP3's form, or the end; never our error, never a removal."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from maa.pop3.table import COMMANDS
from tests.pop3.world import World

WORDS = st.one_of(
    st.sampled_from(
        [b"", b" ", b"1", b"2", b"0", b"99", b"-1", b"+1", b"1_0", b"\xd9\xa1", b"joe"]
    ),
    st.sampled_from([b"PLAIN", b"LOGIN", b"=", b"*", b"AGpvZQBzZWNyZXQ=", b"\0", b"x" * 300]),
    st.binary(max_size=6),
)
LINES = st.tuples(
    st.one_of(st.sampled_from([c for c in COMMANDS if c != b"QUIT"]), WORDS),
    st.lists(WORDS, max_size=3),
).map(lambda parts: b" ".join((parts[0], *parts[1])))


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=12), st.booleans(), st.integers(1, 50))
def test_any_lines_are_answered(lines: list[bytes], logged_in: bool, step: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        world = World(Path(directory), ["one.eml", "two.eml"], logged_in=logged_in)
        client = world.client()
        client.output.clear()
        data = b"\r\n".join(lines) + b"\r\n"
        for at in range(0, len(data), step):
            client.send(data[at : at + step])
        output = bytes(client.output)
        assert b"internal error" not in output
        for line in output.split(b"\r\n")[:-1] if b"RETR" not in data.upper() else ():
            assert re.fullmatch(rb"[ -~\t]*", line) or b"TOP" in data.upper(), line
        assert output == b"" or output.startswith((b"+OK", b"-ERR", b"+ "))
        world.close()
        assert len(world.files()) == 2
