"""The PROXY protocol's headers: right ones, at every length, and wrong ones."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maa.transport.proxy_protocol import V1_OCTETS_MAX, V2_OCTETS_MAX, Header, NoHeader, read

V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 143\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, rest: bytes, octets: int | None = None) -> bytes:
    length = len(rest) if octets is None else octets
    return SIGNATURE + struct.pack("!BBH", command, family, length) + rest


IPV4 = socket.inet_aton("203.0.113.7") + socket.inet_aton("192.0.2.1") + b"\xc8\x22\x00\x8f"
IPV6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7")
    + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    + b"\xc8\x22\x00\x8f"
)
MAPPED = (
    socket.inet_pton(socket.AF_INET6, "::ffff:203.0.113.7")
    + socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.1")
    + b"\xc8\x22\x00\x8f"
)
RIGHT = [
    (b"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:192.0.2.1 51234 143\r\n", "203.0.113.7", 51234),
    (v2(0x21, 0x21, MAPPED), "203.0.113.7", 51234),
    (V1, "203.0.113.7", 51234),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 51234 143\r\n", "2001:db8::7", 51234),
    (b"PROXY UNKNOWN\r\n", "", 0),
    (b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "", 0),
    (v2(0x21, 0x11, IPV4), "203.0.113.7", 51234),
    (v2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), "203.0.113.7", 51234),
    (v2(0x21, 0x21, IPV6), "2001:db8::7", 51234),
    (v2(0x20, 0x00, b""), "", 0),
    (v2(0x20, 0x11, IPV4), "", 0),
    (v2(0x21, 0x31, bytes(216)), "", 0),
]


@pytest.mark.parametrize(("data", "host", "port"), RIGHT)
def test_a_header_is_read_at_every_split_point(data: bytes, host: str, port: int) -> None:
    for end in range(len(data)):
        assert read(data[:end]) is None
    assert read(data) == read(data + b"a1 NOOP\r\n") == Header(len(data), host, port)


@pytest.mark.parametrize(
    "data",
    [
        b"a1 LOGIN joe secret\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 51234\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 143\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 51234 143\r\n",
        b"PROXY TCP6 203.0.113.7 192.0.2.1 51234 143\r\n",
        b"PROXY TCP4 203.0.113.777 192.0.2.1 51234 143\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 65536 143\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 +1 143\r\n",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 01 143\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.1 1 143\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 1 143\r\n",
        b"PROXY UNKNOWN" + b" " * V1_OCTETS_MAX,
        v2(0x11, 0x11, IPV4),
        v2(0x22, 0x11, IPV4),
        v2(0x21, 0x12, IPV4),
        v2(0x21, 0x21, IPV4),
        v2(0x21, 0x11, IPV4[:11]),
        v2(0x21, 0x11, b"", V2_OCTETS_MAX + 1),
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(NoHeader):
        read(data)


@given(st.sampled_from([b"PROXY ", SIGNATURE, b""]), st.binary(max_size=300))
def test_anything_is_a_header_or_none_or_refused(start: bytes, rest: bytes) -> None:
    try:
        header = read(start + rest)
    except NoHeader:
        return
    assert header is None or header.octets <= len(start + rest)
