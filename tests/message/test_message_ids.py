"""Message-IDs in References and elsewhere (RFC 5322 §3.6.4; RFC 5256 §3)."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.message.message_ids import message_ids


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"<a@b>", [b"a@b"]),
        (b'<"01KF8JCEOCBS0045PS"@xxx.yyy.com>', [b"01KF8JCEOCBS0045PS@xxx.yyy.com"]),
        (b'<"a\\"b"@c>', [b'a"b@c']),
        (b'< "a" @c>', [b"a@c"]),
        (b"<a.b@c> <d@e>\t<f@g>", [b"a.b@c", b"d@e", b"f@g"]),
        (b"<a . b@c . d>", [b"a.b@c.d"]),
        (b"<A@b> <a@b>", [b"A@b", b"a@b"]),
        (b"<no-at> <x@y", []),
        (b"Your message of Monday <a@b> (joe)", [b"a@b"]),
        (b"joe@x.org's message", []),
        (b"<<a@b>>", [b"a@b"]),
        (b"<a@[127.0.0.1]>", [b"a@[127.0.0.1]"]),
        (b"", []),
    ],
)
def test_message_ids(value: bytes, expected: list[bytes]) -> None:
    assert message_ids(value) == expected


@given(st.binary(max_size=60))
def test_any_octets_may_be_there(value: bytes) -> None:
    for found in message_ids(value):
        assert b"@" in found


@pytest.mark.parametrize(
    "value",
    [b"<" * 200_000, b'<"' * 100_000, b'<"\\' * 70_000, b"<a@" * 70_000, b"< " * 100_000,
     b"<a " * 70_000, b"<a@b>" * 100_000, b'<"' + b"\\\\" * 100_000, b"<" + b" " * 100_000],
)  # fmt: skip
def test_R225_hostile_values_take_linear_time(value: bytes) -> None:
    begun = time.process_time()
    message_ids(value)
    assert time.process_time() - begun < 1
